"""Our own weights on disk: safetensors, with a small card that says what they are.

    save(detector, "best.safetensors")
    detector = load("best.safetensors")

The card is the metadata entry `lineage.weights`, a JSON document; files that others wrote may have it beside them as
`<name>.safetensors.json` instead. Sizes are (height, width).
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
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import write_atomic
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from model_zoo.detector import Detector
from model_zoo.registry import build

METADATA_KEY = "lineage.weights"
SCHEMA_VERSION = 1
State = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class WeightsCard:
    """What a file of weights does not say by itself.

    input_size: (height, width) the network is meant for. letterbox: how images are laid there; by default as the
    variant has it. options: of the variant's builder. cfg: Darknet's description, of a network that no page has.
    """

    variant: str
    class_names: tuple[str, ...]
    input_size: Size
    letterbox: LetterboxPolicy | None = None
    options: Mapping[str, int] = field(default_factory=dict)
    cfg: str = ""
    schema_version: int = SCHEMA_VERSION


def save(detector: Detector, path: str | Path) -> None:
    """Write a detector in its training form; the file is there whole or not at all.

    Raises LineageError if the detector is deployed: that form cannot be trained on, and is made anew when needed.
    """
    state = {key: value.contiguous().cpu() for key, value in detector.state_dict().items()}
    card = WeightsCard(
        detector.variant,
        detector.class_names,
        detector.input_spec.size,
        letterbox=detector.input_spec.letterbox,
        options=detector.options,
        cfg=getattr(detector.backbone, "cfg", ""),
    )
    if state.keys() != _keys(card):
        raise LineageError(f"expected a detector in its training form; got another form of {detector.variant}")
    write_tensors(Path(path), state, {METADATA_KEY: json.dumps(asdict(card), ensure_ascii=False)})


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically, with default (umask) permissions."""
    write_atomic(path, serialize_tensors(tensors, metadata))


def load(path: str | Path) -> Detector:
    """Read a detector that `save` wrote, in evaluation mode; LineageError if it has no card or does not fit it."""
    state, card = read(path)
    if card is None:
        raise LineageError(f"{path}: expected weights with a card (metadata {METADATA_KEY!r}); import them first")
    return restore(state, card)


def read(path: str | Path) -> tuple[State, WeightsCard | None]:
    """Read any safetensors file: its arrays (floats that NumPy lacks as float32), and its card if it has one."""
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: _array(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118 - not a dict
            document = (file.metadata() or {}).get(METADATA_KEY)
    except (SafetensorError, OSError) as error:
        raise LineageError(f"{path}: expected a whole safetensors file; got a damaged one ({error})") from error
    beside = path.with_name(f"{path.name}.json")
    if document is None and beside.is_file():
        document = beside.read_text(encoding="utf-8", errors="replace")
    return state, None if document is None else _card(document)


def restore(state: State, card: WeightsCard) -> Detector:
    """Make the detector that `state`, with our own keys, and `card` describe; in evaluation mode."""
    detector = _untrained(card)
    expected = {key: tuple(value.shape) for key, value in detector.state_dict().items()}
    wrong = sorted(key for key in expected.keys() | state if expected.get(key) != _shape(state, key))
    if wrong:
        raise LineageError(f"expected weights of {card.variant}; {len(wrong)} do not fit it: {', '.join(wrong[:5])}")
    detector.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in state.items()})
    return detector.eval()


def has_own_keys(state: State, card: WeightsCard) -> bool:
    """Tell our own keys from those of the original programs, of which some begin alike."""
    ours = _keys(card)
    return 2 * len(ours & state.keys()) > len(ours)


def _untrained(card: WeightsCard) -> Detector:
    """Build what the card describes."""
    if card.cfg:
        from model_zoo.weights.importers.darknet.net import from_text

        detector = from_text(card.cfg, Path(f"{card.variant}.cfg"), class_names=card.class_names)
    else:
        detector = build(card.variant, class_names=card.class_names, options=card.options)
    detector.resize(card.input_size)
    if card.letterbox:
        detector.input_spec = replace(detector.input_spec, letterbox=card.letterbox)
    return detector


def _keys(card: WeightsCard) -> Set[str]:
    """Return the keys of the training form, in no time."""
    with torch.device("meta"):
        return _untrained(card).state_dict().keys()


def _card(document: str) -> WeightsCard:
    try:
        card = WeightsCard(**typed_json.read_fields(WeightsCard, typed_json.parse(document)))
    except LineageError as error:
        raise LineageError(f"weights card: {error}") from error
    if card.schema_version != SCHEMA_VERSION:
        raise LineageError(f"weights card: expected schema_version {SCHEMA_VERSION}; got {card.schema_version}")
    return card


def _array(tensor: torch.Tensor) -> NDArray[np.generic]:
    known = not tensor.is_floating_point() or tensor.dtype in (torch.float64, torch.float32, torch.float16)
    array: NDArray[np.generic] = (tensor if known else tensor.float()).numpy()
    return array


def _shape(state: State, key: str) -> tuple[int, ...] | None:
    return state[key].shape if key in state else None
