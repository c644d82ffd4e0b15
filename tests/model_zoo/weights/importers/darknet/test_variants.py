"""Variants and backbones are loaded from `.weights` files of the right size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model_zoo import registry
from model_zoo.classifier import build_classifier
from model_zoo.contract.errors import LineageError
from model_zoo.weights.importers import from_darknet, load_checkpoint
from model_zoo.weights.importers.darknet import load_backbone
from model_zoo.weights.importers.darknet.layer_orders import LAYER_ORDERS
from model_zoo.weights.importers.darknet.weights_file import read_weights
from tests.model_zoo.weights.importers.darknet.weights_files import numbers_of, write


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of yolov3-test with 80 classes."""
    torch.manual_seed(0)
    detector = registry.build("yolov3-test")
    return write(tmp_path / "some.weights", numbers_of(detector, LAYER_ORDERS["yolov3-test"]))


def test_class_count_follows_from_the_size(tmp_path: Path) -> None:
    detector = registry.build("yolov3-test", num_classes=7)
    path = write(tmp_path / "seven.weights", numbers_of(detector, LAYER_ORDERS["yolov3-test"]))
    assert len(from_darknet("yolov3-test", path).class_names) == 7
    assert from_darknet("yolov3-test", path, class_names=tuple("abcdefg")).class_names == tuple("abcdefg")


def test_wrong_class_count_is_refused(weights: Path) -> None:
    size = read_weights(weights)[1].size
    with pytest.raises(LineageError, match=rf"yolov3-test \([\d,]+ with 3 classes\); the file has {size:,}"):
        from_darknet("yolov3-test", weights, num_classes=3)


def test_conflicting_class_counts_are_refused(weights: Path) -> None:
    with pytest.raises(LineageError, match=r"to agree; got \[2, 80\]"):
        from_darknet("yolov3-test", weights, num_classes=80, class_names=["ant", "bee"])


def test_error_names_the_network_of_that_size(tmp_path: Path) -> None:
    path = write(tmp_path / "x.weights", np.zeros(8_858_734, np.float32))
    with pytest.raises(LineageError, match=r"floats of yolov2-tiny .* the file has 8,858,734\. .*yolov3-tiny with 80"):
        from_darknet("yolov2-tiny", path)


def test_truncated_file_is_refused(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(LineageError, match="another network or is truncated"):
        from_darknet("yolov3-test", weights)


def test_variant_without_weights_files_is_refused(weights: Path) -> None:
    with pytest.raises(LineageError, match=r"yolov5n \(yolov5\) has no `.weights` files"):
        from_darknet("yolov5n", weights)
    with pytest.raises(LineageError, match="did you mean"):
        from_darknet("yolov33", weights)


def test_load_checkpoint_reads_weights_files(weights: Path) -> None:
    imported = load_checkpoint(weights, "yolov3-test")
    assert imported.variant == "yolov3-test"
    assert imported.notes[0] == "yolov3-test: as requested"


class TestLoadBackbone:
    """Load a backbone from a classifier's file, or from one that ends after the backbone."""

    @pytest.mark.parametrize("rest", [0, 1000 * 33, 7 * 33])
    def test_backbone_weights_are_loaded(self, tmp_path: Path, rest: int) -> None:
        donor, detector = registry.build("yolov2-test"), registry.build("yolov2-test")
        numbers = numbers_of(donor, ("backbone",))
        load_backbone(detector, write(tmp_path / "x.weights", np.append(numbers, np.zeros(rest))))
        for actual, expected in zip(detector.backbone.parameters(), donor.backbone.parameters(), strict=True):
            torch.testing.assert_close(actual, expected, rtol=0, atol=0)

    @pytest.mark.parametrize("rest", [-1, 1])
    def test_file_of_another_size_is_refused(self, tmp_path: Path, rest: int) -> None:
        detector = registry.build("yolov2-test")
        numbers = np.zeros(numbers_of(detector, ("backbone",)).size + rest)
        with pytest.raises(LineageError, match=r"expected 20,265 floats for the backbone of yolov2-test"):
            load_backbone(detector, write(tmp_path / "x.weights", numbers))


@pytest.mark.parametrize(("variant", "params"), [("darknet19", 20_842_376), ("darknet53", 41_609_928)])
def test_classifier_file_gives_its_logits(tmp_path: Path, variant: str, params: int) -> None:
    donor = build_classifier(variant)
    assert sum(p.numel() for p in donor.parameters()) == params
    path = write(tmp_path / "x.weights", numbers_of(donor, LAYER_ORDERS[variant]))
    classifier, images = from_darknet(variant, path), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(classifier(images), donor.eval()(images), rtol=0, atol=0)
    with pytest.raises(LineageError, match="expected a classifier"):
        build_classifier("darknet54")
