"""`lineage data`: check a dataset, or count what it contains."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import tyro

from lineage.cli.arguments import option
from lineage.cli.tables import format_table
from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import parse_size
from model_zoo.contract.plural import plural

if TYPE_CHECKING:
    from training.data.validation.findings import Finding

HAS_ERRORS: Final = 1
MAX_SHOWN: Final = 5  # findings of one kind in the text output


def data(
    action: Annotated[Literal["check", "stats"], tyro.conf.Positional],
    path: Annotated[Path, tyro.conf.Positional, option("DATASET")],
    *,
    output: Annotated[Path | None, option("FOLDER")] = None,
    image_size: Annotated[int, option("PIXELS")] = 640,
    as_json: Annotated[bool, option(name="json")] = False,
) -> int:
    """Check a dataset, or count what it contains.

    `check` decodes every image and prints one line per finding. If training would refuse the dataset, the exit code is
    1. `stats` counts images and objects. Results are cached for the next call.

    Args:
        action: check or stats.
        path: Dataset: a COCO .json, YOLO data.yaml or Darknet .data file, or a folder in one of these formats or VOC.
        output: With stats: write plots of classes, box sizes, box positions and labeled images to this folder.
        image_size: With stats: longer side of an image in training, for the plot of box sizes.
        as_json: Print JSON instead of text, with all findings.
    """
    if action == "check":
        return _check(path, as_json, output)
    return _stats(path, as_json, output, image_size)


def _check(path: Path, as_json: bool, output: Path | None) -> int:
    if output:
        raise LineageError("--output: expected with `lineage data stats`, which draws plots; `check` writes no files")
    from training.data.validation.check import check_dataset
    from training.data.validation.findings import SEVERITIES

    findings = check_dataset(path)
    counts = Counter(finding.severity for finding in findings)
    if as_json:
        by_severity = {severity: counts[severity] for severity in SEVERITIES}
        print(json.dumps({"data": str(path), **by_severity, "findings": [f.to_dict() for f in findings]}, indent=2))
    else:
        totals = [plural(counts[severity], severity) for severity in SEVERITIES]
        print("\n".join([*_lines(findings), f"{path}: {', '.join(totals)}"]))
    return HAS_ERRORS if counts["error"] else 0


def _lines(findings: Sequence[Finding]) -> list[str]:
    """Return lines for the first findings of every kind, and a line with the number of further ones."""
    lines = []
    for kind in dict.fromkeys(finding.kind for finding in findings):
        of_kind = [finding for finding in findings if finding.kind == kind]
        lines += [f"{finding.location}: {finding.severity}: {finding.text} [{kind}]" for finding in of_kind[:MAX_SHOWN]]
        if len(of_kind) > MAX_SHOWN:
            more = plural(len(of_kind) - MAX_SHOWN, f"more {of_kind[0].severity}")
            lines.append(f"... {more}; --json lists all [{kind}]")
    return lines


def _stats(path: Path, as_json: bool, output: Path | None, image_size: int) -> int:
    from model_zoo.contract.targets import check_folder_target
    from training.data.open import open_dataset
    from training.data.validation.statistics import class_rows, count_dataset, split_rows, to_document

    parse_size([image_size])
    if output:
        check_folder_target(output)
    dataset = open_dataset(path)
    statistics = count_dataset(dataset)
    if as_json:
        print(json.dumps(to_document(dataset, statistics), indent=2))
    else:
        print(f"{format_table(split_rows(statistics))}\n\n{format_table(class_rows(dataset.class_names, statistics))}")
    if output:
        from training.data.validation.plots import write_plots

        files = write_plots(dataset, statistics, output, image_size)
        if not as_json:
            print("\n" + "\n".join(map(str, files)))
    return 0
