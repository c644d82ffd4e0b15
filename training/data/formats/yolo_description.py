"""The YAML file that describes a YOLO dataset: `path`, `train`, `val`, `test`, `names`, `nc`.

Paths begin at `path`, which begins at the file's folder; where that leads nowhere, at the file's folder, and then
without the `../` that some programs write before them. All scalars are read as text, so a class may be called `no`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it has no types

from model_zoo.contract.typed_json import shorten
from training.data.formats.raw_labels import decode, whole_number
from training.data.validation.findings import Fault, Finding

SPLITS = ("train", "val", "valid", "test")
NOTHING = ("", "~", "null", "none")  # what `test:` is given where there is no such split


@dataclass(frozen=True)
class Description:
    """Names by class, the folder or lists of every split, the folder that paths begin at, and the line of every key."""

    names: tuple[str, ...]
    splits: dict[str, list[Path]]
    folder: Path
    lines: dict[str, int]


def describe(file: Path) -> tuple[Description, list[Finding]]:
    """Read a description; Fault where it cannot be one, a finding for every split that leads nowhere."""
    entries, lines = _load(decode(file.read_bytes()))
    names = _names(entries, lines)
    folder = file.parent / str(entries.get("path", ""))
    findings: list[Finding] = []
    splits: dict[str, list[Path]] = {}
    for split in (key for key in SPLITS if key in entries):
        try:
            if sources := _sources(entries[split], split, folder, file.parent):
                splits[split] = sources
        except Fault as fault:
            findings.append(fault.at(file, lines[split]))
    if not splits and not findings:
        text = "expected train: and val:, each a folder of images, or a list of them; got neither; add them"
        findings.append(Finding("field-missing", file, 0, text))
    return Description(names, splits, folder, lines), findings


def _load(text: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the entries of the outermost mapping, all scalars as text, and the line of each."""
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        entries = yaml.load(text, Loader=yaml.BaseLoader)  # makes nothing but text, lists and dictionaries
    except RecursionError:
        raise Fault("invalid-yaml", "expected a few lines of YAML; it is nested too deeply; write it again") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise Fault("invalid-yaml", f"expected YAML; {problem}; mend the line", mark.line + 1 if mark else 0) from None
    if not isinstance(entries, dict):
        raise Fault("field-missing", f"expected train:, val: and names:; got {shorten(entries)}; write them", 1)
    return entries, {key.value: key.start_mark.line + 1 for key, _ in node.value}


def _names(entries: Mapping[str, Any], lines: Mapping[str, int]) -> tuple[str, ...]:
    line = lines.get("names", 0)
    given = entries.get("names")
    if isinstance(given, dict):
        given = _in_order(given, line)
    if not isinstance(given, list) or not given or not all(isinstance(name, str) and name.strip() for name in given):
        came = shorten(given) if "names" in entries else "none"
        raise Fault("classes", f"names: expected a list of names, or number: name; got {came}; write them", line)
    twice = [name for name, count in Counter(given).items() if count > 1]
    if twice:
        raise Fault("classes", f"names: expected a name for each class; {shorten(twice[0])} is there twice", line)
    count = entries.get("nc", str(len(given)))
    if not isinstance(count, str) or whole_number(count) != len(given):
        text = f"nc: expected the number of names, {len(given)}; got {shorten(count)}; mend it, or the names"
        raise Fault("classes-nc", text, lines["nc"])
    return tuple(given)


def _in_order(given: Mapping[str, Any], line: int) -> list[Any]:
    names = {whole_number(key): name for key, name in given.items()}
    missing = set(range(len(given))) - set(names)
    if missing:
        text = f"names: expected the numbers 0 to {len(given) - 1}; {min(missing)} is missing; number them without gaps"
        raise Fault("classes", text, line)
    return [names[i] for i in range(len(given))]


def _sources(given: Any, split: str, folder: Path, beside: Path) -> list[Path]:
    entries = given if isinstance(given, list) else [given]
    if not all(isinstance(entry, str) for entry in entries):
        raise Fault("field-missing", f"{split}: expected a path, or a list of paths; got {shorten(given)}; write one")
    return [_locate(entry, split, folder, beside) for entry in entries if entry.lower() not in NOTHING]


def _locate(entry: str, split: str, folder: Path, beside: Path) -> Path:
    inside = entry
    while inside.startswith("../"):
        inside = inside.removeprefix("../")
    tried = list(dict.fromkeys((folder / entry, beside / entry, folder / inside, beside / inside)))
    for path in tried:
        if path.exists():
            return path
    kind = "test-missing" if split == "test" else "split-missing"
    looked = ", ".join(map(str, tried))
    raise Fault(kind, f"{split}: expected a folder or list {entry}; there is none; looked for {looked}; mend the path")
