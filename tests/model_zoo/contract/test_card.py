"""The model card: validation errors, and round trips through JSON and an ONNX file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.contract.card import METADATA_KEY, Metric, ModelCard, Thresholds
from model_zoo.contract.errors import CardError

Change = Callable[[dict[str, Any]], object]

WRONG: dict[str, tuple[Change, str]] = {
    "unknown field": (
        lambda d: d.update(color="BGR"),
        "model card: color: unknown field; expected one of name, family",
    ),
    "unknown nested field": (
        lambda d: d["letterbox"].update(fil=1),
        "letterbox.fil: unknown field; expected one of align",
    ),
    "missing field": (lambda d: d.pop("stride"), "stride: expected an integer; the field is missing"),
    "missing nested field": (
        lambda d: d["metrics"][0].pop("date"),
        "metrics[0].date: expected a string; the field is missing",
    ),
    "text for a number": (lambda d: d.update(stride="32"), "stride: expected an integer; got '32'"),
    "bool for a number": (lambda d: d.update(params=True), "params: expected an integer; got True"),
    "bool for a float": (
        lambda d: d["thresholds"].update(iou=True),
        "thresholds.iou: expected a finite number; got True",
    ),
    "number for a bool": (lambda d: d.update(dynamic_size=1), "dynamic_size: expected true or false; got 1"),
    "float for a whole number": (lambda d: d["letterbox"].update(fill=1.0), "letterbox.fill: expected an integer"),
    "number for text": (lambda d: d["class_names"].append(5), "class_names[4]: expected a string; got 5"),
    "text for a list": (
        lambda d: d.update(class_names="person"),
        "class_names: expected a list of strings; got 'person'",
    ),
    "short list": (lambda d: d.update(input_size=[640]), "input_size: expected a list of 2; got [640]"),
    "text for an object": (lambda d: d.update(weights="mine"), "weights: expected an object; got 'mine'"),
    "list for an object": (lambda d: d.update(tools=["onnx"]), "tools: expected an object; got ['onnx']"),
    "number in a mapping": (lambda d: d["tools"].update(onnx=1), "tools.onnx: expected a string; got 1"),
    "unknown choice": (
        lambda d: d.update(precision="fp8"),
        "precision: expected one of 'fp32', 'fp16', 'bf16', 'int8'",
    ),
    "nothing": (lambda d: d.update(family=None), "family: expected a string; got None"),
    "NaN": (lambda d: d.update(gflops=float("nan")), "gflops: expected a finite number; got nan"),
    "infinity": (lambda d: d["metrics"][0].update(value=float("-inf")), "metrics[0].value: expected a finite number"),
    "beyond float": (lambda d: d.update(gflops=10**400), "gflops: expected a finite number"),
    "half a character": (lambda d: d["class_names"].append("\ud800"), "class_names[4]: expected a string"),
    "another schema": (lambda d: d.update(schema_version=2, new=1), "expected schema_version 1; got 2"),
    "no schema": (lambda d: d.pop("schema_version"), "expected schema_version 1; got None"),
    "name that climbs": (lambda d: d.update(name="../tiny"), "expected a name that matches"),
    "hidden name": (lambda d: d.update(name=".tiny"), "expected a name that matches"),
    "name with a line end": (lambda d: d.update(name="tiny\n"), "expected a name that matches"),
    "empty name": (lambda d: d.update(name=""), "expected a name that matches"),
    "endless name": (lambda d: d.update(name="n" * 300), "expected a name that matches"),
    "no classes": (lambda d: d.update(class_names=[]), "expected at least one class name"),
    "size off the stride": (
        lambda d: d.update(input_size=[320, 650]),
        "input_size in multiples of the stride, 32",
    ),
    "no stride": (lambda d: d.update(stride=0), "input_size in multiples of the stride, 0"),
    "no size": (lambda d: d.update(input_size=[0, 0]), "input_size in multiples"),
    "small canvases of a fixed size": (
        lambda d: d.update(shapes="buckets", dynamic_size=False),
        "expected shapes square, as images fill a fixed canvas; got 'buckets'",
    ),
    "small canvases of stretched images": (
        lambda d: d.update(shapes="buckets", letterbox={**d["letterbox"], "align": "stretch"}),
        "expected shapes square",
    ),
    "fill above white": (lambda d: d["letterbox"].update(fill=256), "letterbox.fill from 0 to 255; got 256"),
    "no candidates": (lambda d: d.update(candidates=0), "at least one candidate"),
    "no detections": (lambda d: d.update(max_detections=0), "max_detections of at least 1"),
    "threshold above 1": (lambda d: d["thresholds"].update(iou=1.5), "thresholds between 0 and 1"),
    "score below its floor": (lambda d: d["thresholds"].update(score_floor=0.5), "at least score_floor"),
}


def test_json_round_trip(card: ModelCard) -> None:
    assert ModelCard.from_json(card.to_json()) == card


def test_defaults_round_trip() -> None:
    card = ModelCard("a", "yolov5", "yolov5n", ("person",), (640, 640), 32)
    assert ModelCard.from_json(card.to_json()) == card


text = st.text(st.characters(codec="utf-8"))


@given(
    classes=st.lists(text, min_size=1), tools=st.dictionaries(text, text), value=st.floats(-1e300, 1e300), origin=text
)
def test_any_text_and_number_round_trips(
    card: ModelCard, classes: list[str], tools: dict[str, str], value: float, origin: str
) -> None:
    metric = Metric("AP", value, dataset=origin, date="2026-01-31")
    changed = replace(card, class_names=tuple(classes), tools=tools, metrics=(metric,))
    assert ModelCard.from_json(changed.to_json()) == changed
    assert ModelCard.from_metadata(changed.to_metadata()) == changed


def test_file_round_trip(card: ModelCard, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(card.to_json(), encoding="utf-8")
    assert ModelCard.read(path) == card


@pytest.mark.parametrize("case", WRONG)
def test_invalid_field_is_named(card: ModelCard, case: str) -> None:
    change, expected = WRONG[case]
    document = json.loads(card.to_json())
    change(document)
    with pytest.raises(CardError) as caught:
        ModelCard.from_json(json.dumps(document))
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("document", ["", "{", "[" * 100_000, "[]", "null", '"card"', "{}", '{"schema_version": 1}'])
def test_invalid_document_is_refused(document: str) -> None:
    with pytest.raises(CardError, match="model card: "):
        ModelCard.from_json(document)


def test_constructor_checks_fields(card: ModelCard) -> None:
    with pytest.raises(CardError, match=r"params: expected an integer; got np\.int64\(5\)"):
        replace(card, params=np.int64(5))
    with pytest.raises(CardError, match=r"metrics\[0\]\.value: expected a finite number; got nan"):
        replace(card, metrics=(Metric("AP", float("nan"), "coco", "2026-01-31"),))


def test_constructor_converts_lists_and_integers(card: ModelCard) -> None:
    loose = replace(card, class_names=["a", "b"], gflops=4, thresholds=Thresholds(score=1))
    assert loose.class_names == ("a", "b")
    assert isinstance(loose.gflops, float)
    assert isinstance(loose.thresholds.score, float)
    assert ModelCard.from_json(loose.to_json()) == loose


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="cannot be read"):
        ModelCard.read(tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardError, match="cannot be read"):
        ModelCard.read(tmp_path / "bytes.json")


def test_missing_card_is_refused() -> None:
    with pytest.raises(CardError, match=METADATA_KEY):
        ModelCard.from_metadata({"author": "someone"})


def test_onnx_file_round_trip(card: ModelCard, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="building a graph takes onnx")
    helper = onnx.helper
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    helper.set_model_props(model, card.to_metadata())
    onnx.save(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert ModelCard.from_metadata(session.get_modelmeta().custom_metadata_map) == card
