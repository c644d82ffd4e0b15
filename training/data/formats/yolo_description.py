"""The YAML description of a YOLO dataset: `path`, `train`, `val`, `test`, `names`, `nc`.

Paths are relative to `path`, which is relative to the folder of the file. A path that does not exist there is tried
relative to that folder, and without the leading `../` that some tools write. All scalars are read as text, so a class
may be called `no`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it has no types

from model_zoo.contract.typed_json import shorten
from training.data.formats.raw_labels import decode, parse_integer
from training.data.validation.findings import Finding, LabelError

SPLITS = ("train", "val", "valid", "test")
NULL_VALUES = ("", "~", "null", "none")  # of a split that does not exist


@dataclass(frozen=True)
class Description:
    """Content of a dataset description."""

    names: tuple[str, ...]
    """Class names."""
    splits: dict[str, list[Path]]
    """Image folders and lists of each split."""
    folder: Path
    """Folder that paths are relative to."""
    lines: dict[str, int]
    """Line of each key."""


def read_description(file: Path) -> tuple[Description, list[Finding]]:
    """Read a description, and report the splits that do not exist.

    Raises:
        LabelError: The file is not a valid description.
    """
    document, lines = _load(decode(file.read_bytes()))
    names = _class_names(document, lines)
    folder = file.parent / str(document.get("path", ""))
    findings: list[Finding] = []
    splits: dict[str, list[Path]] = {}
    for split in (key for key in SPLITS if key in document):
        try:
            if sources := _split_sources(document[split], split, folder, file.parent):
                splits[split] = sources
        except LabelError as error:
            findings.append(error.at(file, lines[split]))
    if not splits and not findings:
        text = "train: and val: are missing; add each with a folder or list of images"
        findings.append(Finding("field-missing", file, 0, text))
    return Description(names, splits, folder, lines), findings


def _load(text: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the outermost mapping with all scalars as text, and the line of each key."""
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        document = yaml.load(text, Loader=yaml.BaseLoader)  # builds only text, lists and dictionaries
    except RecursionError:
        raise LabelError("invalid-yaml", "YAML is nested too deeply; write the file again") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise LabelError("invalid-yaml", f"invalid YAML: {problem}; correct it", mark.line + 1 if mark else 0) from None
    if not isinstance(document, dict):
        raise LabelError("field-missing", f"expected train:, val: and names:; got {shorten(document)}; add them", 1)
    return document, {key.value: key.start_mark.line + 1 for key, _ in node.value}


def _class_names(document: Mapping[str, Any], lines: Mapping[str, int]) -> tuple[str, ...]:
    line = lines.get("names", 0)
    names = document.get("names")
    if isinstance(names, dict):
        names = _sort_names(names, line)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name.strip() for name in names):
        got = shorten(names) if "names" in document else "none"
        text = f"names: expected a list of names, or a mapping from number to name; got {got}; add the names"
        raise LabelError("classes", text, line)
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    if duplicates:
        text = f"names: {shorten(duplicates[0])} occurs more than once; give each class its own name"
        raise LabelError("classes", text, line)
    count = document.get("nc", str(len(names)))
    if not isinstance(count, str) or parse_integer(count) != len(names):
        text = f"nc: expected {len(names)}, the number of names; got {shorten(count)}; correct it or the names"
        raise LabelError("classes-nc", text, lines["nc"])
    return tuple(names)


def _sort_names(mapping: Mapping[str, Any], line: int) -> list[Any]:
    names = {parse_integer(key): name for key, name in mapping.items()}
    missing = set(range(len(mapping))) - set(names)
    if missing:
        text = f"names: expected the numbers 0 to {len(mapping) - 1}; {min(missing)} is missing; renumber without gaps"
        raise LabelError("classes", text, line)
    return [names[i] for i in range(len(mapping))]


def _split_sources(value: Any, split: str, folder: Path, file_folder: Path) -> list[Path]:
    entries = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, str) for entry in entries):
        text = f"{split}: expected a path, or a list of paths; got {shorten(value)}; correct it"
        raise LabelError("field-missing", text)
    return [_locate(entry, split, folder, file_folder) for entry in entries if entry.lower() not in NULL_VALUES]


def _locate(entry: str, split: str, folder: Path, file_folder: Path) -> Path:
    inside = entry
    while inside.startswith("../"):
        inside = inside.removeprefix("../")
    candidates = list(dict.fromkeys((folder / entry, file_folder / entry, folder / inside, file_folder / inside)))
    for path in candidates:
        if path.exists():
            return path
    kind = "test-missing" if split == "test" else "split-missing"
    tried = ", ".join(map(str, candidates))
    raise LabelError(kind, f"{split}: folder or list {entry} does not exist (tried {tried}); correct the path")
