"""Select the candidate predictions before they are decoded, in torch, as part of the traced network.

Decoding all predictions is expensive (25,200 x 85 numbers for yolov5n at 640 px), and NMS discards most of them. The k
best by `Head.ranking` are selected from the raw outputs. Only those rows are decoded.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Head


def candidates(head: Head, rows: Tensor, priors: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return boxes (B, k, 4) and scores (B, k, C) of the best k predictions, in order of prediction.

    `rows` (B, N, R) and `priors` (N, P) are those of the head. If N < k, the remaining candidates have scores of 0,
    which no threshold accepts.
    """
    index, valid = select_top_k(head.ranking(rows), k)
    boxes, scores = head.decode(_gather(rows, index), priors[index])
    return boxes, scores * valid[..., None]


def select_top_k(ranking: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the indices (B, k) of the k highest values of (B, N), in increasing order, and a mask.

    The mask is 1 for valid indices and 0 for padding if N < k. Increasing indices make the order of predictions the
    tie-break of every later sort.
    """
    padded = F.pad(ranking, (0, k), value=torch.finfo(ranking.dtype).min)
    index = torch.topk(padded, k, dim=1, sorted=False).indices.sort(dim=1).values
    last = ranking.shape[1] - 1
    return index.clamp(max=last), (index <= last).to(ranking.dtype)


def _gather(rows: Tensor, index: Tensor) -> Tensor:
    """Gather rows (B, N, R) by index (B, k) as (B, k, R)."""
    batch = torch.arange(rows.shape[0], device=rows.device)
    return rows[batch[:, None], index]
