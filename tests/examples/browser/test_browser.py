"""The page that runs the bundled model in a browser finds what the server finds."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import lineage
from lineage import ImageResult
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.conftest import ROOT
from tests.e2e.browser import CHROMIUM, FLAGS
from tests.service.conftest import SAMPLES

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
PAGE = "examples/browser/index.html"
MODEL = "/service/default/ui-elements/1/"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium; on Debian and Ubuntu: apt install chromium"),
    pytest.mark.skipif(
        not (ROOT / "examples/browser/node_modules/onnxruntime-web").is_dir(),
        reason="needs ONNX Runtime for browsers: npm install --prefix examples/browser",
    ),
]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server of the files of the project."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=ROOT)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        context = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS).new_context()
        page, faults = context.new_page(), list[str]()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{address}/{PAGE}?model={MODEL}")
        page.get_by_text("Choose an image.").wait_for()
        yield page
        assert faults == []


@pytest.fixture(scope="module")
def model() -> Iterator[lineage.Model]:
    with lineage.load(BUNDLED_REPOSITORY.root) as model:
        yield model


@pytest.mark.parametrize("sample", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_detections_equal_the_server(page: Any, address: str, model: lineage.Model, sample: Path) -> None:
    result = page.evaluate("detectFile", f"{address}/{sample.relative_to(ROOT)}")
    pixels = cv2.cvtColor(cv2.imread(str(sample)), cv2.COLOR_BGR2RGB)  # at full size, as the page decodes it
    assert_equal(result["found"], model.detect(pixels))


def assert_equal(found: list[dict[str, Any]], expected: ImageResult) -> None:
    assert len(found) == len(expected) > 20
    assert [one["label"] for one in found] == list(expected.labels)
    np.testing.assert_allclose([one["score"] for one in found], expected.detections.scores, atol=1e-3)
    np.testing.assert_allclose([one["box"] for one in found], expected.detections.boxes, atol=0.1)


def test_page_shows_the_objects_of_a_file(page: Any) -> None:
    page.locator("#file").set_input_files(SAMPLES / "wizard.jpg")
    page.get_by_text("objects in").wait_for()
    rows = page.locator("#rows tr").count()
    assert rows > 20
    page.locator("#score").fill("0.8")
    page.wait_for_function(f"document.querySelectorAll('#rows tr').length < {rows}")
    page.locator("#file").set_input_files(ROOT / "README.md")
    page.get_by_text("Expected an image").wait_for()


def test_missing_model_is_explained(page: Any, address: str) -> None:
    other = page.context.new_page()
    other.goto(f"{address}/{PAGE}?model=/nothing/")
    other.get_by_text("expected a file of a model package; got status 404").wait_for()
    other.close()
