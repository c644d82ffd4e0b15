"""Load a detector from an official checkpoint or a safetensors file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from model_zoo.classifier import CLASSIFIERS
from model_zoo.contract import file_kind
from model_zoo.contract.card import WeightsOrigin
from model_zoo.contract.errors import LineageError
from model_zoo.contract.file_kind import DARKNET, SAFETENSORS, TORCH, describe, kind_of
from model_zoo.contract.files import file_sha256
from model_zoo.contract.licenses import UNDECLARED, UNKNOWN
from model_zoo.contract.plural import plural
from model_zoo.detector import Detector
from model_zoo.releases import RELEASES
from model_zoo.weights import store
from model_zoo.weights.class_names import read_class_names
from model_zoo.weights.importers.checkpoint import Checkpoint, read_checkpoint
from model_zoo.weights.importers.darknet import file_sizes, from_cfg, from_darknet
from model_zoo.weights.importers.families import from_state_dict, identify
from model_zoo.weights.importers.identification import Identification
from model_zoo.weights.names_file import find_names_file, read_names_file
from model_zoo.weights.official import recognize

REQUESTED = "as requested"


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """A detector loaded from a file."""

    detector: Detector
    """The detector, in evaluation mode."""
    sha256: str
    """SHA-256 of the file in hex."""
    evidence: str
    """Evidence for the variant, for the user."""
    names_note: str = ""
    """Origin of the class names, for the user."""
    further_notes: tuple[str, ...] = ()
    """Other information for the user."""
    has_card: bool = False
    """Whether the file is this project's, with the origin of the weights in its card."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Everything for the user to know."""
        return (self.evidence, *filter(None, [self.names_note]), *self.further_notes)

    @property
    def variant(self) -> str:
        """Name of the identified variant."""
        return self.detector.variant

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names, from the file if it has them."""
        return self.detector.class_names


def load_checkpoint(
    path: str | Path,
    variant: str | None = None,
    cfg: str | Path | None = None,
    names: str | Path | None = None,
    license: str | None = None,
) -> ImportedModel:
    """Load a detector from an official `.pt`, `.pth` or `.weights` checkpoint or a `.safetensors` file.

    No code in the file is executed. `detector.weights` has its license and parents.

    Args:
        path: The file. Its kind is recognized by its contents.
        variant: Variant of the network. If omitted, it is identified from the weights.
        cfg: Darknet cfg that describes the network of a `.weights` file. Together with `variant`, it sets only
            classes, anchors and input size.
        names: File of class names, one a line, or a data.yaml. If omitted, those in the file are used, or a `.names`
            file beside a `.weights` file.
        license: License of the weights. If omitted, it is recognized if possible.

    Raises:
        LineageError: The file is damaged, malicious, of an unknown network, or does not match another argument.
    """
    path = Path(path)
    kind = _require_weights(path)
    if cfg is not None and kind != DARKNET:
        raise LineageError(f"{path.name}: expected a `.weights` file, because a cfg is given; got {kind}")
    imported = _load(path, kind, variant, cfg)
    _check_finite(imported.detector, path.name)
    imported = _with_names(imported, names, find_names_file(path, cfg) if kind == DARKNET else None)
    return _with_license(imported, path, license)


def _load(path: Path, kind: str, variant: str | None, cfg: str | Path | None) -> ImportedModel:
    if kind == SAFETENSORS:
        return _from_safetensors(path, variant)
    if kind == DARKNET:
        return _from_cfg(path, Path(cfg)) if cfg and not variant else _from_darknet(path, variant, cfg)
    return _from_checkpoint(read_checkpoint(path), variant, path.name)


def _check_finite(detector: Detector, name: str) -> None:
    """Raise LineageError for weights that hold NaN or infinity, as after a diverged training."""
    tensors = detector.state_dict().items()
    broken = [key for key, tensor in tensors if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise LineageError(
            f"{name}: expected finite weights; got NaN or infinity in {plural(len(broken), 'tensor')}, such as "
            f"{broken[0]}, as after a diverged training. Use an earlier checkpoint"
        )


def _with_names(imported: ImportedModel, given: str | Path | None, found: Path | None) -> ImportedModel:
    """Set the class names of a file. One that was only found must have the right number of names."""
    file, detector = given or found, imported.detector
    if file is None:
        return imported
    count = len(detector.class_names)
    try:
        detector.class_names = read_names_file(file, count)
    except LineageError as error:
        if given:
            raise
        return replace(imported, further_notes=(*imported.further_notes, f"not used: {error}"))
    return replace(imported, names_note=f"{count} classes, with names from {file}")


def _with_license(imported: ImportedModel, path: Path, license: str | None) -> ImportedModel:
    """Record the origin of the weights: of the card of a file of this project, of a release, or as given."""
    detector, digest = imported.detector, imported.sha256
    known, note = recognize(detector.variant, detector.family, detector.class_names, digest)
    parents = detector.weights.parents if imported.has_card else None if known == UNKNOWN else ()
    if imported.has_card and detector.weights.license != UNKNOWN:
        known, note = detector.weights.license, f"license {detector.weights.license}, according to its card"
    if license is not None:
        note = f"license {license}, as given" + (f"; {note}" if known not in (license, UNKNOWN, UNDECLARED) else "")
    detector.weights = WeightsOrigin(license or known, path.name, digest, parents)
    return replace(imported, further_notes=(*imported.further_notes, note))


def _require_weights(path: Path) -> str:
    """Return the kind of a weights file by its contents. Unknown contents are Darknet's if the file is named so.

    Raises:
        LineageError: The file does not exist, cannot be read, or is of another kind.
    """
    if not path.exists() and not path.is_symlink():
        hint = f"; its official weights are imported by lineage pull {path}" if str(path) in RELEASES else ""
        raise LineageError(f"expected a checkpoint file; {path} does not exist{hint}")
    try:
        kind = kind_of(path) if path.is_file() else ""
        if kind.startswith(file_kind.UNKNOWN) and path.suffix == ".weights":
            return DARKNET
        if kind not in (TORCH, SAFETENSORS, DARKNET):
            raise LineageError(
                f"{path.name or path}: expected {TORCH}, {SAFETENSORS} or {DARKNET}; got {describe(path)}"
            )
    except OSError as error:
        raise LineageError(f"{path}: cannot be read ({error.strerror})") from error
    return kind


def _from_darknet(path: Path, variant: str | None, cfg: str | Path | None) -> ImportedModel:
    identification = Identification(variant, REQUESTED) if variant else file_sizes.identify(path)
    if identification.variant in CLASSIFIERS:
        raise LineageError(
            f"{path.name}: expected a detector; got a classifier ({identification}). Use it as a pre-trained backbone"
        )
    detector = from_darknet(identification.variant, path, cfg=cfg)
    return ImportedModel(detector, file_sha256(path), str(identification), _default_names_note(detector))


def _from_cfg(path: Path, cfg: Path) -> ImportedModel:
    detector = from_cfg(cfg, path)
    strides = ", ".join(str(stride) for stride in detector.head.strides)
    note = f"{detector.variant}: the network in {cfg.name}, with the head of {detector.family} at strides {strides}"
    return ImportedModel(detector, file_sha256(path), note, _default_names_note(detector))


def _from_safetensors(path: Path, variant: str | None) -> ImportedModel:
    state, card = store.read(path)
    digest = file_sha256(path)
    if card is None:
        return _from_checkpoint(Checkpoint(state, digest), variant, path.name)
    if variant not in (None, card.variant):
        raise LineageError(f"{path.name}: expected {variant}; its card says {card.variant}")
    if store.has_native_keys(state, card):
        evidence = f"{card.variant}: according to its card"
        return ImportedModel(store.restore(state, card), digest, evidence, has_card=True)
    imported = _from_checkpoint(Checkpoint(state, digest, card.class_names), card.variant, path.name)
    imported.detector.resize(card.input_size)
    imported.detector.weights = card.weights
    return replace(imported, has_card=True)


def _from_checkpoint(checkpoint: Checkpoint, variant: str | None, name: str) -> ImportedModel:
    identification = Identification(variant, REQUESTED) if variant else _identify(checkpoint, name)
    detector = from_state_dict(identification.variant, checkpoint.state)
    _check_modules(checkpoint, detector)
    names_note = _set_class_names(detector, checkpoint.class_names)
    return ImportedModel(detector, checkpoint.sha256, str(identification), names_note, checkpoint.notes)


def _identify(checkpoint: Checkpoint, name: str) -> Identification:
    if not checkpoint.state:
        raise LineageError(f"{name}: expected weights of a network; the file has no tensors")
    if any(key.startswith("average/") for key in checkpoint.state):
        raise LineageError(f"{name}: expected weights; got the state of a training. Use best.safetensors beside it")
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


def _set_class_names(detector: Detector, names: object) -> str:
    count = len(detector.class_names)
    found = read_class_names(names, count)
    if found and len(found) != count:
        return f"{_default_names_note(detector)} (the file has {len(found)} names for {count} classes)"
    if not found:
        return _default_names_note(detector)
    detector.class_names = found
    return f"{count} classes, with names from the file"


def _default_names_note(detector: Detector) -> str:
    names = detector.class_names
    return f"{len(names)} classes; the file has no names for them, so the default names are used: {names[0]}, ..."
