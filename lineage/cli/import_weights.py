"""`lineage import`: add weights, or an ONNX file of another program, to a repository."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import tyro

from lineage.cli.arguments import option
from lineage.cli.published import print_published
from model_zoo.contract.errors import LineageError
from model_zoo.contract.file_kind import ONNX, kind_of
from model_zoo.contract.image_size import format_size
from model_zoo.contract.repository import Repository
from model_zoo.contract.targets import name_from
from model_zoo.export.options import DEFAULT_EXPORT, ExportOptions
from model_zoo.onnx_import.options import DEFAULT_ONNX, OnnxOptions, Request

ONNX_EXPORT = ("image_size", "shapes", "candidates", "golden")  # options of an export that an ONNX file has, too


def import_(
    source: Annotated[Path, tyro.conf.Positional, option("FILE")],
    *,
    name: Annotated[str | None, option("NAME")] = None,
    repository: Annotated[Path, option("FOLDER")] = Path("models"),
    variant: Annotated[str | None, option("VARIANT")] = None,
    cfg: Annotated[Path | None, option("FILE")] = None,
    names: Annotated[Path | None, option("FILE")] = None,
    options: Annotated[ExportOptions, option(name="")] = DEFAULT_EXPORT,
    onnx: Annotated[OnnxOptions, option(name="")] = DEFAULT_ONNX,
    license: Annotated[str | None, option("SPDX")] = None,
    explain: bool = False,
) -> None:
    """Import weights, or an ONNX file of another program, into a repository.

    The variant is identified from the weights. The network is exported, checked against the original weights, and
    published as the next version of its name. An ONNX file keeps its network, and gets the inputs, outputs and NMS of
    the graph contract around it.

    Args:
        source: Checkpoint of the original program (.pt, .pth, .weights), a .safetensors file, or an .onnx file.
        name: Name in the repository. If omitted, it is derived from the file's name.
        repository: Folder of the repository, created if needed.
        variant: Variant of the network, if it cannot be identified.
        cfg: Darknet cfg that describes the network of a .weights file. Needed for custom networks only.
        names: Class names: a .names file with one a line, or a data.yaml. If omitted, those of the file.
        options: Options of the export.
        onnx: Facts about an ONNX file.
        license: License of the weights (SPDX), recorded in the model card. If omitted, it is recognized if possible.
        explain: Print how the network is identified, and publish nothing.
    """
    if _is_onnx(source):
        _reject({"--variant": variant, "--cfg": cfg} | _changed(options), "an ONNX file has its network and precision")
        request = Request(
            name or name_from(source),
            onnx,
            options.image_size,
            options.candidates,
            names,
            license,
            options.golden,
            options.shapes,
        )
        _import_onnx(source, repository, request, explain)
        return
    from model_zoo.convert import import_weights, load_weights

    _reject({f"--{f.name}": getattr(onnx, f.name) for f in fields(onnx)}, f"{source} is no ONNX file")
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


def _import_onnx(source: Path, repository: Path, request: Request, explain: bool) -> None:
    from model_zoo.onnx_import.importer import explain_onnx, import_onnx

    if explain:
        explain_onnx(source, request, print)
        print("nothing was published")
        return
    print_published(import_onnx(source, Repository(repository), request, print), repository)


def _is_onnx(source: Path) -> bool:
    return source.suffix.lower() == ".onnx" or (source.is_file() and kind_of(source) == ONNX)


def _changed(options: ExportOptions) -> dict[str, object]:
    """Return the options of an export that an ONNX file does not have, None if not given."""
    others = [field.name for field in fields(options) if field.name not in ONNX_EXPORT]
    given = {name: getattr(options, name) for name in others}
    return {
        f"--{name.replace('_', '-')}": None if value == getattr(DEFAULT_EXPORT, name) else value
        for name, value in given.items()
    }


def _reject(flags: dict[str, object], reason: str) -> None:
    if given := [flag for flag, value in flags.items() if value is not None]:
        raise LineageError(f"{', '.join(given)}: not supported here, because {reason}")
