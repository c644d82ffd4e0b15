"""Find a model by its name in a repository, or in a file."""

from __future__ import annotations

from pathlib import Path

from model_zoo.contract.errors import PackageError, PackageNotFound
from model_zoo.contract.package import Package
from service.inference.bundled import repository_of


def find_model(reference: str | None, repository: Path | None) -> Package:
    """Return the .onnx file or the package that `reference` names, by default the repository's only model.

    Raises:
        PackageError: There is no such model.
    """
    if reference and (reference.endswith(".onnx") or Path(reference).is_file()):
        from model_zoo.runtime.model_file import open_model_file

        return open_model_file(Path(reference))
    if reference and (Path(reference) / "best.safetensors").is_file():
        raise PackageError(
            f"{reference}: expected a model; this is a training run; publish it with "
            f"`lineage export {reference} --name NAME`"
        )
    models = repository_of(repository)
    names = models.names()
    if not reference and len(names) > 1:
        raise PackageNotFound(f"expected the name of one of the models in {models.root}: {', '.join(names)}")
    return models.resolve(reference or "".join(names))
