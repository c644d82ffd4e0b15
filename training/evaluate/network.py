"""Run a detector in torch with the inputs and outputs of its exported graph."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.contract.card import ModelCard
from model_zoo.contract.pipeline import Feeds, Run
from model_zoo.contract.select import NMSThresholds, select
from model_zoo.detector import Detector, to_network
from model_zoo.export.candidates import candidates

Outputs = tuple[NDArray[np.float32], NDArray[np.int32]]


def network_run(detector: Detector, card: ModelCard, precision: torch.dtype = torch.float32) -> Run:
    """Return a function that runs batches on the deployed form of a detector.

    On a CPU, threads share the images of a batch: they wait for each other once, and NMS uses all cores too.

    Args:
        detector: Detector to deploy; it is not changed.
        card: Card of the detector, with its limits of candidates and detections.
        precision: Precision of the network; decoding and NMS are float32.
    """
    device = next(detector.parameters()).device
    deployed = detector.deploy()
    head, spec = deployed.head, deployed.input_spec

    @torch.inference_mode()
    def run(feeds: Feeds) -> Outputs:
        images = torch.from_numpy(feeds["images"]).to(device)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            maps = [m.float() for m in deployed(to_network(images, spec))]
        boxes, scores = candidates(head, head.rows(maps), head.priors(maps), card.candidates)
        return _select(card, feeds, boxes.cpu().numpy(), scores.cpu().numpy())

    return (lambda feeds: _share_images(run, feeds)) if device.type == "cpu" else run


def _share_images(run: Run, feeds: Feeds) -> Outputs:
    """Run the images of a batch on threads that share the CPU threads of PyTorch."""
    threads, images = torch.get_num_threads(), len(feeds["images"])
    if (workers := min(threads, images)) == 1:
        return run(feeds)
    bounds = [images * i // workers for i in range(workers + 1)]
    parts = [{name: value[a:b] for name, value in feeds.items()} for a, b in pairwise(bounds)]
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,)) as pool:
            rows, counts = zip(*pool.map(run, parts), strict=True)
    finally:
        torch.set_num_threads(threads)  # of threads to come: the setting of this one did not change
    return np.concatenate(rows), np.concatenate(counts)


def _select(card: ModelCard, feeds: Feeds, boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> Outputs:
    """Apply thresholds and NMS to the candidates of each image and pad the rows, as the graph does."""
    thresholds = zip(feeds["score_threshold"], feeds["iou_threshold"], feeds["distance_weight"], strict=True)
    below, limit = card.thresholds.multi_label_below, card.max_detections
    results = [
        select(image_boxes, image_scores, NMSThresholds(*values), below, limit)
        for image_boxes, image_scores, values in zip(boxes, scores, thresholds, strict=True)
    ]
    rows = np.zeros((len(results), limit, 6), dtype=np.float32)
    for row, result in zip(rows, results, strict=True):
        row[: len(result)] = result
    return rows, np.asarray([len(result) for result in results], dtype=np.int32)
