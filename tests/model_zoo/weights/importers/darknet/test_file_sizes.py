"""Variants are identified by the size of their `.weights` files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.weights.importers import load_checkpoint
from model_zoo.weights.importers.darknet.file_sizes import identify, matching_variants
from tests.model_zoo.weights.importers.darknet.weights_files import VERSION_2, write

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
def test_official_files_are_identified_by_size(variant: str) -> None:
    assert variant in [name for name, classes in matching_variants(PUBLISHED[variant]) if classes in (20, 80, 1000)]


def test_file_name_breaks_ties(tmp_path: Path) -> None:
    twenty = PUBLISHED["yolov3"] - 60 * (1024 + 512 + 256 + 3) * 3
    path = write(tmp_path / "yolov3-voc.weights", np.zeros(0))
    os.truncate(path, len(VERSION_2) + 4 * twenty)
    identification = identify(path)
    assert identification.variant == "yolov3-voc"
    assert "20 classes, as in yolov3" in identification.reason


def test_unknown_size_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="no variant has a file of 12 floats"):
        load_checkpoint(write(tmp_path / "x.weights", np.zeros(12, np.float32)))
