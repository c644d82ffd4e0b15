"""`.weights` files, written here from small networks: every wrong file has an answer that helps."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from model_zoo import registry
from model_zoo.classifier import CLASSIFIERS, build_classifier
from model_zoo.contract.errors import LineageError
from model_zoo.weights.importers import from_darknet, load_checkpoint
from model_zoo.weights.importers.darknet import load_backbone
from model_zoo.weights.importers.darknet.file_sizes import identify, matching_variants
from model_zoo.weights.importers.darknet.layer_orders import LAYER_ORDERS
from model_zoo.weights.importers.darknet.weights_file import read_weights, tensors

VERSION_1, VERSION_2 = struct.pack("<3ii", 0, 1, 0, 7), struct.pack("<3iq", 0, 2, 0, 7)


def numbers_of(model: torch.nn.Module, order: tuple[str, ...]) -> np.ndarray:
    return torch.cat([t.detach().flatten() for t in tensors(model, order)]).numpy()


def write(path: Path, numbers: np.ndarray, header: bytes = VERSION_2) -> Path:
    path.write_bytes(header + numbers.astype("<f4").tobytes())
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of yolov3-test with 80 classes."""
    torch.manual_seed(0)
    detector = registry.build("yolov3-test")
    return write(tmp_path / "some.weights", numbers_of(detector, LAYER_ORDERS["yolov3-test"]))


@pytest.mark.parametrize("variant", [name for name in LAYER_ORDERS if name not in CLASSIFIERS])
def test_every_number_of_a_network_is_in_its_file_once(variant: str) -> None:
    with torch.device("meta"):
        detector = registry.build(variant)
    found = [id(t) for t in tensors(detector, LAYER_ORDERS[variant])]
    state = detector.state_dict(keep_vars=True)
    expected = [id(t) for key, t in state.items() if not key.endswith((".anchors", ".num_batches_tracked"))]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("header", [VERSION_1, VERSION_2])
def test_the_header_tells_how_wide_seen_is(tmp_path: Path, header: bytes) -> None:
    path = write(tmp_path / "x.weights", np.float32([1.5, 2.5]), header)
    found, numbers = read_weights(path)
    assert found.seen == 7
    assert numbers.tolist() == [1.5, 2.5]


def test_the_class_count_is_read_off_the_size(tmp_path: Path) -> None:
    detector = registry.build("yolov3-test", num_classes=7)
    path = write(tmp_path / "seven.weights", numbers_of(detector, LAYER_ORDERS["yolov3-test"]))
    assert len(from_darknet("yolov3-test", path).class_names) == 7
    assert from_darknet("yolov3-test", path, class_names=tuple("abcdefg")).class_names == tuple("abcdefg")


def test_a_wanted_class_count_is_held_to(weights: Path) -> None:
    size = read_weights(weights)[1].size
    with pytest.raises(LineageError, match=rf"yolov3-test \([\d,]+ with 3 classes\); the file has {size:,}"):
        from_darknet("yolov3-test", weights, num_classes=3)


def test_class_counts_that_disagree_are_refused(weights: Path) -> None:
    with pytest.raises(LineageError, match=r"to agree; got \[2, 80\]"):
        from_darknet("yolov3-test", weights, num_classes=80, class_names=["ant", "bee"])


def test_a_file_of_another_network_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.weights", np.zeros(8_858_734, np.float32))
    with pytest.raises(LineageError, match=r"floats of yolov2-tiny .* the file has 8,858,734\. .*yolov3-tiny with 80"):
        from_darknet("yolov2-tiny", path)


def test_a_file_that_is_cut_off_is_refused(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(LineageError, match="another network or is truncated"):
        from_darknet("yolov3-test", weights)


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"short", "less than a header"),
        (VERSION_2 + b"odd", "truncated"),
        (struct.pack("<3iq", 0, 2000, 0, 7), "transposed"),
        (struct.pack("<3iq", -1, 2, 0, 7), "got version -1.2"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "Darknet `.weights` file"),
    ],
)
def test_what_is_no_weights_file_is_refused(tmp_path: Path, content: bytes, answer: str) -> None:
    path = tmp_path / "x.weights"
    path.write_bytes(content)
    with pytest.raises(LineageError, match=answer):
        from_darknet("yolov3-test", path)


def test_a_file_that_is_not_there_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="cannot be read"):
        from_darknet("yolov3", tmp_path / "none.weights")


def test_a_variant_without_weights_files_is_refused(weights: Path) -> None:
    with pytest.raises(LineageError, match=r"yolov5n \(yolov5\) has no `.weights` files"):
        from_darknet("yolov5n", weights)
    with pytest.raises(LineageError, match="did you mean"):
        from_darknet("yolov33", weights)


PUBLISHED = {  # floats of the official files
    **{"yolov2": 50_983_561, "yolov2-tiny": 11_237_145, "yolov2-tiny-voc": 15_867_885},
    **{"yolov4": 64_429_405, "yolov4-tiny": 6_062_814, "yolov4-csp": 52_986_205, "yolov4x-mish": 99_847_037},
    **{
        "yolov4-p5": 70_917_468,
        "yolov3": 62_001_757,
        "yolov3-tiny": 8_858_734,
        "darknet19": 20_856_776,
        "darknet53": 41_645_640,
    },
}


@pytest.mark.parametrize("variant", PUBLISHED)
def test_official_files_are_recognized_by_their_size(variant: str) -> None:
    assert variant in [name for name, classes in matching_variants(PUBLISHED[variant]) if classes in (20, 80, 1000)]


def test_among_equals_the_name_of_the_file_decides(tmp_path: Path) -> None:
    twenty = PUBLISHED["yolov3"] - 60 * (1024 + 512 + 256 + 3) * 3
    path = write(tmp_path / "yolov3-voc.weights", np.zeros(0))
    os.truncate(path, len(VERSION_2) + 4 * twenty)
    found = identify(path)
    assert found.variant == "yolov3-voc"
    assert "20 classes, as in yolov3" in found.reason


def test_an_unknown_size_is_told(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="no variant has a file of 12 floats"):
        load_checkpoint(write(tmp_path / "x.weights", np.zeros(12, np.float32)))


def test_a_weights_file_is_a_checkpoint_like_any_other(weights: Path) -> None:
    imported = load_checkpoint(weights, "yolov3-test")
    assert imported.variant == "yolov3-test"
    assert imported.notes[0] == "yolov3-test: as requested"


class TestStartBackbone:
    """Pre-training: a classifier's file, or one cut off after the backbone, begins a detector."""

    @pytest.mark.parametrize("rest", [0, 1000 * 33, 7 * 33])
    def test_the_backbone_comes_from_the_file(self, tmp_path: Path, rest: int) -> None:
        donor, detector = registry.build("yolov2-test"), registry.build("yolov2-test")
        numbers = numbers_of(donor, ("backbone",))
        load_backbone(detector, write(tmp_path / "x.weights", np.append(numbers, np.zeros(rest))))
        for got, expected in zip(detector.backbone.parameters(), donor.backbone.parameters(), strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=0)

    @pytest.mark.parametrize("rest", [-1, 1])
    def test_a_file_of_another_size_is_refused(self, tmp_path: Path, rest: int) -> None:
        detector = registry.build("yolov2-test")
        numbers = np.zeros(numbers_of(detector, ("backbone",)).size + rest)
        with pytest.raises(LineageError, match=r"expected 20,265 floats for the backbone of yolov2-test"):
            load_backbone(detector, write(tmp_path / "x.weights", numbers))


@pytest.mark.parametrize(("variant", "params"), [("darknet19", 20_842_376), ("darknet53", 41_609_928)])
def test_a_classifiers_file_gives_its_logits(tmp_path: Path, variant: str, params: int) -> None:
    donor = build_classifier(variant)
    assert sum(p.numel() for p in donor.parameters()) == params
    path = write(tmp_path / "x.weights", numbers_of(donor, LAYER_ORDERS[variant]))
    classifier, images = from_darknet(variant, path), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(classifier(images), donor.eval()(images), rtol=0, atol=0)
    with pytest.raises(LineageError, match="expected a classifier"):
        build_classifier("darknet54")


CFG = """[net]
# a comment = ignored
width = 320
height=352

[yolo]
mask = 6,7,8
anchors = 1,2, 3,4, 5,6, 7,8, 9,10, 11,12, 13,14, 15,16, 17,18
classes=80
[yolo]
mask = 3,4,5
anchors = 1,2, 3,4, 5,6, 7,8, 9,10, 11,12, 13,14, 15,16, 17,18
classes=80
[yolo]
mask = 0,1,2
anchors = 1,2, 3,4, 5,6, 7,8, 9,10, 11,12, 13,14, 15,16, 17,18
classes=80
"""


class TestCfg:
    """A cfg beside the weights tells anchors, classes and size."""

    def test_anchors_and_size_are_the_cfgs(self, tmp_path: Path, weights: Path) -> None:
        (tmp_path / "x.cfg").write_text(CFG)
        detector = from_darknet("yolov3-test", weights, cfg=tmp_path / "x.cfg")
        assert detector.input_spec.size == (352, 320)
        assert detector.head.anchors.flatten().tolist() == list(range(1, 19))

    def test_anchors_in_cells_become_pixels(self, tmp_path: Path) -> None:
        numbers = numbers_of(registry.build("yolov2-test"), LAYER_ORDERS["yolov2-test"])
        anchors = "anchors=1,2, 3,4, 5,6, 7,8, 9,10"
        (tmp_path / "x.cfg").write_text(f"[net]\nwidth=416\nheight=416\n[region]\nclasses=80\n{anchors}\n")
        detector = from_darknet("yolov2-test", write(tmp_path / "x.weights", numbers), cfg=tmp_path / "x.cfg")
        assert detector.head.anchors.flatten().tolist() == [32 * n for n in range(1, 11)]

    @pytest.mark.parametrize(
        ("before", "after", "answer"),
        [
            ("classes=80", "classes=many", r"line 9: \[yolo\]: expected a number for classes; got 'many'"),
            ("[net]", "[convolutional]", "starts with"),
            ("width = 320", "width 320", "line 3"),
            ("mask = 6,7,8", "mask = 6,7,9", "mask of indices into them"),
            ("mask = 6,7,8", "mask = 6,7", "3 anchors per level"),
            ("[yolo]\nmask = 0,1,2", "[other]", "3 detection layers; it has 2"),
            ("classes=80\n[yolo]\nmask = 0", "classes=3\n[yolo]\nmask = 0", "one class count"),
        ],
    )
    def test_a_cfg_that_does_not_fit_is_refused(
        self, tmp_path: Path, weights: Path, before: str, after: str, answer: str
    ) -> None:
        (tmp_path / "x.cfg").write_text(CFG.replace(before, after))
        with pytest.raises(LineageError, match=answer):
            from_darknet("yolov3-test", weights, cfg=tmp_path / "x.cfg")
