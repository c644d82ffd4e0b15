"""A model file outside a repository, as `lineage export` writes it, with its card inside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model_zoo.contract.errors import PackageError
from model_zoo.contract.file_kind import DARKNET, ONNX, UNKNOWN, describe, kind_of
from model_zoo.contract.package import Package
from model_zoo.runtime import sessions


@dataclass(frozen=True)
class ModelFile(Package):
    """A package of a single ONNX file. Its version is 0, which no published package has."""

    file: Path
    """Path of the ONNX file."""

    @property
    def model_path(self) -> Path:
        """Path of the ONNX file."""
        return self.file

    @property
    def reference(self) -> str:
        """The path, which names the model in messages."""
        return str(self.file)


def open_model_file(path: str | Path) -> ModelFile:
    """Read the card in an ONNX file and return the file as a package.

    Raises:
        PackageError: there is no file, or ONNX Runtime cannot load it.
        CardError: the file has no card, or an invalid one.
    """
    path = Path(path)
    if not path.is_file():
        raise PackageError(f"{path}: no such file; expected an ONNX file, or the name of a model in the repository")
    if not kind_of(path).startswith((ONNX, UNKNOWN, DARKNET)):
        raise PackageError(f"{path}: expected an ONNX file that `lineage export` wrote; got {describe(path)}")
    card = sessions.read_card(path)
    return ModelFile(card.name, 0, path.parent, card, (), path)
