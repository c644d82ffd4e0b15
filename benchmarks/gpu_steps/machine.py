"""Step `machine`: report what the machine is, and what is installed there."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
from types import ModuleType
from typing import Any, Final

from benchmarks.cpu import describe_cpu
from benchmarks.gpu_steps.results import CouldNotRun, Options, Row, write_row

PACKAGES: Final = (
    *("torch", "numpy", "opencv-python-headless", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu"),
    *("tensorrt-cu13", "tensorrt-rtx-cu13", "cuda-bindings", "psutil", "tqdm", "defusedxml", "pyyaml", "safetensors"),
    *("fastapi", "loky", "prometheus-client", "pydantic", "pydantic-settings", "tyro", "uvicorn"),
)


def run(options: Options) -> None:
    """Write the report to `machine.json`."""
    report = {"cpu": describe_cpu(), "python": platform.python_version(), "packages": installed(), **graphics()}
    (options.folder / "machine.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    write_row(options, Row("machine", str(report.get("gpu") or report["cpu"]), note=f"torch {report.get('torch')}"))


def installed() -> dict[str, str]:
    """Return the versions of the packages that matter, empty where one is missing."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
    return versions


def graphics() -> dict[str, Any]:
    """Return what PyTorch and the driver say about the GPU."""
    import torch

    report: dict[str, Any] = {"torch": torch.__version__, "driver": nvidia_smi()}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        report |= {
            "gpu": properties.name,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "memory_gb": round(properties.total_memory / 1e9, 1),
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return report


def nvidia_smi() -> str:
    """Return the driver's own line about the GPU, or why there is none."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,power.limit", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi: {error}"


def replace_missing_packages() -> None:
    """Stand in for two small packages that many machines with PyTorch lack, as far as the steps need them."""
    stand_ins: dict[str, dict[str, Any]] = {
        "loky": {"cpu_count": lambda **_: len(os.sched_getaffinity(0))},
        "defusedxml": {"DefusedXmlException": ValueError},
        "defusedxml.ElementTree": {"fromstring": _refuse_xml},
    }
    missing = [name for name in ("loky", "defusedxml") if not importlib.util.find_spec(name)]
    for name, members in stand_ins.items():
        if name.partition(".")[0] in missing:
            sys.modules[name] = ModuleType(name)
            vars(sys.modules[name]).update(members)


def _refuse_xml(_: object) -> None:
    raise CouldNotRun("datasets with XML files need the package defusedxml")
