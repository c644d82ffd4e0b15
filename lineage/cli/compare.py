"""`lineage compare`: the history of YOLO on your data."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from model_zoo import registry
from model_zoo.contract.errors import LineageError
from training.data.dataset import Dataset
from training.data.open import open_dataset
from training.evaluate.source import open_source
from training.report.comparison import COSTS, comparison_csv, comparison_page, precision_figure
from training.run.compare import Budget, Entry, evaluated, timed, train_and_publish, trained

DONE_IN_PART = 1
SMALLEST = "yolov1-tiny,yolov2-tiny-voc,yolov3-tiny,yolov4-tiny,yolov5n,yolox-nano,yolov6n,yolov7-tiny"


def compare(
    *,
    data: Path,
    models: str = SMALLEST,
    epochs: int = 100,
    batch: str = "auto",
    image_size: tuple[int, ...] = (),
    seed: int = 0,
    training: str = "",
    val_split: str = "val",
    repository: Path = Path("models"),
    output: Path = Path("comparison"),
) -> int:
    """Train several generations under one budget on one dataset, and write a page that compares them.

    What was done before is not done again: the same command goes on where it was interrupted. The models can be served
    from the folder `models` of the output.

    Args:
        data: Dataset: a folder, a data.yaml or a COCO .json file.
        models: Names, separated by commas: variants are trained; runs, files and models of the repository evaluated.
        epochs: Passes over the training images, the same for all.
        batch: Images of one batch, or auto.
        image_size: Input size in pixels, one number or height and width, of all whose network takes any size.
        seed: Of weights, augmentation and order.
        training: More flags of `lineage train` for all, in one string: "--training=--optimizer adamw --lr 0.002".
        val_split: Split to evaluate on.
        repository: Folder of the models that are there already.
        output: Folder of the runs, the models and the page.
    """
    dataset, budget = open_dataset(data), Budget(epochs, batch, image_size, seed, tuple(shlex.split(training)))
    known, entries, failures = registry.variants(), list[Entry](), list[str]()
    for name in filter(None, (name.strip() for name in models.split(","))):
        try:
            if name in known:
                entries.append(trained(train_and_publish(name, data, budget, output), output))
            else:
                entries.append(evaluated(name, repository, dataset, val_split))
        except LineageError as error:
            failures.append(str(error))
            print(f"lineage: {error}", file=sys.stderr)
    if not entries:
        raise LineageError("nothing to compare: no model could be trained or evaluated")
    write_comparison(output, dataset, _with_latency(entries, output, repository), failures)
    return DONE_IN_PART if failures else 0


def _with_latency(entries: list[Entry], output: Path, repository: Path) -> list[Entry]:
    """Measure all on one thread, those trained here from their packages."""
    runs = [open_source(e.name, output / "models" if e.history else repository, threads=1).run for e in entries]
    return timed(entries, runs)


def write_comparison(output: Path, dataset: Dataset, entries: list[Entry], failures: list[str]) -> None:
    """Write the table, the page and its first plot."""
    output.mkdir(parents=True, exist_ok=True)
    title = f"YOLO on {dataset.root.name}"
    (output / "comparison.html").write_text(comparison_page(title, entries, failures), encoding="utf-8")
    (output / "comparison.csv").write_text(comparison_csv(entries), encoding="utf-8")
    _, label, cost = COSTS[0]
    precision_figure(entries, label, cost).savefig(output / "comparison.png", dpi=120)
    print(comparison_csv(entries), end="")
    print(f"wrote {output / 'comparison.html'}, comparison.csv and comparison.png")
