"""The model package that the steps with exported graphs share: random weights, exported once per precision."""

from __future__ import annotations

import torch

from benchmarks.gpu_steps.results import Options
from model_zoo.contract.card import Precision
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from model_zoo.registry import build


def package_of(options: Options, precision: Precision) -> Package:
    """Return the package of the variant, and export it if no earlier step has done it."""
    from model_zoo.export.card import build_export_card
    from model_zoo.export.write_model import write_model

    repository = Repository(options.folder / "models")
    name = f"{options.model}-{precision}"
    if (repository.root / name).is_dir():
        return repository.resolve(name)
    torch.manual_seed(0)
    detector = build(options.model)
    if options.quick:
        detector.resize(options.sizes[0])
    card = build_export_card(detector, name, precision=precision)
    file = options.folder / f"{name}.onnx"
    write_model(detector, card, file, print)
    return repository.publish(card, {"model.onnx": file})
