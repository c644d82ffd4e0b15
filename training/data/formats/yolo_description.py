"""The YAML description of a YOLO dataset: `path`, `train`, `val`, `test`, `names`, `nc`.

Paths are relative to `path`, which is relative to the folder of the file. A path that does not exist there is tried
relative to that folder, and without the leading `../` that some tools write. Of paths of another machine the end is
tried. All scalars are read as text, so a class may be called `no`. `kpt_shape: [K, D]` declares keypoints behind boxes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it has no types

from model_zoo.contract.typed_json import shorten
from training.data.formats.listed_paths import is_foreign, path_parts
from training.data.formats.raw_labels import decode, parse_integer
from training.data.validation.findings import Finding, LabelError

SPLITS = ("train", "val", "valid", "validation", "test")
MAX_LISTED = 4  # paths in an error message
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
    keypoint_columns: int | None = None
    """Columns of the keypoints of an object, None if not declared."""


def read_description(file: Path) -> tuple[Description, list[Finding]]:
    """Read a description, and report the splits that do not exist.

    Raises:
        LabelError: The file is not a valid description.
    """
    document, lines = _load(decode(file.read_bytes()))
    names = _class_names(document, lines, file.parent)
    keypoint_columns = _keypoint_columns(document, lines)
    folder = _folder(document, file.parent)
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
    return Description(names, splits, folder, lines, keypoint_columns), findings


def _folder(document: Mapping[str, Any], file_folder: Path) -> Path:
    path = str(document.get("path", ""))
    return file_folder if path.lower() in NULL_VALUES else file_folder / path


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


def _class_names(document: Mapping[str, Any], lines: Mapping[str, int], folder: Path) -> tuple[str, ...]:
    line = lines.get("names", 0)
    names: Any = document.get("names")
    if isinstance(names, dict):
        names = _sort_names(names, line)
    if isinstance(names, str):
        names = read_names(folder / names) if os.path.isfile(folder / names) else [n.strip() for n in names.split(",")]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name.strip() for name in names):
        got = shorten(names) if "names" in document else "none"
        text = f"names: expected a list of names, or a mapping from number to name; got {got}; add the names"
        raise LabelError("classes", text, line)
    check_names(names, line)
    count = document.get("nc", str(len(names)))
    if not isinstance(count, str) or parse_integer(count) != len(names):
        text = f"nc: expected {len(names)}, the number of names; got {shorten(count)}; correct it or the names"
        raise LabelError("classes-nc", text, lines["nc"])
    return tuple(names)


def read_names(file: Path) -> list[str]:
    """Return the class names in a text file with one name per line.

    Raises:
        LabelError: The file is empty or not UTF-8. The text names it, since the error is that of a description.
    """
    try:
        text = decode(file.read_bytes())
    except LabelError as error:
        raise LabelError(error.kind, f"{file}: {error.text}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def check_names(names: Sequence[str], line: int = 0) -> None:
    """Check that every class has its own name.

    Raises:
        LabelError: A name occurs twice.
    """
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    if duplicates:
        text = f"names: {shorten(duplicates[0])} occurs more than once; give each class its own name"
        raise LabelError("classes", text, line)


def _keypoint_columns(document: Mapping[str, Any], lines: Mapping[str, int]) -> int | None:
    """Return the product of `kpt_shape`, which is [keypoints, 2 or 3]."""
    if "kpt_shape" not in document:
        return None
    shape = document["kpt_shape"]
    numbers = [parse_integer(str(number)) for number in shape] if isinstance(shape, list) else []
    if len(numbers) != 2 or numbers[0] is None or numbers[0] < 0 or numbers[1] not in (2, 3):
        text = f"kpt_shape: expected [keypoints, 2 or 3]; got {shorten(shape)}; correct it or remove it"
        raise LabelError("field-missing", text, lines["kpt_shape"])
    return numbers[0] * numbers[1]


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
    parts = path_parts(entry)
    ends = ["/".join(parts[i:]) for i in range(len(parts))] if is_foreign(entry) else []
    paths = [entry, *ends[:1], *(end for end in ends[1:] if end != "images")]  # which has the images of any split
    candidates = list(dict.fromkeys(base / path for path in paths for base in (folder, file_folder)))
    for path in candidates:
        if os.path.exists(path):  # unlike Path.exists, False for names that cannot exist
            return path
    kind = "test-missing" if split == "test" else "split-missing"
    tried = ", ".join(map(str, candidates[:MAX_LISTED]))
    raise LabelError(kind, f"{split}: folder or list {entry} does not exist (tried {tried}); correct the path")
