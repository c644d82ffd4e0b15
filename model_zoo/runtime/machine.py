"""The machine that models run on: its CPU and the versions of its runtimes."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Final

from loky import cpu_count

from model_zoo.contract.versions import installed_version

CPU_INFO: Final = Path("/proc/cpuinfo")
BF16_FLAGS: Final = {"amx_bf16", "avx512_bf16"}
RUNTIMES: Final = ("onnxruntime", "onnxruntime-gpu", "openvino")


def cpu_flags() -> frozenset[str]:
    """Return the features of the CPU by their names in Linux. Empty where there is no /proc/cpuinfo."""
    return frozenset(_cpu_info("flags").split())


def computes_bf16() -> bool:
    """Return True if bfloat16 can be faster than float32: with AMX or AVX512-BF16."""
    return not BF16_FLAGS.isdisjoint(cpu_flags())


def describe_machine() -> dict[str, Any]:
    """Return everything about this machine that decides which configuration is the fastest, as JSON."""
    return {
        "cpu": _cpu_info("model name") or platform.processor() or platform.machine(),
        "flags": sorted(cpu_flags()),
        "cores": int(cpu_count()),
        "versions": {name: installed_version(name) for name in RUNTIMES},
    }


def _cpu_info(field: str) -> str:
    """Return a field of the first core."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition("\t")[0] == field), "")
