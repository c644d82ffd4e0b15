"""Report of a comparison: the history of YOLO on one dataset."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import write_atomic
from model_zoo.contract.image_size import format_size
from model_zoo.contract.plural import plural
from model_zoo.registry import Family, describe_family
from model_zoo.runtime.machine import describe_machine
from training.report.images import encode_jpeg
from training.report.labels import label_lines, label_points
from training.report.page import Page, Tile
from training.report.plots import COLORS, SIZE, make_epoch_figure, make_figure, plot_column
from training.report.png import figure_png
from training.report.text import plot_label, shorten
from training.report.verdicts import LEGEND, draw_verdict, judge
from training.run.compare import ComparedModel, Comparison

COLUMNS: Final = (
    "model",
    "family",
    "year",
    "input",
    "params (M)",
    "GFLOPs",
    "AP",
    "AP50",
    "AP75",
    "latency (ms)",
    "training (images/s)",
)
BARS: Final = ("AP", "AP50", "AP75")
MIN_AP_SPAN: Final = 0.01  # of the AP axis; smaller differences are noise
LARGE: Final = (6.2, 4.2)  # inches
COSTS: Final[tuple[tuple[str, str, Callable[[ComparedModel], float]], ...]] = (
    ("AP by latency", "Latency of one image (ms)", lambda model: model.latency_ms),
    ("AP by model size", "Parameters (millions)", lambda model: model.card.params / 1e6),
    ("AP by compute", "GFLOPs", lambda model: model.card.gflops),
)


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write comparison.csv, comparison.html and comparison.png, the plot of AP by latency. The numbers come first."""
    models = comparison.models
    write_atomic(folder / "comparison.csv", comparison_csv(models).encode())
    page = comparison_page(comparison.dataset.root.stem, models, comparison.failures, _sample_images(comparison))
    write_atomic(folder / "comparison.html", page.encode())
    _, label, cost = COSTS[0]
    write_atomic(folder / "comparison.png", figure_png(cost_figure(models, label, cost, LARGE)))


def comparison_page(
    dataset: str, models: Sequence[ComparedModel], failures: Sequence[str], images: Sequence[tuple[str, bytes]] = ()
) -> str:
    """Return the HTML page: the history in one plot, images, a table, other costs, curves and the generations.

    Args:
        dataset: Name of the dataset.
        models: The models.
        failures: Error messages of the others.
        images: Captions and JPEGs of one image as each model sees it.
    """
    page = Page(f"The history of YOLO on {dataset}")
    page.summary(_sentence(models, dataset), _tiles(models))
    (caption, label, cost), *others = COSTS
    page.heading("History")
    for failure in failures:
        page.notice(failure)
    joined = "The arrows lead from generation to generation, through the best model of each."
    page.plots([(f"{caption}. {joined}", cost_figure(models, label, cost, LARGE))])
    page.paragraph(
        "AP: COCO's average precision of the exported models on the validation images. Latency: one image on one "
        f"thread of {describe_machine()['cpu']}, the median of rounds over all models. Other machines have other "
        "milliseconds, but similar ratios."
    )
    if images:
        page.heading("One image")
        page.paragraph(f"The same image, at the thresholds that each model is served with. {LEGEND}")
        page.images(images)
    page.heading("Numbers")
    header, rows = _without_empty_columns(table_rows(models))
    page.table(header, rows, bars=BARS)
    page.plots((caption, cost_figure(models, label, cost)) for caption, label, cost in others)
    if any(model.history for model in models):
        page.heading("Training")
        page.plots([("Average precision", history_figure(models, "ap")), ("Loss", history_figure(models, "loss"))])
    page.heading("Generations")
    for family in dict.fromkeys(model.card.family for model in models):
        if description := find_family(family):
            page.paragraph(f"{description.summary} {description.changes}".strip())
    return page.html()


def _sample_images(comparison: Comparison) -> list[tuple[str, bytes]]:
    """Return captions and JPEGs of the sample as each model sees it."""
    images, names = [], comparison.dataset.class_names
    for model in comparison.models:
        if comparison.sample and model.sample is not None:
            [verdict] = judge([comparison.sample], [model.sample], score=0)
            images.append((verdict.caption(_with_year(model)), encode_jpeg(draw_verdict(verdict, names))))
    return images


def find_family(name: str) -> Family | None:
    """Return a family, None if it is not one of this project's."""
    try:
        return describe_family(name)
    except LineageError:
        return None


def table_rows(models: Sequence[ComparedModel]) -> list[list[Any]]:
    """Return the table, one row per model."""
    return [
        [
            model.name,
            model.card.family,
            _year(model) or "",
            format_size(model.card.input_size),
            _number(model.card.params / 1e6, 2),
            _number(model.card.gflops, 2),
            *(float(model.metrics[name]) for name in ("ap", "ap50", "ap75")),
            f"{model.latency_ms:.1f}",
            _number(model.images_per_second, 1),
        ]
        for model in models
    ]


def comparison_csv(models: Sequence[ComparedModel]) -> str:
    """Return the table as CSV."""
    rows = [[f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row] for row in table_rows(models)]
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])
    return stream.getvalue()


def cost_figure(
    models: Sequence[ComparedModel],
    label: str,
    cost: Callable[[ComparedModel], float],
    size: tuple[float, float] = SIZE,
) -> Figure:
    """Plot AP over a cost, one labeled point per model whose cost and AP are known, and join the generations."""
    shown = [(i, m) for i, m in enumerate(models) if cost(m) > 0 and m.metrics["ap"] >= 0]
    figure, axes = make_figure(label, "AP", size)
    points = [(cost(model), float(model.metrics["ap"])) for _, model in shown]
    low, high = min((ap for _, ap in points), default=0.0), max((ap for _, ap in points), default=1.0)
    space = max(high - low, MIN_AP_SPAN) / 5
    axes.set(xscale="log", ylim=(max(low - space, -(high + space) / 20), high + space))
    axes.margins(x=0.15)  # space for the names
    path = [(cost(model), model.metrics["ap"]) for model in best_of_generations([model for _, model in shown])]
    for start, end in pairwise(path):
        arrow = {"arrowstyle": "->", "color": COLORS[-1], "linestyle": "--", "shrinkA": 6, "shrinkB": 6}
        axes.annotate("", end, start, arrowprops=arrow, zorder=1)
    for (i, _), point in zip(shown, points, strict=True):
        axes.scatter(*point, s=48, color=color_of(i), zorder=2)
    font = "medium" if size == LARGE else "small"
    label_points(figure, axes, points, [_point_name(model) for _, model in shown], path, font)
    return figure


def best_of_generations(models: Sequence[ComparedModel]) -> list[ComparedModel]:
    """Return the model with the highest AP of each generation, oldest first. Models of other families are left out."""
    best: dict[str, ComparedModel] = {}
    for model in sorted(models, key=lambda model: model.metrics["ap"]):
        if find_family(model.card.family):
            best[model.card.family] = model
    return sorted(best.values(), key=lambda model: (_year(model) or 0, model.card.family))


def history_figure(models: Sequence[ComparedModel], column: str) -> Figure:
    """Plot a metric over the epochs. Losses are relative to the first one, because their scales differ."""
    is_loss = column == "loss"
    figure, axes = make_epoch_figure("Loss relative to the first epoch" if is_loss else column.upper())
    ends = []
    for i, model in enumerate(models):
        rows = [row for row in model.history if row.get(column) is not None]
        divisor = rows[0][column] if is_loss and rows and rows[0][column] else 1.0
        plot_column(axes, rows, column, plot_label(model.name), divisor, color=color_of(i))
        if rows:
            ends.append(((rows[-1]["epoch"], rows[-1][column] / divisor), shorten(model.name), color_of(i)))
    if not is_loss:
        axes.set_ylim(bottom=0)
    label_lines(axes, ends)
    return figure


def color_of(index: int) -> str:
    """Return the color of a model in all plots of a page."""
    return COLORS[index % len(COLORS)]


def _sentence(models: Sequence[ComparedModel], dataset: str) -> str:
    """Return the result in one sentence."""
    best, fastest = _most_accurate(models), _fastest(models)
    of = f"Of {plural(len(models), 'model')} on {dataset}, {_with_year(best)}"
    if best is fastest:
        return f"{of} is the most accurate and the fastest: AP {best.metrics['ap']:.3f} and {_latency(best)} per image."
    return (
        f"{of} is the most accurate with AP {best.metrics['ap']:.3f} and {_latency(best)} per image. "
        f"{_with_year(fastest)} is the fastest with AP {fastest.metrics['ap']:.3f} and {_latency(fastest)}."
    )


def _tiles(models: Sequence[ComparedModel]) -> list[Tile]:
    """Return the key figures."""
    best, fastest = _most_accurate(models), _fastest(models)
    smallest = min(models, key=lambda model: model.card.params or float("inf"))
    years = [year for model in models if (year := _year(model))]
    families = len({model.card.family for model in models if find_family(model.card.family)})
    epochs = {len(model.history) for model in models if model.history}
    tiles = [
        Tile("Highest AP", f"{best.metrics['ap']:.3f}", shorten(best.name)),
        Tile("Lowest latency", _latency(fastest), shorten(fastest.name)),
        Tile("Fewest parameters", f"{_number(smallest.card.params / 1e6, 2)} M", shorten(smallest.name)),
        Tile("Generations", f"{families}", " to ".join(map(str, sorted({min(years), max(years)}))) if years else ""),
        Tile("Epochs", " or ".join(f"{count:,}" for count in sorted(epochs)), "the same for all"),
    ]
    return [tile for tile in tiles if tile.value not in ("0", "", " M")]


def _most_accurate(models: Sequence[ComparedModel]) -> ComparedModel:
    return max(models, key=lambda model: float(model.metrics["ap"]))


def _fastest(models: Sequence[ComparedModel]) -> ComparedModel:
    return min(models, key=lambda model: model.latency_ms)


def _latency(model: ComparedModel) -> str:
    return f"{model.latency_ms:.1f} ms"


def _year(model: ComparedModel) -> int | None:
    family = find_family(model.card.family)
    return family.year if family else None


def _with_year(model: ComparedModel) -> str:
    return f"{shorten(model.name)} ({year})" if (year := _year(model)) else shorten(model.name)


def _point_name(model: ComparedModel) -> str:
    return f"{shorten(model.name)}\n{year}" if (year := _year(model)) else shorten(model.name)


def _number(value: float, digits: int) -> str:
    """Format a number. Unknown values, 0 or NaN, are empty. Small ones get enough digits not to become 0."""
    if not value > 0:
        return ""
    return f"{value:.{digits}f}" if value >= 10**-digits else f"{value:.1g}"


def _without_empty_columns(rows: Sequence[Sequence[Any]]) -> tuple[Sequence[str], list[list[Any]]]:
    """Return the names of the columns that have a value in some row, and the rows of these columns."""
    used = [i for i in range(len(COLUMNS)) if any(row[i] != "" for row in rows)]
    return [COLUMNS[i] for i in used], [[row[i] for i in used] for row in rows]
