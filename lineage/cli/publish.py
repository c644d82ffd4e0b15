"""`lineage publish`: add a finished model to a repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from lineage.cli.arguments import option
from lineage.cli.published import print_published
from model_zoo.contract.repository import Repository
from model_zoo.runtime.base import Shapes


def publish(
    source: Annotated[Path, tyro.conf.Positional, option("FILE")],
    *,
    name: Annotated[str | None, option("NAME")] = None,
    repository: Annotated[Path, option("FOLDER")] = Path("models"),
    shapes: Shapes = "auto",
    golden: Annotated[Path | None, option("FOLDER")] = None,
) -> None:
    """Publish an exported ONNX file, or the folder of a package, as the next version of a name.

    The file is checked and run before it is published. Golden images of a package are kept and must agree.

    Args:
        source: An .onnx file written by lineage export, or the folder of a package, such as other/cars/3.
        name: Name in the repository. If omitted, the one in the model's card.
        repository: Folder of the repository, created if needed.
        shapes: Canvases recorded in the model card: square, or buckets for wide and tall images. auto keeps them.
        golden: Folder of images for new golden images, which the server checks. If omitted, synthetic ones.
    """
    from model_zoo.publish import publish_model

    package = publish_model(source, Repository(repository), name, shapes=shapes, golden=golden)
    print_published(package, repository)
