"""Select the candidate predictions before they are decoded, in torch, as part of the traced network.

Decoding all predictions is expensive (25,200 x 85 numbers for yolov5n at 640 px), and NMS discards most of them. The k
best by `Head.ranking` are selected from the raw outputs. Only those rows are decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Head


def candidates(head: Head, rows: Tensor, priors: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return boxes (B, k, 4) and scores (B, k, C) of the best k predictions, in order of prediction.

    `rows` (B, N, R) and `priors` (N, P) are those of the head. If N < k, the remaining candidates have scores of 0,
    which no threshold accepts.
    """
    top = select_top_k(head.ranking(rows), k)
    boxes, scores = head.decode(_gather(rows, top.indices), priors[top.indices])
    return boxes, scores * top.valid[..., None]


def shortlist(head: Head, planes: Sequence[Tensor], priors: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the `candidates` of a small limit, gathered from the planes of a head.

    The third value (B,) is an upper bound of the scores of all other predictions. Where it is no higher than the
    threshold, NMS needs no others, and the rows of all predictions need not exist.
    """
    top = select_top_k(torch.cat([head.ranking(plane, 2).flatten(1) for plane in planes], dim=1), size)
    boxes, scores = head.decode(_gather_planes(planes, top.indices), priors[top.indices])
    return boxes, scores * top.valid[..., None], head.bound(top.lowest)


class TopK(NamedTuple):
    """The k highest values of (B, N), in order of index. It is the tie-break of every later sort."""

    indices: Tensor
    """Indices (B, k)."""
    valid: Tensor
    """1 for indices, 0 for padding if N < k."""
    lowest: Tensor
    """Lowest of the k values (B,). Values of padding are the lowest of all."""


def select_top_k(ranking: Tensor, k: int) -> TopK:
    """Select the k highest values of (B, N)."""
    padded = F.pad(ranking, (0, k), value=torch.finfo(ranking.dtype).min)
    values, unordered = torch.topk(padded, k, dim=1, sorted=False)
    index, last = unordered.sort(dim=1).values, ranking.shape[1] - 1
    return TopK(index.clamp(max=last), (index <= last).to(ranking.dtype), values.amin(1))


def _gather(rows: Tensor, index: Tensor) -> Tensor:
    """Gather rows (B, N, R) by index (B, k) as (B, k, R)."""
    batch = torch.arange(rows.shape[0], device=rows.device)
    return rows[batch[:, None], index]


def _gather_planes(planes: Sequence[Tensor], index: Tensor) -> Tensor:
    """Gather rows (B, k, R) by index (B, k) from planes (B, A, R, h, w), without a transposition of the planes."""
    first, *others = planes
    rows = _gather_plane(first, index)
    for plane in others:
        index = index - first.shape[1] * first.shape[3] * first.shape[4]
        rows = torch.where((index < 0)[..., None], rows, _gather_plane(plane, index))
        first = plane
    return rows


def _gather_plane(plane: Tensor, index: Tensor) -> Tensor:
    """Gather rows of one plane. Rows of indices out of range are arbitrary."""
    _, anchors, numbers, height, width = plane.shape
    area = height * width
    index = index.clamp(0, anchors * area - 1)
    starts = index + index // area * ((numbers - 1) * area)
    places = starts[..., None] + torch.arange(numbers, device=plane.device) * area
    rows: Tensor = plane.flatten(1).gather(1, places.flatten(1)).unflatten(1, places.shape[1:])
    return rows
