"""Pick the predictions that can matter before anything is decoded, in torch, to be traced with the network.

Decoding all predictions costs a lot (25,200 x 85 numbers for yolov5n at 640 px) and nearly all of it is thrown away.
The k best by `Head.ranking` are picked from the raw numbers, and only those rows are decoded.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.detector import Head


def candidates(head: Head, rows: Tensor, priors: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return boxes (B, k, 4) and scores (B, k, C) of the best k predictions, in order of prediction.

    rows (B, N, R), priors (N, P) as `Head` defines them. Where N < k the rest has scores of 0, which no threshold lets
    through.
    """
    index, real = pick(head.ranking(rows), k)
    boxes, scores = head.decode(_take(rows, index), priors[index])
    return boxes, scores * real[..., None]


def pick(ranking: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k highest of (B, N): their indices (B, k) in rising order, and 1 where real, 0 where N < k left a gap.

    Rising indices make the order of predictions the tie-break of every later sort.
    """
    room = F.pad(ranking, (0, k), value=torch.finfo(ranking.dtype).min)
    index = torch.topk(room, k, dim=1, sorted=False).indices.sort(dim=1).values
    last = ranking.shape[1] - 1
    return index.clamp(max=last), (index <= last).to(ranking.dtype)


def _take(rows: Tensor, index: Tensor) -> Tensor:
    """Gather rows (B, N, R) by index (B, k): (B, k, R)."""
    batch = torch.arange(rows.shape[0], device=rows.device)
    return rows[batch[:, None], index]
