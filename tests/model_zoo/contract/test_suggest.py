from __future__ import annotations

from model_zoo.contract.suggest import did_you_mean


def test_close_names_are_suggested_closest_first() -> None:
    assert did_you_mean("yolov5m", ["yolov5n", "yolov7", "person"], count=1) == "did you mean yolov5n?"


def test_nothing_is_suggested_where_nothing_is_close() -> None:
    assert did_you_mean("zebra", ["yolov5n"]) == ""
