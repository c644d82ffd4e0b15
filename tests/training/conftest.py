"""Fixtures and settings of all training tests."""

from __future__ import annotations

import torch

torch.set_num_threads(1)  # tests run in parallel, and idle threads of one would take cores from another
