"""`lineage compare`: train several generations under one budget and compare them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Final

from lineage.cli.arguments import option
from model_zoo.contract.errors import LineageError
from model_zoo.contract.image_size import parse_size
from model_zoo.contract.targets import check_folder_target
from service.inference.bundled import REPOSITORY_HELP, repository_of

SOME_FAILED: Final = 1
SMALLEST: Final = "yolov1-tiny,yolov2-tiny-voc,yolov3-tiny,yolov4-tiny,yolov5n,yolox-nano,yolov6n,yolov7-tiny"


def compare(
    *,
    data: Annotated[Path, option("DATASET")],
    models: Annotated[str, option("NAMES", hint="(default: the smallest variant of each generation)")] = SMALLEST,
    epochs: int = 100,
    batch: Annotated[str, option("INT|{auto}")] = "auto",
    image_size: tuple[int, ...] = (),
    seed: int = 0,
    training: Annotated[str, option("FLAGS")] = "",
    val_split: Annotated[str, option("NAME")] = "val",
    repository: Annotated[Path | None, option("FOLDER", hint=REPOSITORY_HELP)] = None,
    output: Annotated[Path, option("FOLDER")] = Path("comparison"),
) -> int:
    """Train several generations under one budget, and write a page that compares them.

    Work that is already done is not repeated: the same command resumes an interrupted comparison. The trained models
    are published in the folder `models` of the output.

    Args:
        data: Dataset: a folder, a data.yaml or a COCO .json file.
        models: Names separated by commas. Variants are trained; runs, files and repository models are only evaluated.
        epochs: Passes over the training images, for all models.
        batch: Images per batch. auto: as many as fit.
        image_size: Input size in pixels, one number or height and width, of all networks that accept any size.
        seed: Seed of initial weights, augmentation and image order.
        training: More flags of `lineage train`, in one string: "--training=--optimizer adamw --lr 0.002".
        val_split: Split to evaluate on.
        repository: Folder of existing models.
        output: Folder of the runs, the models and the page.
    """
    from training.report.comparison import comparison_csv, write_comparison
    from training.run.compare import Budget
    from training.run.compare import compare as compare_models

    parse_size(image_size)
    check_folder_target(output)
    names = [name.strip() for name in models.split(",") if name.strip()]
    budget = Budget(epochs, batch, image_size, seed, _flags(training))
    comparison = compare_models(
        names, data, budget, output=output, repository=repository_of(repository).root, val_split=val_split, log=print
    )
    print(comparison_csv(comparison.models), end="", flush=True)  # first: the page could fail, on a full disk
    write_comparison(output, comparison)
    print(f"wrote {output / 'comparison.html'}, comparison.csv and comparison.png")
    for failure in comparison.failures:
        print(f"lineage: {failure}", file=sys.stderr)
    return SOME_FAILED if comparison.failures else 0


def _flags(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise LineageError(f"--training: expected flags as in a shell; got {text!r} ({error})") from error
