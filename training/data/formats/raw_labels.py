"""What label files say, before any picture is looked at: the form that the readers of all formats give."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from training.data import cache
from training.data.formats.json_lines import element_lines
from training.data.validation.findings import Fault, Finding


class ImageRow(NamedTuple):
    """An image as label files name it: its file, id, size as told (0: not told), and the line that names it."""

    file: str
    image_id: int
    height: int = 0
    width: int = 0
    line: int = 0


class ObjectRow(NamedTuple):
    """An object: index of its image, category, box, whether it is a crowd, area (NaN: not told), and its line."""

    image_index: int
    category: int
    box: tuple[float, float, float, float]
    crowd: bool = False
    area: float = np.nan
    line: int = 0


@dataclass(frozen=True, eq=False)
class Labels:
    """The images and objects of one split, as written; arrays, so that they can be kept.

    Of I images: images (I,) paths, image_ids, told_sizes (I, 2) height and width (0: not told). Of M objects:
    image_index, categories (M,) ids as written, boxes float64 (M, 4) xyxy in pixels, or in shares of the image where
    `normalized`; crowd, areas (NaN: not told). Lists of files, one for each image or one for all: listed_in, which
    names the image, and written_in, which holds its objects. image_lines, object_lines: lines in those, or in a JSON
    file the places in its `images` and `annotations`. Of K classes: class_ids, class_names.
    """

    images: NDArray[np.str_]
    image_ids: NDArray[np.int64]
    told_sizes: NDArray[np.int64]
    image_lines: NDArray[np.int64]
    image_index: NDArray[np.int64]
    categories: NDArray[np.int64]
    boxes: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]
    object_lines: NDArray[np.int64]
    listed_in: NDArray[np.str_]
    written_in: NDArray[np.str_]
    class_ids: NDArray[np.int64]
    class_names: NDArray[np.str_]
    normalized: NDArray[np.bool_]
    findings: tuple[Finding, ...] = ()

    def image_places(self, indices: Iterable[int]) -> list[tuple[Path, int]]:
        """Return file and line of what names each of these images."""
        return _places("images", [(_of(self.listed_in, i), int(self.image_lines[i])) for i in indices])

    def object_places(self, indices: Iterable[int]) -> list[tuple[Path, int]]:
        """Return file and line of each of these objects."""
        files = ((_of(self.written_in, int(self.image_index[i])), int(self.object_lines[i])) for i in indices)
        return _places("annotations", list(files))

    def written(self, image: int) -> Path:
        """Return the file that holds the objects of an image."""
        return Path(_of(self.written_in, image))


@dataclass(frozen=True, eq=False)
class Reading:
    """A dataset as its label files tell it; findings: those of the set as a whole."""

    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    splits: dict[str, Labels]
    findings: tuple[Finding, ...] = ()


def make_labels(
    images: Sequence[ImageRow],
    objects: Sequence[ObjectRow],
    listed_in: Sequence[str],
    written_in: Sequence[str],
    *,
    classes: dict[int, str] | None = None,
    normalized: bool = False,
    findings: Sequence[Finding] = (),
) -> Labels:
    """Put rows together."""
    classes = classes or {}
    return Labels(
        images=np.array([row.file for row in images], dtype=np.str_),
        image_ids=np.array([row.image_id for row in images], dtype=np.int64),
        told_sizes=np.array([(row.height, row.width) for row in images], dtype=np.int64).reshape(-1, 2),
        image_lines=np.array([row.line for row in images], dtype=np.int64),
        image_index=np.array([row.image_index for row in objects], dtype=np.int64),
        categories=np.array([row.category for row in objects], dtype=np.int64),
        boxes=np.array([row.box for row in objects], dtype=np.float64).reshape(-1, 4),
        crowd=np.array([row.crowd for row in objects], dtype=np.bool_),
        areas=np.array([row.area for row in objects], dtype=np.float64),
        object_lines=np.array([row.line for row in objects], dtype=np.int64),
        listed_in=np.array(listed_in, dtype=np.str_),
        written_in=np.array(written_in, dtype=np.str_),
        class_ids=np.array(list(classes), dtype=np.int64),
        class_names=np.array(list(classes.values()), dtype=np.str_),
        normalized=np.array(normalized),
        findings=tuple(findings),
    )


def cached_labels(root: Path, split: str, sources: Iterable[bytes], read: Callable[[], Labels]) -> Labels:
    """Return what `read` makes of `sources`, kept from the last time where they are the same and without a fault."""
    path = cache.folder_of(root) / f"labels-{quote(split, safe='')}.npz"
    key = cache.key_of([str(root).encode(), *sources])
    arrays = cache.load_arrays(path, key)
    if arrays is not None:
        return Labels(**arrays, findings=())
    labels = read()
    if not labels.findings:
        kept = {field.name: getattr(labels, field.name) for field in dataclasses.fields(labels)}
        del kept["findings"]
        cache.keep_arrays(path, key, kept)
    return labels


def decode(data: bytes) -> str:
    """Decode a label file; Fault where it is empty or not UTF-8. A byte order mark is left out."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Fault("invalid-text", "expected text in UTF-8; got other bytes; save it as UTF-8", line) from None
    if not text.strip():
        raise Fault("file-empty", "expected a dataset's labels; the file is empty; write it again")
    return text


def whole_number(value: str) -> int | None:
    """Return the whole number that a text spells, as 3 or 3.0; None where it is none."""
    try:
        number = float(value)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _of(files: NDArray[Any], image: int) -> str:
    return str(files[image if len(files) > 1 else 0])


def _places(key: str, wanted: list[tuple[str, int]]) -> list[tuple[Path, int]]:
    documents = {file for file, _ in wanted if file.endswith(".json")}
    lines = {file: element_lines(Path(file).read_text(encoding="utf-8-sig"), key) for file in documents}
    return [(Path(file), lines[file][line] if file in lines else line) for file, line in wanted]
