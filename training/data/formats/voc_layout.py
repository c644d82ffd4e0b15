"""Layouts of Pascal VOC datasets: which images and XML files each split has.

- `Annotations/<id>.xml`, `JPEGImages/<id>.jpg` and lists of ids, `ImageSets/Main/<split>.txt`; also in several folders
  (`VOC2007`, `VOC2012`), whose lists of the same name are joined. A folder without lists is a split of its own name.
  Tools also call the folders `annotations` and `images`, or `labels` and `data`.
- Images and XML files side by side, in one folder for each split, as Roboflow and LabelImg write them.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from training.data.dataset import is_split_name
from training.data.formats.folders import IMAGE_SUFFIXES, find_files, hidden_note, is_hidden, visible
from training.data.formats.label_files import LabeledImage, shared_label
from training.data.formats.listed_paths import path_parts, read_lines
from training.data.formats.xml_documents import decode_xml, parse_xml
from training.data.validation.findings import Finding, LabelError

ANNOTATION_FOLDERS = ("Annotations", "annotations", "labels")
IMAGE_FOLDERS = ("JPEGImages", "images", "Images", "data")
LIST_FOLDERS = ("ImageSets/Main", "ImageSets", ".")
_FLAG = re.compile(r"\s[-+]?[01]$")  # end of each line in the list of a single class


class VOCFolder(NamedTuple):
    """A folder in VOC layout."""

    root: Path
    """Folder with a folder of XML files."""
    annotations: Mapping[str, Path]
    """XML files by image id."""
    images: Mapping[str, Sequence[Path]]
    """Image files by image id."""
    image_folder: Path
    """Folder of the images."""


class VOCImages(NamedTuple):
    """Images of a dataset."""

    splits: dict[str, list[LabeledImage]]
    """Images of each split."""
    findings: list[Finding]
    """Findings of files and folders."""


def find_roots(path: Path) -> list[Path]:
    """Return the folders with XML files in `Annotations`: `path` itself, or else its subfolders."""
    folders = (path, *visible(child for child in path.iterdir() if child.is_dir())) if path.is_dir() else ()
    roots = [folder for folder in folders if _annotation_folder(folder)]
    return roots[:1] if path in roots else roots


def find_flat_folders(path: Path) -> dict[str, Path]:
    """Return the folders by split in which XML files lie beside images of the same names."""
    if not path.is_dir():
        return {}
    folders = {child.name: child for child in visible(path.iterdir()) if child.is_dir() and is_split_name(child.name)}
    flat = {split: folder for split, folder in folders.items() if _has_pairs(folder)}
    return flat or ({path.resolve().name: path} if _has_pairs(path) else {})


def list_roots(roots: Sequence[Path]) -> VOCImages:
    """List the images of folders in VOC layout."""
    listed = VOCImages({}, [])
    for folder in map(_open_folder, roots):
        for split, images in _list_folder(folder, listed.findings).items():
            listed.splits.setdefault(split, []).extend(images)
    return listed


def list_flat_folders(folders: Mapping[str, Path]) -> VOCImages:
    """List the images of folders with XML files beside images."""
    listed = VOCImages({}, [])
    for split, folder in folders.items():
        images, hidden = find_files(folder, IMAGE_SUFFIXES)
        listed.findings.extend(hidden_note(folder, hidden))
        by_image = {image: image.with_suffix(".xml") for image in images}
        owners = Counter(by_image.values())
        for xml in find_files(folder, {".xml"}).files:
            if owners[xml]:
                continue
            if (named := xml.parent / _file_name(xml)) in by_image:
                owners[by_image[named]] -= 1
                by_image[named] = xml
            else:
                text = f"no image {xml.stem} with a suffix such as .jpg; add it or delete the labels"
                listed.findings.append(Finding("label-orphan", xml, 0, text))
        listed.splits[split] = [LabeledImage(image, folder, 0, xml, _read(xml)) for image, xml in by_image.items()]
    return listed


def _annotation_folder(root: Path) -> Path | None:
    folders = (root / name for name in ANNOTATION_FOLDERS)
    return next((folder for folder in folders if folder.is_dir() and _has_documents(folder)), None)


def _has_documents(folder: Path) -> bool:
    in_folder = any(not is_hidden(file.name) for file in folder.glob("*.xml"))  # without a walk if possible
    return in_folder or bool(find_files(folder, {".xml"}).files)


def _has_pairs(folder: Path) -> bool:
    """Return whether an XML file lies beside an image of the same name."""
    files = visible(folder.iterdir())
    documents = {file.stem for file in files if file.suffix == ".xml"}
    return any(file.stem in documents for file in files if file.suffix.lower() in IMAGE_SUFFIXES)


def _open_folder(root: Path) -> VOCFolder:
    annotation_folder = _annotation_folder(root)
    assert annotation_folder
    image_folder = next((root / name for name in IMAGE_FOLDERS if (root / name).is_dir()), root / IMAGE_FOLDERS[0])
    images: dict[str, list[Path]] = {}
    for image in find_files(image_folder, IMAGE_SUFFIXES).files if image_folder.is_dir() else ():
        images.setdefault(_id(image, image_folder), []).append(image)
    documents = find_files(annotation_folder, {".xml"}).files
    return VOCFolder(root, {_id(file, annotation_folder): file for file in documents}, images, image_folder)


def _id(file: Path, folder: Path) -> str:
    return file.relative_to(folder).with_suffix("").as_posix()


def _list_folder(folder: VOCFolder, findings: list[Finding]) -> dict[str, list[LabeledImage]]:
    """Return the images of each list, or else all images as a split with the name of the folder."""
    if lists := _find_lists(folder):
        return {file.stem: [*_read_list(file, folder, findings)] for file in lists}
    images = [_labeled(name, folder, folder.root, 0, findings) for name in sorted(folder.annotations)]
    labeled = {image.image for image in images}
    others = [name for name, files in sorted(folder.images.items()) if labeled.isdisjoint(files)]
    images += [_labeled(name, folder, folder.root, 0, findings) for name in others]
    return {folder.root.resolve().name: sorted(images, key=lambda image: image.image)}


def _find_lists(folder: VOCFolder) -> list[Path]:
    """Return the lists of image ids, without the two-column lists of single classes."""
    for name in LIST_FOLDERS:
        files = [
            file for file in visible((folder.root / name).glob("*.txt")) if name != "." or is_split_name(file.stem)
        ]
        if lists := [file for file in files if not _is_class_list(file, folder)]:
            return lists
    return []


def _is_class_list(file: Path, folder: VOCFolder) -> bool:
    """Return whether all lines of a list end with -1, 0 or 1, and no whole line is an id."""
    lines = list(filter(None, read_lines(file)))
    ids = folder.annotations.keys() | folder.images.keys()
    return bool(lines) and all(_FLAG.search(line) for line in lines) and not any(line in ids for line in lines)


def _read_list(file: Path, folder: VOCFolder, findings: list[Finding]) -> Iterator[LabeledImage]:
    for line, text in enumerate(read_lines(file), 1):
        if text:
            yield _labeled(_find_id(text, folder), folder, file, line, findings)


def _find_id(text: str, folder: VOCFolder) -> str:
    """Return the id that a line means: as written, or without suffix and leading folders."""
    path = PurePosixPath(*path_parts(text))
    without = path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES | {".xml"} else path
    names = (text, path.as_posix(), without.as_posix(), path.name, without.name)
    known = (name for name in names if name in folder.annotations or name in folder.images)
    return next(known, without.as_posix())


def _labeled(name: str, folder: VOCFolder, source: Path, line: int, findings: list[Finding]) -> LabeledImage:
    """Return an image and its labels. The labels decide between several images of one id, and name one without."""
    xml = folder.annotations.get(name, folder.root / ANNOTATION_FOLDERS[0] / f"{name}.xml")
    images = folder.images.get(name, ())
    image = images[0] if images else folder.image_folder / f"{name}.jpg"
    if len(images) != 1 and os.path.isfile(xml):
        named = folder.image_folder / _file_name(xml)
        if os.path.isfile(named):
            image = named
        elif images:
            findings.append(shared_label(xml, images))
    return LabeledImage(image, source, line, xml, _read(xml))


def _file_name(xml: Path) -> str:
    """Return the name of the image in a label file, from `filename` or else from `path`, or an empty string."""
    try:
        root = parse_xml(decode_xml(xml.read_bytes()))
    except LabelError:
        return ""
    parts = path_parts(root.findtext("filename") or "") or path_parts(root.findtext("path") or "")
    return parts[-1] if parts else ""


def _read(xml: Path) -> bytes | None:
    return xml.read_bytes() if os.path.isfile(xml) else None
