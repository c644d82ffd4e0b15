"""YOLO text files: a description, and for each image a text file with one line per object.

The text file of `.../images/a/b.jpg` is `.../labels/a/b.txt`, or `b.txt` beside the image. An image without one, or
with an empty one, has no objects.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from training.data.formats.folders import IMAGE_SUFFIXES, find_files, hidden_note, is_hidden, visible
from training.data.formats.keypoint_guess import KeypointGuess
from training.data.formats.label_files import (
    LabeledImage,
    label_sources,
    make_file_labels,
    missing_labels,
    shared_labels,
)
from training.data.formats.listed_paths import locate, read_lines
from training.data.formats.raw_labels import ObjectRow, RawDataset, RawLabels, cached_labels, decode
from training.data.formats.yolo_description import Description, read_description
from training.data.formats.yolo_lines import parse_line
from training.data.validation.findings import Finding, LabelError

IMAGE_FOLDERS = ("images", "Images", "JPEGImages")  # replaced by `labels` in the path of a label file
NON_LABEL_STEMS = frozenset(("classes", "labels", "notes", "predefined_classes", "readme", "train", "val", "test"))
ReadDescription = Callable[[Path], tuple[Description, list[Finding]]]


class ListedImage(NamedTuple):
    """An image of a split."""

    image: Path
    """Image file."""
    source: Path
    """Folder or text file that lists it."""
    line: int
    """Line in the text file, 0 for a folder."""


def read_yolo(file: Path, read: ReadDescription = read_description) -> RawDataset:
    """Read the dataset that a file describes."""
    try:
        description, findings = read(file)
    except LabelError as error:
        return RawDataset((), (), {}, (error.at(file),))
    hidden: list[Path] = []
    listed = {
        split: [image for source in sources for image in list_images(source, description.folder, hidden)]
        for split, sources in description.splits.items()
    }
    splits = {split: _read_images(images) for split, images in listed.items()}
    if "test" in splits and splits["test"] and not any(image.data is not None for image in splits["test"]):
        del splits["test"]
        text = "test: no image of this split has labels, it is ignored; add label files or remove the line"
        findings.append(Finding("test-missing", file, description.lines.get("test", 0), text))
    images = [image for images in splits.values() for image in images]
    findings += [*_find_orphans(images, description), *shared_labels(images), *hidden_note(file, hidden)]
    labels = {split: _read_split(file, description, split, images) for split, images in splits.items()}
    return RawDataset(description.names, tuple(range(len(description.names))), labels, tuple(findings))


def list_images(source: Path, folder: Path, hidden: list[Path]) -> list[ListedImage]:
    """List the images below a folder, or in a text file. Skipped files are added to `hidden`."""
    if source.is_dir():
        found = find_files(source, IMAGE_SUFFIXES)
        hidden += found.hidden
        return [ListedImage(path, source, 0) for path in found.files]
    if source.suffix.lower() in IMAGE_SUFFIXES:
        return [ListedImage(source, source, 0)]
    lines = {line: name for line, name in enumerate(read_lines(source), 1) if name}
    paths = _resolve(list(lines.values()), source, folder)
    skipped = {path for path in paths if any(map(is_hidden, _inner_parts(path, folder)))}
    hidden += skipped
    return [ListedImage(path, source, line) for line, path in zip(lines, paths, strict=True) if path not in skipped]


def _inner_parts(path: Path, folder: Path) -> tuple[str, ...]:
    """Return the parts of a path below the dataset folder. The dataset itself may lie in a hidden folder."""
    return path.relative_to(folder).parts if path.is_relative_to(folder) else (path.name,)


def _resolve(names: Sequence[str], source: Path, folder: Path) -> list[Path]:
    """Return the paths of listed images, relative to the list, to the dataset folder or to the working folder."""
    folders = [source.parent, folder, Path()]
    existing = {name: _first_file(base / name for base in folders) for name in names}
    missing = [name for name, path in existing.items() if not path]
    located = dict(zip(missing, locate(missing, folders), strict=True))
    return [existing[name] or located[name] for name in names]


def _read_images(listed: Sequence[ListedImage]) -> list[LabeledImage]:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_read_image, listed))


def _read_image(entry: ListedImage) -> LabeledImage:
    image = entry.image
    existing = _first_file(_label_candidates(image))
    return LabeledImage(*entry, existing or label_file(image), existing.read_bytes() if existing else None)


def _label_candidates(image: Path) -> Iterator[Path]:
    """Yield where the labels of an image can be. Labels may be beside the target of a link."""
    yield from _candidates_of(image)
    if os.path.isfile(image):
        yield from _candidates_of(Path(os.path.realpath(image)))


def _candidates_of(image: Path) -> tuple[Path, Path]:
    return label_file(image), image.parent / f"{image.stem}.txt"


def _first_file(paths: Iterable[Path]) -> Path | None:
    return next(filter(os.path.isfile, paths), None)  # unlike Path.is_file, False for names that cannot exist


def label_file(image: Path) -> Path:
    """Return the label file of an image: its last folder `images` replaced by `labels`, or beside the image."""
    return _label_folder(image.parent) / f"{image.stem}.txt"


def _label_folder(folder: Path) -> Path:
    parts = list(folder.parts)
    for i in reversed(range(len(parts))):
        if parts[i] in IMAGE_FOLDERS:
            parts[i] = "labels"
            break
    return Path(*parts)


def _read_split(file: Path, description: Description, split: str, images: Sequence[LabeledImage]) -> RawLabels:
    classes, keypoints = len(description.names), description.keypoint_columns
    sources = chain([f"{classes} {keypoints}".encode()], label_sources(images))
    labels = cached_labels(file, split, sources, lambda: parse(images, classes, keypoints))
    return dataclasses.replace(labels, findings=(*labels.findings, *missing_labels(images)))


def parse(images: Sequence[LabeledImage], classes: int, keypoint_columns: int | None = None) -> RawLabels:
    """Parse the labels of images, skipping invalid lines and reporting them as findings."""
    objects: list[ObjectRow] = []
    findings: list[Finding] = []
    guess = KeypointGuess()
    for i, image in enumerate(images):
        try:
            lines = decode(image.data or b"", may_be_empty=True).splitlines()
        except LabelError as error:
            findings.append(error.at(image.label_file))
            continue
        for number, line in enumerate(lines, 1):
            try:
                if row := parse_line(i, line, number, classes, keypoint_columns):
                    objects.append(row)
                    guess.add(line)
            except LabelError as error:
                findings.append(error.at(image.label_file, number))
    if keypoint_columns is None and guess.keypoints:
        text = f"lines look like boxes and {guess.keypoints} keypoints; add kpt_shape: [{guess.keypoints}, 2]"
        text += " to the description, or kpt_shape: [0, 2] if they are polygons"
        findings.append(Finding("columns", images[objects[0].image_index].label_file, objects[0].line, text))
    return make_file_labels(images, objects, findings, normalized=True)


def _find_orphans(images: Sequence[LabeledImage], description: Description) -> list[Finding]:
    """Report label files without an image."""
    expected = {image.label_file for image in images}
    folders = {image.label_file.parent: image.image.parent for image in images if image.data is not None}
    for source in (source for sources in description.splits.values() for source in sources if source.is_dir()):
        labels = _label_folder(source)
        for folder in {path.parent for path in find_files(labels, {".txt"}).files}:
            folders.setdefault(folder, source / folder.relative_to(labels))
    findings = []
    for folder, image_folder in sorted(folders.items()):
        files = image_folder.iterdir() if image_folder.is_dir() else ()
        stems = {path.stem for path in files if path.suffix.lower() in IMAGE_SUFFIXES}
        for path in visible(set(folder.glob("*.txt")) - expected):
            if path.stem not in stems and path.stem.lower() not in NON_LABEL_STEMS:
                text = f"no image {image_folder / path.stem} with a suffix such as .jpg; add it or delete the labels"
                findings.append(Finding("label-orphan", path, 0, text))
    return findings
