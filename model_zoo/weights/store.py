"""Save and load detectors as safetensors files with a card.

    save(detector, "best.safetensors")
    detector = load("best.safetensors")

The card is a JSON document in the metadata entry `lineage.weights`. Files written by other programs may have it in a
separate file `<name>.safetensors.json`. Sizes are (height, width).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize_tensors

from model_zoo.contract import typed_json
from model_zoo.contract.card import WeightsOrigin
from model_zoo.contract.errors import LineageError
from model_zoo.contract.file_kind import SAFETENSORS, describe
from model_zoo.contract.files import write_atomic
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from model_zoo.detector import Detector
from model_zoo.registry import build
from model_zoo.weights.state_dict import StateDict

METADATA_KEY = "lineage.weights"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class WeightsCard:
    """Metadata that is required to build the detector of a weights file."""

    variant: str
    """Name of the variant."""
    class_names: tuple[str, ...]
    """Class names, in the order of the class indices."""
    input_size: Size
    """Input (height, width)."""
    letterbox: LetterboxPolicy | None = None
    """Letterbox policy, by default the variant's."""
    options: Mapping[str, int] = field(default_factory=dict)
    """Options of the variant's builder."""
    cfg: str = ""
    """Text of the Darknet cfg, for a network that was built from one."""
    weights: WeightsOrigin = field(default_factory=WeightsOrigin)
    """Origin of the weights: license and parents."""
    schema_version: int = SCHEMA_VERSION
    """Version of this schema."""


def save(detector: Detector, path: str | Path) -> None:
    """Save a detector in its training form, atomically.

    Raises:
        LineageError: The detector is deployed. That form cannot be trained, and is derived from the training form.
    """
    state = {key: value.contiguous().cpu() for key, value in detector.state_dict().items()}
    card = WeightsCard(
        detector.variant,
        detector.class_names,
        detector.input_spec.size,
        letterbox=detector.input_spec.letterbox,
        options=detector.options,
        cfg=getattr(detector.backbone, "cfg", ""),
        weights=detector.weights,
    )
    if state.keys() != _keys(card):
        raise LineageError(f"expected a detector in its training form; got the deployed form of {detector.variant}")
    write_tensors(Path(path), state, {METADATA_KEY: json.dumps(asdict(card), ensure_ascii=False)})


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically, with default (umask) permissions."""
    write_atomic(path, serialize_tensors(tensors, metadata))


def load(path: str | Path) -> Detector:
    """Load a detector written by `save`, in evaluation mode.

    Raises:
        LineageError: The file has no card, or does not match it.
    """
    state, card = read(path)
    if card is None:
        raise LineageError(f"{path}: expected weights with a card (metadata {METADATA_KEY!r}). Import the file first")
    return restore(state, card)


def read(path: str | Path) -> tuple[StateDict, WeightsCard | None]:
    """Read the arrays of any safetensors file, and its card if it has one.

    Float types that NumPy lacks become float32.

    Raises:
        LineageError: The file is damaged, or its card is invalid.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: _array(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118 - not a dict
            document = (file.metadata() or {}).get(METADATA_KEY)
    except (SafetensorError, OSError) as error:
        actual = describe(path)
        reason = f"it is damaged ({error})" if actual == SAFETENSORS else f"got {actual}"
        raise LineageError(f"{path}: expected a complete safetensors file; {reason}") from error
    card_file = path.with_name(f"{path.name}.json")
    if document is None and card_file.is_file():
        document = card_file.read_text(encoding="utf-8-sig", errors="replace")
    return state, None if document is None else _card(document)


def restore(state: StateDict, card: WeightsCard) -> Detector:
    """Build the detector of a card with the weights of a state dict, in evaluation mode.

    Raises:
        LineageError: The state dict does not match the card.
    """
    detector = _untrained(card)
    expected = {key: tuple(value.shape) for key, value in detector.state_dict().items()}
    wrong = sorted(key for key in expected.keys() | state if expected.get(key) != _shape(state, key))
    if wrong:
        raise LineageError(f"expected weights of {card.variant}; {len(wrong)} do not match: {', '.join(wrong[:5])}")
    detector.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in state.items()})
    detector.weights = card.weights
    return detector.eval()


def has_native_keys(state: StateDict, card: WeightsCard) -> bool:
    """Return True for this project's keys, False for those of the original programs. They may share some keys."""
    native = _keys(card)
    return 2 * len(native & state.keys()) > len(native)


def _untrained(card: WeightsCard) -> Detector:
    """Build the detector of a card, with untrained weights."""
    if card.cfg:
        from model_zoo.weights.importers.darknet.cfg_network import from_cfg_text

        detector = from_cfg_text(card.cfg, Path(f"{card.variant}.cfg"), class_names=card.class_names)
    else:
        detector = build(card.variant, class_names=card.class_names, options=card.options)
    detector.resize(card.input_size)
    if card.letterbox:
        detector.input_spec = replace(detector.input_spec, letterbox=card.letterbox)
    return detector


def _keys(card: WeightsCard) -> Set[str]:
    """Return the keys of the training form, without allocating weights."""
    with torch.device("meta"):
        return _untrained(card).state_dict().keys()


def _card(document: str) -> WeightsCard:
    try:
        data = typed_json.parse(document)
        typed_json.check_schema(data, SCHEMA_VERSION)
        card = WeightsCard(**typed_json.read_fields(WeightsCard, data))
    except LineageError as error:
        raise LineageError(f"weights card: {error}") from error
    return card


def _array(tensor: torch.Tensor) -> NDArray[np.generic]:
    supported = not tensor.is_floating_point() or tensor.dtype in (torch.float64, torch.float32, torch.float16)
    array: NDArray[np.generic] = (tensor if supported else tensor.float()).numpy()
    return array


def _shape(state: StateDict, key: str) -> tuple[int, ...] | None:
    return state[key].shape if key in state else None
