"""`.weights` files are read, and invalid ones rejected."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.weights.importers import from_darknet
from model_zoo.weights.importers.darknet.weights_file import read_weights
from tests.model_zoo.weights.importers.darknet.weights_files import VERSION_1, VERSION_2, write


@pytest.mark.parametrize("header", [VERSION_1, VERSION_2])
def test_header_version_sets_the_size_of_seen(tmp_path: Path, header: bytes) -> None:
    path = write(tmp_path / "x.weights", np.float32([1.5, 2.5]), header)
    header, numbers = read_weights(path)
    assert header.seen == 7
    assert numbers.tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"short", "got a text file that starts with 'short': 5 bytes"),
        (VERSION_2 + b"odd", "truncated"),
        (struct.pack("<3iq", 0, 2000, 0, 7), "transposed"),
        (struct.pack("<3iq", -1, 2, 0, 7), r"got a file that starts with [^(]*$"),
        (struct.pack("<3iq", 1 << 30, 2, 0, 7), r"got a file that starts with [^(]*$"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "Darknet `.weights` file"),
    ],
)
def test_invalid_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.weights"
    path.write_bytes(content)
    with pytest.raises(LineageError, match=message):
        from_darknet("yolov3-test", path)


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="cannot be read"):
        from_darknet("yolov3", tmp_path / "none.weights")
