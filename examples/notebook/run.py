"""Run the notebook, and keep its outputs small enough for a repository.

python -m examples.notebook.run
"""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOK = Path(__file__).with_name("quickstart.ipynb")
WIDTH = 640  # pixels of an image in the outputs
COLORS = 64


def run(path: Path = NOTEBOOK, timeout: float = 120) -> nbformat.NotebookNode:
    """Return the notebook with the outputs of a new kernel.

    Raises:
        CellExecutionError: A cell failed.
    """
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")  # else a warning of Jupyter's
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times differ from run to run
    return notebook


def shrink(notebook: nbformat.NotebookNode) -> None:
    """Scale the images of the outputs down and reduce their colors."""
    for data in image_outputs(notebook):
        image = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        image.thumbnail((WIDTH, WIDTH))
        stream = io.BytesIO()
        image.quantize(COLORS).save(stream, format="png", optimize=True)
        data["image/png"] = base64.b64encode(stream.getvalue()).decode()


def image_outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the data of all outputs that are images."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [output.data for output in outputs if "image/png" in output.get("data", {})]


def main() -> None:
    """Run the notebook and write its outputs."""
    notebook = run()
    shrink(notebook)
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
