"""`lineage import`: add weights to a repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from lineage.cli.arguments import option
from lineage.cli.published import print_published
from model_zoo.contract.image_size import format_size
from model_zoo.contract.repository import Repository
from model_zoo.export.options import DEFAULT_EXPORT, ExportOptions


def import_(
    source: Annotated[Path, tyro.conf.Positional, option("FILE")],
    *,
    name: Annotated[str | None, option("NAME")] = None,
    repository: Annotated[Path, option("FOLDER")] = Path("models"),
    variant: Annotated[str | None, option("VARIANT")] = None,
    cfg: Annotated[Path | None, option("FILE")] = None,
    names: Annotated[Path | None, option("FILE")] = None,
    options: Annotated[ExportOptions, option(name="")] = DEFAULT_EXPORT,
    license: Annotated[str | None, option("SPDX")] = None,
    explain: bool = False,
) -> None:
    """Import weights into a repository.

    The variant is identified from the weights. The network is exported, checked against the original weights, and
    published as the next version of its name.

    Args:
        source: Checkpoint of the original program (.pt, .pth, .weights) or a .safetensors file.
        name: Name in the repository. If omitted, it is derived from the file's name.
        repository: Folder of the repository, created if needed.
        variant: Variant of the network, if it cannot be identified.
        cfg: Darknet cfg that describes the network of a .weights file. Needed for custom networks only.
        names: Class names: a .names file with one a line, or a data.yaml. If omitted, those of the file.
        options: Options of the export.
        license: License of the weights (SPDX), recorded in the model card. If omitted, it is recognized if possible.
        explain: Print how the network is identified, and publish nothing.
    """
    from model_zoo.convert import import_weights, load_weights

    if explain:
        detector = load_weights(source, options, variant=variant, cfg=cfg, names=names, license=license, log=print)
        size = format_size(detector.input_spec.size)
        print(f"family {detector.family}, variant {detector.variant}, input {size}; nothing was published")
        return
    package = import_weights(
        source,
        Repository(repository),
        name,
        options,
        variant=variant,
        cfg=cfg,
        names=names,
        license=license,
        log=print,
    )
    print_published(package, repository)
