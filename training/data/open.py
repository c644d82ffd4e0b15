"""Open a dataset in any supported format: COCO JSON, YOLO and Darknet text files or Pascal VOC XML."""

from __future__ import annotations

import re
from pathlib import Path

from model_zoo.contract.errors import LineageError
from training.data.build_records import build_split
from training.data.dataset import Dataset
from training.data.formats import coco, darknet, voc, voc_layout, yolo
from training.data.formats.folders import visible
from training.data.formats.raw_labels import RawDataset
from training.data.image_info import read_image_info
from training.data.validation.findings import Finding, raise_on_errors

DESCRIPTIONS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
MAX_SHOWN = 10  # entries of a folder in an error message
NAMES_KEY = re.compile(rb"^names\s*:", re.MULTILINE)  # distinguishes a dataset description from other YAML files
SUPPORTED = (
    "expected a COCO .json file, a folder with annotations/*.json, a YOLO data.yaml, a Darknet .data file or a folder "
    "with one, a VOC folder with Annotations/*.xml, or folders with .xml or .txt labels (and classes.txt) beside images"
)


def open_dataset(path: str | Path) -> Dataset:
    """Read a dataset from a folder or file, detecting its format.

    Labels and image headers are read; images are not decoded.

    Raises:
        LineageError: There is no dataset at `path`.
        InvalidDatasetError: Labels or image headers have errors, which it lists.
    """
    dataset, findings = read_dataset(path)
    raise_on_errors(dataset.root, findings)
    return dataset


def read_dataset(path: str | Path) -> tuple[Dataset, list[Finding]]:
    """Read all valid images and labels of a dataset, and report the others.

    Raises:
        LineageError: There is no dataset at `path`.
    """
    path = Path(path)
    raw = _read_labels(path)
    findings = list(raw.findings)
    splits = {}
    for name, labels in raw.splits.items():
        infos = read_image_info(path, [Path(image) for image in labels.images.path.tolist()])
        splits[name], split_findings = build_split(name, labels, infos, raw)
        findings += split_findings
        if not infos and not split_findings:
            text = f"split {name!r}: has no images; add some or remove the split"
            findings.append(Finding("split-empty", path, 0, text))
    return Dataset(path, raw.class_names, raw.category_ids, splits), findings


def _read_labels(path: Path) -> RawDataset:
    if not path.exists():
        raise LineageError(f"{path}: no such dataset; {SUPPORTED}")
    if description := _find_description(path):
        return yolo.read_yolo(description)
    if data_file := darknet.find_data_file(path):
        return yolo.read_yolo(data_file, darknet.read_data_file)
    if voc_layout.find_roots(path) or voc_layout.find_flat_folders(path):
        return voc.read_voc(path)
    if darknet.find_name_lists(path) and not any((path / "annotations").glob("*.json")):
        return yolo.read_yolo(path, darknet.read_name_list)
    if coco.find_files(path):
        return coco.read_coco(path)
    contents = ", ".join(sorted(child.name for child in path.iterdir())[:MAX_SHOWN]) if path.is_dir() else "a file"
    raise LineageError(f"{path}: unknown dataset format; {SUPPORTED}; got {contents or 'an empty folder'}")


def _find_description(path: Path) -> Path | None:
    """Return the YAML file that describes a YOLO dataset, or None."""
    if path.is_file():
        return path if path.suffix in (".yaml", ".yml") else None
    usual = [path / name for name in DESCRIPTIONS if (path / name).is_file()]
    others = (file for pattern in ("*.yaml", "*.yml") for file in visible(path.glob(pattern)))
    files = usual[:1] or [file for file in others if NAMES_KEY.search(file.read_bytes())]
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise LineageError(f"{path}: expected one dataset description; got {names}; give the path of the right one")
    return files[0] if files else None
