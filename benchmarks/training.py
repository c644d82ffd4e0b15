"""Measure training on a CPU: whole epochs with their evaluation beside a bare loop on ready tensors.

    python -m benchmarks.training --data bccd
    python -m benchmarks.training --data bccd --avx2

The bare loop is forward pass, backward pass and optimizer step of plain PyTorch on all cores, on as many batches as an
epoch has. The training loop is that of `lineage train`, on batches in memory. All subjects stay alive, and rounds
alternate between them. Writes medians of the speed, and the shares of an epoch, to benchmarks/results/training.csv.
"""

from __future__ import annotations

import csv
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
import tyro

if TYPE_CHECKING:
    from training.batch import Batch

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results" / "training.csv"
AVX2: Final = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}  # instructions of CPUs before 2017
BARE, READY, WHOLE, BEFORE = "bare loop", "training loop", "whole epoch", "whole epoch before"


@dataclass(frozen=True)
class Workload:
    """Work of every subject."""

    data: str
    model: str
    size: int
    batch: int
    batches: int
    """Batches per epoch."""
    precision: str
    threads: int | None
    """Threads of whole epochs, or None for the number that a run chooses itself."""


class Subject:
    """A process that runs one round for each line it receives, and answers with a JSON document."""

    def __init__(self, kind: str, workload: Workload, environment: Mapping[str, str], checkout: Path = ROOT) -> None:
        command = [sys.executable, "-P", __file__, kind, json.dumps(asdict(workload))]
        self._process = subprocess.Popen(
            command,
            env=os.environ | environment | {"PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def round(self) -> dict[str, float]:
        """Run a round and return its seconds, in total and by part."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):
                measured: dict[str, float] = json.loads(line)
                return measured
        raise SystemExit(f"a process of the benchmark ended with code {self._process.wait()}")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def main(
    data: Path,
    model: str = "yolov5n",
    size: int = 320,
    batch: int = 16,
    rounds: int = 5,
    threads: int | None = None,
    avx2: bool = False,
    before: Path | None = None,
) -> None:
    """Measure in turns and write the results.

    Args:
        data: Dataset to train on.
        model: Variant to train.
        size: Side of the training images.
        batch: Images per batch.
        rounds: Number of rounds.
        threads: Threads of whole epochs. If omitted, each run chooses them as usual.
        avx2: Use the instructions of a CPU with AVX2 only, and float32.
        before: Another checkout, whose epochs are measured as well.
    """
    from training.data.open import open_dataset
    from training.loop.precision import choose_precision

    batches = -(-len(open_dataset(data).split("train").records) // batch)
    precision = "fp32" if avx2 else choose_precision("auto", torch.device("cpu"))
    workload = Workload(str(data.resolve()), model, size, batch, batches, precision, threads)
    environment = AVX2 if avx2 else {}
    kinds = {BARE: "bare", READY: "ready", WHOLE: "whole"}
    subjects = {name: Subject(kind, workload, environment) for name, kind in kinds.items()}
    if before:
        subjects[BEFORE] = Subject("whole", workload, environment, before.resolve())
    try:
        measured = alternate(subjects, rounds)
    finally:
        for subject in subjects.values():
            subject.close()
    report(measured, workload, "avx2" if avx2 else "native")


def alternate(subjects: Mapping[str, Subject], rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return what each subject measured in each round. The first round warms up and does not count."""
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name, subject in subjects.items():
            seconds = subject.round()
            if number:
                measured[name].append(seconds)
                print(f"round {number}: {name:18} {seconds['total']:6.2f} s", flush=True)
    return measured


def report(measured: Mapping[str, Sequence[Mapping[str, float]]], workload: Workload, instructions: str) -> None:
    """Print speed and shares, and replace the rows of this CPU and these instructions in the file."""
    from benchmarks.cpu import describe_cpu

    setting = [describe_cpu(), instructions, workload.model, workload.precision]
    rows: list[list[object]] = []
    for subject, rounds in measured.items():
        images = workload.batches * workload.batch
        speed = images / statistics.median(seconds["total"] for seconds in rounds)
        ratio = statistics.median(
            bare["total"] / seconds["total"] for bare, seconds in zip(measured[BARE], rounds, strict=True)
        )
        rows.append([*setting, subject, "images_per_second", f"{speed:.1f}"])
        rows.append([*setting, subject, "ratio_to_bare_loop", f"{ratio:.3f}"])
        parts = {name: statistics.median(r[name] / r["total"] for r in rounds) for name in rounds[0]}
        rows += [
            [*setting, subject, f"share: {name}", f"{part:.3f}"] for name, part in parts.items() if name != "total"
        ]
    for row in rows:
        print(*row[4:], sep="  ")
    header = ["cpu", "instructions", "model", "precision", "subject", "measure", "value"]
    with RESULTS.open("a+", newline="", encoding="utf-8") as file:
        file.seek(0)
        others = [row for row in csv.reader(file) if row[:2] not in (setting[:2], header[:2])]
        file.truncate(0)
        csv.writer(file, lineterminator="\n").writerows([header, *others, *rows])


def bare_loop(workload: Workload) -> None:
    """Train on one ready batch, as often as an epoch has batches, for each line of stdin."""
    from model_zoo.registry import build

    detector = build(workload.model, class_names=("a", "b", "c")).train()
    detector = detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(detector.parameters(), 1e-5, momentum=0.9, nesterov=True, fused=True)
    images = torch.rand(workload.batch, 3, workload.size, workload.size).contiguous(memory_format=torch.channels_last)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(workload.batches):
            with torch.autocast("cpu", torch.bfloat16, enabled=workload.precision == "bf16"):
                maps = detector(images)
            torch.stack([m.float().square().mean() for m in maps]).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        print(json.dumps({"total": time.perf_counter() - start}), flush=True)


def training_loop(workload: Workload) -> None:
    """Train on batches in memory as `lineage train` does, one epoch for each line of stdin."""
    from model_zoo.registry import build
    from training.data.loading.loader import TrainingLoader
    from training.data.open import open_dataset
    from training.loop.distributed import ProcessGroup
    from training.loop.engine import TrainLoop
    from training.loop.precision import DTYPES, ComputePrecision
    from training.loop.reuse_memory import reuse_memory
    from training.loop.schedule import LRSchedule, fit_to_run
    from training.recipes import recipe_of

    torch.set_num_threads(workload.threads or torch.get_num_threads())
    dataset, recipe = open_dataset(Path(workload.data)), recipe_of(workload.model)
    detector = build(workload.model, class_names=dataset.class_names)
    detector.resize((workload.size, workload.size))
    loader = TrainingLoader(
        split=dataset.split("train"),
        augmentation=recipe.augmentation,
        image_size=detector.input_spec.size,
        policy=detector.input_spec.letterbox,
        stride=detector.stride,
        batch=workload.batch,
        workers=0,
        seed=0,
    )
    source = ReadyBatches(list(loader.epoch(0)))
    schedule = fit_to_run(recipe.schedule, recipe.epochs, workload.batches)
    lr_schedule = LRSchedule(schedule, recipe.optimizer, recipe.epochs, workload.batches, workload.batch)
    compute = ComputePrecision(torch.device("cpu"), DTYPES[workload.precision])
    loop = TrainLoop(detector, recipe, lr_schedule, compute, ProcessGroup())
    with reuse_memory():
        for _ in sys.stdin:
            start = time.perf_counter()
            for _ in loop.train_epoch(source, 0):
                pass
            print(json.dumps({"total": time.perf_counter() - start}), flush=True)


class ReadyBatches:
    """Batches in memory, the same in each epoch."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = batches

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def epoch(self, _: int, __: bool, start_step: int) -> Iterator[Batch]:
        """Return the batches from `start_step` on."""
        return iter(self._batches[start_step:])

    def close(self) -> None:
        """Keep the batches."""


class Stopwatch:
    """Seconds of an epoch by part. Parts within parts count for the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = False

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of a block to a part."""
        if self._inside:
            yield
            return
        self._inside, start = True, time.perf_counter()
        try:
            yield
        finally:
            self._inside = False
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def time(self, owner: type, method: str, name: str) -> None:
        """Count every call of a method for a part."""
        call: Callable[..., Any] = getattr(owner, method)

        @functools.wraps(call)
        def timed(*args: Any, **options: Any) -> Any:
            with self.part(name):
                return call(*args, **options)

        setattr(owner, method, timed)


def whole_epochs(workload: Workload) -> None:
    """Train as `lineage train` does, one epoch for each line of stdin."""
    from training.config import TrainConfig
    from training.run.train import train
    from training.run.trainer import Trainer

    watch = time_parts(workload)
    train_epoch, end_epoch = Trainer._train_epoch, Trainer._end_epoch
    started = 0.0

    def wait_and_train(trainer: Trainer, *args: Any) -> bool:
        nonlocal started
        sys.stdin.readline()
        watch.seconds.clear()
        started = time.perf_counter()
        return train_epoch(trainer, *args)

    def end_and_answer(trainer: Trainer, *args: Any) -> None:
        end_epoch(trainer, *args)
        print(json.dumps({"total": time.perf_counter() - started, **watch.seconds}), flush=True)

    setattr(Trainer, "_train_epoch", wait_and_train)  # noqa: B010 - the type of a method cannot be assigned
    setattr(Trainer, "_end_epoch", end_and_answer)  # noqa: B010
    with tempfile.TemporaryDirectory() as runs:
        options: dict[str, Any] = {"batch": workload.batch, "precision": workload.precision}
        options |= {"workers": 1, "threads": workload.threads}
        size = (workload.size, workload.size)
        config = TrainConfig(workload.model, Path(workload.data), 1000, image_size=size, runs=Path(runs), **options)
        train(config, log=functools.partial(print, file=sys.stderr))


def time_parts(workload: Workload) -> Stopwatch:
    """Return a stopwatch that is attached to the parts of an epoch."""
    from model_zoo.detector import Detector
    from training.data.loading.loader import TrainingLoader
    from training.loop.ema import AveragedDetector
    from training.loop.engine import TrainLoop
    from training.recipes import recipe_of
    from training.run.progress import RunLogger
    from training.run.trainer import Trainer

    watch, epoch = Stopwatch(), TrainingLoader.epoch
    criterion = recipe_of(workload.model).criterion
    kind: Any = getattr(criterion, "func", criterion)  # recipes bind the options of a class
    watch.time(kind, "forward", "losses and assigner")
    watch.time(Detector, "forward", "forward")
    watch.time(TrainLoop, "_backward", "backward")
    watch.time(torch.optim.SGD, "step", "optimizer")
    watch.time(AveragedDetector, "update", "averaged weights")
    watch.time(Trainer, "_evaluate", "evaluation")
    watch.time(Trainer, "_save_epoch", "checkpoint and weights")
    watch.time(RunLogger, "end_epoch", "logs")

    def timed_epoch(loader: TrainingLoader, *args: Any) -> Iterator[Any]:
        batches = epoch(loader, *args)
        while True:
            with watch.part("waiting for the loader"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    TrainingLoader.epoch = timed_epoch  # type: ignore[method-assign, assignment]
    return watch


if __name__ == "__main__":
    kinds = {"bare": bare_loop, "ready": training_loop, "whole": whole_epochs}
    if sys.argv[1:2] and sys.argv[1] in kinds:
        kinds[sys.argv[1]](Workload(**json.loads(sys.argv[2])))
    else:
        tyro.cli(main)
