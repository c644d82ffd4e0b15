"""Detectors of a cfg equal a reference implementation and work like any other detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lineage.cli.main import main
from model_zoo.contract.errors import LineageError
from model_zoo.contract.repository import Repository
from model_zoo.detector import Detector
from model_zoo.export.card import build_export_card
from model_zoo.export.write_model import write_model
from model_zoo.weights import store
from model_zoo.weights.importers import from_cfg, load_checkpoint
from model_zoo.weights.importers.darknet.weights_file import tensors
from tests.model_zoo.weights.importers.darknet.cfgs import CONV, NET, YOLO, detector_of
from tests.model_zoo.weights.importers.darknet.separable import (
    HEADER,
    SEPARABLE,
    WeightsReader,
    decoded,
    separable_reference,
)
from tests.model_zoo.weights.importers.originals import assert_survives_saving


@pytest.fixture
def cfg(tmp_path: Path) -> Path:
    path = tmp_path / "separable.cfg"
    path.write_text(NET + SEPARABLE)
    return path


@pytest.fixture
def weights(cfg: Path) -> Path:
    """Numbers similar to a trained network: positive variances and small kernels."""
    rng = np.random.default_rng(0)
    parts = []
    for tensor in tensors(from_cfg(cfg).backbone, ("",)):
        mean = 1.0 if tensor.ndim == 1 else 0.0
        parts.append(rng.normal(mean, 0.2, tensor.numel()).clip(-0.5, 1.5) + (tensor.ndim == 1) * 0.1)
    path = cfg.with_suffix(".weights")
    path.write_bytes(HEADER + np.concatenate(parts).astype("<f4").tobytes())
    return path


@pytest.fixture
def detector(cfg: Path, weights: Path) -> Detector:
    return from_cfg(cfg, weights, ["ant", "bee"])


def numbers_in(weights: Path) -> WeightsReader:
    return WeightsReader(np.frombuffer(weights.read_bytes(), "<f4", offset=len(HEADER)).copy())


class TestSeparableNetwork:
    """Grouped, depthwise and dilated convolutions, squeeze-and-excitation, slices, both kinds of pools, two levels."""

    def test_equals_the_reference_implementation(self, detector: Detector, weights: Path) -> None:
        images, reader = torch.rand(1, 3, 96, 64), numbers_in(weights)
        with torch.inference_mode():
            expected = separable_reference(reader, images)
            assert reader.left.numel() == 0
            maps = detector(images)
            boxes, scores = detector.forward_decoded(images)
        assert [m.shape for m in maps] == [(1, 3, 12, 8, 7), (1, 2, 6, 4, 7)]
        for actual, wanted in zip(maps, expected, strict=True):
            torch.testing.assert_close(actual.permute(0, 1, 4, 2, 3).flatten(1, 2), wanted, rtol=0, atol=1e-4)
        fine, coarse = decoded(expected[0], 8, (0, 3, 4), 1.1), decoded(expected[1], 16, (1, 2), 1.0)
        torch.testing.assert_close(boxes[0], torch.cat([fine[0], coarse[0]]), rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(scores[0], torch.cat([fine[1], coarse[1]]), rtol=0, atol=1e-4)

    def test_has_the_properties_of_the_cfg(self, detector: Detector) -> None:
        assert (detector.family, detector.variant, detector.class_names) == ("yolov4", "separable", ("ant", "bee"))
        assert (detector.input_spec.size, detector.input_spec.dynamic, detector.stride) == ((96, 64), True, 16)
        assert detector.input_spec.letterbox.align == "stretch"
        assert not detector.training

    def test_deployed_form_gives_the_same_maps(self, detector: Detector) -> None:
        images = torch.rand(2, 3, 64, 96)
        deployed = detector.deploy()
        assert sum(p.numel() for p in deployed.parameters()) == sum(p.numel() for p in detector.parameters()) - 48
        with torch.inference_mode():
            torch.testing.assert_close(deployed(images), detector(images), rtol=0, atol=1e-4)

    def test_all_parameters_get_gradients(self, detector: Detector) -> None:
        sum(m.square().mean() for m in detector.train()(torch.rand(2, 3, 96, 64))).backward()
        assert all(p.grad is not None for p in detector.parameters())

    @pytest.mark.slow
    def test_exports_in_fp16(self, detector: Detector, tmp_path: Path) -> None:
        card = build_export_card(detector, "separable", precision="fp16", candidates=128)
        report = write_model(detector, card, tmp_path / "separable.onnx")
        assert report.detections > 0
        assert (card.stride, card.dynamic_size, card.thresholds.multi_label_below) == (16, True, 1.0)

    def test_import_explain_describes_the_network(
        self, cfg: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        models = tmp_path / "models"
        command = ["import", str(weights), "--cfg", str(cfg), "--repository", str(models), "--explain"]
        assert main(command) == 0
        printed = capsys.readouterr().out
        assert "separable: the network in separable.cfg, with the head of yolov4 at strides 8, 16" in printed
        assert "2 classes; the file has no names for them" in printed
        assert "family yolov4, variant separable, input 64 x 96; nothing was published" in printed
        assert not models.exists()

    @pytest.mark.slow
    def test_import_publishes_the_network(self, cfg: Path, weights: Path, tmp_path: Path) -> None:
        models = tmp_path / "models"
        command = ["import", str(weights), "--cfg", str(cfg), "--repository", str(models), "--candidates", "128"]
        assert main(command) == 0
        card = Repository(models).resolve("separable").card
        assert (card.family, card.variant, card.class_names) == ("yolov4", "separable", ("class0", "class1"))

    def test_import_without_cfg_is_an_error(self, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["import", str(weights), "--explain"]) == 2
        assert "no variant has a file of" in capsys.readouterr().err

    def test_untrained_network_is_finite(self, cfg: Path) -> None:
        with torch.inference_mode():
            assert all(m.isfinite().all() for m in from_cfg(cfg)(torch.rand(1, 3, 96, 64)))

    @pytest.mark.parametrize("change", [-1, 1])
    def test_weights_of_another_size_are_refused(self, cfg: Path, weights: Path, change: int) -> None:
        count = numbers_in(weights).left.numel()
        weights.write_bytes(HEADER + bytes(4 * (count + change)))
        with pytest.raises(LineageError, match=rf"the {count:,} floats .*separable\.cfg; .*has {count + change:,}"):
            from_cfg(cfg, weights)

    def test_class_names_must_match_the_class_count(self, cfg: Path) -> None:
        with pytest.raises(LineageError, match="names of its 2 classes; got 1"):
            from_cfg(cfg, class_names=["ant"])

    def test_cfg_requires_a_weights_file(self, cfg: Path, tmp_path: Path) -> None:
        torch.save({}, tmp_path / "x.pt")
        with pytest.raises(LineageError, match=r"x\.pt: expected a `\.weights` file"):
            load_checkpoint(tmp_path / "x.pt", cfg=cfg)


def test_dynamic_size_is_detected(tmp_path: Path) -> None:
    layers = "[convolutional]\nfilters=7\nsize=3\nstride=3\nactivation=linear\n" + YOLO
    assert detector_of(tmp_path, layers, "[net]\nwidth=96\nheight=96\n").input_spec.dynamic
    valid = "[convolutional]\nfilters=7\nsize=17\nstride=16\nactivation=linear\n" + YOLO  # 96 -> 5, 97 -> 6
    with pytest.raises(LineageError, match="whole square cells"):
        detector_of(tmp_path, valid, "[net]\nwidth=96\nheight=96\n")
    pooled = "[convolutional]\nfilters=7\nsize=1\nactivation=linear\n[connected]\noutput=7\nactivation=linear\n" + YOLO
    assert not detector_of(tmp_path, pooled, "[net]\nwidth=32\nheight=32\n").input_spec.dynamic


@pytest.mark.parametrize(("option", "align"), [("letter_box=1\n", "center"), ("letter_box=0\n", "stretch"), ("", None)])
def test_letterbox_option_and_default(tmp_path: Path, option: str, align: str | None) -> None:
    layers = CONV.format(7, "linear") + YOLO
    assert detector_of(tmp_path, layers, NET + option).input_spec.letterbox.align == (align or "center")
    layers += "scale_x_y=1.05\n"
    assert detector_of(tmp_path, layers, NET + option).input_spec.letterbox.align == (align or "stretch")


@torch.inference_mode()
def test_weights_file_contains_the_cfg(tmp_path: Path) -> None:
    (tmp_path / "my.v2.cfg").write_text(NET + "letter_box=0\n" + SEPARABLE)
    detector = from_cfg(tmp_path / "my.v2.cfg", class_names=["ant", "bée"])
    (tmp_path / "my.v2.cfg").unlink()
    detector.resize((64, 128))
    assert_survives_saving(detector, tmp_path)
    with pytest.raises(LineageError, match="expected a detector in its training form"):
        store.save(detector.deploy(), tmp_path / "deployed.safetensors")
