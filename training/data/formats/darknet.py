"""Descriptions of YOLO datasets without YAML: Darknet's `.data` files, and a list of class names beside the images.

A `.data` file has lines such as `train = data/train.txt` and `names = data/obj.names`. Darknet reads its paths, and
those in the lists, relative to the folder it is started in, which is unknown here. The end of each path is used.
Roboflow, LabelImg and Label Studio write folders of images and text files with one list of class names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from model_zoo.contract.errors import LineageError
from model_zoo.contract.typed_json import shorten
from training.data.dataset import is_split_name
from training.data.formats.folders import IMAGE_SUFFIXES, find_files, visible
from training.data.formats.listed_paths import MAX_PROBED, locate
from training.data.formats.raw_labels import decode, parse_integer
from training.data.formats.yolo import label_file
from training.data.formats.yolo_description import Description, check_names, read_names
from training.data.validation.findings import Finding, LabelError

SPLITS = ("train", "val", "valid", "test")
NAME_LISTS = ("classes.txt", "obj.names", "_darknet.labels", "*.names", "*/classes.txt", "*/_darknet.labels")
_SPLIT_KEY = re.compile(rb"^\s*(train|valid)\s*=", re.MULTILINE)  # distinguishes a description from other data
_KEY = re.compile(r"\s*(\w+)\s*=\s*(.*?)\s*")


def find_data_file(path: Path) -> Path | None:
    """Return the `.data` file at `path` or in the folder `path`, or None.

    Raises:
        LineageError: There are several.
    """
    if path.is_file():
        return path if path.suffix == ".data" else None
    files = [file for file in visible(path.glob("*.data")) if _SPLIT_KEY.search(file.read_bytes())]
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise LineageError(f"{path}: expected one .data file; got {names}; give the path of the right one")
    return files[0] if files else None


def read_data_file(file: Path) -> tuple[Description, list[Finding]]:
    """Read a `.data` file, and report the lists that do not exist.

    Raises:
        LabelError: It lists no class names, or wrong ones.
    """
    values, lines = _parse(decode(file.read_bytes()))
    names = _read_names(file, values, lines)
    findings: list[Finding] = []
    splits: dict[str, list[Path]] = {}
    for split in (key for key in SPLITS if values.get(key)):
        [path] = locate([values[split]], [file.parent, Path()])
        if os.path.exists(path):
            splits[split] = [path]
        else:
            kind = "test-missing" if split == "test" else "split-missing"
            text = f"{split}: list {values[split]} does not exist (expected {path}); add it or correct the path"
            findings.append(Finding(kind, file, lines[split], text))
    if not splits and not findings:
        text = "train = and valid = are missing; add each with a list of images"
        findings.append(Finding("field-missing", file, 0, text))
    return Description(names, splits, file.parent, lines), findings


def find_name_lists(path: Path) -> list[Path]:
    """Return the lists of class names in a folder of images and YOLO label files, which may be one for each split."""
    found = (visible(path.glob(pattern)) for pattern in NAME_LISTS) if path.is_dir() else ()
    files = next(filter(None, found), [])
    return files if files and any(map(_has_labels, _image_folders(path).values())) else []


def read_name_list(path: Path) -> tuple[Description, list[Finding]]:
    """Describe a folder by its list of class names and its folders of images.

    Raises:
        LabelError: A class name occurs twice, or the lists of the splits differ.
    """
    file, *others = find_name_lists(path)
    names = read_names(file)
    check_names(names)
    for other in others:
        if read_names(other) != names:
            raise LabelError("classes-differ", f"{other}: expected the names in {file}; use one list in all folders")
    splits = {split: [folder] for split, folder in _image_folders(path).items()}
    return Description(tuple(names), splits, path, {}), []


def _parse(text: str) -> tuple[dict[str, str], dict[str, int]]:
    values, lines = dict[str, str](), dict[str, int]()
    for number, line in enumerate(text.splitlines(), 1):
        if match := _KEY.fullmatch(line):
            values[match[1].lower()], lines[match[1].lower()] = match[2].strip("\"'"), number
    return values, lines


def _read_names(file: Path, values: Mapping[str, str], lines: Mapping[str, int]) -> tuple[str, ...]:
    if not values.get("names"):
        raise LabelError("classes", "names: expected a file with one class name per line; add names = obj.names")
    [path] = locate([values["names"]], [file.parent, Path()])
    if not os.path.isfile(path):
        text = f"names: file {values['names']} does not exist (expected {path}); add it or correct the path"
        raise LabelError("classes", text, lines["names"])
    names = read_names(path)
    check_names(names, lines["names"])
    count = values.get("classes", str(len(names)))
    if parse_integer(count) != len(names):
        text = f"classes: expected {len(names)}, the number of names in {path}; got {shorten(count)}; correct it"
        raise LabelError("classes-nc", text, lines["classes"])
    return tuple(names)


def _image_folders(path: Path) -> dict[str, Path]:
    """Return the image folders by split: `train`, `images/train`, or else the folder itself as one split."""
    for parent in (path, path / "images"):
        folders = [folder for folder in visible(parent.glob("*")) if folder.is_dir() and is_split_name(folder.name)]
        if folders:
            return {folder.name: folder for folder in folders}
    return {path.resolve().name: path}


def _has_labels(folder: Path) -> bool:
    images = find_files(folder, IMAGE_SUFFIXES).files[:MAX_PROBED]
    return any(label_file(image).is_file() or image.with_suffix(".txt").is_file() for image in images)
