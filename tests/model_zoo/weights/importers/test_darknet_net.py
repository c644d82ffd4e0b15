"""Detectors of a cfg: against plain torch, through the command line, and every wrong cfg with an answer that helps."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lineage.cli.main import main
from model_zoo import registry
from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Repository
from model_zoo.detector import Detector
from model_zoo.export.card import build_export_card
from model_zoo.export.write_model import write_model
from model_zoo.weights import store
from model_zoo.weights.importers import from_cfg, load_checkpoint
from model_zoo.weights.importers.darknet.cfg import MAX_SECTIONS, read_cfg
from model_zoo.weights.importers.darknet.layer_orders import LAYER_ORDERS
from model_zoo.weights.importers.darknet.layers import ACTIVATIONS, KINDS, MAX_WEIGHTS, build_layer
from model_zoo.weights.importers.darknet.plan import MAX_SIDE
from model_zoo.weights.importers.darknet.weights_file import tensors
from tests.conftest import ROOT
from tests.model_zoo.weights.importers.originals import assert_kept

HEADER = struct.pack("<3iq", 0, 2, 5, 7)
ANCHORS = ((10, 14), (23, 27), (37, 58), (30, 20), (12, 40))
NET = "[net]\nwidth = 64\nheight = 96\nchannels = 3\nbatch = 64\nsubdivisions = 8\nbatch = 1\n"
SEPARABLE = """
# a stem, a depthwise convolution, a pointwise one, and around both
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=relu6
[convolutional]
batch_normalize=1
groups=8
filters=8
size=3
stride=1
pad=1
activation=relu6
[convolutional]
batch_normalize=1
filters=8
size=1
stride=1
activation=linear
[shortcut]
from=-3
activation=relu

# squeeze and excite
[avgpool]
[convolutional]
filters=4
size=1
activation=swish
[convolutional]
filters=8
size=1
activation=logistic
[scale_channels]
from=-4

[maxpool]
size=2
stride=2
[convolutional]
batch_normalize=1
filters=16
groups=2
size=3
stride=2
pad=1
activation=mish
[route]
layers=-1
groups=2
group_id=1
[convolutional]
batch_normalize=1
filters=8
size=3
dilation=2
pad=1
activation=leaky
[route]
layers=-1, 9

[maxpool]
size=4
stride=2
[convolutional]
filters=14
size=1
activation=linear
[yolo]
mask=1,2
anchors=10,14, 23,27, 37,58, 30,20, 12,40
classes=2
ignore_thresh=.7

[route]
layers=-3
[upsample]
stride=2
[route]
layers=-1, 12
[convolutional]
filters=21
size=3
padding=1
activation=linear
[yolo]
mask=0,3,4
anchors=10,14, 23,27, 37,58, 30,20, 12,40
classes=2
scale_x_y=1.1
"""


class Numbers:
    """A `.weights` file read by hand, for a network that is written out."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.left = torch.from_numpy(numbers)

    def take(self, *shape: int) -> Tensor:
        count = int(np.prod(shape))
        taken, self.left = self.left[:count], self.left[count:]
        return taken.view(shape)

    def conv(self, x: Tensor, filters: int, size: int, **how: int) -> Tensor:
        """A convolution with bias."""
        bias = self.take(filters)
        weight = self.take(filters, x.shape[1] // how.get("groups", 1), size, size)
        return F.conv2d(x, weight, bias, padding=size // 2, **how)

    def normalized(self, x: Tensor, filters: int, size: int, dilation: int = 1, **how: int) -> Tensor:
        beta, gamma, mean, var = (self.take(filters) for _ in range(4))
        weight = self.take(filters, x.shape[1] // how.get("groups", 1), size, size)
        x = F.conv2d(x, weight, padding=size // 2 * dilation, dilation=dilation, **how)
        shape = (1, filters, 1, 1)
        return (x - mean.view(shape)) / torch.sqrt(var.view(shape) + 1e-5) * gamma.view(shape) + beta.view(shape)


def separable(n: Numbers, x: Tensor) -> tuple[Tensor, Tensor]:
    """The network of SEPARABLE, by hand: the maps of strides 8 and 16."""
    stem = n.normalized(x, 8, 3, stride=2).clamp(0, 6)
    deep = n.normalized(n.normalized(stem, 8, 3, groups=8).clamp(0, 6), 8, 1)
    around = (deep + stem).relu()
    squeezed = n.conv(around.mean((2, 3), keepdim=True), 4, 1)
    excited = n.conv(squeezed * squeezed.sigmoid(), 8, 1).sigmoid() * around
    pooled = excited.unflatten(3, (-1, 2)).amax(4).unflatten(2, (-1, 2)).amax(3)
    wide = n.normalized(pooled, 16, 3, stride=2, groups=2)
    wide = wide * torch.tanh(F.softplus(wide))
    far = F.leaky_relu(n.normalized(wide[:, 8:], 8, 3, dilation=2), 0.1)
    fine = torch.cat([far, wide], 1)
    # of a border of 3 one is on the left and at the top
    coarse = F.pad(fine, (1, 2, 1, 2), value=-torch.inf).unfold(2, 4, 2).unfold(3, 4, 2).amax((4, 5))
    coarse_map = n.conv(coarse, 14, 1)
    joined = torch.cat([coarse.repeat_interleave(2, 2).repeat_interleave(2, 3), fine], 1)
    return n.conv(joined, 21, 3), coarse_map


def decoded(raw: Tensor, stride: int, mask: tuple[int, ...], reach: float) -> tuple[Tensor, Tensor]:
    """Boxes and scores of one map (1, A * 7, h, w), anchor by anchor and cell by cell."""
    boxes, scores = [], []
    for which, anchor in enumerate(mask):
        for row in range(raw.shape[2]):
            for column in range(raw.shape[3]):
                x, y, w, h, *rest = raw[0, 7 * which : 7 * which + 7, row, column]
                cx = (reach * x.sigmoid() - (reach - 1) / 2 + column) * stride
                cy = (reach * y.sigmoid() - (reach - 1) / 2 + row) * stride
                half_w, half_h = w.exp() * ANCHORS[anchor][0] / 2, h.exp() * ANCHORS[anchor][1] / 2
                boxes.append(torch.stack([cx - half_w, cy - half_h, cx + half_w, cy + half_h]))
                scores.append(torch.stack(rest[1:]).sigmoid() * rest[0].sigmoid())
    return torch.stack(boxes), torch.stack(scores)


@pytest.fixture
def cfg(tmp_path: Path) -> Path:
    path = tmp_path / "separable.cfg"
    path.write_text(NET + SEPARABLE)
    return path


@pytest.fixture
def weights(cfg: Path) -> Path:
    """Numbers as of a trained network: variances are positive, filters small."""
    rng = np.random.default_rng(0)
    parts = []
    for tensor in tensors(from_cfg(cfg).backbone, ("",)):
        around = 1.0 if tensor.ndim == 1 else 0.0
        parts.append(rng.normal(around, 0.2, tensor.numel()).clip(-0.5, 1.5) + (tensor.ndim == 1) * 0.1)
    path = cfg.with_suffix(".weights")
    path.write_bytes(HEADER + np.concatenate(parts).astype("<f4").tobytes())
    return path


@pytest.fixture
def detector(cfg: Path, weights: Path) -> Detector:
    return from_cfg(cfg, weights, ["ant", "bee"])


def numbers_in(weights: Path) -> Numbers:
    return Numbers(np.frombuffer(weights.read_bytes(), "<f4", offset=len(HEADER)).copy())


class TestASeparableNetwork:
    """Grouped, depthwise and dilated convolutions, excitation, slices, pools of both kinds, levels coarse to fine."""

    def test_is_the_network_written_by_hand(self, detector: Detector, weights: Path) -> None:
        images, by_hand = torch.rand(1, 3, 96, 64), numbers_in(weights)
        with torch.inference_mode():
            expected = separable(by_hand, images)
            assert by_hand.left.numel() == 0
            maps = detector(images)
            boxes, scores = detector.forward_decoded(images)
        assert [m.shape for m in maps] == [(1, 3, 12, 8, 7), (1, 2, 6, 4, 7)]
        for ours, theirs in zip(maps, expected, strict=True):
            torch.testing.assert_close(ours.permute(0, 1, 4, 2, 3).flatten(1, 2), theirs, rtol=0, atol=1e-4)
        fine, coarse = decoded(expected[0], 8, (0, 3, 4), 1.1), decoded(expected[1], 16, (1, 2), 1.0)
        torch.testing.assert_close(boxes[0], torch.cat([fine[0], coarse[0]]), rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(scores[0], torch.cat([fine[1], coarse[1]]), rtol=0, atol=1e-4)

    def test_is_a_detector_like_any_other(self, detector: Detector) -> None:
        assert (detector.family, detector.variant, detector.class_names) == ("yolov4", "separable", ("ant", "bee"))
        assert (detector.input_spec.size, detector.input_spec.dynamic, detector.stride) == ((96, 64), True, 16)
        assert detector.input_spec.letterbox.align == "stretch"
        assert not detector.training

    def test_deploys_with_the_same_numbers(self, detector: Detector) -> None:
        images = torch.rand(2, 3, 64, 96)
        deployed = detector.deploy()
        assert sum(p.numel() for p in deployed.parameters()) == sum(p.numel() for p in detector.parameters()) - 48
        with torch.inference_mode():
            torch.testing.assert_close(deployed(images), detector(images), rtol=0, atol=1e-4)

    def test_learns(self, detector: Detector) -> None:
        sum(m.square().mean() for m in detector.train()(torch.rand(2, 3, 96, 64))).backward()
        assert all(p.grad is not None for p in detector.parameters())

    @pytest.mark.slow
    def test_exports_in_half_precision(self, detector: Detector, tmp_path: Path) -> None:
        card = build_export_card(detector, "separable", precision="fp16", candidates=128)
        report = write_model(detector, card, tmp_path / "separable.onnx")
        assert report.detections > 0
        assert (card.stride, card.dynamic_size, card.thresholds.multi_label_below) == (16, True, 1.0)

    def test_is_explained_on_the_command_line(
        self, cfg: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        models = tmp_path / "models"
        command = ["import", str(weights), "--cfg", str(cfg), "--repository", str(models), "--explain"]
        assert main(command) == 0
        told = capsys.readouterr().out
        assert "separable: the network in separable.cfg, with the head of yolov4 at strides 8, 16" in told
        assert "2 classes; the file has no names for them" in told
        assert "family yolov4, variant separable, input 96 x 64; nothing was published" in told
        assert not models.exists()

    @pytest.mark.slow
    def test_comes_in_by_the_command_line(self, cfg: Path, weights: Path, tmp_path: Path) -> None:
        models = tmp_path / "models"
        command = ["import", str(weights), "--cfg", str(cfg), "--repository", str(models), "--candidates", "128"]
        assert main(command) == 0
        card = Repository(models).resolve("separable").card
        assert (card.family, card.variant, card.class_names) == ("yolov4", "separable", ("class0", "class1"))

    def test_without_a_cfg_its_weights_are_of_no_known_network(
        self, weights: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["import", str(weights), "--explain"]) == 2
        assert "no variant has a file of" in capsys.readouterr().err

    def test_untrained_it_has_numbers_of_its_own(self, cfg: Path) -> None:
        with torch.inference_mode():
            assert all(m.isfinite().all() for m in from_cfg(cfg)(torch.rand(1, 3, 96, 64)))

    @pytest.mark.parametrize("change", [-1, 1])
    def test_weights_of_another_size_are_refused_with_both_counts(self, cfg: Path, weights: Path, change: int) -> None:
        count = numbers_in(weights).left.numel()
        weights.write_bytes(HEADER + bytes(4 * (count + change)))
        with pytest.raises(LineageError, match=rf"the {count:,} floats .*separable\.cfg; .*has {count + change:,}"):
            from_cfg(cfg, weights)

    def test_names_must_be_those_of_its_classes(self, cfg: Path) -> None:
        with pytest.raises(LineageError, match="names of its 2 classes; got 1"):
            from_cfg(cfg, class_names=["ant"])

    def test_a_cfg_belongs_to_a_weights_file(self, cfg: Path, tmp_path: Path) -> None:
        (tmp_path / "x.pt").write_bytes(b"?")
        with pytest.raises(LineageError, match=r"x\.pt: expected a `\.weights` file"):
            load_checkpoint(tmp_path / "x.pt", cfg=cfg)


CONV = "[convolutional]\nfilters={}\nsize=1\nactivation={}\n"
YOLO = "[yolo]\nmask=0\nanchors=10,14\nclasses=2\n"


def detector_of(tmp_path: Path, layers: str, net: str = NET) -> Detector:
    (tmp_path / "x.cfg").write_text(net + layers)
    return from_cfg(tmp_path / "x.cfg")


def maps_of(tmp_path: Path, layers: str, images: Tensor) -> Tensor:
    """What the layers give, seen through a detector that keeps them as they are."""
    detector = detector_of(tmp_path, layers + CONV.format(7, "linear") + YOLO)
    seen: list[Tensor] = []
    detector.backbone.layers[-3].register_forward_hook(lambda *arguments: seen.append(arguments[2]))
    with torch.inference_mode():
        detector(images)
    return seen[0]


def test_reorg3d_puts_pixels_of_a_block_beside_each_other(tmp_path: Path) -> None:
    images = torch.rand(1, 3, 96, 64)
    found = maps_of(tmp_path, "[reorg3d]\nstride=2\n", images)
    phases = [images[..., y::2, x::2] for y in (0, 1) for x in (0, 1)]
    torch.testing.assert_close(found, torch.cat(phases, 1), rtol=0, atol=0)


FORMULAS = {
    "leaky": lambda x: torch.where(x > 0, x, 0.1 * x),
    "linear": lambda x: x,
    "logistic": lambda x: 1 / (1 + torch.exp(-x)),
    "mish": lambda x: x * torch.tanh(torch.log1p(torch.exp(x))),
    "relu": lambda x: x.clamp(min=0),
    "relu6": lambda x: x.clamp(0, 6),
    "swish": lambda x: x / (1 + torch.exp(-x)),
    "tanh": lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_their_formulas(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.cfg").write_text(f"{NET}[shortcut]\nfrom=-2,-3\nactivation={name}\n")
    x = torch.linspace(-3, 3, 64).view(1, 1, 8, 8)
    shortcut = build_layer(read_cfg(tmp_path / "x.cfg")[1], [x, x, x])
    torch.testing.assert_close(shortcut(x, x, x), FORMULAS[name](3 * x), rtol=0, atol=1e-5)


def test_sam_multiplies_two_maps(tmp_path: Path) -> None:
    same = "[maxpool]\nsize=1\nstride=1\n"
    images = torch.rand(1, 3, 96, 64)
    found = maps_of(tmp_path, 2 * same + "[sam]\nfrom=0\nactivation=logistic\n", images)
    torch.testing.assert_close(found, (images * images).sigmoid())


@pytest.mark.parametrize(
    ("layers", "size", "stride", "padding"),
    [
        ("[maxpool]\nsize=2\nstride=1\n", 2, 1, (0, 1, 0, 1)),
        ("[maxpool]\nsize=5\nstride=1\n", 5, 1, (2, 2, 2, 2)),
        ("[maxpool]\nsize=3\nstride=2\npadding=0\n", 3, 2, (0, 0, 0, 0)),
        ("[maxpool]\nsize=3\nstride=3\npadding=1\n", 3, 3, (0, 1, 0, 1)),
        ("[maxpool]\nsize=6\nstride=3\n", 6, 3, (2, 3, 2, 3)),
        ("[maxpool]\nsize=2\nstride=2\n", 2, 2, (0, 1, 0, 1)),
    ],
)
@pytest.mark.parametrize("sides", [(24, 36), (25, 23)])
def test_pools_divide_their_border_as_darknet_does(
    tmp_path: Path, layers: str, size: int, stride: int, padding: tuple[int, ...], sides: tuple[int, int]
) -> None:
    (tmp_path / "x.cfg").write_text(NET + layers)
    x = torch.randn(1, 2, *sides) - 5
    pool = build_layer(read_cfg(tmp_path / "x.cfg")[1], [x])
    windows = F.pad(x, padding, value=-torch.inf).unfold(2, size, stride).unfold(3, size, stride)
    torch.testing.assert_close(pool(x), windows.amax((4, 5)), rtol=0, atol=0)


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


def test_anchors_of_region_are_in_cells(tmp_path: Path) -> None:
    region = "[region]\nanchors=1,2, 3,4\nclasses=2\nnum=2\ncoords=4\nsoftmax=1\n"
    detector = detector_of(tmp_path, "[reorg3d]\nstride=8\n" + CONV.format(14, "linear") + region)
    assert (detector.family, detector.head.strides) == ("yolov2", (8,))
    with torch.inference_mode():
        boxes, scores = detector.forward_decoded(torch.zeros(1, 3, 96, 64))
        raw = detector(torch.zeros(1, 3, 96, 64))[0]
    torch.testing.assert_close(boxes[0, -1, 2] - boxes[0, -1, 0], raw[0, 1, -1, -1, 2].exp() * 24)
    torch.testing.assert_close(scores.sum(2).flatten(), raw[..., 4].sigmoid().flatten())


def test_yolov1_ends_in_a_vector(tmp_path: Path) -> None:
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


def test_a_network_that_takes_one_size_says_so(tmp_path: Path) -> None:
    layers = "[convolutional]\nfilters=7\nsize=3\nstride=3\nactivation=linear\n" + YOLO
    assert detector_of(tmp_path, layers, "[net]\nwidth=96\nheight=96\n").input_spec.dynamic
    valid = "[convolutional]\nfilters=7\nsize=17\nstride=16\nactivation=linear\n" + YOLO  # 96 -> 5, 97 -> 6
    with pytest.raises(LineageError, match="whole square cells"):
        detector_of(tmp_path, valid, "[net]\nwidth=96\nheight=96\n")
    pooled = "[convolutional]\nfilters=7\nsize=1\nactivation=linear\n[connected]\noutput=7\nactivation=linear\n" + YOLO
    assert not detector_of(tmp_path, pooled, "[net]\nwidth=32\nheight=32\n").input_spec.dynamic


@pytest.mark.parametrize(("option", "align"), [("letter_box=1\n", "center"), ("letter_box=0\n", "stretch"), ("", None)])
def test_the_letterbox_is_the_cfgs_or_the_generations(tmp_path: Path, option: str, align: str | None) -> None:
    layers = CONV.format(7, "linear") + YOLO
    assert detector_of(tmp_path, layers, NET + option).input_spec.letterbox.align == (align or "center")
    layers += "scale_x_y=1.05\n"
    assert detector_of(tmp_path, layers, NET + option).input_spec.letterbox.align == (align or "stretch")


@torch.inference_mode()
def test_it_is_kept_with_its_cfg(tmp_path: Path) -> None:
    (tmp_path / "my.v2.cfg").write_text(NET + "letter_box=0\n" + SEPARABLE)
    detector = from_cfg(tmp_path / "my.v2.cfg", class_names=["ant", "bée"])
    (tmp_path / "my.v2.cfg").unlink()
    detector.resize((64, 128))
    assert_kept(detector, tmp_path)
    with pytest.raises(LineageError, match="expected a detector in its training form"):
        store.save(detector.deploy(), tmp_path / "deployed.safetensors")


END = CONV.format(7, "linear") + YOLO
WRONG = {
    "an unknown section": (
        "[crnn]\n" + END,
        r"x\.cfg: line 8: \[crnn\]: .* one of the sections convolutional, maxpool",
    ),
    "a classifier": ("[softmax]\n" + END, r"line 8: \[softmax\]: expected one of the sections"),
    "a second net": ("[net]\n" + END, r"line 8: \[net\]: expected one of the sections"),
    "an unknown option": (
        "[maxpool]\nsize=2\nmaxpool_depth=1\n" + END,
        r"line 10: .*unknown option maxpool_depth; .*size",
    ),
    "two values": ("[maxpool]\nsize=2\nsize=3\n" + END, r"line 10: .* one value for size"),
    "no filters": ("[convolutional]\nsize=1\nactivation=relu\n" + END, r"line 8: .*a number for filters; got ''"),
    "an unknown activation": (CONV.format(7, "gelu") + END, r"line 11: .* one of leaky, .*; got 'gelu'"),
    "no activation": ("[convolutional]\nsize=1\nfilters=2\n" + END, r"line 8: .*activation.*got 'None'"),
    "a fraction": (CONV.format("1.5", "relu") + END, r"line 9: .*integer from 1 to .*filters; got 1\.5"),
    "not a number": (CONV.format("nan", "relu") + END, r"line 9: .*a number for filters; got 'nan'"),
    "infinity": (CONV.format("inf", "relu") + END, r"line 9: .*a number for filters; got 'inf'"),
    "nothing": (CONV.format("0", "relu") + END, r"line 9: .*from 1 to"),
    "groups that do not divide": (CONV.format(8, "relu") + "groups=2\n" + END, r"line 12: .*divide 3 channels and 8"),
    "a route to the future": ("[route]\nlayers=1\n" + END, r"line 9: .*before this one, which is layer 0; got 1"),
    "a route to itself": (CONV.format(7, "relu") + "[route]\nlayers=1\n" + END, r"which is layer 1; got 1"),
    "a route before the start": (CONV.format(7, "relu") + "[route]\nlayers=-2\n" + END, r"got -2"),
    "a route to nothing": ("[route]\n" + END, r"line 8: .*1 to 64 layers in layers; got 0"),
    "a route to a detection": (END + "[route]\nlayers=-1\n" + END, r"layer 1 is a detection"),
    "a layer after a detection": (END + END, r"layer 1 is a detection"),
    "a route of two sizes": (
        "[maxpool]\nsize=2\nstride=2\n[maxpool]\nsize=2\nstride=2\n[route]\nlayers=-1,-2\n" + END,
        r"line 14: .*maps that fit the layer; got 3x24x16, 3x48x32",
    ),
    "a slice that is not there": (
        CONV.format(8, "relu") + "[route]\nlayers=-1\ngroups=2\ngroup_id=2\n" + END,
        "group_id below",
    ),
    "a shortcut of two shapes": (
        CONV.format(8, "relu") + CONV.format(4, "relu") + "[shortcut]\nfrom=-2\nactivation=linear\n" + END,
        r"line 17: .*one shape; got 4x96x64, 8x96x64",
    ),
    "a pool without anything": ("[maxpool]\nsize=3\npadding=3\n" + END, r"line 10: .*below size; got 3"),
    "a filter larger than the map": (
        "[convolutional]\nfilters=2\nsize=99\nactivation=relu\n" + END,
        r"line 8: .*fit the layer; got 3x96x64",
    ),
    "an odd reorg": ("[reorg]\nstride=3\n" + END, r"line 9: .*stride=2"),
    "a map that is not the anchors'": (
        CONV.format(8, "linear") + YOLO,
        r"line 12: .*1 anchors .* = 7 channels; .*outputs 8",
    ),
    "no anchors": (CONV.format(7, "linear") + "[yolo]\nclasses=2\n", r"expected anchors"),
    "flat anchors": (CONV.format(7, "linear") + YOLO.replace("14", "0"), r"line 14: .*positive"),
    "a mask before the first": (
        CONV.format(7, "linear") + YOLO.replace("mask=0", "mask=-1"),
        r"line 13: .*mask of indices",
    ),
    "no detection": (CONV.format(7, "linear"), r"line 1: .*one class count; got 0 layers"),
    "two kinds": (
        END + "[route]\nlayers=-2\n" + CONV.format(7, "linear") + "[region]\nclasses=2\nanchors=1,2\n",
        r"one kind",
    ),
    "probabilities of nowhere": (END + "new_coords=1\nscale_x_y=2\n", r"activation=logistic before it"),
    "probabilities read twice": (
        CONV.format(7, "logistic") + YOLO + "new_coords=1\nscale_x_y=2\n[route]\nlayers=0\n",
        r"the only reader of layer 0",
    ),
    "another new_coords": (
        CONV.format(7, "logistic") + YOLO + "new_coords=1\n",
        r"scale_x_y=2, the only supported value",
    ),
    "no softmax": (
        CONV.format(7, "linear") + "[region]\nanchors=1,2\nclasses=2\nsoftmax=0\ncoords=4\n",
        r"line 15: .*softmax=1",
    ),
    "a line of nothing": ("what\n" + END, r"x\.cfg: line 8: expected \[section\] or option=value; got 'what'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path: Path, name: str) -> None:
    layers, answer = WRONG[name]
    with pytest.raises(LineageError, match=answer):
        detector_of(tmp_path, layers)


@pytest.mark.parametrize(
    ("net", "answer"),
    [
        ("[convolutional]\n", "starts with"),
        ("", "starts with"),
        ("[net]\nwidth=64\n", "a number for height"),
        ("[net]\nwidth=64\nheight=0\n", "height from 1 to 8192 pixels; got 0"),
        ("[net]\nwidth=64\nheight=64\nheight=96\n", "one value for height"),
        ("[net]\nwidth=64\nheight=64\nchannels=1\n", "channels=3"),
        ("[net]\nwidth=100000\nheight=100000\n", "from 1 to 8192 pixels; got 100000"),
    ],
)
def test_a_net_that_cannot_be_is_refused(tmp_path: Path, net: str, answer: str) -> None:
    text = net + END if net else ""
    (tmp_path / "x.cfg").write_text(text)
    with pytest.raises(LineageError, match=answer):
        from_cfg(tmp_path / "x.cfg")


HOSTILE = {
    "many sections": (NET + 100_000 * "[avgpool]\n", "at most 2000 sections|bytes"),
    "many bytes": (NET + 2_000_000 * "#", "at most 1,000,000 bytes"),
    "a long line": (NET + 500_000 * "x", r"got 'x{40}'$"),
    "huge filters": (
        NET + CONV.format(20_000, "relu") + CONV.format(40_000, "relu") + END,
        "at most 400,000,000 weights; it would have",
    ),
    "huger filters": (NET + CONV.format("9" * 400, "relu") + END, "a number for filters; got '9{40}'"),
    "a huge window": (NET + "[convolutional]\nfilters=9999\nsize=99999\npad=1\nactivation=relu\n" + END, "weights"),
    "a huge vector": (NET + "[connected]\noutput=1000000\nactivation=relu\n" + END, "400,000,000 weights"),
    "local filters": (
        "[net]\nwidth=512\nheight=512\n[local]\nfilters=999\nsize=3\nstride=1\npad=1\nactivation=relu\n" + END,
        "400,000,000 weights",
    ),
    "many large layers": (NET + 60 * CONV.format(10_000, "relu") + END, "400,000,000 weights"),
    "a wide map": (NET + CONV.format(100_000, "relu") + END, "at most 268,435,456 values"),
    "many wide maps": (
        NET + 2 * CONV.format(10_000, "relu") + 100 * "[upsample]\nstride=1\n" + END,
        "2,147,483,648 map values",
    ),
    "a map blown up": (NET + 4 * "[upsample]\nstride=1000000\n" + END, "at most|fit the layer"),
    "many sources": (
        NET + CONV.format(7, "relu") + "[route]\nlayers=" + "0," * 100_000 + "\n" + END,
        "1 to 64 layers in layers; got 100000",
    ),
    "many classes": (
        NET + CONV.format(7, "linear") + YOLO.replace("=2\n", "=1000000\n"),
        "channels; the previous layer",
    ),
    "many anchors": (NET + CONV.format(7, "linear") + "[yolo]\nclasses=2\nanchors=" + "1,2," * 99_999, "99999 anchors"),
    "a long name": (NET + f"[{'x' * 500_000}]\n" + END, r"\[x{40}\]: expected one of the sections"),
    "a long option": (NET + f"[maxpool]\n{'x' * 500_000}=1\n" + END, r"unknown option x{40}; expected"),
    "what a terminal obeys": (NET + "[\x1b[2J]\n" + END, r"got '\[\\x1b\[2J\]'"),
    "garbage": (bytes(np.random.default_rng(0).integers(0, 256, 50_000, dtype=np.uint8)).decode("latin-1"), "line 1:"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_absurd_cfgs_are_refused(tmp_path: Path, name: str) -> None:
    text, answer = HOSTILE[name]
    (tmp_path / "x.cfg").write_bytes(text.encode("latin-1"))
    with pytest.raises(LineageError, match=answer) as caught:
        from_cfg(tmp_path / "x.cfg")
    assert len(str(caught.value)) < 500


def test_absurd_cfgs_cost_no_memory(tmp_path: Path) -> None:
    for index, (text, _) in enumerate(HOSTILE.values()):
        (tmp_path / f"{index}.cfg").write_bytes(text.encode("latin-1"))
    program = """
import pathlib, resource, sys
from model_zoo.contract.errors import LineageError
from model_zoo.weights.importers import from_cfg
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in pathlib.Path(sys.argv[1]).glob("*.cfg"):
    try:
        from_cfg(path)
    except LineageError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200_000  # kilobytes


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.cfg").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with pytest.raises(LineageError, match="line 1: expected"):
        from_cfg(tmp_path / "x.cfg")
    with pytest.raises(LineageError, match="cannot be read"):
        from_cfg(tmp_path / "none.cfg")


def test_comments_may_be_of_any_encoding(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + NET.encode() + "# 卷积\n; \n".encode("gbk") + END.encode()
    (tmp_path / "x.cfg").write_bytes(text)
    assert from_cfg(tmp_path / "x.cfg").head.num_classes == 2


def test_with_a_variant_a_cfg_tells_anchors_and_size_alone(tmp_path: Path) -> None:
    detector = registry.build("yolov3-test", num_classes=2)
    numbers = [t.detach().flatten() for t in tensors(detector, LAYER_ORDERS["yolov3-test"])]
    weights, cfg = tmp_path / "x.weights", tmp_path / "x.cfg"
    weights.write_bytes(HEADER + torch.cat(numbers).numpy().astype("<f4").tobytes())
    cfg.write_text(NET + 3 * YOLO.replace("mask=0", "mask=0,0,0"))
    found = load_checkpoint(weights, "yolov3-test", cfg)
    assert (found.variant, found.detector.input_spec.size) == ("yolov3-test", (96, 64))
    assert found.detector.head.anchors.unique().tolist() == [10, 14]


def test_the_documented_sections_and_options_are_those_that_are_known() -> None:
    text = (ROOT / "docs" / "importing.md").read_text(encoding="utf-8")
    _, _, table = text.partition("### Sections")
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    documented = {re.findall(r"`(\w+)`", kind)[0]: re.findall(r"`(\w+)`", options) for kind, options in rows}
    assert documented == {kind: known.options for kind, known in KINDS.items()}
    assert all(f"`{activation}`" in table for activation in ACTIVATIONS)
    assert f"{MAX_SECTIONS:,} sections, {MAX_WEIGHTS // 10**6} million weights and inputs of {MAX_SIDE} pixels" in table
