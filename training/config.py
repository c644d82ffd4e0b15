"""Options of a training run.

Light on purpose: `lineage train --help` imports this module, so it must not import torch or OpenCV.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError

from model_zoo.contract.errors import LineageError
from model_zoo.contract.expectation import expectation
from model_zoo.contract.image_size import parse_size

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Cache = Literal["auto", "memory", "off"]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**64)]  # the range of PyTorch's generators
Epochs = Annotated[int, Field(gt=0, le=1_000_000)]
Batch = Annotated[int, Field(gt=0, le=100_000)]
Processes = Annotated[int, Field(ge=0, le=256)]
Threads = Annotated[int, Field(gt=0, le=512)]


@dataclass(frozen=True)
class TrainConfig:
    """Options of a run. An omitted option is set by the recipe, the variant or the machine."""

    model: str = ""
    """Variant to train, such as yolov7-tiny."""
    data: Path | None = None
    """Dataset: a folder, a data.yaml or a COCO .json file."""
    epochs: Epochs | None = None
    """Passes over the training images. If omitted, the recipe's."""
    batch: Batch | Literal["auto"] = "auto"
    """Images per batch over all ranks. auto: as many as fit the GPU's memory, 16 on a CPU."""
    image_size: tuple[PositiveInt, ...] = ()
    """Input size in pixels: one number for a square, or height and width. If omitted, the variant's."""
    weights: Path | None = None
    """Initial weights: an official checkpoint, a .safetensors file or the folder of a run."""
    backbone_weights: Path | None = None
    """Initial weights of the backbone: a classifier in Darknet's format."""
    freeze: Literal["none", "backbone"] = "none"
    """Part of the network that is not trained."""
    resume: Path | None = None
    """Folder of a run to resume from its checkpoint. No other option is needed."""
    name: str | None = None
    """Name of the run's folder in `runs`. If omitted, the model's. A number is added if the folder exists."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    job: str = ""
    """ID of the job that runs this command. A job that is started again resumes its run. If omitted, torchrun's."""
    seed: Seed = 0
    """Seed of initial weights, augmentation and image order. The same seed gives the same run."""
    device: str = "auto"
    """Device: auto, cpu, cuda or cuda:N. auto: the GPU, if there is one."""
    precision: Precision = "auto"
    """Precision of the network. auto: bf16 if the hardware supports it, else fp16 on a GPU and fp32 on a CPU."""
    workers: Processes | None = None
    """Processes that load images. If omitted, the number of cores less one, from 1 to 8."""
    threads: Threads | None = None
    """CPU threads of the network. If omitted, the fastest of one, half and all, measured before a new run."""
    cache: Cache = "auto"
    """Cache of resized images. auto: in memory if the images fit."""
    optimizer: Literal["sgd", "adamw"] | None = None
    """Optimizer. Needs --lr. If omitted, the recipe's."""
    lr: PositiveFloat | None = None
    """Learning rate at the nominal batch. If omitted, the recipe's."""
    nominal_batch: Batch | None = None
    """Images per optimizer step. Smaller batches are accumulated, or lr is scaled. If omitted, the recipe's."""
    ema: bool = True
    """Evaluate and save an exponential moving average of the weights."""
    multi_scale: tuple[PositiveFloat, PositiveFloat] | None = None
    """Min and max side of training images, as fractions of the image size. If omitted, the recipe's."""
    close_mosaic: NonNegativeInt | None = None
    """Number of last epochs that train without mosaic and mixup. If omitted, the recipe's."""
    anchors: Literal["auto", "fit", "keep"] = "auto"
    """auto: fit anchors to the dataset if the network's match badly. fit: always, balancing classes. keep: never."""
    train_split: str = "train"
    """Split to train on."""
    val_split: str = "val"
    """Split to evaluate on."""
    evaluate_every: PositiveInt = 1
    """Epochs between two evaluations. The last epoch is always evaluated."""
    patience: NonNegativeInt = 100
    """Early stopping: epochs without improvement after which the run ends. 0: never."""
    hours: NonNegativeFloat = 0.0
    """Time limit in hours. The run ends with the last epoch that fits. 0: no limit."""
    save_every: NonNegativeInt = 0
    """Epochs between two saved weights files. 0: save the best and the last weights only."""
    save_minutes: PositiveFloat = 15.0
    """Minutes between two checkpoints within an epoch."""


ADAPTER = TypeAdapter(TrainConfig)
DEFAULTS = TrainConfig()
CHANGEABLE_ON_RESUME = frozenset(
    {"resume", "data", "device", "workers", "threads", "cache", "patience", "hours", "save_minutes"}
)


def check_config(config: TrainConfig) -> TrainConfig:
    """Return the config with paths of any kind as `Path`, after checking that options are complete and in range.

    Raises:
        LineageError: An option is out of range or missing.
    """
    config = parse_config(asdict(config))
    if config.resume is None and (not config.model or config.data is None):
        raise LineageError(
            "expected --model and --data, or --resume with the folder of a run; "
            "`lineage models --architectures` lists the models"
        )
    for path in filter(None, (config.weights, config.backbone_weights)):
        if not path.exists():
            raise LineageError(f"expected weights or the folder of a run; {path} does not exist")
    parse_size(config.image_size)
    if config.name is not None and (not config.name.strip(". ") or set(config.name) & set("/\\\0")):
        raise LineageError(f"--name: expected the name of a folder in {config.runs}; got {config.name!r}")
    if config.optimizer and config.lr is None:
        raise LineageError(
            f"--optimizer {config.optimizer}: expected --lr as well; the recipe's lr is for its own optimizer"
        )
    return config


def parse_config(values: Mapping[str, Any]) -> TrainConfig:
    """Build a config from field values, as Python or JSON types.

    Raises:
        LineageError: A value is out of range.
    """
    try:
        return ADAPTER.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise LineageError(f"--{name}: {expectation(first['msg'])}; got {first['input']!r}") from error


def resume_config(requested: TrainConfig, original: TrainConfig) -> TrainConfig:
    """Return the config of a resumed run: the original one with the requested changes.

    Raises:
        LineageError: A requested option cannot change on resume.
    """
    given = {f.name: getattr(requested, f.name) for f in fields(requested)}
    given = {name: value for name, value in given.items() if value != getattr(DEFAULTS, name)}
    fixed = [name for name in given if name not in CHANGEABLE_ON_RESUME and given[name] != getattr(original, name)]
    if fixed:
        flags = ", ".join("--" + name.replace("_", "-") for name in fixed)
        raise LineageError(
            f"--resume: {flags} cannot change on resume. Start a new run instead, with --weights {requested.resume}"
        )
    changed = {name: value for name, value in given.items() if name in CHANGEABLE_ON_RESUME}
    return replace(original, **{**changed, "resume": requested.resume, "device": requested.device})
