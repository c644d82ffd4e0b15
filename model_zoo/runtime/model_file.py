"""A model file outside a repository, as `lineage export` writes it: its card is inside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package


@dataclass(frozen=True)
class LooseModel(Package):
    """A package of one file with a name of its own; its version is 0, which no published one has."""

    file: Path

    @property
    def model_path(self) -> Path:
        """Path of the ONNX file."""
        return self.file


def open_model_file(path: Path) -> LooseModel:
    """Read the card in an ONNX file; PackageError where it is no such file, CardError where it has no card."""
    if not path.is_file():
        raise PackageError(f"{path}: no such file; expected an ONNX file, or the name of a model in the repository")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # it is opened for its card alone
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise PackageError(f"{path}: ONNX Runtime cannot load it: {error}") from error
    card = ModelCard.from_metadata(session.get_modelmeta().custom_metadata_map)
    return LooseModel(card.name, 0, path.parent, card, (), path)
