"""What all tests of training share."""

from __future__ import annotations

import torch

torch.set_num_threads(1)  # tests run side by side, and threads that wait for one another keep their cores busy
