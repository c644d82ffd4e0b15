"""Make the detector: `python -m examples.ui_elements.make --seed 0 --output DIR`, from pages to a published package.

Every step leaves something in the folder by which the next call knows that it is done:

    plan.json       what the package is made by
    pages/          the dataset                      never-seen/   pages that nobody generated
    runs/           the training                      staged/       its file, as good as the model on `val`
    evaluation/     of that file, on both test sets   models/       the package, with all this told in it
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from loky import cpu_count

from examples.ui_elements.errors import told
from examples.ui_elements.package_readme import NAME, publish
from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Repository

ROOT = Path(__file__).resolve().parents[2]
SECONDS_PER_PAGE = 0.4  # of one core, as measured on a server of 2026
SECONDS_PER_IMAGE = 0.035  # of a training step of yolov5n at 640 pixels on two of its cores, evaluation included
NEVER_SEEN_SECONDS = 240
EVALUATION_SECONDS = 60


@dataclass(frozen=True)
class Plan:
    """What a package is made by; the defaults are those of the package that comes with the service.

    Attributes:
        seed: Of pages and training.
        count: Pictures of the dataset: 80 % train, 10 % val, 10 % test.
        model: Variant to train.
        epochs: Passes over the pictures.
        image_size: Input size in pixels.
        batch: Pictures of one batch.
        training: More flags of `lineage train`, in one string.
        precision: Of the file.
    """

    seed: int = 0
    count: int = 6000
    model: str = "yolov5n"
    epochs: int = 36
    image_size: int = 640
    batch: int = 16
    training: str = (
        "--optimizer adamw --lr 0.002 --nominal-batch 16 --anchors fit --multi-scale 0.7 1.0 --close-mosaic 12 "
        "--evaluate-every 4 --patience 0"
    )
    precision: Literal["fp32", "fp16"] = "fp16"


DEFAULTS = Plan()


@dataclass(frozen=True)
class Step:
    """One command, where its outcome is found, and the seconds it may take."""

    command: list[str]
    outcome: Path
    seconds: float


def steps(plan: Plan, folder: Path) -> Iterator[Step]:
    """Give the commands in their order, as they are typed in `folder`; each is looked at when it is its turn."""
    generator, generated = "python -m examples.ui_elements", folder / "pages" / "manifest.json"
    size = f"--count {plan.count} --seed {plan.seed}"
    yield Step(
        f"{generator}.generate {size} --output pages".split(), generated, plan.count * SECONDS_PER_PAGE / cpu_count()
    )
    yield Step(
        f"{generator}.never_seen --output never-seen".split(),
        folder / "never-seen" / "manifest.json",
        NEVER_SEEN_SECONDS,
    )
    yield Step(["lineage", "data", "check", "pages"], folder / "runs" / NAME / "config.json", plan.count * 0.01)
    run, staged = folder / "runs" / NAME, f"staged/{NAME}/1/model.onnx"
    images = 0.8 * plan.count * (plan.image_size / 640) ** 2
    yield Step(training_command(plan, run), run / "report.html", plan.epochs * images * SECONDS_PER_IMAGE)
    publishing = f"--name {NAME} --repository staged --precision {plan.precision} --data pages --license Apache-2.0"
    yield Step(f"lineage export runs/{NAME} {publishing}".split(), folder / staged, 2 * EVALUATION_SECONDS)
    for data in ("pages", "never-seen"):
        output = f"evaluation/{data}"
        evaluation = f"lineage evaluate {staged} --data {data} --split test --output {output}"
        yield Step(evaluation.split(), folder / output / "evaluation.json", EVALUATION_SECONDS)


def training_command(plan: Plan, run: Path) -> list[str]:
    """Return the command that begins a run, or goes on with it where it left a checkpoint."""
    if (run / "checkpoint.safetensors").is_file():
        return f"lineage train --resume runs/{NAME}".split()
    shutil.rmtree(run, ignore_errors=True)  # it ended before anything was learned; a new one would take another name
    chosen = f"--model {plan.model} --epochs {plan.epochs} --image-size {plan.image_size} --batch {plan.batch}"
    places = f"--seed {plan.seed} --data pages --runs runs --name {NAME}"
    return [*f"lineage train {chosen}".split(), *shlex.split(plan.training), *places.split()]


def make(plan: Plan, folder: Path) -> None:
    """Do what is not done yet; LineageError where a step fails, or the folder was begun with another plan."""
    _keep(plan, folder / "plan.json")
    for step in steps(plan, folder):
        if step.outcome.exists():
            print(f"done: {shlex.join(step.command)}")
        else:
            run(step, folder)
    models = Repository(folder / "models")
    training = training_command(plan, folder / "a run that has not begun")
    package = models.resolve(NAME) if models.names() else publish(folder, shlex.join(training), models)
    print(f"{package.name}@{package.version} is in {package.path}")
    print(f"serve it: lineage serve --repository {models.root}")


def run(step: Step, folder: Path) -> None:
    """Run one command in `folder`; an interruption is the command's to answer."""
    print(f"\n{shlex.join(step.command)}\nabout {max(step.seconds / 60, 1):.0f} min on {cpu_count()} cores", flush=True)
    python = {"python": [sys.executable], "lineage": [sys.executable, "-m", "lineage"]}
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        command = [*python[step.command[0]], *step.command[1:]]
        code = subprocess.call(command, cwd=folder, env=os.environ | {"PYTHONPATH": paths})
    finally:
        signal.signal(signal.SIGINT, before)
    if code:
        raise LineageError(f"`{shlex.join(step.command)}` ended with {code}; the same call of `make` goes on from here")


def _keep(plan: Plan, path: Path) -> None:
    """Write the plan; LineageError where another is there."""
    wanted = json.dumps(asdict(plan), indent=2) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") != wanted:
        raise LineageError(f"{path}: expected the plan that this folder was begun with; give another --output")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(wanted, encoding="utf-8")


def command(output: Path, plan: Annotated[Plan, tyro.conf.arg(name="")] = DEFAULTS) -> int:
    """Make a detector of interface elements, from pages to a published package; go on where an earlier call ended.

    Args:
        output: Folder of all that is made.
        plan: What it is made by.
    """
    return told(lambda: make(plan, output.resolve()))


if __name__ == "__main__":
    sys.exit(tyro.cli(command, prog="python -m examples.ui_elements.make"))
