"""Cfg files are parsed whatever their encoding, and set the options of a variant."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model_zoo import registry
from model_zoo.contract.errors import LineageError
from model_zoo.weights.importers import from_cfg, from_darknet, load_checkpoint
from model_zoo.weights.importers.darknet.layer_orders import LAYER_ORDERS
from model_zoo.weights.importers.darknet.weights_file import tensors
from tests.model_zoo.weights.importers.darknet.cfgs import END, NET, YOLO
from tests.model_zoo.weights.importers.darknet.weights_files import VERSION_2, numbers_of, write


def test_binary_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.cfg").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with pytest.raises(LineageError, match="line 1: expected"):
        from_cfg(tmp_path / "x.cfg")
    with pytest.raises(LineageError, match="cannot be read"):
        from_cfg(tmp_path / "none.cfg")


def test_comments_may_have_any_encoding(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + NET.encode() + "# 卷积\n; \n".encode("gbk") + END.encode()
    (tmp_path / "x.cfg").write_bytes(text)
    assert from_cfg(tmp_path / "x.cfg").head.num_classes == 2


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of yolov3-test with 80 classes."""
    torch.manual_seed(0)
    detector = registry.build("yolov3-test")
    return write(tmp_path / "some.weights", numbers_of(detector, LAYER_ORDERS["yolov3-test"]))


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
    """A cfg sets anchors, class count and input size of a variant."""

    def test_anchors_and_size_are_set(self, tmp_path: Path, weights: Path) -> None:
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
        ("before", "after", "message"),
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
    def test_invalid_cfg_is_refused(self, tmp_path: Path, weights: Path, before: str, after: str, message: str) -> None:
        (tmp_path / "x.cfg").write_text(CFG.replace(before, after))
        with pytest.raises(LineageError, match=message):
            from_darknet("yolov3-test", weights, cfg=tmp_path / "x.cfg")


def test_cfg_with_a_variant_sets_anchors_and_size(tmp_path: Path) -> None:
    detector = registry.build("yolov3-test", num_classes=2)
    numbers = [t.detach().flatten() for t in tensors(detector, LAYER_ORDERS["yolov3-test"])]
    weights, cfg = tmp_path / "x.weights", tmp_path / "x.cfg"
    weights.write_bytes(VERSION_2 + torch.cat(numbers).numpy().astype("<f4").tobytes())
    cfg.write_text(NET + 3 * YOLO.replace("mask=0", "mask=0,0,0"))
    imported = load_checkpoint(weights, "yolov3-test", cfg)
    assert (imported.variant, imported.detector.input_spec.size) == ("yolov3-test", (96, 64))
    assert imported.detector.head.anchors.unique().tolist() == [10, 14]
