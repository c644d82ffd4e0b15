"""Write detections as files for labeling tools and training: COCO, YOLO, Label Studio or crops.

names = name_images(files, "coco")
for result in write_labels(detect_frames(engine, query, sources), package, names, folder, "coco"):
    ...
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal, TextIO
from urllib.parse import quote
from uuid import uuid4

from model_zoo.contract.errors import LineageError
from model_zoo.contract.frames import Frame
from model_zoo.contract.images.files import write_image
from model_zoo.contract.label_studio import label_config, to_prediction
from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.targets import check_folder_target
from model_zoo.runtime.detect_frames import FrameResult, Result

LabelFormat = Literal["coco", "yolo", "label-studio", "crops"]
# Label Studio serves files of its local storage here.
LOCAL_FILES: Final = "/data/local-files/?d="
_Add = Callable[[str, FrameResult], None]


def check_new_folder(folder: str | Path) -> None:
    """Check that a folder does not exist and can be created.

    Raises:
        LineageError: It exists, or cannot be written.
    """
    if os.path.lexists(folder):
        raise LineageError(f"{folder}: expected a folder that does not exist yet; choose another, or remove it")
    check_folder_target(folder)


def name_images(sources: Iterable[str], label_format: LabelFormat) -> dict[str, str]:
    """Return the name of each image or video in label files: its path within the folder that all files share.

    Raises:
        LineageError: Two images would have one name, or one label file.
    """
    sources = list(sources)
    paths = {source: os.path.abspath(source) for source in sources if "://" not in source}
    shared = os.path.commonpath([os.path.dirname(path) for path in paths.values()]) if paths else ""
    names = {s: Path(paths[s]).relative_to(shared).as_posix() if s in paths else _url_name(s) for s in sources}
    keys = {source: _label_file(name) if label_format == "yolo" else name for source, name in names.items()}
    key, uses = Counter(keys.values()).most_common(1)[0] if keys else ("", 0)
    if uses > 1:
        clashing = " and ".join(source for source, other in keys.items() if other == key)
        raise LineageError(f"--format {label_format}: {clashing} would share {key}; rename one, or leave it out")
    return names


def frame_name(names: Mapping[str, str], frame: Frame) -> str:
    """Return the name of a frame: that of an image, or VIDEO/NUMBER.jpg."""
    name = names[frame.source]
    return name if frame.index is None else f"{name}/{frame.index:06}.jpg"


def write_labels(
    results: Iterable[Result],
    package: Package,
    names: Mapping[str, str],
    folder: str | Path,
    label_format: LabelFormat,
    image_url: str = LOCAL_FILES,
) -> Iterator[Result]:
    """Yield the results while they are written. The folder appears once all are written.

    Args:
        results: Results of `detect_frames`. Images with errors are left out.
        package: Model that detected.
        names: Name of each source, from `name_images`.
        folder: Folder to create.
        label_format: coco writes labels.json. yolo writes labels/, classes.txt and data.yaml. label-studio writes
            tasks.json and label_config.xml. These also write the frames of videos to images/, as JPEG. crops writes a
            folder of JPEG files for each label.
        image_url: Start of the address at which Label Studio finds an image, before its name.

    Raises:
        OSError: The files cannot be written.
    """
    folder = Path(folder)
    part = folder.with_name(f".{uuid4().hex}")
    part.mkdir(parents=True)
    try:
        with _open_writer(label_format, part, package, image_url) as add:
            for result in results:
                if isinstance(result, FrameResult):
                    name = frame_name(names, result.frame)
                    if result.frame.index is not None and label_format != "crops":
                        write_image(part / "images" / name, result.frame.pixels())
                    add(name, result)
                yield result
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def coco_categories(class_names: Sequence[str]) -> dict[int, int]:
    """Return COCO's category ids by class id: from 1, as in most COCO files."""
    return {class_id: class_id + 1 for class_id in range(len(class_names))}


def coco_head(class_names: Sequence[str], reference: str) -> dict[str, Any]:
    """Return a COCO document of a model's detections, without images and annotations."""
    ids = coco_categories(class_names)
    return {
        "info": {"description": f"detections of {reference}"},
        "licenses": [],
        "categories": [{"id": ids[i], "name": name, "supercategory": ""} for i, name in enumerate(class_names)],
    }


def coco_annotation(entry: Mapping[str, Any], annotation_id: int) -> dict[str, Any]:
    """Return a COCO annotation from an entry of COCO results."""
    area = round(entry["bbox"][2] * entry["bbox"][3], 6)
    return {"id": annotation_id} | dict(entry) | {"area": area, "iscrowd": 0, "segmentation": []}


def _open_writer(
    label_format: LabelFormat, folder: Path, package: Package, image_url: str
) -> AbstractContextManager[_Add]:
    if label_format == "coco":
        return _write_coco(folder, package)
    if label_format == "yolo":
        return _write_yolo(folder, package.card.class_names)
    if label_format == "crops":
        return _write_crops(folder, package.card.class_names)
    return _write_label_studio(folder, package, image_url)


class _JsonList:
    """A list in a JSON file, written item by item."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._separator = file, "[\n"

    def append(self, item: object) -> None:
        """Write an item."""
        self._file.write(self._separator + json.dumps(item))
        self._separator = ",\n"

    def close(self) -> None:
        """End the list."""
        self._file.write("\n]" if self._separator == ",\n" else "[]")


@contextmanager
def _write_coco(folder: Path, package: Package) -> Iterator[_Add]:
    """Write labels.json."""
    class_names = package.card.class_names
    category_ids = coco_categories(class_names)
    head = coco_head(class_names, package.reference)
    numbers, image_ids = count(1), count(1)
    with _create(folder / "labels.json") as file, tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder) as second:
        file.write(json.dumps(head)[:-1] + ', "annotations": ')
        annotations, images = _JsonList(file), _JsonList(second)

        def add(name: str, result: FrameResult) -> None:
            (height, width), image_id = result.size, next(image_ids)
            images.append({"id": image_id, "file_name": name, "width": width, "height": height})
            for entry in result.detections.to_coco(image_id, category_ids):
                annotations.append(coco_annotation(entry, next(numbers)))

        yield add
        annotations.close()
        images.close()
        file.write(', "images": ')
        second.seek(0)
        shutil.copyfileobj(second, file)
        file.write("}\n")


@contextmanager
def _write_yolo(folder: Path, class_names: Sequence[str]) -> Iterator[_Add]:
    """Write a text file per image, and the class names in the two forms that programs read."""
    with _create(folder / "classes.txt") as file:
        file.writelines(" ".join(name.split()) + "\n" for name in class_names)
    with _create(folder / "data.yaml") as file:
        file.write("# Put the images, or a link to their folder, at images. Frames of videos are there already.\n")
        file.write("train: images\nval: images\nnames:\n")
        file.writelines(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate(class_names))

    def add(name: str, result: FrameResult) -> None:
        path = folder / "labels" / _label_file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _create(path) as file:
            for entry in result.detections.to_dict(class_names):
                file.write(_yolo_line(entry["class_id"], entry["box"], result.size))

    yield add


@contextmanager
def _write_label_studio(folder: Path, package: Package, image_url: str) -> Iterator[_Add]:
    """Write tasks.json, and the labeling configuration of a project for it."""
    class_names = package.card.class_names
    labels = dict(enumerate(class_names))
    with _create(folder / "label_config.xml") as file:
        file.write(label_config(class_names))
    with _create(folder / "tasks.json") as file:
        tasks = _JsonList(file)

        def add(name: str, result: FrameResult) -> None:
            prediction = to_prediction(result.detections, result.size, labels, package.reference)
            tasks.append({"data": {"image": image_url + quote(os.fsencode(name))}, "predictions": [prediction]})

        yield add
        tasks.close()


@contextmanager
def _write_crops(folder: Path, class_names: Sequence[str]) -> Iterator[_Add]:
    """Write each detection as an image of its own: LABEL/IMAGE-NUMBER.jpg."""

    def add(name: str, result: FrameResult) -> None:
        pixels = result.frame.pixels() if len(result.detections) else None
        for number, entry in enumerate(result.detections.to_dict(class_names), 1):
            left, top, right, bottom = (round(edge) for edge in entry["box"])
            crop = pixels[top : max(bottom, top + 1), left : max(right, left + 1)] if pixels is not None else None
            if crop is not None and crop.size:
                label, flat = _safe_name(entry["label"]), _safe_name(os.path.splitext(name)[0])
                write_image(folder / label / f"{flat}-{number}.jpg", crop)

    yield add


def _safe_name(text: str) -> str:
    """Return a file name for any text: a class may be called `a/b`."""
    return re.sub(r"[^\w.\-]+", "_", text).strip(".") or "_"


def _url_name(url: str) -> str:
    """Return a relative path for an address: its host, path and query."""
    parts = [_safe_name(part) for part in url.split("://")[1].split("/") if part]
    return "/".join(parts)


def _yolo_line(class_id: int, box: Sequence[float], size: Size) -> str:
    """Return class, center and size, as fractions of the image."""
    height, width = size
    left, top, right, bottom = box
    values = (left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height
    return " ".join([str(class_id), *(f"{value:.8f}" for value in values)]) + "\n"


def _create(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", newline="\n")


def _label_file(name: str) -> str:
    return Path(name).with_suffix(".txt").as_posix()
