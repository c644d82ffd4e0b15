"""Page, table and plots of a comparison."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.contract.detections import Detections
from model_zoo.export.card import build_export_card
from tests.training.tiny_models import toy_detector
from training.data.dataset import Dataset, Record
from training.report.comparison import (
    COSTS,
    best_of_generations,
    color_of,
    comparison_page,
    cost_figure,
    history_figure,
    write_comparison,
)
from training.report.page import Page
from training.report.png import figure_png
from training.run.compare import ComparedModel, Comparison

METRICS = {"ap": 0.4, "ap50": 0.6, "ap75": 0.3}


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return build_export_card(toy_detector(), "toy")


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pages without plots, for tests of their text."""
    monkeypatch.setattr(Page, "plots", lambda *_: None)
    monkeypatch.setattr("training.report.comparison.cost_figure", lambda *_: None)


def model(card: ModelCard, name: str = "toy", epochs: int = 0, **values: Any) -> ComparedModel:
    history = [{"epoch": i + 1, "loss": 2.0 - i, "ap": 0.1, "images_per_second": 9.0} for i in range(epochs)]
    return ComparedModel(name, card, METRICS, history, **{"latency_ms": 5.0, **values})


def test_parameters_and_compute_of_the_smallest_model_are_not_zero(card: ModelCard, tmp_path: Path) -> None:
    tiny = replace(card, params=1234, gflops=0.0004)
    write_comparison(tmp_path, Comparison(Dataset(tmp_path, (), (), {}), [model(tiny)], []))
    [row] = csv.DictReader((tmp_path / "comparison.csv").read_text().splitlines())
    assert (row["params (M)"], row["GFLOPs"], row["training (images/s)"]) == ("0.001", "0.0004", "")
    assert cv2.imread(str(tmp_path / "comparison.png")) is not None
    page = (tmp_path / "comparison.html").read_text()
    assert page.count("<svg ") == len(COSTS)
    assert "http" not in page


@pytest.mark.usefixtures("no_plots")
def test_page_has_no_empty_columns_and_names_refusals(card: ModelCard) -> None:
    evaluated = comparison_page("x", [model(card)], ["nosuch: no model 'nosuch'"])
    assert "training" not in evaluated
    assert "nosuch: no model &#x27;nosuch&#x27;" in evaluated
    assert "training (images/s)" in comparison_page("x", [model(card, epochs=2)], [])


@pytest.mark.parametrize("names", [["toy"], ["toy", "toy"], ["$x_{", "_y", "/a/very/long/path/" + "x" * 300], []])
def test_costs_have_a_point_per_model_with_plain_ticks(card: ModelCard, names: list[str]) -> None:
    models = [model(card, name, latency_ms=3.0 * (i + 1)) for i, name in enumerate(names)]
    for _, label, cost in COSTS:
        figure = cost_figure(models, label, cost)
        figure_png(figure)
        [axes] = figure.axes
        texts = [text.get_text() for text in axes.texts]
        assert len(texts) == len(axes.collections) == len(names)
        assert max(map(len, texts), default=0) <= 28 + len("\n2020")
        assert "mathdefault" not in "".join(tick.get_text() for tick in axes.get_xticklabels(which="both"))
        places = {(text.xy, text.get_position(), text.get_va()) for text in axes.texts}
        assert len(places) == len(names), "labels of equal models are apart"


@pytest.mark.parametrize("change", [{"params": 0, "gflops": 0.0}, {"metrics": {**METRICS, "ap": -1.0}}])
def test_models_without_cost_or_metric_are_left_out_of_the_plot(card: ModelCard, change: Mapping[str, Any]) -> None:
    unknown = replace(card, **{k: v for k, v in change.items() if k != "metrics"})
    other = replace(model(unknown, "other"), metrics=change.get("metrics", METRICS))
    [axes] = cost_figure([model(card), other], *COSTS[1][1:]).axes
    assert [text.get_text().split("\n")[0] for text in axes.texts] == ["toy"]
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize("column", ["ap", "loss"])
def test_history_of_one_epoch_has_a_marker(card: ModelCard, column: str) -> None:
    figure = history_figure([model(card, "_a", epochs=1), model(card, "b", epochs=3)], column)
    figure_png(figure)
    [axes] = figure.axes
    assert [line.get_marker() for line in axes.get_lines()] == ["o", "o"]
    assert {(text.get_text(), text.get_color()) for text in axes.texts} == {("_a", color_of(0)), ("b", color_of(1))}
    assert [line.get_color() for line in axes.get_lines()] == [color_of(0), color_of(1)]


def test_average_precision_of_zero_is_at_the_bottom(card: ModelCard) -> None:
    zero = ComparedModel("zero", card, METRICS, [{"epoch": 1, "ap": 0.0}])
    [axes] = history_figure([zero], "ap").axes
    assert axes.get_ylim()[0] == 0


def test_loss_of_zero_in_the_first_epoch_is_plotted(card: ModelCard) -> None:
    zero = ComparedModel("zero", card, METRICS, [{"epoch": 1, "loss": 0.0}, {"epoch": 2, "loss": 1.0}])
    [axes] = history_figure([zero], "loss").axes
    assert axes.get_lines()[0].get_ydata().tolist() == [0, 1]


def generation(card: ModelCard, family: str, ap: float, name: str = "", **values: Any) -> ComparedModel:
    return replace(model(replace(card, family=family), name or family, **values), metrics={**METRICS, "ap": ap})


def test_best_models_of_the_generations_are_joined_from_the_oldest_to_the_newest(card: ModelCard) -> None:
    models = [generation(card, "yolov7", 0.6), generation(card, "yolov1", 0.1), generation(card, "onnx", 0.9)]
    models += [generation(card, "yolox", 0.5), generation(card, "yolox", 0.55, "better")]
    assert [m.name for m in best_of_generations(models)] == ["yolov1", "better", "yolov7"]
    [axes] = cost_figure(models, *COSTS[0][1:]).axes
    arrows = [text for text in axes.texts if text.arrow_patch]
    assert [arrow.xy[1] for arrow in arrows] == [0.55, 0.6]
    labels = {text.get_text() for text in axes.texts if not text.arrow_patch}
    assert labels == {"yolov7\n2022", "yolov1\n2015", "onnx", "yolox\n2021", "better\n2021"}


@pytest.mark.usefixtures("no_plots")
def test_page_begins_with_the_best_and_the_fastest(card: ModelCard) -> None:
    slow, fast = generation(card, "yolov1", 0.6), generation(card, "yolov7", 0.2, latency_ms=1.0, epochs=2)
    page = comparison_page("cells", [slow, fast], [])
    assert "<h1>The history of YOLO on cells</h1>" in page
    assert (
        "Of 2 models on cells, yolov1 (2015) is the most accurate with AP 0.600 and 5.0 ms per image. "
        "yolov7 (2022) is the fastest with AP 0.200 and 1.0 ms."
    ) in page
    assert '<dd class="value">2</dd><dd class="note">2015 to 2022</dd>' in page
    single = comparison_page("cells", [slow], [])
    assert "the most accurate and the fastest: AP 0.600 and 5.0 ms" in single
    assert '<dd class="note">2015</dd>' in single


@pytest.mark.usefixtures("no_plots")
def test_page_names_the_machine_of_the_latency(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.report.comparison.describe_machine", lambda: {"cpu": "Some <CPU>"})
    assert "one thread of Some &lt;CPU&gt;" in comparison_page("x", [model(card)], [])


@pytest.mark.usefixtures("no_plots")
def test_one_image_is_shown_as_each_model_sees_it(
    card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.report.comparison.figure_png", lambda _: b"")
    cv2.imwrite(str(tmp_path / "a.png"), np.full((40, 60, 3), 90, np.uint8))
    boxes, one = np.asarray([[5, 5, 25, 25]], np.float32), np.ones(1, np.float32)
    record = Record(tmp_path / "a.png", (40, 60), boxes, np.zeros(1, np.int64), np.zeros(1, bool), one, 0)
    found = Detections(boxes, one, np.zeros(1, np.int64))
    none = Detections(boxes[:0], one[:0], np.zeros(0, np.int64))
    models = [generation(card, "yolov1", 0.6, sample=none), generation(card, "yolov7", 0.2, sample=found)]
    write_comparison(tmp_path, Comparison(Dataset(tmp_path, ("cell",), (1,), {}), models, [], record))
    page = (tmp_path / "comparison.html").read_text()
    assert page.index("yolov1 (2015): 0 of 1 found, 0 false") < page.index("yolov7 (2022): 1 of 1 found, 0 false")


@pytest.mark.usefixtures("no_plots")
def test_models_of_other_programs_have_no_generation(card: ModelCard) -> None:
    page = comparison_page("x", [generation(card, "onnx", 0.5)], [])
    assert "Of 1 model on x, onnx is the most accurate" in page
    assert "<dt>Generations</dt>" not in page
