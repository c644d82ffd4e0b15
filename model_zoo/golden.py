"""Make golden images for a model file: a few images, and what the file detects on them without optimization.

files = write_golden(Path("yolov5n.onnx"), card, Path("build"))
repository.publish(card, {"model.onnx": Path("yolov5n.onnx"), **files})
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.contract.errors import ImageError
from model_zoo.contract.golden import TOLERANCES, GoldenCase, GoldenSet, compare, round_detections
from model_zoo.contract.images import decode_image
from model_zoo.contract.images.files import find_images, read_image_file
from model_zoo.contract.letterbox import Size
from model_zoo.contract.manifest import EXPECTED, GOLDEN
from model_zoo.contract.pipeline import Query, canvases, choose_canvas, collate, postprocess, preprocess
from model_zoo.export.synthetic_images import synthetic_images
from model_zoo.runtime import sessions
from model_zoo.runtime.thread_budget import all_cores

MAX_IMAGES: Final = 3
MAX_USER_SIDE: Final = 320  # pixels, so that the images of a user stay small files
MAX_SYNTHETIC_SIDE: Final = 640
NOISE_SIDE: Final = 64
FEW, MANY = 16, 40  # detections of a case, if there are so many
Images = Mapping[str, NDArray[np.uint8]]


def write_golden(model: Path, card: ModelCard, folder: Path, images: Path | None = None) -> dict[str, Path]:
    """Write golden images and their expected detections to `folder`, and return the files by their name in a package.

    Args:
        model: ONNX file of the card.
        card: Card of the model. A raw export gets no golden images. Images on which the model detects nothing, or on
            which the optimized file differs by more than half of the tolerance, are left out.
        folder: Folder to write to.
        images: Folder of images to use, made smaller. If omitted, synthetic ones.

    Raises:
        ImageError: an image cannot be read.
        PackageError: ONNX Runtime cannot load the file.
    """
    if card.output != "detections":
        return {}
    used = synthetic_golden_images(card.input_size) if images is None else read_user_images(images)
    (folder / GOLDEN).mkdir()
    for name, image in used.items():
        (folder / GOLDEN / name).write_bytes(_encode(name, image))
    stored = {name: decode_image((folder / GOLDEN / name).read_bytes()) for name in used}
    thresholds = card.thresholds
    golden = GoldenSet(
        _cases(model, card, stored),
        thresholds.iou,
        thresholds.distance_weight,
        TOLERANCES[card.precision],
        card.precision,
        f"ONNX Runtime {ort.__version__}",
    )
    robust = replace(golden, cases=tuple(_robust_cases(model, card, golden, stored)))
    if not robust.cases:
        return {}
    (folder / EXPECTED).write_text(robust.to_json(), encoding="utf-8")
    names = [EXPECTED, *dict.fromkeys(GOLDEN + case.image for case in robust.cases)]
    return {name: folder / name for name in names}


def describe_golden(files: Mapping[str, Path]) -> str:
    """Return a line for the log about the result of `write_golden`."""
    size = sum(path.stat().st_size for path in files.values())
    if not files:
        return "golden images: none, because the model's detections on them are too few or depend on the runtime"
    return f"golden images: {len(files) - 1}, {size / 1e3:.0f} kB"


def synthetic_golden_images(size: Size) -> Images:
    """Return a square, a wide and a tall image: shapes, lines and text on a gradient, and a patch of noise."""
    height, width = (min(side, MAX_SYNTHETIC_SIDE) for side in size)
    sizes = ((height, width), (max(height * 9 // 16, 1), width), (height, max(width * 9 // 16, 1)))
    return {f"{i + 1}.png": _draw(each, seed=i) for i, each in enumerate(sizes)}


def read_user_images(folder: Path) -> Images:
    """Return up to three images, evenly spread over the sorted names of a folder, made smaller.

    Raises:
        ImageError: there is none, or one cannot be read.
    """
    files = find_images(folder)
    chosen = [files[i * len(files) // MAX_IMAGES] for i in range(MAX_IMAGES)] if len(files) > MAX_IMAGES else files
    return {f"{i + 1}.jpg": _read_small(path) for i, path in enumerate(chosen)}


def _read_small(path: Path) -> NDArray[np.uint8]:
    try:
        image = decode_image(read_image_file(path))
    except ImageError as error:
        raise ImageError(f"--golden: {path}: {error}") from error
    factor = min(MAX_USER_SIDE / max(image.shape[:2]), 1.0)
    height, width = (max(round(side * factor), 1) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _encode(name: str, image: NDArray[np.uint8]) -> bytes:
    """Return an image file without metadata. PNG files are as small as possible."""
    encoded, data = cv2.imencode(Path(name).suffix, image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert encoded, name
    return data.tobytes()


def _draw(size: Size, seed: int) -> NDArray[np.uint8]:
    height, width = size
    image = np.ascontiguousarray(synthetic_images((max(height, 16), max(width, 16)), 1, seed)[0, :height, :width])
    rng = np.random.default_rng(seed)
    for row in range(4):
        top, left, scale = height * row // 4, int(rng.integers(max(width // 2, 1))), height / 640
        corner = (left + width // 3, top + height // 6)
        cv2.rectangle(image, (left, top + height // 12), corner, [int(v) for v in rng.integers(0, 256, 3)], 2)
        cv2.putText(image, f"Button {row}", (left + 4, top + height // 8), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0))
    patch = image[height // 3 :, width // 2 :][:NOISE_SIDE, :NOISE_SIDE]
    patch[:] = rng.integers(0, 256, patch.shape, dtype=np.uint8)
    return image


def _cases(model: Path, card: ModelCard, images: Images) -> tuple[GoldenCase, ...]:
    """Run the file on each image, on its square canvas and on the smaller ones that fit it."""
    session = sessions.make_session(model, threads=all_cores(), optimize=False)
    return tuple(
        _case(session, card, name, image, canvas)
        for name, image in images.items()
        for canvas in dict.fromkeys(
            choose_canvas(card, (image.shape[0], image.shape[1]), sizes)
            for sizes in ([card.input_size], canvases(card), canvases(card, few=False))
        )
    )


def _robust_cases(model: Path, card: ModelCard, golden: GoldenSet, images: Images) -> Iterator[GoldenCase]:
    """Yield the cases on which the optimized file differs by at most half of the tolerance, so that others may, too."""
    session = sessions.make_session(model, threads=all_cores(), precision=card.precision)
    strict = replace(golden, tolerance=replace(golden.tolerance, share=golden.tolerance.share / 2))
    for case in golden.cases:
        actual = _detect(session, card, images[case.image], case.canvas, case.score)
        if case.detections and not compare(strict, case, actual, card):
            yield case


def _case(session: Any, card: ModelCard, name: str, image: NDArray[np.uint8], canvas: Size) -> GoldenCase:
    found = _detect(session, card, image, canvas, card.thresholds.score_floor)
    if len(found) <= MANY:
        found = _detect(session, card, image, canvas, 0.0)  # slow: NMS of all candidates
    score = _threshold(found.scores)
    if 0 < card.thresholds.multi_label_below <= score:  # fewer labels a box; otherwise, the first ones are the same
        found = _detect(session, card, image, canvas, score)
    count = int((found.scores > np.float32(score)).sum())
    best = Detections(found.boxes[:count], found.scores[:count], found.class_ids[:count])
    return GoldenCase(name, canvas, score, round_detections(best))


def _detect(session: Any, card: ModelCard, image: NDArray[np.uint8], canvas: Size, score: float) -> Detections:
    item = preprocess(card, image, canvas)
    query = Query(score, card.thresholds.iou, card.thresholds.distance_weight, None, card.candidates)
    rows, counts = session.run(["detections", "count"], dict(collate([item], [query])))
    return postprocess(rows[0], int(counts[0]), item.geometry, query)


def _threshold(scores: NDArray[np.float32]) -> float:
    """Return a min score that some tens of detections exceed: in the widest gap, so that few are close to it."""
    if len(scores) <= FEW:
        return round(float(scores.min(initial=1.0)) / 2, 9) if len(scores) else 0.0
    ranked = np.maximum(scores[FEW - 1 : MANY + 1].astype(np.float64), 1e-12)
    gap = int(np.argmax(ranked[:-1] / ranked[1:]))
    return round(float(np.sqrt(ranked[gap] * ranked[gap + 1])), 9)
