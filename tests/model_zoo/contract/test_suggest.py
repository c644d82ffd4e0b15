from __future__ import annotations

from model_zoo.contract.suggest import did_you_mean


def test_closest_names_come_first() -> None:
    assert did_you_mean("yolov5m", ["yolov5n", "yolov7", "person"], count=1) == "did you mean yolov5n?"


def test_case_is_ignored() -> None:
    assert did_you_mean("TOY", ["toy", "Toy", "person"]) == "did you mean toy or Toy?"
    assert did_you_mean("Yolov5M", ["person", "yolov5n"], count=1) == "did you mean yolov5n?"


def test_distant_names_are_not_suggested() -> None:
    assert did_you_mean("zebra", ["yolov5n"]) == ""
