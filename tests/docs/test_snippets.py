"""Every Python block of the documents runs as pasted, each in a process and a folder of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from model_zoo.contract.repository import Repository
from model_zoo.registry import build
from model_zoo.weights.importers.darknet.file_sizes import file_size
from tests.conftest import ROOT
from tests.docs.documents import DOCUMENTS as ALL_DOCUMENTS
from tests.model_zoo.weights.importers import originals, yolov6_keys, yolov7_keys, yolox_keys
from tests.model_zoo.weights.importers.darknet.weights_files import VERSION_2, write
from tests.service.app_client import png
from tests.service.deploy.wire import listening
from tests.tiny_onnx import toy_card, toy_onnx
from tests.training.data.tiny_datasets import make_coco
from tests.training.write_data import write_data
from tests.videos import frame_of, write_video

SERVER = "localhost:8000"
DOCUMENTS = [path for path in ALL_DOCUMENTS if path.name == "README.md" or path.parent != ROOT]
BLOCK = re.compile(r"(?:^<!-- not run: (\S[^\n]*) -->\n)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CFG = """[net]
width=64
height=64
channels=3
[convolutional]
size=3
stride=32
filters=21
activation=linear
[yolo]
anchors=8,8, 16,16, 32,32
classes=2
"""


class Snippet(NamedTuple):
    """A Python block of a document."""

    place: str
    """Document and line."""
    reason: str
    """Why it is not run, empty if it is."""
    source: str
    """The block."""


def snippets() -> list[Snippet]:
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Snippet(f"{path.relative_to(ROOT)}:{line}", match[1] or "", match[2]))
    return found


def save_checkpoint(path: Path, state: dict[str, object]) -> None:
    tensors = {key: torch.as_tensor(value).half() for key, value in state.items()}
    torch.save({"model": tensors}, path)


def save_darknet(path: Path) -> None:
    """Write a sparse file of zeros as large as the variant's weights."""
    path.write_bytes(VERSION_2)
    os.truncate(path, len(VERSION_2) + 4 * file_size(path.stem).floats(20 if "voc" in path.stem else 80))


def save_custom(folder: Path) -> None:
    (folder / "custom.cfg").write_text(CFG)
    write(folder / "custom.weights", np.zeros(21 * (3 * 9 + 1)))


def publish(folder: Path) -> None:
    (folder / "toy.onnx").write_bytes(toy_onnx(toy_card("ui-elements")))
    Repository(folder / "models").publish(toy_card("ui-elements"), {"model.onnx": folder / "toy.onnx"})


# Stand-ins of the files that blocks use, by a string in the block.
FILES: dict[str, Callable[[Path], object]] = {
    '"models"': publish,
    '"yolov5n.onnx"': lambda folder: (folder / "yolov5n.onnx").write_bytes(toy_onnx(toy_card("yolov5n"))),
    '"service/': lambda folder: (folder / "service").symlink_to(ROOT / "service"),
    '"bccd"': lambda folder: make_coco(folder / "bccd"),
    '"data/bccd"': lambda folder: write_data(folder / "data" / "bccd"),
    '"custom.weights"': save_custom,
    '"clip.mp4"': lambda folder: write_video(folder / "clip.mp4", map(frame_of, range(3))),
    '"photo.jpg"': lambda folder: (folder / "photo.jpg").write_bytes(png(np.zeros((48, 64, 3), np.uint8))),
    '"yolov5n.pt"': lambda f: save_checkpoint(f / "yolov5n.pt", originals.original_state(build("yolov5n"))),
    '"yolov6n.pt"': lambda f: save_checkpoint(f / "yolov6n.pt", yolov6_keys.original_state(build("yolov6n"))),
    '"yolov7-tiny.pt"': lambda f: save_checkpoint(
        f / "yolov7-tiny.pt", yolov7_keys.original_state(build("yolov7-tiny"))
    ),
    '"yolox_nano.pth"': lambda f: save_checkpoint(f / "yolox_nano.pth", yolox_keys.original_state(build("yolox-nano"))),
    **{
        f'"{variant}.weights"': lambda folder, name=f"{variant}.weights": save_darknet(folder / name)  # type: ignore[misc]
        for variant in ("yolov1-tiny", "yolov2-tiny-voc", "yolov3-tiny", "yolov4-tiny")
    },
}
ONE_PROCESS = ("docs/models/", "docs/python-client.md")
RUN_EACH = "import runpy, sys; [runpy.run_path(name, run_name='__main__') for name in sys.argv[1:]]"


def groups() -> list[Any]:
    """Return lists of blocks for one process each: one block, or all of a place that takes long to import."""
    found = [snippet for snippet in snippets() if not snippet.reason]
    params = []
    for place in ONE_PROCESS:
        marks = [pytest.mark.slow] if place == "docs/models/" else []  # it imports weights of every family
        blocks = [snippet for snippet in found if snippet.place.startswith(place)]
        params.append(pytest.param(blocks, id=place.rstrip("/"), marks=marks))
    for snippet in found:
        if not snippet.place.startswith(ONE_PROCESS):
            marks = [pytest.mark.slow] if "train(" in snippet.source else []
            params.append(pytest.param([snippet], id=snippet.place, marks=marks))
    return params


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server, for blocks that use SERVER."""
    folder = tmp_path_factory.mktemp("server")
    publish(folder)
    with listening(Repository(folder / "models")) as port:
        yield f"localhost:{port}"


@pytest.mark.parametrize("blocks", groups())
def test_blocks_run_as_pasted(blocks: list[Snippet], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    names = []
    for snippet in blocks:
        for text, make in FILES.items():
            if text in snippet.source:
                make(tmp_path)
        names.append(f"{re.sub(r'[^0-9a-z]', '_', snippet.place)}.py")
        source = snippet.source
        if SERVER in source:
            source = source.replace(SERVER, request.getfixturevalue("server"))
        (tmp_path / names[-1]).write_text(source, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *(names if len(names) == 1 else ["-c", RUN_EACH, *names])]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_blocks_that_are_not_run_here_are_run_by_the_tests_of_clients() -> None:
    assert {snippet.reason for snippet in snippets()} == {"", "tests/clients runs it"}
