"""`lineage tune`: find the fastest configuration of a model on this machine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import tyro

from lineage.cli.arguments import option
from lineage.cli.tables import format_table
from lineage.find import find_model
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import write_atomic
from model_zoo.contract.package import Package
from model_zoo.runtime.base import EngineOptions, Shapes
from model_zoo.runtime.choice import Choice, Trial
from service.inference.bundled import REPOSITORY_HELP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECONDS: Final = 60.0
HEAD: Final = ("provider", "compute", "ms alone", "images/s", "MB", "agreement", "")
PLOTTED: Final = {
    "Milliseconds of a lone image": "lone_ms",
    "Images per second": "images_per_second",
    "Memory in MB": "memory_mb",
    "Detections that agree": "agreement",
}


def tune(
    model: Annotated[str | None, tyro.conf.Positional, option("[MODEL]")] = None,
    *,
    repository: Annotated[Path | None, option("FOLDER", hint=REPOSITORY_HELP)] = None,
    images: Annotated[Path | None, option("FOLDER")] = None,
    shapes: Shapes = "auto",
    rounds: int = 10,
    plot: Annotated[Path | None, option("FILE.png")] = None,
    write: bool = False,
) -> None:
    """Measure a model with each provider and precision that works here, and choose the fastest that agrees.

    Each configuration runs in a process of its own, in alternating rounds. The detections are compared with those of
    float32 on the golden images of the model. The choice is remembered for servers and commands on this machine.

    Args:
        model: Model NAME, NAME@VERSION or NAME@ALIAS, or an .onnx file. If omitted, the only model.
        repository: Folder of the repository.
        images: Compare the detections on three images of this folder instead of the golden ones.
        shapes: auto, square or buckets, as for lineage serve.
        rounds: Rounds of measurements, at least 3.
        plot: Write a plot of all measurements.
        write: Write the choice to service.json of the model, for servers on machines like this one.
    """
    from model_zoo.progress import Progress
    from model_zoo.runtime.select import configurations, has_openvino, pick, remember
    from model_zoo.runtime.trials import MIN_ROUNDS, measure

    if rounds < MIN_ROUNDS:
        raise LineageError(f"--rounds: expected at least {MIN_ROUNDS}; got {rounds}")
    package, options = find_model(model, repository), EngineOptions(shapes=shapes)
    if write and not package.files:
        raise LineageError(f"--write: expected a model of a repository, which has a service.json; got {model}")
    tried = configurations(package.card, options, thorough=True)
    if tried[0].provider == "auto":
        raise LineageError("this machine has a GPU, which is used without measuring; nothing to choose")
    with (
        with_golden(package, images) as measured,
        Progress("tune", len(tried) + rounds, "step") as progress,
    ):
        trials = measure(measured, options, tried, rounds=rounds, seconds=SECONDS, progress=progress.update)
    choice = pick(trials)
    print(table(choice))
    if not has_openvino():
        print("OpenVINO is not installed; to measure it, run: pip install 'yolo-lineage[openvino]'")
    if not images and package.files:
        remember(package, options, choice)
    if write:
        print(f"wrote {write_settings(package, choice)}")
    if plot:
        from training.report.png import figure_png

        write_atomic(plot, figure_png(draw_trials(package.reference, trials)))
        print(f"wrote {plot}")


def table(choice: Choice) -> str:
    """Return the measurements as a table, then the settings that select the choice."""
    rows = [HEAD, *(_row(trial, "chosen" if trial is choice.measured else "") for trial in choice.trials)]
    problems = [f"{trial.configuration}: {trial.problem}" for trial in choice.trials if trial.problem]
    settings = f"settings: --provider {choice.provider} --compute {choice.compute}"
    return "\n".join([format_table(rows, right=range(2, 6)), *problems, settings])


def _row(trial: Trial, note: str) -> Sequence[str]:
    if trial.problem:
        return (trial.provider, trial.compute, "-", "-", "-", f"{trial.agreement:.1%}", "cannot be used")
    figures = (f"{trial.lone_ms:.1f}", f"{trial.images_per_second:.1f}", f"{trial.memory_mb:.0f}")
    return (trial.provider, trial.compute, *figures, f"{trial.agreement:.1%}", note)


def write_settings(package: Package, choice: Choice) -> Path:
    """Add the choice to the settings of a model, and return their file.

    Raises:
        LineageError: the file is damaged.
        OSError: it cannot be written.
    """
    from service.inference.model_settings import FILE_NAME, read_file

    path = package.path.parent / FILE_NAME
    fields = read_file(path) | {"provider": choice.provider, "compute": choice.compute}
    write_atomic(path, (json.dumps(fields, indent=2) + "\n").encode())
    return path


@contextmanager
def with_golden(package: Package, images: Path | None) -> Iterator[Package]:
    """Yield the package, or a copy with golden images: of `images`, or synthetic ones if it has none.

    Raises:
        LineageError: the model detects too little on the images.
    """
    from model_zoo.contract.manifest import EXPECTED, MODEL
    from model_zoo.contract.repository import Repository
    from model_zoo.golden import write_golden
    from model_zoo.runtime.golden import has_golden

    if has_golden(package) and not images:
        yield package
        return
    with tempfile.TemporaryDirectory() as folder:
        files = write_golden(package.model_path, package.card, Path(folder), images)
        if EXPECTED not in files:
            raise LineageError(
                f"{package.reference}: detects too little on these images to compare configurations; give --images "
                "FOLDER with images of its classes"
            )
        yield Repository(Path(folder, "models")).publish(package.card, {MODEL: package.model_path, **files})


def draw_trials(title: str, trials: Sequence[Trial]) -> Figure:
    """Draw latency, throughput, memory and agreement of all configurations that can be used."""
    from matplotlib.figure import Figure

    usable = [trial for trial in trials if not trial.problem]
    figure = Figure(figsize=(9, 5), layout="constrained")
    figure.suptitle(title)
    names = [str(trial.configuration) for trial in usable]
    for axes, (label, field) in zip(figure.subplots(2, 2).flat, PLOTTED.items(), strict=True):
        bars = axes.barh(names, [getattr(trial, field) for trial in usable])
        axes.bar_label(bars, fmt="%.3g", padding=3)
        axes.set(title=label, xmargin=0.15)
        axes.invert_yaxis()
    return figure
