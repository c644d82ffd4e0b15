"""Take official weights in. Original key names live in this package alone.

A family's importer is the module of its name with two functions (the second where the original files have keys):

    from_state_dict(variant, state) -> Detector       # `state` has the original key names
    recognize(state) -> Recognition | None            # which variant it is and what tells so; None if not this family

Most of the first is a table of renames for `importers.renaming`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from torch import nn

from model_zoo import registry
from model_zoo.classifier import CLASSIFIERS
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256
from model_zoo.detector import Detector
from model_zoo.weights import store
from model_zoo.weights.importers import darknet
from model_zoo.weights.importers.checkpoint import Checkpoint, Recognition, read_checkpoint
from model_zoo.weights.importers.darknet import from_darknet
from model_zoo.weights.importers.darknet.net import from_cfg

__all__ = ["ImportedModel", "from_cfg", "from_darknet", "from_state_dict", "load_checkpoint"]


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """A detector made from a file, with the file's sha256 and what was found out about it, for the user to read."""

    detector: Detector
    sha256: str
    notes: tuple[str, ...]

    @property
    def variant(self) -> str:
        """Name of the recognized variant."""
        return self.detector.variant

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names, of the file where it has them."""
        return self.detector.class_names


def from_state_dict(variant: str, state: Mapping[str, NDArray[np.generic]]) -> Detector:
    """Build `variant` from a state dict with the original key names; class count and anchors are the state's.

    Returns the detector in evaluation mode, float32. Raises LineageError that lists keys which are missing, unknown
    or of another shape.
    """
    family = registry.family_of(variant)
    importer = _importer(family)
    if importer is None:
        raise LineageError(f"expected a variant whose official weights can be read; there is no importer for {family}")
    detector: Detector = importer.from_state_dict(variant, state)
    return detector.eval()


def load_checkpoint(path: str | Path, variant: str | None = None, cfg: str | Path | None = None) -> ImportedModel:
    """Make a detector from an official `.pt` / `.pth` / `.weights` checkpoint or a `.safetensors` file.

    The variant is recognized from the weights; `variant` overrides. A `cfg` tells the network of a `.weights` file, or
    with `variant` its classes, anchors and input size alone. Nothing in the file is executed. Raises LineageError if
    the file is damaged, hostile, of an unknown network, or does not fit `variant` or `cfg`.
    """
    path = Path(path)
    if not path.is_file():
        raise LineageError(f"expected a checkpoint file; there is none at {path}")
    if cfg is not None and path.suffix != ".weights":
        raise LineageError(f"{path.name}: expected a `.weights` file: a cfg describes no other")
    if path.suffix == ".safetensors":
        return _from_safetensors(path, variant)
    if path.suffix == ".weights":
        return _from_cfg(path, Path(cfg)) if cfg and not variant else _from_darknet(path, variant, cfg)
    return _imported(read_checkpoint(path), variant, path.name)


def _from_darknet(path: Path, variant: str | None, cfg: str | Path | None) -> ImportedModel:
    recognition = Recognition(variant, "as asked for") if variant else darknet.recognize(path)
    if recognition.variant in CLASSIFIERS:
        raise LineageError(f"{path.name}: expected a detector; {recognition}: a classifier, a backbone to start from")
    detector = from_darknet(recognition.variant, path, cfg=cfg)
    return ImportedModel(detector, file_sha256(path), (str(recognition), _unnamed(detector)))


def _from_cfg(path: Path, cfg: Path) -> ImportedModel:
    detector = from_cfg(cfg, path)
    strides = ", ".join(str(stride) for stride in detector.head.strides)
    told = f"the network that {cfg.name} describes; its head is that of {detector.family}, at strides {strides}"
    return ImportedModel(detector, file_sha256(path), (f"{detector.variant}: {told}", _unnamed(detector)))


def _from_safetensors(path: Path, variant: str | None) -> ImportedModel:
    state, card = store.read(path)
    digest = file_sha256(path)
    if card is None:
        return _imported(Checkpoint(state, digest), variant, path.name)
    if variant not in (None, card.variant):
        raise LineageError(f"{path.name}: expected {variant}; its card says {card.variant}")
    if store.has_own_keys(state, card):
        return ImportedModel(store.restore(state, card), digest, (f"{card.variant}, as its card says",))
    found = _imported(Checkpoint(state, digest, card.class_names), card.variant, path.name)
    found.detector.resize(card.input_size)
    return found


def _imported(checkpoint: Checkpoint, variant: str | None, name: str) -> ImportedModel:
    recognition = Recognition(variant, "as asked for") if variant else _recognize(checkpoint, name)
    detector = from_state_dict(recognition.variant, checkpoint.state)
    _check(checkpoint, detector)
    names_note = _name_classes(detector, checkpoint.class_names)
    return ImportedModel(detector, checkpoint.sha256, (str(recognition), names_note, *checkpoint.notes))


def _recognize(checkpoint: Checkpoint, name: str) -> Recognition:
    for family in registry.families():
        recognize = getattr(_importer(family), "recognize", None)
        found: Recognition | None = recognize(checkpoint.state) if recognize else None
        if found:
            return found
    keys = ", ".join(list(checkpoint.state)[:3])
    raise LineageError(
        f"{name}: expected weights of a known network; got keys like {keys}; if you know it, name a variant"
    )


def _check(checkpoint: Checkpoint, detector: Detector) -> None:
    """Refuse networks that have the right shapes and compute something else."""
    kinds = {f"{type(m).__module__}.{type(m).__qualname__}" for m in detector.modules()}
    activations = {kind for kind in checkpoint.modules if kind.startswith("torch.nn.modules.activation.")}
    eps = {m.eps for m in detector.modules() if isinstance(m, nn.BatchNorm2d)}
    strides = tuple(float(stride) for stride in detector.head.strides)
    for what, expected, came in (
        ("activations", kinds, activations),
        ("batch norm eps", eps, checkpoint.batch_norm_eps),
        ("strides", {strides}, {checkpoint.strides} - {()}),
    ):
        if not came <= expected:
            other = ", ".join(str(value) for value in sorted(came - expected))
            raise LineageError(
                f"expected the {what} of {detector.variant}; the checkpoint has {other}: another network"
            )


def _name_classes(detector: Detector, names: tuple[str, ...]) -> str:
    count = detector.head.num_classes
    if len(names) != count:
        return _unnamed(detector)
    detector.class_names = names
    return f"{count} classes, named in the file"


def _unnamed(detector: Detector) -> str:
    names = detector.class_names
    return f"{len(names)} classes; the file does not name them: {names[0]}, ... are assumed"


def _importer(family: str) -> ModuleType | None:
    name = f"{__name__}.{family}"
    return import_module(name) if find_spec(name) else None
