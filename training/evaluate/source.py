"""What can be evaluated: a run, a weights file, an exported file, a model of a repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from loky import cpu_count
from numpy.typing import NDArray

from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError
from model_zoo.contract.package import Repository
from model_zoo.contract.pipeline import Feeds, Run
from model_zoo.weights.importers import load_checkpoint
from training.evaluate.detector import card_of
from training.evaluate.network import network_run

BEST = "best.safetensors"
WEIGHTS = (".pt", ".pth", ".weights", ".safetensors")


class Source(NamedTuple):
    """Something that detects: its card, and how it is run."""

    card: ModelCard
    run: Run


def open_source(source: str, repository: Path, image_size: Sequence[int] = (), threads: int | None = None) -> Source:
    """Open what `source` names: a run's folder, a weights file, an .onnx file, or NAME[@VERSION] of the repository.

    image_size: another input size than its own, (height, width) or one number. threads: of an exported file's run, by
    default as many as cores. LineageError where there is no such source.
    """
    path = Path(source)
    if path.is_dir() and not (path / BEST).is_file():
        raise LineageError(f"{path}: expected the folder of a run, with {BEST} in it; there is none yet")
    if path.is_dir() or path.suffix in WEIGHTS:
        return _weights(path / BEST if path.is_dir() else path, image_size)
    if path.suffix == ".onnx":
        return _file(path, image_size, threads)
    package = Repository(repository).resolve(source)
    package.verify()
    return _file(package.model_path, image_size, threads)


def _weights(path: Path, image_size: Sequence[int]) -> Source:
    detector = load_checkpoint(path).detector
    if image_size:
        detector.resize((image_size[0], image_size[-1]))
    card = card_of(detector)
    return Source(card, network_run(detector, card))


def _file(path: Path, image_size: Sequence[int], threads: int | None) -> Source:
    if not path.is_file():
        raise LineageError(f"expected an exported file; there is none at {path}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or cpu_count()
    try:
        session = ort.InferenceSession(str(path), options, providers=ort.get_available_providers())
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise LineageError(f"{path}: ONNX Runtime cannot load it: {error}") from error
    card = ModelCard.from_metadata(session.get_modelmeta().custom_metadata_map)
    if card.output != "detections":
        raise LineageError(f"{path}: expected a file that ends in detections; a {card.output} export stops before NMS")
    return Source(_resized(card, image_size), _session_run(session))


def _resized(card: ModelCard, image_size: Sequence[int]) -> ModelCard:
    size = (image_size[0], image_size[-1]) if image_size else card.input_size
    if size != card.input_size and not card.dynamic_size:
        raise LineageError(f"{card.name}: expected its only input size, {card.input_size}; got {size}")
    return replace(card, input_size=size)


def _session_run(session: ort.InferenceSession) -> Run:
    def run(feeds: Feeds) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        rows, counts = session.run(["detections", "count"], dict(feeds))
        return rows, counts

    return run
