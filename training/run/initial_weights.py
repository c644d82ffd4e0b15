"""What a run starts from: a detector of the dataset's classes, with as much of given weights as fits it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.heads.anchor import AnchorHead
from model_zoo.registry import build
from model_zoo.weights.importers import load_checkpoint
from model_zoo.weights.importers.darknet import start_backbone
from training.config import TrainConfig
from training.data.dataset import Dataset, Split
from training.run.anchors import alike, best_possible_recall, box_sizes, fit_anchors, fit_if_poor, set_anchors
from training.run.run_folder import weights_in

Say = Callable[[str], object]
LISTED = 4
POOR_RECALL = 0.95  # of a class, below which something is said


def new_detector(config: TrainConfig, dataset: Dataset) -> Detector:
    """Build the variant for the dataset's classes and the input size; the seed decides its weights."""
    torch.manual_seed(config.seed)
    detector = build(config.model, class_names=dataset.class_names)
    if config.image_size:
        detector.resize((config.image_size[0], config.image_size[-1]))
    return detector


def start_weights(detector: Detector, config: TrainConfig, split: Split, say: Say) -> None:
    """Give a new detector the weights it is to start from, and anchors that suit the data; `say` is told what."""
    if config.weights:
        say(load_matching(detector, config.weights))
    if config.backbone_weights:
        start_backbone(detector, config.backbone_weights)
        say(f"{config.backbone_weights.name}: the backbone starts from it")
    if config.anchors != "keep" and isinstance(detector.head, AnchorHead):
        choose_anchors(detector, detector.head, config, split, say)


def choose_anchors(detector: Detector, head: AnchorHead, config: TrainConfig, split: Split, say: Say) -> None:
    """Fit anchors to the dataset where that is asked for, or where they fit its objects badly."""
    sizes, class_ids = box_sizes(split.records, max(detector.input_spec.size))
    if config.anchors == "fit":
        levels, per_level, _ = head.anchors.shape
        boxes = alike(sizes, class_ids, seed=config.seed)
        set_anchors(detector, fit_anchors(boxes, levels, per_level, seed=config.seed))
        fitted = True
    else:
        fitted = fit_if_poor(detector, sizes, seed=config.seed)
    if fitted:
        say(f"anchors were fitted to the data: {head.anchors.round().int().tolist()}")
    fits = {c: best_possible_recall(head.anchors.numpy(), sizes[class_ids == c]) for c in np.unique(class_ids)}
    for c in [c for c in sorted(fits, key=fits.__getitem__) if fits[c] < POOR_RECALL][:LISTED]:
        advice = "" if config.anchors == "fit" else "; `--anchors fit` suits every class"
        say(f"anchors: {1 - fits[c]:.0%} of class {detector.class_names[c]} fit none{advice}")


def load_matching(detector: Detector, path: Path) -> str:
    """Take every tensor of a checkpoint that the detector has in the same shape; tell how many, and what was left.

    path: of an official checkpoint, our own weights or the folder of a run. LineageError where no tensor of the
    backbone fits: that is another network.
    """
    file = weights_in(path) if path.is_dir() else path
    given = load_checkpoint(file).detector
    theirs, own = given.state_dict(), detector.state_dict()
    taken = {k: v for k, v in theirs.items() if k in own and own[k].shape == v.shape}
    if not any(key.startswith("backbone.") for key in taken):
        raise LineageError(f"{file}: expected weights of {detector.variant}; got those of {given.variant}: none fits")
    detector.load_state_dict(taken, strict=False)
    left = sorted(own.keys() - taken.keys())
    named = f"; new are {', '.join(left[:LISTED])}{', ...' if len(left) > LISTED else ''}" if left else ""
    return f"{file.name}: {len(taken)} of {len(own)} tensors are taken over{named}"


def frozen_parts(detector: Detector, config: TrainConfig) -> list[nn.Module]:
    """Return the parts that do not learn."""
    return [detector.backbone] if config.freeze == "backbone" else []
