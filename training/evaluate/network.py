"""Run a detector in torch as its exported graph runs: the same inputs, the same outputs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.contract.card import ModelCard
from model_zoo.contract.pipeline import Feeds, Run
from model_zoo.contract.select import NMSThresholds, select
from model_zoo.detector import Detector, to_network
from model_zoo.export.candidates import candidates


def network_run(detector: Detector, card: ModelCard, precision: torch.dtype = torch.float32) -> Run:
    """Return `run(feeds)` of a detector's deployed form, for `contract.pipeline`.

    precision: what the network computes in; decoding and NMS are float32. Rows (B, max_detections, 6), counts (B,).
    """
    device = next(detector.parameters()).device
    deployed = detector.deploy()
    head, spec = deployed.head, deployed.input_spec

    @torch.inference_mode()
    def run(feeds: Feeds) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        images = torch.from_numpy(feeds["images"]).to(device)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            maps = [m.float() for m in deployed(to_network(images, spec))]
        boxes, scores = candidates(head, head.rows(maps), head.priors(maps), card.candidates)
        return _detections(card, feeds, boxes.cpu().numpy(), scores.cpu().numpy())

    return run


def _detections(
    card: ModelCard, feeds: Feeds, boxes: NDArray[np.float32], scores: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    asked = zip(feeds["score_threshold"], feeds["iou_threshold"], feeds["distance_weight"], strict=True)
    below, limit = card.thresholds.multi_label_below, card.max_detections
    found = [select(b, s, NMSThresholds(*ask), below, limit) for b, s, ask in zip(boxes, scores, asked, strict=True)]
    rows = np.zeros((len(found), limit, 6), dtype=np.float32)
    for row, one in zip(rows, found, strict=True):
        row[: len(one)] = one
    return rows, np.asarray([len(one) for one in found], dtype=np.int32)
