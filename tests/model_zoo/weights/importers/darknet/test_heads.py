"""Heads of a cfg decode like the generation that introduced them."""

from __future__ import annotations

from pathlib import Path

import torch

from model_zoo.weights.importers.darknet.weights_file import tensors
from tests.model_zoo.weights.importers.darknet.cfgs import CONV, YOLO, detector_of


def test_new_coords_are_decoded_from_logits(tmp_path: Path) -> None:
    detector = detector_of(tmp_path, CONV.format(7, "logistic") + YOLO + "scale_x_y=2\nnew_coords=1\n")
    images = torch.rand(1, 3, 96, 64)
    with torch.inference_mode():
        p = detector(images)[0][0, 0, 5, 9].sigmoid()
        boxes, scores = (t[0, 5 * 64 + 9] for t in detector.forward_decoded(images))
    center, half = 2 * p[:2] - 0.5 + torch.tensor([9, 5]), (2 * p[2:4]) ** 2 * torch.tensor([10, 14]) / 2
    torch.testing.assert_close(boxes, torch.cat([center - half, center + half]))
    torch.testing.assert_close(scores, p[4] * p[5:])
    assert detector.family == "yolov4"


def test_region_anchors_are_in_cells(tmp_path: Path) -> None:
    region = "[region]\nanchors=1,2, 3,4\nclasses=2\nnum=2\ncoords=4\nsoftmax=1\n"
    detector = detector_of(tmp_path, "[reorg3d]\nstride=8\n" + CONV.format(14, "linear") + region)
    assert (detector.family, detector.head.strides) == ("yolov2", (8,))
    with torch.inference_mode():
        boxes, scores = detector.forward_decoded(torch.zeros(1, 3, 96, 64))
        raw = detector(torch.zeros(1, 3, 96, 64))[0]
    torch.testing.assert_close(boxes[0, -1, 2] - boxes[0, -1, 0], raw[0, 1, -1, -1, 2].exp() * 24)
    torch.testing.assert_close(scores.sum(2).flatten(), raw[..., 4].sigmoid().flatten())


def test_yolov1_outputs_a_vector(tmp_path: Path) -> None:
    layers = (
        "[maxpool]\nsize=8\nstride=8\n[local]\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=leaky\n[dropout]\n"
        "[connected]\noutput=108\nactivation=linear\n"
        "[detection]\nclasses=2\nnum=2\ncoords=4\nside=3\nsoftmax=0\nsqrt=1\n"
    )
    detector = detector_of(tmp_path, layers, "[net]\nwidth=24\nheight=24\n")
    assert (detector.family, detector.head.strides, detector.input_spec.dynamic) == ("yolov1", (8,), False)
    with torch.inference_mode():
        assert [m.shape for m in detector(torch.rand(2, 3, 24, 24))] == [(2, 108)]
        boxes, scores = detector.forward_decoded(torch.rand(2, 3, 24, 24))
    assert (boxes.shape, scores.shape) == ((2, 18, 4), (2, 18, 2))
    numbers = [t.shape for t in tensors(detector.backbone, ("",))]
    assert numbers == [(4, 3, 3), (9, 4, 3, 3, 3), (108,), (108, 36)]
