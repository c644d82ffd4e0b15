"""Sums of differences, their histograms, and the images to keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.contract.detection_diff import DetectionPair
from model_zoo.contract.package import Package
from service.inference import shadow_report
from service.inference.shadow_report import BINS, ShadowReport
from tests.tiny_onnx import toy_card

SAME, MOVED = DetectionPair("red", 0, 0, 0.99, 0.0), DetectionPair("red", 0, 0, 0.61, 0.01)
BOTH, LOST = DetectionPair("red", 0, 0, 0.61, -0.9), DetectionPair("blue", 0, None)


def package(version: int) -> Package:
    return Package("cars", version, Path("cars"), toy_card("cars"), ())


def test_sums_and_histograms() -> None:
    comparison = ShadowReport().comparison(package(1), package(2))
    for pairs in ([SAME, SAME], [MOVED, BOTH, LOST], []):
        comparison.add(pairs)
    assert (comparison.images["compared"], comparison.different_images) == (3, 1)
    assert comparison.differences == {
        ("red", "same"): 2, ("red", "moved"): 2, ("red", "rescored"): 1, ("blue", "lost"): 1,
    }  # fmt: skip
    assert (sum(comparison.ious), comparison.ious[BINS - 1], comparison.ious[4]) == (4, 2, 2)
    assert (sum(comparison.score_changes), comparison.score_changes[0], comparison.score_changes[10]) == (4, 1, 3)


def test_images_with_the_most_differences_are_kept() -> None:
    report = ShadowReport(max_examples=2)
    comparison = report.comparison(package(1), package(2))
    for pairs in ([LOST], [LOST] * 3, [LOST] * 2, [SAME], [LOST]):
        counts = comparison.add(pairs)
        if report.wants(counts):
            report.add_example(comparison, counts, b"jpeg")
    assert [example.counts.total() for example in report.examples()] == [3, 2]
    assert report.example(1) is None


def test_report_is_bounded_and_follows_the_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_report, "MAX_COMPARISONS", 3)
    report = ShadowReport(max_examples=10)
    for version in range(2, 7):
        comparison = report.comparison(package(1), package(version))
        report.add_example(comparison, comparison.add([LOST]), b"jpeg")
    assert [c.shadow.version for c in report] == [4, 5, 6]
    assert len(report.examples()) == 3
    report.keep({package(5)})
    assert [c.shadow.version for c in report] == [5]
    assert [example.comparison.shadow.version for example in report.examples()] == [5]


def test_image_of_a_forgotten_comparison_is_not_kept() -> None:
    report = ShadowReport(max_examples=10)
    comparison = report.comparison(package(1), package(2))
    report.keep(())
    report.add_example(comparison, comparison.add([LOST]), b"jpeg")
    assert report.examples() == []
