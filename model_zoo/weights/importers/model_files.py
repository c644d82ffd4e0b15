"""Load a detector from an official checkpoint or a safetensors file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from model_zoo.classifier import CLASSIFIERS
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256
from model_zoo.detector import Detector
from model_zoo.weights import store
from model_zoo.weights.importers.checkpoint import Checkpoint, read_checkpoint
from model_zoo.weights.importers.darknet import file_sizes, from_cfg, from_darknet
from model_zoo.weights.importers.families import from_state_dict, identify
from model_zoo.weights.importers.identification import Identification

REQUESTED = "as requested"


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """A detector loaded from a file."""

    detector: Detector
    """The detector, in evaluation mode."""
    sha256: str
    """SHA-256 of the file in hex."""
    notes: tuple[str, ...]
    """Evidence for the variant and origin of the class names, for the user."""

    @property
    def variant(self) -> str:
        """Name of the identified variant."""
        return self.detector.variant

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names, from the file if it has them."""
        return self.detector.class_names


def load_checkpoint(path: str | Path, variant: str | None = None, cfg: str | Path | None = None) -> ImportedModel:
    """Load a detector from an official `.pt`, `.pth` or `.weights` checkpoint or a `.safetensors` file.

    The variant is identified from the weights unless `variant` is given. A `cfg` describes the network of a `.weights`
    file. Together with `variant`, it sets only classes, anchors and input size. No code in the file is executed.

    Raises:
        LineageError: The file is damaged, malicious, of an unknown network, or does not match `variant` or `cfg`.
    """
    path = Path(path)
    if not path.is_file():
        raise LineageError(f"expected a checkpoint file; {path} does not exist")
    if cfg is not None and path.suffix != ".weights":
        raise LineageError(f"{path.name}: expected a `.weights` file, because a cfg is given")
    if path.suffix == ".safetensors":
        return _from_safetensors(path, variant)
    if path.suffix == ".weights":
        return _from_cfg(path, Path(cfg)) if cfg and not variant else _from_darknet(path, variant, cfg)
    return _from_checkpoint(read_checkpoint(path), variant, path.name)


def _from_darknet(path: Path, variant: str | None, cfg: str | Path | None) -> ImportedModel:
    identification = Identification(variant, REQUESTED) if variant else file_sizes.identify(path)
    if identification.variant in CLASSIFIERS:
        raise LineageError(
            f"{path.name}: expected a detector; got a classifier ({identification}). Use it as a pre-trained backbone"
        )
    detector = from_darknet(identification.variant, path, cfg=cfg)
    return ImportedModel(detector, file_sha256(path), (str(identification), _default_names_note(detector)))


def _from_cfg(path: Path, cfg: Path) -> ImportedModel:
    detector = from_cfg(cfg, path)
    strides = ", ".join(str(stride) for stride in detector.head.strides)
    note = f"{detector.variant}: the network in {cfg.name}, with the head of {detector.family} at strides {strides}"
    return ImportedModel(detector, file_sha256(path), (note, _default_names_note(detector)))


def _from_safetensors(path: Path, variant: str | None) -> ImportedModel:
    state, card = store.read(path)
    digest = file_sha256(path)
    if card is None:
        return _from_checkpoint(Checkpoint(state, digest), variant, path.name)
    if variant not in (None, card.variant):
        raise LineageError(f"{path.name}: expected {variant}; its card says {card.variant}")
    if store.has_native_keys(state, card):
        return ImportedModel(store.restore(state, card), digest, (f"{card.variant}: according to its card",))
    imported = _from_checkpoint(Checkpoint(state, digest, card.class_names), card.variant, path.name)
    imported.detector.resize(card.input_size)
    return imported


def _from_checkpoint(checkpoint: Checkpoint, variant: str | None, name: str) -> ImportedModel:
    identification = Identification(variant, REQUESTED) if variant else _identify(checkpoint, name)
    detector = from_state_dict(identification.variant, checkpoint.state)
    _check_modules(checkpoint, detector)
    names_note = _set_class_names(detector, checkpoint.class_names)
    return ImportedModel(detector, checkpoint.sha256, (str(identification), names_note, *checkpoint.notes))


def _identify(checkpoint: Checkpoint, name: str) -> Identification:
    identification = identify(checkpoint.state)
    if identification is None:
        keys = ", ".join(list(checkpoint.state)[:3])
        raise LineageError(
            f"{name}: expected weights of a known network; got keys like {keys}. If you know the variant, pass its name"
        )
    return identification


def _check_modules(checkpoint: Checkpoint, detector: Detector) -> None:
    """Raise LineageError for a network with matching shapes that computes something else."""
    kinds = {f"{type(m).__module__}.{type(m).__qualname__}" for m in detector.modules()}
    activations = {kind for kind in checkpoint.modules if kind.startswith("torch.nn.modules.activation.")}
    eps = {m.eps for m in detector.modules() if isinstance(m, nn.BatchNorm2d)}
    strides = tuple(float(stride) for stride in detector.head.strides)
    for what, expected, actual in (
        ("activations", kinds, activations),
        ("batch norm eps", eps, checkpoint.batch_norm_eps),
        ("strides", {strides}, {checkpoint.strides} - {()}),
    ):
        if not actual <= expected:
            others = ", ".join(str(value) for value in sorted(actual - expected))
            raise LineageError(
                f"expected the {what} of {detector.variant}; got {others}. The checkpoint belongs to another network"
            )


def _set_class_names(detector: Detector, names: tuple[str, ...]) -> str:
    count = detector.head.num_classes
    if len(names) != count:
        return _default_names_note(detector)
    detector.class_names = names
    return f"{count} classes, with names from the file"


def _default_names_note(detector: Detector) -> str:
    names = detector.class_names
    return f"{len(names)} classes; the file has no names for them, so the default names are used: {names[0]}, ..."
