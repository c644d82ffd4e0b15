"""`lineage data`: what is wrong with a dataset, and what is in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import tyro

from lineage.cli.tables import format_table
from model_zoo.contract.errors import LineageError
from training.data.open import open_dataset
from training.data.validation.check import check_dataset
from training.data.validation.findings import SEVERITIES, Finding, Severity
from training.data.validation.statistics import class_rows, count_dataset, split_rows, to_document

HAS_ERRORS: Final = 1
SHOWN: Final = 5  # findings of one kind in the list for people


def data(
    action: Annotated[Literal["check", "stats"], tyro.conf.Positional],
    path: Annotated[Path, tyro.conf.Positional],
    *,
    output: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None,
    image_size: int = 640,
    as_json: Annotated[bool, tyro.conf.arg(name="json", help_behavior_hint="")] = False,
) -> int:
    """Check a dataset, or tell what is in it.

    `check` decodes every image and lists what is wrong, a line each; where training would refuse the set, the exit code
    is 1. `stats` counts images and objects. What has been read is kept, so that the next time is quicker.

    Args:
        action: What to do.
        path: Dataset: a COCO .json file, a YOLO data.yaml, or a folder in one of these formats or Pascal VOC's.
        output: Folder for plots (stats): classes, sizes and places of boxes, images with their boxes drawn in.
        image_size: Longer side of an image in training, at which the plot shows sizes (stats).
        as_json: Print JSON instead of text, and in it all findings.
    """
    if action == "check":
        return _check(path, as_json, output)
    return _stats(path, as_json, output, image_size)


def _check(path: Path, as_json: bool, output: Path | None) -> int:
    if output:
        raise LineageError("--output: expected with `lineage data stats`, which draws plots; `check` writes no files")
    findings = check_dataset(path)
    counts = Counter(finding.severity for finding in findings)
    if as_json:
        numbers = {severity: counts[severity] for severity in SEVERITIES}
        print(json.dumps({"data": str(path), **numbers, "findings": [f.to_dict() for f in findings]}, indent=2))
    else:
        print("\n".join([*_lines(findings), _summary(path, counts)]))
    return HAS_ERRORS if counts["error"] else 0


def _lines(findings: Sequence[Finding]) -> list[str]:
    """List the first findings of every kind, and count the others."""
    lines = []
    for kind in dict.fromkeys(finding.kind for finding in findings):
        alike = [finding for finding in findings if finding.kind == kind]
        lines += [f"{finding.location}: {finding.severity}: {finding.text} [{kind}]" for finding in alike[:SHOWN]]
        if len(alike) > SHOWN:
            lines.append(f"... and {len(alike) - SHOWN:,} more such {alike[0].severity}s, which --json lists [{kind}]")
    return lines


def _summary(path: Path, counts: Counter[Severity]) -> str:
    numbers = [f"{counts[severity]:,} {severity}{'' if counts[severity] == 1 else 's'}" for severity in SEVERITIES]
    return f"{path}: {', '.join(numbers)}"


def _stats(path: Path, as_json: bool, output: Path | None, image_size: int) -> int:
    dataset = open_dataset(path)
    statistics = count_dataset(dataset)
    if as_json:
        print(json.dumps(to_document(dataset, statistics), indent=2))
    else:
        print(f"{format_table(split_rows(statistics))}\n\n{format_table(class_rows(dataset.class_names, statistics))}")
    if output:
        from training.data.validation.plots import write_plots

        written = write_plots(dataset, statistics, output, image_size)
        if not as_json:
            print("\n" + "\n".join(map(str, written)))
    return 0
