"""Open a dataset in whatever format it comes: COCO's JSON, YOLO's text files, Pascal VOC's XML."""

from __future__ import annotations

import re
from pathlib import Path

from model_zoo.contract.errors import LineageError
from training.data import image_info
from training.data.build_records import assemble
from training.data.dataset import Dataset
from training.data.formats import coco, voc, yolo
from training.data.formats.raw_labels import Reading
from training.data.validation.findings import Finding, raise_on_errors

DESCRIPTIONS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
NAMES = re.compile(rb"^names\s*:", re.MULTILINE)  # what tells a description from other YAML files
EXPECTED = (
    "expected a COCO .json file, a folder with annotations/*.json, a YOLO data.yaml or a folder with one, "
    "or a VOC folder with Annotations/*.xml"
)


def open_dataset(path: Path) -> Dataset:
    """Read a dataset: a folder or a file of a format that is recognized by what is there.

    Images are not decoded.

    Raises:
        LineageError: There is no dataset at `path`.
        InvalidDatasetError: Labels or image headers have errors, which it lists.
    """
    dataset, findings = read_dataset(path)
    raise_on_errors(path, findings)
    return dataset


def read_dataset(path: Path) -> tuple[Dataset, list[Finding]]:
    """Read what can be read of a dataset, and tell what cannot."""
    reading = _read(path)
    findings = list(reading.findings)
    splits = {}
    for name, labels in reading.splits.items():
        headers = image_info.headers(path, [Path(image) for image in labels.images.tolist()])
        splits[name], faults = assemble(name, labels, headers, reading)
        findings += faults
        if not len(labels.images) and not faults:
            text = f"split {name!r}: expected images; it has none; add some, or take the split away"
            findings.append(Finding("split-empty", path, 0, text))
    return Dataset(path, reading.class_names, reading.category_ids, splits), findings


def _read(path: Path) -> Reading:
    if not path.exists():
        raise LineageError(f"{path}: no such dataset; {EXPECTED}")
    if description := _find_description(path):
        return yolo.read_yolo(description)
    if voc.find_roots(path):
        return voc.read_voc(path)
    if coco.find_files(path):
        return coco.read_coco(path)
    there = ", ".join(sorted(child.name for child in path.iterdir())[:10]) if path.is_dir() else "a file"
    raise LineageError(f"{path}: no dataset is recognized; {EXPECTED}; got {there or 'an empty folder'}")


def _find_description(path: Path) -> Path | None:
    """Return the YAML file that describes a YOLO dataset, or None."""
    if path.is_file():
        return path if path.suffix in (".yaml", ".yml") else None
    usual = [path / name for name in DESCRIPTIONS if (path / name).is_file()]
    others = (file for pattern in ("*.yaml", "*.yml") for file in sorted(path.glob(pattern)))
    found = usual[:1] or [file for file in others if NAMES.search(file.read_bytes())]
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise LineageError(f"{path}: expected one description; got {names}; give the path of the one that is meant")
    return found[0] if found else None
