"""The notebook runs from top to bottom, and its stored outputs are those of a run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

nbformat = pytest.importorskip("nbformat", reason="needs the notebook's packages: extra dev")
pytest.importorskip("nbclient", reason="needs the notebook's packages: extra dev")

from examples.notebook.run import NOTEBOOK, image_outputs, run, shrink  # noqa: E402

MAX_BYTES = 150_000
SAMPLES = "service/web/static/playground/samples"


def texts(notebook: object) -> Iterator[str]:
    """Yield the outputs that are text."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            yield output.get("text") or output.data["text/plain"]


def test_stored_outputs_are_small_and_name_no_machine() -> None:
    content = NOTEBOOK.read_text(encoding="utf-8")
    assert len(content) < MAX_BYTES
    assert str(ROOT) not in content
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == list(range(1, 11))
    assert len(image_outputs(notebook)) == 2


@pytest.mark.slow
def test_notebook_runs_and_finds_what_its_outputs_show(tmp_path: Path) -> None:
    copy = tmp_path / "examples" / "notebook" / NOTEBOOK.name
    copy.parent.mkdir(parents=True)
    shutil.copy(NOTEBOOK, copy)
    shutil.copytree(ROOT / SAMPLES, tmp_path / SAMPLES)
    notebook = run(copy)
    stored = list(texts(nbformat.read(NOTEBOOK, as_version=4)))
    fresh = list(texts(notebook))
    assert len(fresh) == len(stored)
    first = slice(0, 2)  # later ones have scores, which differ by rounding from one CPU to another
    assert fresh[first] == stored[first]
    assert "UnsupportedImage" in fresh[-1]
    before = [len(data["image/png"]) for data in image_outputs(notebook)]
    shrink(notebook)
    assert all(len(data["image/png"]) < size / 2 for data, size in zip(image_outputs(notebook), before, strict=True))
    assert not (copy.parent / "drawn.jpg").exists()
