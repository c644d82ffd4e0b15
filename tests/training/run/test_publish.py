"""Publishing a run: dataset, AP check and package. The export is replaced by a stub, and tested by tests/e2e."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_zoo.contract.card import ParentWeights, WeightsOrigin
from model_zoo.contract.errors import LineageError
from model_zoo.contract.repository import Repository
from model_zoo.registry import build
from model_zoo.weights import store
from tests.training.write_data import write_data
from training.config import TrainConfig
from training.data.open import open_dataset
from training.evaluate.coco import Metrics
from training.recipes import recipe_of
from training.run import publish
from training.run.initial_weights import trained_from
from training.run.publish import EVALUATION, publish_run
from training.run.run_folder import BEST, describe_run, write_config

METRICS = Metrics(0.5, 0.7, 0.6, *(0.4,) * 9, ())


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run folder with untrained weights."""
    data, folder = write_data(tmp_path / "toy"), tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    config = TrainConfig(model="yolox-test", data=data, image_size=(64, 64))
    write_config(folder, describe_run(config, recipe_of("yolox-test"), open_dataset(data), 1))
    detector = build("yolox-test", class_names=["square", "bar"]).eval()
    detector.resize((64, 64))
    store.save(detector, folder / BEST)
    return folder


@pytest.fixture
def set_file_ap(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Replace export and evaluations: the model has an AP of 0.5, the file the given one."""

    def write_golden(model: Path, _: object, folder: Path, images: Path | None) -> dict[str, Path]:
        assert images is None
        (folder / "expected.json").write_text("{}")
        return {"golden/expected.json": folder / "expected.json"}

    def set_ap(ap: float) -> None:
        def export(_: Any, card: object, model: Path, *rest: object) -> Metrics:
            model.write_bytes(b"model")
            return replace(METRICS, ap=ap)

        class Evaluated:
            metrics = METRICS

        monkeypatch.setattr(publish, "_export_and_evaluate", export)
        monkeypatch.setattr(publish, "evaluate_detector", lambda *_, progress: Evaluated)
        monkeypatch.setattr(publish, "write_golden", write_golden)

    return set_ap


def test_package_has_metrics_origin_and_evaluation(
    run_folder: Path, tmp_path: Path, set_file_ap: Callable[[float], None]
) -> None:
    set_file_ap(0.497)
    messages: list[str] = []
    package = publish_run(run_folder, Repository(tmp_path / "models"), license="MIT", log=messages.append)
    assert (package.name, package.version) == ("mine", 1)
    assert [(m.name, m.value, m.dataset) for m in package.card.metrics] == [
        ("AP", 0.5, "toy val"),
        ("AP50", 0.7, "toy val"),
    ]
    assert (package.card.weights.license, package.card.weights.origin) == ("MIT", "run mine")
    assert json.loads((package.path / EVALUATION).read_text())["ap"] == 0.497
    assert messages[0] == f"evaluating {BEST} on val"
    assert "golden images: 0, 0 kB" in messages
    assert "golden/expected.json" in {file.name for file in package.files}


def test_lower_ap_of_the_file_is_refused(
    run_folder: Path, tmp_path: Path, set_file_ap: Callable[[float], None]
) -> None:
    set_file_ap(0.4)
    repository = Repository(tmp_path / "models")
    with pytest.raises(LineageError, match=r"within 0\.005 of the model's 0\.5000; got 0\.4000"):
        publish_run(run_folder, repository)
    assert repository.names() == []
    assert publish_run(run_folder, repository, "other", largest_drop=0.2).name == "other"


def test_missing_dataset_is_refused(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "toy").rename(tmp_path / "moved")
    with pytest.raises(LineageError, match="does not exist; give its path with --data"):
        publish_run(run_folder, Repository(tmp_path / "models"))


@pytest.mark.parametrize(
    ("parent", "given", "license", "message"),
    [
        ("AGPL-3.0", None, "AGPL-3.0", "trained from yolov5n.pt (AGPL-3.0); AGPL-3.0: a product or network service"),
        (
            "AGPL-3.0",
            "MIT",
            "MIT",
            "warning: the card says MIT, as given, but the weights were trained from weights of AGPL",
        ),
        ("unknown", None, "unknown", "warning: no license was given, so the card says unknown"),
        ("Apache-2.0", None, "NOASSERTION", "warning: no license was given, so the card says NOASSERTION"),
    ],
)
def test_card_names_the_parents_and_their_license(
    parent: str,
    given: str | None,
    license: str,
    message: str,
    run_folder: Path,
    tmp_path: Path,
    set_file_ap: Callable[[float], None],
) -> None:
    set_file_ap(0.5)
    detector = store.load(run_folder / BEST)
    detector.weights = trained_from(WeightsOrigin(parent, "yolov5n.pt", "0" * 64, ()), detector.weights)
    store.save(detector, run_folder / BEST)
    messages: list[str] = []
    package = publish_run(str(run_folder), Repository(tmp_path / "models"), license=given, log=messages.append)
    assert package.card.weights.license == license
    assert package.card.weights.parents == (ParentWeights("yolov5n.pt", "0" * 64, parent),)
    assert any(line.startswith(message) for line in messages), messages


@pytest.mark.parametrize(
    ("name", "models"), [("../up", "models"), ("", "models"), ("a b", "models"), (None, "toy/x.txt/y")]
)
def test_name_and_repository_are_checked_before_any_work(
    name: str | None, models: str, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "load", lambda _: pytest.fail("the weights were loaded"))
    (tmp_path / "toy" / "x.txt").write_text("a file")
    with pytest.raises(LineageError, match=r"--name: expected|expected a folder to write to"):
        publish_run(run_folder, Repository(tmp_path / models), name)
