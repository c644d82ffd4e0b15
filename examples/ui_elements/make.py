"""Make the detector, from pages to a published package: `python -m examples.ui_elements.make --seed 0 --output DIR`.

A step whose result exists in the folder is skipped:

    plan.json       options of the package
    pages/          generated dataset
    never-seen/     test set of pages that were not generated
    runs/           training run
    staged/         exported model, which passed the comparison with the trained one
    evaluation/     metrics of the exported model on both test sets
    models/         published package
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

from examples.ui_elements.errors import run_main
from examples.ui_elements.package_readme import NAME, publish
from model_zoo.contract.errors import LineageError
from model_zoo.contract.repository import Repository

ROOT = Path(__file__).resolve().parents[2]
SECONDS_PER_PAGE = 0.4  # on one core, as measured on a server of 2026
SECONDS_PER_IMAGE = 0.035  # to train yolov5n at 640 pixels on two of its cores, evaluation included
NEVER_SEEN_SECONDS = 240
EVALUATION_SECONDS = 60


@dataclass(frozen=True)
class Plan:
    """Options of a package. The defaults are those of the model bundled with the service."""

    seed: int = 0
    """Seed of pages and training."""

    count: int = 6000
    """Images of the dataset: 80 % train, 10 % val, 10 % test."""

    model: str = "yolov5n"
    """Variant to train."""

    epochs: int = 36
    """Passes over the training images."""

    image_size: int = 640
    """Input size in pixels."""

    batch: int = 16
    """Images per batch."""

    training: str = (
        "--optimizer adamw --lr 0.002 --nominal-batch 16 --anchors fit --multi-scale 0.7 1.0 --close-mosaic 12 "
        "--evaluate-every 4 --patience 0"
    )
    """More flags of `lineage train`, in one string."""

    precision: Literal["fp32", "fp16"] = "fp16"
    """Precision of the exported model."""


DEFAULTS = Plan()


@dataclass(frozen=True)
class Step:
    """A command to run unless its result exists."""

    command: list[str]
    """Program and arguments."""

    result: Path
    """File that the command writes last."""

    seconds: float
    """Estimated duration."""


def steps(plan: Plan, folder: Path) -> Iterator[Step]:
    """Yield the steps in order, with paths relative to `folder`. Each may need the result of the previous one."""
    generator, generated = "python -m examples.ui_elements", folder / "pages" / "manifest.json"
    size = f"--count {plan.count} --seed {plan.seed}"
    yield Step(
        f"{generator}.generate {size} --output pages".split(), generated, plan.count * SECONDS_PER_PAGE / cpu_count()
    )
    yield Step(
        f"{generator}.external_pages --output never-seen".split(),
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
    """Return the command that starts a run, or resumes it from its checkpoint."""
    if (run / "checkpoint.safetensors").is_file():
        return f"lineage train --resume runs/{NAME}".split()
    shutil.rmtree(run, ignore_errors=True)  # it has no checkpoint, and a new run would get another name
    options = f"--model {plan.model} --epochs {plan.epochs} --image-size {plan.image_size} --batch {plan.batch}"
    places = f"--seed {plan.seed} --data pages --runs runs --name {NAME}"
    return [*f"lineage train {options}".split(), *shlex.split(plan.training), *places.split()]


def make(plan: Plan, folder: Path) -> None:
    """Run the steps whose results are missing, then publish the package.

    Raises:
        LineageError: If a step fails, or the folder belongs to another plan.
    """
    _save_plan(plan, folder / "plan.json")
    for step in steps(plan, folder):
        if step.result.exists():
            print(f"done: {shlex.join(step.command)}")
        else:
            run(step, folder)
    models = Repository(folder / "models")
    training = training_command(plan, folder / "new run")
    package = models.resolve(NAME) if models.names() else publish(folder, shlex.join(training), models)
    print(f"{package.name}@{package.version} is in {package.path}")
    print(f"serve it: lineage serve --repository {models.root}")


def run(step: Step, folder: Path) -> None:
    """Run one command in `folder`. The command itself handles Ctrl-C."""
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
        raise LineageError(
            f"`{shlex.join(step.command)}` exited with code {code}. Run `make` again to continue from this step."
        )


def _save_plan(plan: Plan, path: Path) -> None:
    """Write the plan. Raises LineageError if the folder has another one."""
    wanted = json.dumps(asdict(plan), indent=2) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") != wanted:
        raise LineageError(f"{path} has other options than this call. Use the same options, or another --output.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(wanted, encoding="utf-8")


def command(output: Path, plan: Annotated[Plan, tyro.conf.arg(name="")] = DEFAULTS) -> int:
    """Make a detector of interface elements, from pages to a published package. Finished steps are skipped.

    Args:
        output: Folder of all results.
        plan: Options of the package.
    """
    return run_main(lambda: make(plan, output.resolve()))


if __name__ == "__main__":
    sys.exit(tyro.cli(command, prog="python -m examples.ui_elements.make"))
