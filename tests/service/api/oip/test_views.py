"""The FP32 views over HTTP, with the toy model."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.api.oip.views import PROGRAM_VIEWS
from service.settings import VIEWS
from tests.service.app_client import serving
from tests.service.conftest import Publish, flat
from tests.service.fake_engine import open_fake_engine

HEADER = "Inference-Header-Content-Length"
BOTH = "yolov5,ultralytics"


@pytest.fixture(scope="module")
def client(toy_package: Package) -> Iterator[TestClient]:
    with serving(Repository(toy_package.path.parents[1]), views=BOTH) as client:
        yield client


def as_pixels(*canvases: np.ndarray) -> np.ndarray:
    """Return canvases as both programs send them."""
    return np.stack(canvases).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)


def infer(client: TestClient, model: str, tensor: np.ndarray, **changes: object) -> Response:
    """Send one binary tensor, and ask for a binary answer."""
    data = np.ascontiguousarray(tensor).tobytes()
    described = {"name": "images", "shape": [*tensor.shape], "datatype": "FP32"} | changes
    described["parameters"] = {"binary_data_size": len(data)}
    document = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    return client.post(f"/v2/models/{model}/infer", content=document + data, headers={HEADER: str(len(document))})


def output(answer: Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    size = int(answer.headers[HEADER])
    (described,) = json.loads(answer.content[:size])["outputs"]
    assert (described["name"], described["datatype"]) == ("output0", "FP32")
    return np.frombuffer(answer.content[size:], "<f4").reshape(described["shape"])


def names(client: TestClient) -> list[str]:
    return [row["name"] for row in client.post("/v2/repository/index").json()]


def tensors(document: dict[str, Any], part: str) -> list[tuple[str, list[int]]]:
    return [(tensor["datatype"], tensor["shape"]) for tensor in document[part]]


# A canvas of one color. Its box at an IoU threshold of 1 and a distance weight of 0, as center x,
# center y, width, height.
COLOR = (204, 51, 102)
BOX = ((204 + 214) / 16, (51 + 72) / 16, 10 / 8, 21 / 8)


def test_yolov5_gets_all_rows_without_suppression(client: TestClient) -> None:
    rows = output(infer(client, "toy.yolov5", as_pixels(flat(*COLOR))))
    assert rows.shape == (1, 3, 5 + 3)
    np.testing.assert_allclose(rows[0, :, :4], [BOX] * 3, rtol=1e-6)
    np.testing.assert_allclose(rows[0, :, 4:], [[0.8, 1, 0, 0], [0.4, 0, 0, 1], [0.2, 0, 1, 0]], rtol=1e-6)


def test_ultralytics_gets_all_columns_of_each_image_of_a_batch(client: TestClient) -> None:
    columns = output(infer(client, "toy.ultralytics", as_pixels(flat(0, 0, 255), flat(*COLOR))))
    assert columns.shape == (2, 4 + 3, 3)
    np.testing.assert_allclose(columns[0, 4:, 0], [0, 0, 1], rtol=1e-6)
    assert not columns[0, :, 1:].any()  # a score of 0 is no row
    np.testing.assert_allclose(columns[1, :4].T, [BOX] * 3, rtol=1e-6)
    np.testing.assert_allclose(columns[1, 4:], [[0.8, 0, 0], [0, 0, 0.2], [0, 0.4, 0]], rtol=1e-6)


def test_rows_down_to_the_lowest_score_are_there(client: TestClient) -> None:
    rows = output(infer(client, "toy.yolov5", as_pixels(flat(1, 0, 0))))
    assert rows[0, 0, 4] == pytest.approx(1 / 255)


def test_uninitialized_memory_is_answered(client: TestClient) -> None:
    memory = np.resize(np.float32([np.nan, np.inf, -np.inf, 3e38, -1e-42]), (1, 3, 64, 64))
    assert np.isfinite(output(infer(client, "toy.yolov5", memory))).all()


def test_yolov5_reads_one_input_with_the_shape_that_it_sends(client: TestClient) -> None:
    metadata = client.get("/v2/models/toy.yolov5").json()
    assert (metadata["name"], metadata["versions"]) == ("toy.yolov5", ["1"])
    assert tensors(metadata, "inputs") == [("FP32", [1, 3, 64, 64])]
    assert tensors(metadata, "outputs") == [("FP32", [1, 3, 8])]
    assert metadata["platform"]


def test_ultralytics_reads_the_metadata_of_a_model_file(client: TestClient) -> None:
    config = client.get("/v2/models/toy.ultralytics/config").json()
    assert [(tensor["data_type"], tensor["dims"]) for tensor in config["input"]] == [("TYPE_FP32", [-1, 3, 64, 64])]
    assert [(tensor["data_type"], tensor["dims"]) for tensor in config["output"]] == [("TYPE_FP32", [-1, 7, 3])]
    assert ast.literal_eval(config["parameters"]["metadata"]["string_value"]) == {
        "names": {0: "red", 1: "green", 2: "blue"},
        "stride": 32,
        "task": "detect",
        "batch": 1,
        "imgsz": [64, 64],
        "end2end": False,
    }


def test_yolov5_is_first_in_the_index_and_native_models_are_last(client: TestClient) -> None:
    assert names(client) == ["toy.yolov5", "toy.ultralytics", "toy"]


def test_the_order_of_the_setting_does_not_matter(publish: Publish, repository: Repository) -> None:
    publish("first")
    publish("second")
    with serving(repository, open_fake_engine, views="ultralytics,yolov5", default_model="second") as client:
        assert names(client)[:3] == ["second.yolov5", "first.yolov5", "second.ultralytics"]


def test_a_model_that_cannot_answer_is_not_the_first_in_the_index(publish: Publish, repository: Repository) -> None:
    damaged = publish("a")
    publish("b")
    Path(damaged.path, "card.json").unlink()
    with serving(repository, open_fake_engine, views="yolov5") as client:
        assert names(client)[:2] == ["b.yolov5", "a.yolov5"]


def test_a_version_can_be_asked_for(client: TestClient) -> None:
    answer = infer(client, "toy.yolov5/versions/1", as_pixels(flat(*COLOR)))
    assert output(answer).shape == (1, 3, 8)
    assert infer(client, "toy.yolov5/versions/2", as_pixels(flat(*COLOR))).status_code == 404


def test_the_setting_has_the_names_of_the_views() -> None:
    assert tuple(PROGRAM_VIEWS) == VIEWS


def test_views_are_off_by_default(publish: Publish, repository: Repository) -> None:
    publish()
    with serving(repository, open_fake_engine) as client:
        assert names(client) == ["toy"]
        assert infer(client, "toy.yolov5", as_pixels(flat(0))).status_code == 404


def test_a_model_of_that_name_comes_before_a_view(publish: Publish, repository: Repository) -> None:
    publish("toy")
    publish("toy.yolov5")
    with serving(repository, open_fake_engine, views="yolov5") as client:
        metadata = client.get("/v2/models/toy.yolov5").json()
        assert "UINT8" in [datatype for datatype, _ in tensors(metadata, "inputs")]
        assert sorted(names(client)) == ["toy", "toy.yolov5", "toy.yolov5.yolov5"]


def test_a_suffix_alone_is_no_model(client: TestClient) -> None:
    assert infer(client, ".yolov5", as_pixels(flat(0))).status_code == 404


@pytest.mark.parametrize(
    ("shape", "changes", "reason"),
    [
        ((1, 3, 64, 64), {"name": "image"}, "expected images alone; got image"),
        ((1, 3, 64, 64), {"datatype": "INT32"}, "expected FP32 [N, 3, height, width], RGB divided by 255; got INT32"),
        ((1, 64, 64, 3), {}, "expected FP32 [N, 3, height, width], RGB divided by 255; got FP32 [1, 64, 64, 3]"),
        ((3, 64, 64), {}, "got FP32 [3, 64, 64]"),
        ((1, 3, 32, 64), {}, "expected 64 x 64 pixels (width x height); got 64 x 32"),
        ((33, 3, 1, 1), {}, "expected at most 32 images; got 33"),
    ],
)
def test_other_tensors_are_refused(
    client: TestClient, shape: Sequence[int], changes: dict[str, object], reason: str
) -> None:
    answer = infer(client, "toy.ultralytics", np.zeros(shape, np.float32), **changes)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


def test_two_inputs_are_refused(client: TestClient) -> None:
    one = {"name": "images", "shape": [1, 3, 1, 1], "datatype": "FP32", "data": [0.0, 0.0, 0.0]}
    other = {**one, "name": "score_threshold"}
    answer = client.post("/v2/models/toy.yolov5/infer", json={"inputs": [one, other]})
    assert answer.status_code == 400
    assert answer.json()["error"] == "inputs: expected images alone; got images, score_threshold"


def test_rows_are_not_counted_as_detections(toy_package: Package) -> None:
    with serving(Repository(toy_package.path.parents[1]), views=BOTH) as client:
        output(infer(client, "toy.yolov5", as_pixels(flat(*COLOR))))
        metrics = client.get("/metrics").text
    assert "lineage_detections_total{" not in metrics
    assert 'lineage_stage_seconds_count{model="toy",stage="decode"} 1.0' in metrics


def test_unusable_canvases_are_counted(toy_package: Package) -> None:
    with serving(Repository(toy_package.path.parents[1]), views=BOTH) as client:
        assert infer(client, "toy.yolov5", np.zeros((1, 3, 32, 64), np.float32)).status_code == 400
        assert 'lineage_image_refusals_total{reason="image-unreadable"} 1.0' in client.get("/metrics").text
