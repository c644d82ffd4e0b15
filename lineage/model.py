"""A model in this process: the same calls, options and results as those of `lineage.Client`.

model = lineage.load("models", "yolov5n@stable")
result = model.detect("photo.jpg", score=0.4)
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeAlias, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from lineage.batches import check_batches, map_batches
from lineage.find import find_model
from lineage.inputs import Image, ImageFile, read
from lineage.options import Options
from lineage.results import ImageResult, with_image
from lineage.streams import StreamSource, detect_stream
from model_zoo.contract import pipeline
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import ImageError, PackageNotFound
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import ModelInput, Query, make_query
from model_zoo.runtime.base import Engine, EngineOptions
from model_zoo.runtime.detect_frames import place
from model_zoo.runtime.open import open_engine

Result: TypeAlias = ImageResult | ImageError


def load(
    source: str | PathLike[str] | None = None, model: str | None = None, *, options: EngineOptions | None = None
) -> Model:
    """Load a model into this process.

    Args:
        source: Folder of a repository, an ONNX file that `lineage export` wrote, or the name of a model in ./models. By
            default the only model in ./models, or the bundled one while there is none.
        model: The model in the repository: name, name@version or name@alias. By default its only one.
        options: Provider, precision, threads and workers. By default what is fastest on this machine.

    Raises:
        LineageError: There is no such model, or it does not run on this machine.
    """
    path = Path(source) if source is not None else None
    if path and not path.is_dir():  # a file, or the name of a model
        if model:
            raise PackageNotFound(f"{path}: no such folder; expected a model repository")
        path, model = None, str(source)
    return Model(find_model(model, path), options or EngineOptions())


class Model:
    """A model in this process. Threads may share it, and close it when all have finished."""

    def __init__(self, package: Package, options: EngineOptions) -> None:
        self._engine: Engine = open_engine(package, options)
        self._slots = threading.Semaphore(self._engine.workers)
        self.reference: str = f"{package.name}@{package.version}"

    @property
    def card(self) -> ModelCard:
        """The card: class names, input size, thresholds."""
        return self._engine.card

    def __repr__(self) -> str:
        return f"<Model {self.reference} on {self._engine.device}>"

    @overload
    def detect(self, image: Image, **options: Unpack[Options]) -> ImageResult: ...  # type: ignore[overload-overlap]  # a string is a path, not a list
    @overload
    def detect(self, image: Sequence[Image], **options: Unpack[Options]) -> list[Result]: ...
    def detect(self, image: Any, **options: Unpack[Options]) -> ImageResult | list[Result]:
        """Detect objects in one image, or in a list of images.

        Args:
            image: Path, bytes or open file of an image, RGB array (H, W, 3), Pillow image, or a list of these.
            options: `score`, `iou`, `nms`, `classes`, `max_detections`.

        Returns:
            The result, or a list of them in order. In a list, an unusable image has an `ImageError`.

        Raises:
            ImageError: The only image cannot be used.
            QueryError: An option is out of range, or a class is unknown.
        """
        if isinstance(image, list | tuple):
            return list(self.detect_many(image, **options))
        return self._detect(image, make_query(self.card, **options))

    def detect_many(self, images: Iterable[Image], **options: Unpack[Options]) -> Iterator[Result]:
        """Detect objects in any number of images, as many at a time as the machine has cores, and yield the results.

        Args:
            images: Images. They are taken and read as needed.
            options: As for `detect`.

        Raises:
            QueryError: An option is out of range, or a class is unknown.
        """
        check_batches(images, 1, self._engine.workers)
        query = make_query(self.card, **options)

        def work(batch: Sequence[Image]) -> list[Result]:
            [image] = batch
            try:
                return [self._detect(image, query)]
            except ImageError as error:
                return [error]

        return map_batches(work, images, 1, self._engine.workers)

    def detect_stream(
        self, source: StreamSource, *, track: bool = False, **options: Unpack[Options]
    ) -> Iterator[ImageResult]:
        """Detect objects in every frame of a video, or in the newest one of a camera or stream, and yield the results.

        Args:
            source: Video file, number or path of a camera, or address of a video or stream (https, rtsp).
            track: Number the objects, so that an object keeps its number from frame to frame: `detections.track_ids`.
            options: As for `detect`.

        Raises:
            LineageError: The source cannot be opened, is no video, or is lost. The tracker is not installed.
            QueryError: An option is out of range, or a class is unknown.
        """
        query = make_query(self.card, **options)
        return detect_stream(source, lambda pixels: self._detect(pixels, query), self._engine.workers, track=track)

    def close(self) -> None:
        """Free the memory."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _detect(self, image: Image, query: Query) -> ImageResult:
        start = time.perf_counter()
        try:
            content = read(image)
        except OSError as error:
            raise ImageError(f"expected a readable image file; got {error}") from error
        name = content.name if isinstance(content, ImageFile) else None
        with self._slots:
            item = self._place(content)
            decoded = time.perf_counter()
            [found] = pipeline.detect_inputs(self._engine.run, [item], query)
        timing = {"decode": decoded - start, "infer": time.perf_counter() - decoded}
        labels = [self.card.class_names[class_id] for class_id in found.class_ids]
        milliseconds = {stage: round(1000 * seconds, 3) for stage, seconds in timing.items()}
        result = ImageResult(item.geometry.image, found, labels, self.reference, name, milliseconds)
        return with_image(result, image)

    def _place(self, content: ImageFile | NDArray[np.uint8]) -> ModelInput:
        """Return the image on the canvas that it needs."""
        card, canvases = self.card, self._engine.canvases
        if not isinstance(content, ImageFile):
            return place(card, content, canvases)

        def warn(text: str) -> None:
            warnings.warn(f"{content.name or 'image'}: {text}", stacklevel=2)

        return place(card, content.data, canvases, warn=warn)
