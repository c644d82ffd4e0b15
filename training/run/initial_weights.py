"""Initial weights of a run: a detector with the dataset's classes, and every given tensor that fits it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from model_zoo.contract.card import WeightsOrigin
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import file_sha256
from model_zoo.contract.image_size import parse_size
from model_zoo.contract.licenses import combine
from model_zoo.contract.terms import describe_parents
from model_zoo.detector import Detector
from model_zoo.export.log import Log
from model_zoo.heads.anchor import AnchorHead
from model_zoo.registry import build
from model_zoo.weights.importers import load_checkpoint
from model_zoo.weights.importers.darknet import load_backbone
from model_zoo.weights.official import license_of_backbone
from training.config import TrainConfig
from training.data.dataset import Dataset, Split
from training.run.anchors import (
    MIN_SIDE,
    balance_classes,
    best_possible_recall,
    box_sizes,
    fit_anchors,
    fit_if_poor,
    set_anchors,
    usable_boxes,
)
from training.run.run_folder import weights_in

MAX_LISTED = 4
MIN_CLASS_RECALL = 0.95  # a lower best possible recall of a class is logged


def create_detector(config: TrainConfig, dataset: Dataset) -> Detector:
    """Build the variant for the dataset's classes and the input size, with weights drawn from the seed."""
    torch.manual_seed(config.seed)
    detector = build(config.model, class_names=dataset.class_names)
    if size := parse_size(config.image_size):
        detector.resize(size)
    return detector


def initialize_weights(detector: Detector, config: TrainConfig, split: Split, log: Log) -> None:
    """Load the given weights into a new detector, and fit its anchors to the data if needed."""
    if config.weights:
        log(load_matching(detector, config.weights))
    if config.backbone_weights:
        load_backbone(detector, config.backbone_weights)
        detector.weights = trained_from(backbone_origin(config.backbone_weights), detector.weights)
        log(f"{config.backbone_weights.name}: loaded into the backbone")
    if detector.weights.parents:
        log(describe_parents(detector.weights))
    if config.anchors != "keep" and isinstance(detector.head, AnchorHead):
        choose_anchors(detector, detector.head, config, split, log)


def choose_anchors(detector: Detector, head: AnchorHead, config: TrainConfig, split: Split, log: Log) -> None:
    """Fit anchors to the dataset if that was requested, or if they match its objects badly."""
    sizes, class_ids = box_sizes(split.records, max(detector.input_spec.size))
    if not len(usable_boxes(sizes)):
        log(f"warning: no object has {MIN_SIDE:g} pixels at this image size; the network's own anchors are kept")
        return
    if config.anchors == "fit":
        levels, per_level, _ = head.anchors.shape
        boxes = balance_classes(sizes, class_ids, seed=config.seed)
        set_anchors(detector, fit_anchors(boxes, levels, per_level, seed=config.seed))
        fitted = True
    else:
        fitted = fit_if_poor(detector, sizes, seed=config.seed)
    if fitted:
        log(f"anchors were fitted to the dataset: {head.anchors.round().int().tolist()}")
    recalls = {c: best_possible_recall(head.anchors.numpy(), sizes[class_ids == c]) for c in np.unique(class_ids)}
    poor = [c for c in sorted(recalls, key=recalls.__getitem__) if recalls[c] < MIN_CLASS_RECALL]
    for c in poor[:MAX_LISTED]:
        advice = "" if config.anchors == "fit" else ". To fit anchors to every class, use --anchors fit"
        log(f"warning: {1 - recalls[c]:.0%} of class {detector.class_names[c]} match no anchor{advice}")


def load_matching(detector: Detector, path: Path) -> str:
    """Load every tensor of a checkpoint that the detector has in the same shape, and return a summary.

    Args:
        detector: Detector to load into.
        path: An official checkpoint, a .safetensors file or the folder of a run.

    Raises:
        LineageError: No tensor of the backbone matches, so the weights are those of another network.
    """
    file = weights_in(path) if path.is_dir() else path
    source = load_checkpoint(file).detector
    given, expected = source.state_dict(), detector.state_dict()
    matching = {k: v for k, v in given.items() if k in expected and expected[k].shape == v.shape}
    if not any(key.startswith("backbone.") for key in matching):
        raise LineageError(f"{file}: expected weights of {detector.variant}; got {source.variant}, no tensor matches")
    detector.load_state_dict(matching, strict=False)
    origin = replace(source.weights, origin=f"{path.resolve().name}/{file.name}") if path.is_dir() else source.weights
    detector.weights = trained_from(origin, detector.weights)
    missing = sorted(expected.keys() - matching.keys())
    names = ", ".join(missing[:MAX_LISTED]) + (", ..." if len(missing) > MAX_LISTED else "")
    return (
        f"{file.name}: loaded {len(matching)} of {len(expected)} tensors"
        + (f"; not loaded: {names}" * bool(missing))
        + _renamed_classes(source.class_names, detector.class_names)
    )


def _renamed_classes(given: Sequence[str], expected: Sequence[str]) -> str:
    """Return a warning if the layers of as many classes were loaded, but their names differ."""
    pairs = zip(given, expected, strict=False) if len(given) == len(expected) else ()
    renamed = [f"{old!r} becomes {new!r}" for old, new in pairs if old != new]
    more = ", ..." if len(renamed) > MAX_LISTED else ""
    return f"; warning: class names differ: {', '.join(renamed[:MAX_LISTED])}{more}" * bool(renamed)


def trained_from(source: WeightsOrigin, weights: WeightsOrigin) -> WeightsOrigin:
    """Return the origin of weights that are trained from other weights: their parents, and the licenses that bind."""
    parents = tuple(dict.fromkeys((*(weights.parents or ()), *source.as_parents())))
    return WeightsOrigin(combine(parent.license for parent in parents), "training run", parents=parents)


def backbone_origin(path: Path) -> WeightsOrigin:
    """Return the origin of a classifier in Darknet's format."""
    return WeightsOrigin(license_of_backbone(path.name), path.name, file_sha256(path))


def frozen_modules(detector: Detector, config: TrainConfig) -> list[nn.Module]:
    """Return the modules that are not trained."""
    return [detector.backbone] if config.freeze == "backbone" else []
