"""Page, table and plots of a comparison."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.export.card import build_export_card
from tests.training.tiny_models import toy_detector
from training.data.dataset import Dataset
from training.report.comparison import COSTS, comparison_page, cost_figure, history_figure, write_comparison
from training.report.png import figure_png
from training.run.compare import ComparedModel, Comparison

METRICS = {"ap": 0.4, "ap50": 0.6, "ap75": 0.3}


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return build_export_card(toy_detector(), "toy")


def model(card: ModelCard, name: str = "toy", epochs: int = 0, **values: Any) -> ComparedModel:
    history = [{"epoch": i + 1, "loss": 2.0 - i, "ap": 0.1, "images_per_second": 9.0} for i in range(epochs)]
    return ComparedModel(name, card, METRICS, history, **{"latency_ms": 5.0, **values})


def test_parameters_and_compute_of_the_smallest_model_are_not_zero(card: ModelCard, tmp_path: Path) -> None:
    tiny = replace(card, params=1234, gflops=0.0004)
    write_comparison(tmp_path, Comparison(Dataset(tmp_path, (), (), {}), [model(tiny)], []))
    [row] = csv.DictReader((tmp_path / "comparison.csv").read_text().splitlines())
    assert (row["params (M)"], row["GFLOPs"], row["training (images/s)"]) == ("0.001", "0.0004", "")
    assert cv2.imread(str(tmp_path / "comparison.png")) is not None


def test_page_has_no_empty_columns_and_names_refusals(card: ModelCard) -> None:
    evaluated = comparison_page("x", [model(card)], ["nosuch: no model 'nosuch'"])
    assert "training" not in evaluated
    assert "nosuch: no model &#x27;nosuch&#x27;" in evaluated
    assert "training&nbsp;" not in evaluated
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
        assert max(map(len, texts), default=0) <= 28
        assert "mathdefault" not in "".join(tick.get_text() for tick in axes.get_xticklabels(which="both"))
        places = {(text.xy, text.get_position()) for text in axes.texts}
        assert len(places) == len(names), "labels of equal models are stacked"


@pytest.mark.parametrize("change", [{"params": 0, "gflops": 0.0}, {"metrics": {**METRICS, "ap": -1.0}}])
def test_models_without_cost_or_metric_are_left_out_of_the_plot(card: ModelCard, change: Mapping[str, Any]) -> None:
    unknown = replace(card, **{k: v for k, v in change.items() if k != "metrics"})
    other = replace(model(unknown, "other"), metrics=change.get("metrics", METRICS))
    [axes] = cost_figure([model(card), other], *COSTS[1][1:]).axes
    assert [text.get_text() for text in axes.texts] == ["toy"]
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize("column", ["ap", "loss"])
def test_history_of_one_epoch_has_a_marker(card: ModelCard, column: str) -> None:
    figure = history_figure([model(card, "_a", epochs=1), model(card, "b", epochs=3)], column)
    figure_png(figure)
    [axes] = figure.axes
    assert [line.get_marker() for line in axes.get_lines()] == ["o", "o"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [" _a", "b"]


def test_average_precision_of_zero_is_at_the_bottom(card: ModelCard) -> None:
    zero = ComparedModel("zero", card, METRICS, [{"epoch": 1, "ap": 0.0}])
    [axes] = history_figure([zero], "ap").axes
    assert axes.get_ylim()[0] == 0


def test_loss_of_zero_in_the_first_epoch_is_plotted(card: ModelCard) -> None:
    zero = ComparedModel("zero", card, METRICS, [{"epoch": 1, "loss": 0.0}, {"epoch": 2, "loss": 1.0}])
    [axes] = history_figure([zero], "loss").axes
    assert axes.get_lines()[0].get_ydata().tolist() == [0, 1]
