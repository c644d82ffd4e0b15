"""ONNX files of other programs in a real server: detections equal those of the engine, also behind a shadow."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineage.cli.main import main
from model_zoo.contract import pipeline
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Rollout, Shadow
from model_zoo.contract.set_rollout import set_rollout
from model_zoo.export.synthetic_images import synthetic_images
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.open import open_engine
from tests.e2e.server import Server
from tests.model_zoo.onnx_import.foreign_files import NAMES, Net, dynamic, end_to_end, save, v8
from tests.training.write_data import write_data

pytestmark = pytest.mark.slow


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A model with two versions of different layouts: any batch and size, and a batch of 1."""
    for model in (v8(dynamic(), {"names": NAMES}), end_to_end(Net())):
        flags = ["--name", "net", "--repository", str(tmp_path / "models")]
        size = ["--image-size", "64", "96"] if model.graph.input[0].type.tensor_type.shape.dim[0].dim_param else []
        assert main(["import", str(save(model, tmp_path / "net.onnx")), *flags, *size]) == 0
    return Repository(tmp_path / "models")


@pytest.mark.parametrize("version", ["1", "2"])
def test_server_detects_as_the_engine(repository: Repository, version: str) -> None:
    package = repository.resolve(f"net@{version}")
    image = synthetic_images((80, 120), 1, seed=4)[0]
    engine = open_engine(package, EngineOptions())
    [expected] = pipeline.detect(package.card, engine.run, [image], pipeline.make_query(package.card))
    body = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    set_rollout(repository, "net", Rollout(version, shadow=Shadow("2" if version == "1" else "1")))
    with Server(repository.root, max_batch=8) as server:
        server.wait_until_ready()
        answer = server.client.post(
            "/detect", params={"model": "net"}, content=body, headers={"Content-Type": "image/png"}
        )
    assert answer.status_code == 200, answer.text
    found = answer.json()["results"][0]["detections"]
    assert len(found) == len(expected.scores) > 0
    np.testing.assert_allclose([d["score"] for d in found], expected.scores, atol=1e-3)


def test_imported_model_is_evaluated(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "data")
    names = tmp_path / "two.names"
    names.write_text("square\nbar\nother\n")
    source = save(v8(), tmp_path / "other.onnx")
    assert main(["import", str(source), "--names", str(names), "--repository", str(repository.root)]) == 0
    capsys.readouterr()
    assert main(["evaluate", "other", "--repository", str(repository.root), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 4
