"""Results of detection in this process or by a server: drawn images, and forms for other libraries."""

from __future__ import annotations

import importlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lineage.inputs import Image, ImageFile, read
from model_zoo.contract.detections import Detections

if TYPE_CHECKING:
    import pandas
    import supervision

R = TypeVar("R")


@dataclass(frozen=True, eq=False, repr=False)
class ImageResult:
    """Detections on one image, best score first. Boxes are xyxy in pixels of the image as displayed."""

    size: tuple[int, int]
    """(height, width) of the image as displayed, after EXIF rotation."""
    detections: Detections
    """Boxes, scores and class ids."""
    labels: Sequence[str]
    """Label of each detection."""
    model: str
    """The model that detected, as name@version."""
    file: str | None = None
    """Name of the image file, if there is one, or of the video."""
    timing_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of each stage. Empty over the Open Inference Protocol."""
    image: Image | None = None
    """The image as it was passed, for `plot`. None if it was an open file."""
    frame: int | None = None
    """Number of the frame in a video or stream, from 0."""
    time: float | None = None
    """Seconds since the first frame of a video or stream."""

    def __repr__(self) -> str:
        height, width = self.size
        counts = ", ".join(f"{count} {label}" for label, count in Counter(self.labels).most_common())
        return f"<ImageResult {self.file or 'image'} {width}x{height}, {self.model}: {counts or 'no objects'}>"

    def __len__(self) -> int:
        return len(self.detections)

    def plot(self, image: Image | None = None) -> NDArray[np.uint8]:
        """Return the image with boxes, labels and scores drawn, as RGB (H, W, 3).

        Args:
            image: The image, if it was an open file, or has changed since.

        Raises:
            ValueError: The image is not known, or has another size than the detections were made on.
            ImageError: The image cannot be decoded.
            OSError: The image cannot be read.
        """
        from model_zoo.contract import drawing

        pixels = _pixels(self.image if image is None else image)
        if pixels.shape[:2] != self.size:
            (height, width), (h, w) = self.size, pixels.shape[:2]
            raise ValueError(f"image: expected {width} x {height} pixels, as when detected; got {w} x {h}")
        return drawing.draw(pixels, self.detections, self._names())

    def save(self, path: str | Path, image: Image | None = None) -> Path:
        """Write the image of `plot` in the format of the suffix, such as .jpg or .png. Return the path.

        Raises:
            ImageError: The suffix or the image cannot be used.
        """
        from model_zoo.contract.images.files import write_image

        write_image(path, self.plot(image))
        return Path(path)

    def _repr_png_(self) -> bytes | None:
        """Return the drawn image for notebooks."""
        if self.image is None:
            return None
        from model_zoo.contract.images.files import encode_image

        return encode_image(self.plot(), ".png")

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-ready objects, in the form of `POST /detect`, with frame and time."""
        height, width = self.size
        place = {} if self.frame is None else {"frame": self.frame, "time": self.time}
        return {
            "model": self.model,
            "file": self.file,
            **place,
            "image": {"width": width, "height": height},
            "detections": self.detections.to_dict(self._names()),
        }

    def to_coco(self, image_id: int, category_ids: Mapping[int, int] | None = None) -> list[dict[str, Any]]:
        """Return COCO result entries. `category_ids` has the category of each class id, by default the same number."""
        ids = {int(class_id): int(class_id) for class_id in self.detections.class_ids}
        return self.detections.to_coco(image_id, ids if category_ids is None else category_ids)

    def to_supervision(self) -> supervision.Detections:
        """Return `supervision.Detections` with the labels as `class_name`."""
        converted: supervision.Detections = _require("supervision").Detections(
            xyxy=self.detections.boxes,
            confidence=self.detections.scores,
            class_id=self.detections.class_ids,
            tracker_id=self.detections.track_ids,
            data={"class_name": np.asarray(self.labels, dtype=np.str_)},
        )
        return converted

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame with file, x1, y1, x2, y2, score, class_id and label.

        A frame of a video adds the columns frame and time, and tracking adds track_id.
        """
        found = self.detections
        x1, y1, x2, y2 = found.boxes.T
        columns = {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "score": found.scores, "class_id": found.class_ids}
        columns = {"file": [self.file] * len(self), **columns, "label": list(self.labels)}
        if self.frame is not None:
            columns |= {"frame": [self.frame] * len(self), "time": [self.time] * len(self)}
        if found.track_ids is not None:
            columns["track_id"] = found.tracks()
        return _require("pandas").DataFrame(columns)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.to_dict()["detections"])

    def _names(self) -> dict[int, str]:
        return dict(zip(self.detections.class_ids.tolist(), self.labels, strict=True))


def save_video(path: str | Path, results: Iterable[ImageResult]) -> Path:
    """Write the drawn frames of `Model.detect_stream` as a video, H.264 in MP4. Return the path.

    If the results end with an error, or by Ctrl-C, the video has the frames before it.

    Args:
        path: File to write, ending in .mp4.
        results: Results with their images.

    Raises:
        ValueError: There are no results, or the path does not end in .mp4.
        LineageError: PyAV is not installed, or the video cannot be written.
    """
    from model_zoo.outputs.video import RATE, VideoWriter

    if Path(path).suffix.lower() != ".mp4":
        raise ValueError(f"{path}: expected a path that ends in .mp4")
    with VideoWriter(path) as writer:
        number = -1
        for number, result in enumerate(results):
            writer.write(result.plot(), number / RATE if result.time is None else result.time)
    if number < 0:
        raise ValueError(f"{path}: expected at least one result; got none")
    return Path(path)


def with_image(result: R, image: Image) -> R:
    """Return a result together with its image. Errors and open files are left out."""
    if isinstance(result, ImageResult) and not isinstance(image, io.IOBase):
        return replace(result, image=image)
    return result


def _pixels(image: Image | None) -> NDArray[np.uint8]:
    """Return the RGB pixels of an image, upright."""
    if image is None:
        raise ValueError("the image is not known, since it was read from an open file; pass it: plot(image)")
    content = read(image)
    if not isinstance(content, ImageFile):
        return content
    from model_zoo.contract.images import decode_image

    return decode_image(content.data)


def _require(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"to_{package} needs {package}; run: pip install {package}", name=package) from error
