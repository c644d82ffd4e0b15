"""Invalid and malicious cfgs are rejected with file and line, before memory is allocated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.weights.importers import from_cfg
from tests.model_zoo.weights.importers.darknet.cfgs import CONV, END, NET, YOLO, detector_of

INVALID = {
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
    "zero filters": (CONV.format("0", "relu") + END, r"line 9: .*from 1 to"),
    "groups that do not divide": (CONV.format(8, "relu") + "groups=2\n" + END, r"line 12: .*divide 3 channels and 8"),
    "a route to a later layer": ("[route]\nlayers=1\n" + END, r"line 9: .*before this one, which is layer 0; got 1"),
    "a route to itself": (CONV.format(7, "relu") + "[route]\nlayers=1\n" + END, r"which is layer 1; got 1"),
    "a route before the start": (CONV.format(7, "relu") + "[route]\nlayers=-2\n" + END, r"got -2"),
    "an empty route": ("[route]\n" + END, r"line 8: .*1 to 64 layers in layers; got 0"),
    "a route to a detection": (END + "[route]\nlayers=-1\n" + END, r"layer 1 is a detection"),
    "a layer after a detection": (END + END, r"layer 1 is a detection"),
    "a route of two sizes": (
        "[maxpool]\nsize=2\nstride=2\n[maxpool]\nsize=2\nstride=2\n[route]\nlayers=-1,-2\n" + END,
        r"line 14: .*maps that fit the layer; got 16 x 24 x 3, 32 x 48 x 3",
    ),
    "a missing channel group": (
        CONV.format(8, "relu") + "[route]\nlayers=-1\ngroups=2\ngroup_id=2\n" + END,
        "group_id below",
    ),
    "a shortcut of two shapes": (
        CONV.format(8, "relu") + CONV.format(4, "relu") + "[shortcut]\nfrom=-2\nactivation=linear\n" + END,
        r"line 17: .*one shape; got 64 x 96 x 4, 64 x 96 x 8",
    ),
    "a pool smaller than its padding": ("[maxpool]\nsize=3\npadding=3\n" + END, r"line 10: .*below size; got 3"),
    "a filter larger than the map": (
        "[convolutional]\nfilters=2\nsize=99\nactivation=relu\n" + END,
        r"line 8: .*fit the layer; got 64 x 96 x 3",
    ),
    "an odd reorg": ("[reorg]\nstride=3\n" + END, r"line 9: .*stride=2"),
    "a map of another size than the anchors": (
        CONV.format(8, "linear") + YOLO,
        r"line 12: .*1 anchors .* = 7 channels; .*outputs 8",
    ),
    "no anchors": (CONV.format(7, "linear") + "[yolo]\nclasses=2\n", r"expected anchors"),
    "anchors without height": (CONV.format(7, "linear") + YOLO.replace("14", "0"), r"line 14: .*positive"),
    "a negative mask": (
        CONV.format(7, "linear") + YOLO.replace("mask=0", "mask=-1"),
        r"line 13: .*mask of indices",
    ),
    "no detection": (CONV.format(7, "linear"), r"line 1: .*one class count; got 0 layers"),
    "two kinds": (
        END + "[route]\nlayers=-2\n" + CONV.format(7, "linear") + "[region]\nclasses=2\nanchors=1,2\n",
        r"one kind",
    ),
    "new_coords without logistic": (END + "new_coords=1\nscale_x_y=2\n", r"activation=logistic before it"),
    "new_coords layer read twice": (
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
    "an invalid line": ("what\n" + END, r"x\.cfg: line 8: expected \[section\] or option=value; got 'what'"),
}


@pytest.mark.parametrize("name", INVALID)
def test_errors_name_file_and_line(tmp_path: Path, name: str) -> None:
    layers, message = INVALID[name]
    with pytest.raises(LineageError, match=message):
        detector_of(tmp_path, layers)


@pytest.mark.parametrize(
    ("net", "message"),
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
def test_invalid_net_sections_are_refused(tmp_path: Path, net: str, message: str) -> None:
    text = net + END if net else ""
    (tmp_path / "x.cfg").write_text(text)
    with pytest.raises(LineageError, match=message):
        from_cfg(tmp_path / "x.cfg")


MALICIOUS = {
    "many sections": (NET + 100_000 * "[avgpool]\n", "at most 2000 sections|bytes"),
    "many bytes": (NET + 2_000_000 * "#", "at most 1,000,000 bytes"),
    "a long line": (NET + 500_000 * "x", r"got 'x{40}'$"),
    "huge filters": (
        NET + CONV.format(20_000, "relu") + CONV.format(40_000, "relu") + END,
        "at most 400,000,000 weights; it would have",
    ),
    "a huge number": (NET + CONV.format("9" * 400, "relu") + END, "a number for filters; got '9{40}'"),
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
    "a huge map": (NET + 4 * "[upsample]\nstride=1000000\n" + END, "at most|fit the layer"),
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
    "control characters": (NET + "[\x1b[2J]\n" + END, r"got '\[\\x1b\[2J\]'"),
    "garbage": (bytes(np.random.default_rng(0).integers(0, 256, 50_000, dtype=np.uint8)).decode("latin-1"), "line 1:"),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_malicious_cfgs_are_refused(tmp_path: Path, name: str) -> None:
    text, message = MALICIOUS[name]
    (tmp_path / "x.cfg").write_bytes(text.encode("latin-1"))
    with pytest.raises(LineageError, match=message) as caught:
        from_cfg(tmp_path / "x.cfg")
    assert len(str(caught.value)) < 500


def test_malicious_cfgs_use_little_memory(tmp_path: Path) -> None:
    for index, (text, _) in enumerate(MALICIOUS.values()):
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
