"""Compare the time of two exports of one network, and their detections.

    python -m benchmarks.candidates --before old.onnx --after new.onnx --image image.jpg

Times are CPU milliseconds of a batch of one image, on one thread: medians of rounds in which both files alternate. The
thresholds are the model's own, or those of an evaluation. OpenVINO runs single images. Replaces the rows of this CPU in
benchmarks/results/candidates.csv.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from benchmarks.cpu import describe_cpu, replace_rows
from benchmarks.int8_forms import run_of
from benchmarks.int8_speed import CONFIGURATIONS, on_canvas, open_run, timed
from model_zoo.contract import pipeline
from model_zoo.contract.images import decode_image
from model_zoo.contract.letterbox import Size
from model_zoo.contract.pipeline import Run
from model_zoo.runtime.base import Outputs
from model_zoo.runtime.sessions import make_session, read_card

RESULTS = Path(__file__).parent / "results" / "candidates.csv"
COLUMNS = ("cpu", "configuration", "canvas", "batch", "thresholds", "before_ms", "after_ms", "ratio", "equal")
SIZES: tuple[Size, ...] = ((384, 640), (640, 640))


def main(
    before: tuple[Path, ...], after: tuple[Path, ...], image: Path, rounds: int = 24, openvino: bool = True
) -> None:
    """Measure all pairs of files and write the results.

    Args:
        before: Models in fp32 or int8.
        after: The same models, exported by another version.
        image: An image file.
        rounds: Number of measurements of each file, an eighth of it for batches.
        openvino: Whether to measure OpenVINO, too.
    """
    rows = []
    for pair in zip(before, after, strict=True):
        card, pixels = read_card(pair[1]), decode_image(image.read_bytes())
        queries = {
            "default": pipeline.make_query(card),
            "evaluation": pipeline.make_query(card, score=0.001, iou=0.65, distance_weight=0.0),
        }
        names = [name for name, (precision, *_) in CONFIGURATIONS.items() if precision == card.precision]
        for size in SIZES:
            item = on_canvas(card, pixels, size)
            for name in names:
                for batch in (1, 8) if name.startswith("onnxruntime") else (1,) if openvino else ():
                    old, new = (_open(name, path, size, batch) for path in pair)
                    for label, query in queries.items():
                        feeds = pipeline.collate([item] * batch, [query] * batch)
                        times = timed({"old": old, "new": new}, feeds, max(rounds // batch, 3))
                        ratio = f"{times['new'] / times['old']:.3f}"
                        values = [f"{times['old']:.1f}", f"{times['new']:.1f}", ratio, _equal(old(feeds), new(feeds))]
                        rows.append([describe_cpu(), name, f"{size[1]}x{size[0]}", batch, label, *values])
                        print(*rows[-1][1:])
    replace_rows(RESULTS, COLUMNS, rows)


def _open(name: str, model: Path, size: Size, batch: int) -> Run:
    if batch == 1:
        return open_run(name, model, size)
    return run_of(make_session(model, size=size, precision=CONFIGURATIONS[name][0]))


def _equal(old: Outputs, new: Outputs) -> bool:
    """Compare detections. OpenVINO does not keep the order of equal scores."""
    (rows, counts), (others, other_counts) = old, new
    same = all(np.array_equal(np.unique(a, axis=0), np.unique(b, axis=0)) for a, b in zip(rows, others, strict=True))
    return same and np.array_equal(counts, other_counts)


if __name__ == "__main__":
    tyro.cli(main)
