"""Name of the CPU that a measurement ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe_cpu() -> str:
    """Return the model of the CPU and the number of cores, such as `AMD EPYC 9V74, 2 cores`."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
