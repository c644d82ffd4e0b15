"""Raw labels: what label files contain, in one form for all formats, before any image is opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from model_zoo.contract.files import text_encoding
from model_zoo.contract.letterbox import Size
from training.data import cache
from training.data.formats.json_lines import element_lines
from training.data.validation.findings import Finding, LabelError

MAX_FRACTION = 1.01  # of the image size: larger coordinates must be pixels
FLAGS = {
    "": False,
    "0": False,
    "0.0": False,
    "false": False,
    "no": False,
    "1": True,
    "1.0": True,
    "true": True,
    "yes": True,
}
Location = tuple[Path, int]  # file and line; line 0 stands for the whole file


class ImageRow(NamedTuple):
    """One image as a label file lists it."""

    path: str
    """Image file."""
    image_id: int
    """Id from the format, or a running number."""
    list_file: str
    """File or folder that lists the image."""
    list_line: int
    """Line in that file, or index in `images` of a JSON file."""
    label_file: str
    """File that holds its objects."""
    height: int = 0
    """Declared height, 0 if absent."""
    width: int = 0
    """Declared width, 0 if absent."""


class ObjectRow(NamedTuple):
    """One object as a label file describes it."""

    image_index: int
    """Row of its image."""
    category: int
    """Category id, as written."""
    box: tuple[float, float, float, float]
    """Box, xyxy."""
    crowd: bool = False
    """Whether it is COCO's iscrowd or VOC's difficult."""
    area: float = np.nan
    """Area in square pixels, NaN if absent."""
    line: int = 0
    """Line in the label file, or index in `annotations` of a JSON file."""


@dataclass(frozen=True, eq=False)
class ImageTable:
    """The images of a split, one row per image."""

    path: NDArray[np.str_]
    """Image files (I,)."""
    image_id: NDArray[np.int64]
    """Ids (I,)."""
    declared_size: NDArray[np.int64]
    """Height and width (I, 2) in the label files, 0 if absent."""
    list_file: NDArray[np.int64]
    """Files or folders that list the images, as indices (I,) into `RawLabels.files`."""
    list_line: NDArray[np.int64]
    """Lines (I,) in those files, or indices in `images` of a JSON file."""
    label_file: NDArray[np.int64]
    """Files that hold the objects, as indices (I,) into `RawLabels.files`."""

    def size(self, image: int) -> Size:
        """Return the declared height and width of an image."""
        height, width = self.declared_size[image].tolist()
        return height, width


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """The objects of a split, one row per object."""

    image_index: NDArray[np.int64]
    """Rows (M,) of their images."""
    category: NDArray[np.int64]
    """Category ids (M,), as written."""
    box: NDArray[np.float64]
    """Boxes (M, 4), xyxy in pixels, or in fractions of the image size if `RawLabels.normalized`."""
    crowd: NDArray[np.bool_]
    """Mask (M,) of crowd objects."""
    area: NDArray[np.float64]
    """Areas (M,) in square pixels, NaN if absent."""
    line: NDArray[np.int64]
    """Lines (M,) in the label files, or indices in `annotations` of a JSON file."""


@dataclass(frozen=True, eq=False)
class RawLabels:
    """The labels of one split as written."""

    images: ImageTable
    """One row per image."""
    objects: ObjectTable
    """One row per object."""
    files: NDArray[np.str_]
    """Files that `images` refers to."""
    class_ids: NDArray[np.int64]
    """Category ids (K,) that the label files define."""
    class_names: NDArray[np.str_]
    """Names (K,) of those categories."""
    normalized: bool
    """Whether boxes are fractions of the image size."""
    findings: tuple[Finding, ...] = ()
    """Findings of the label files."""

    def image_locations(self, images: Iterable[int]) -> list[Location]:
        """Return file and line of the list entry of each image."""
        table = self.images
        return _locate("images", [(str(self.files[table.list_file[i]]), int(table.list_line[i])) for i in images])

    def object_locations(self, objects: Iterable[int]) -> list[Location]:
        """Return file and line of each object."""
        table = self.objects
        entries = [(str(self.label_file(int(table.image_index[i]))), int(table.line[i])) for i in objects]
        return _locate("annotations", entries)

    def label_file(self, image: int) -> Path:
        """Return the file that holds the objects of an image."""
        return Path(self.files[self.images.label_file[image]])


@dataclass(frozen=True, eq=False)
class RawDataset:
    """A dataset as its label files describe it."""

    class_names: tuple[str, ...]
    """Name of each class."""
    category_ids: tuple[int, ...]
    """Category id of each class, in increasing order."""
    splits: dict[str, RawLabels]
    """Labels by split."""
    findings: tuple[Finding, ...] = ()
    """Findings of the dataset as a whole."""


def make_labels(
    images: Sequence[ImageRow],
    objects: Sequence[ObjectRow],
    *,
    classes: dict[int, str] | None = None,
    normalized: bool = False,
    findings: Sequence[Finding] = (),
) -> RawLabels:
    """Build the tables of a split from its rows."""
    classes = classes or {}
    names = dict.fromkeys(name for row in images for name in (row.list_file, row.label_file))
    files = {name: i for i, name in enumerate(names)}
    return RawLabels(
        images=ImageTable(
            path=np.array([row.path for row in images], dtype=np.str_),
            image_id=np.array([row.image_id for row in images], dtype=np.int64),
            declared_size=np.array([(row.height, row.width) for row in images], dtype=np.int64).reshape(-1, 2),
            list_file=np.array([files[row.list_file] for row in images], dtype=np.int64),
            list_line=np.array([row.list_line for row in images], dtype=np.int64),
            label_file=np.array([files[row.label_file] for row in images], dtype=np.int64),
        ),
        objects=ObjectTable(
            image_index=np.array([row.image_index for row in objects], dtype=np.int64),
            category=np.array([row.category for row in objects], dtype=np.int64),
            box=np.array([row.box for row in objects], dtype=np.float64).reshape(-1, 4),
            crowd=np.array([row.crowd for row in objects], dtype=np.bool_),
            area=np.array([row.area for row in objects], dtype=np.float64),
            line=np.array([row.line for row in objects], dtype=np.int64),
        ),
        files=np.array(list(names), dtype=np.str_),
        class_ids=np.array(list(classes), dtype=np.int64),
        class_names=np.array(list(classes.values()), dtype=np.str_),
        normalized=normalized,
        findings=tuple(findings),
    )


def cached_labels(root: Path, split: str, sources: Iterable[bytes], parse: Callable[[], RawLabels]) -> RawLabels:
    """Return the labels that `parse` makes of `sources`, from the cache if the sources are unchanged.

    Labels with findings are not cached.
    """
    path = cache.dataset_folder(root) / f"labels-{quote(split, safe='')}.npz"
    key = cache.cache_key([str(root).encode(), *sources])
    arrays = cache.load_arrays(path, key)
    if arrays is not None:
        return _from_arrays(arrays)
    labels = parse()
    if not labels.findings:
        cache.save_arrays(path, key, _to_arrays(labels))
    return labels


def decode(data: bytes, *, may_be_empty: bool = False) -> str:
    """Decode a label file as UTF-8, with or without a byte order mark, or as UTF-16 with one.

    Raises:
        LabelError: The file is empty or in another encoding.
    """
    try:
        text = data.decode(text_encoding(data))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LabelError("invalid-text", "expected UTF-8 text; got other bytes; save the file as UTF-8", line) from None
    if not text.strip() and not may_be_empty:
        raise LabelError("file-empty", "expected labels; got an empty file; write or copy it again")
    return text


def parse_integer(text: str) -> int | None:
    """Return the integer that a text represents, such as 3 or 3.0, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) < 2**63 else None


def parse_flag(value: object) -> bool | None:
    """Return the truth value that 0, 1, true, false or such a text represents, None for other values.

    Null and an empty text are false.
    """
    if isinstance(value, str):
        return FLAGS.get(value.strip().lower())
    if value is None:
        return False
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def require_pixels(name: str, xyxy: Sequence[float]) -> None:
    """Check that a box (x1, y1, x2, y2) can be in pixels.

    Raises:
        LabelError: All of it lies in the first pixel, as a box in fractions of the image size does.
    """
    if max(map(abs, xyxy)) <= MAX_FRACTION and not all(float(edge).is_integer() for edge in xyxy):
        box = ", ".join(f"{edge:g}" for edge in xyxy)
        text = f"{name}: expected a box in pixels; got edges ({box}), which are fractions of the image size"
        raise LabelError("box-not-pixels", f"{text}; multiply them by width and height")


def _to_arrays(labels: RawLabels) -> cache.Arrays:
    columns = {
        f"{table}.{field.name}": getattr(getattr(labels, table), field.name)
        for table, kind in (("images", ImageTable), ("objects", ObjectTable))
        for field in dataclasses.fields(kind)
    }
    names = {"files": labels.files, "class_ids": labels.class_ids, "class_names": labels.class_names}
    return {**columns, **names, "normalized": np.array(labels.normalized)}


def _from_arrays(arrays: cache.Arrays) -> RawLabels:
    def columns(table: str) -> cache.Arrays:
        return {name.removeprefix(table): array for name, array in arrays.items() if name.startswith(table)}

    return RawLabels(
        ImageTable(**columns("images.")),
        ObjectTable(**columns("objects.")),
        arrays["files"],
        arrays["class_ids"],
        arrays["class_names"],
        bool(arrays["normalized"]),
    )


def _locate(key: str, entries: Sequence[tuple[str, int]]) -> list[Location]:
    """Return files and lines of entries, replacing indices into the list `key` of JSON files by lines."""
    documents = {file for file, _ in entries if file.endswith(".json")}
    lines = {file: element_lines(decode(Path(file).read_bytes()), key) for file in documents}
    return [(Path(file), lines[file][line] if file in lines else line) for file, line in entries]
