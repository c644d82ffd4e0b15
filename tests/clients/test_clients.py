"""Unmodified clients from the package index find what `POST /detect` finds, each in an environment of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_zoo.contract.card import ModelCard
from model_zoo.contract.repository import Repository
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.clients.environments import PROGRAMS, environment, run
from tests.conftest import ROOT
from tests.e2e.protocols import IOU, NATIVE, SCORE, Found, Sample
from tests.e2e.server import Server

pytestmark = pytest.mark.slow
MODEL = "ui-elements"
GRPC = re.compile(r"listening on grpc://127\.0\.0\.1:(\d+)")
SAMPLE = ROOT / "service" / "web" / "static" / "playground" / "samples" / "wizard.jpg"


@dataclass(frozen=True)
class Program:
    """A program that prints the detections of one image, for each call of a client that it tries."""

    name: str
    """Its file is `ask_` and the name."""
    environment: str
    """The environment that has the client."""
    pixels: float = 0.01
    """Allowed difference of a corner."""


PROGRAMS_OF_CLIENTS = (
    Program("triton_http", "triton"),
    Program("triton_grpc", "triton"),
    Program("kserve_rest", "kserve"),
    Program("kserve_grpc", "kserve"),
    Program("deepstack", "vision", 1.0),
    Program("codeproject", "vision", 1.0),
    Program("doods", "vision", 0.1),
    Program("roboflow", "roboflow"),
)


@dataclass(frozen=True)
class Case:
    """A server, an image as large as its canvas, and its detections by `POST /detect`."""

    server: Server
    grpc_port: int
    image: Path
    expected: list[Found]
    card: ModelCard


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    card = Repository(BUNDLED_REPOSITORY.root).resolve(MODEL).card
    height, width = card.input_size
    image = tmp_path_factory.mktemp("image") / "image.png"
    cv2.imwrite(str(image), cv2.resize(cv2.imread(str(SAMPLE)), (width, height)))
    with Server(BUNDLED_REPOSITORY.root, grpc_port=0) as server:
        server.wait_until_ready()
        expected = NATIVE.detect(server.client, card, [Sample.of(image.read_bytes())])[0]
        assert len(expected) > 5
        yield Case(server, int(server.wait_for_log(GRPC)[1]), image, expected, card)


@pytest.mark.parametrize("program", PROGRAMS_OF_CLIENTS, ids=lambda program: program.name)
def test_client_finds_what_detect_finds(program: Program, case: Case, tmp_path: Path) -> None:
    python = environment(program.environment) / "python"
    addresses = f"127.0.0.1:{case.server.port}", f"127.0.0.1:{case.grpc_port}"
    command = [python, PROGRAMS / f"ask_{program.name}.py", *addresses, MODEL, case.image, SCORE, IOU]
    calls = json.loads(run(program.environment, command, tmp_path).splitlines()[-1])
    assert calls
    for call, rows in calls.items():
        found = [Found(_label(label, case.card), score, tuple(box)) for label, score, *box in rows]
        assert [one.label for one in found] == [one.label for one in case.expected], call
        np.testing.assert_allclose([f.score for f in found], [e.score for e in case.expected], atol=1e-4, err_msg=call)
        boxes = np.clip([one.box for one in found], 0, case.card.input_size[0])  # those of tensors are not clipped
        expected = [one.box for one in case.expected]
        np.testing.assert_allclose(boxes, expected, rtol=0, atol=program.pixels, err_msg=call)


def _label(label: str | float, card: ModelCard) -> str:
    return label if isinstance(label, str) else card.class_names[int(label)]
