"""`lineage models verify`: check the files and golden images of models on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import tyro

from lineage.cli.arguments import option
from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Package
from model_zoo.contract.plural import plural
from model_zoo.runtime.base import EngineOptions, Provider, Runtime, Shapes
from service.inference.bundled import REPOSITORY_HELP, repository_of

SOME_FAILED: Final = 1


def verify(
    reference: Annotated[str | None, tyro.conf.Positional, option("[NAME[@VERSION]]")] = None,
    *,
    repository: Annotated[Path | None, option("FOLDER", hint=REPOSITORY_HELP)] = None,
    engine: Runtime = "onnxruntime",
    provider: Provider = "auto",
    shapes: Shapes = "auto",
) -> int:
    """Check models as a server does when it loads them.

    Files are compared with the manifest, and the detections on the golden images with those of the export. The exit
    code is 1 if a model fails.

    Args:
        reference: Model NAME, NAME@VERSION or NAME@ALIAS. If omitted, all versions of all models.
        repository: Folder of the repository.
        engine: Runtime of the models.
        provider: Execution provider of ONNX Runtime.
        shapes: auto, square or buckets, as for lineage serve.
    """
    models = repository_of(repository)
    packages, problems = ([models.resolve(reference)], []) if reference else models.scan()
    if not (packages or problems):
        raise LineageError(models.empty_message())
    options = EngineOptions(runtime=engine, provider=provider, shapes=shapes)
    failures = [problem.reason for problem in problems] + [f for p in packages if (f := _verify(p, options))]
    print("\n".join(f"failed: {failure}" for failure in failures) or "all agree")
    return SOME_FAILED if failures else 0


def _verify(package: Package, options: EngineOptions) -> str | None:
    """Print the result for a package, or return why it failed."""
    from model_zoo.runtime.golden import check_golden
    from model_zoo.runtime.open import open_engine

    try:
        package.verify()
        engine = open_engine(package, options)
        try:
            count = check_golden(package, engine)
        finally:
            engine.close()
    except LineageError as error:
        return str(error)
    result = plural(count, "golden image") + " agree" if count else "no golden images"
    print(f"{package.reference}: {plural(len(package.files), 'file')} intact, {result} on {engine.device}")
    return None
