"""Device and number type of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from model_zoo.contract.errors import LineageError
from model_zoo.contract.plural import plural

if TYPE_CHECKING:  # the loop needs no pydantic
    from training.config import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class ComputePrecision:
    """Device, and number type of the forward and backward pass. Weights are float32 in every precision."""

    device: torch.device
    """Device of the network."""
    dtype: torch.dtype
    """Number type inside autocast."""

    def autocast(self) -> torch.autocast:
        """Return a context in which the network computes in `dtype`."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def grad_scaler(self) -> torch.amp.GradScaler:
        """Return a gradient scaler, enabled for fp16 only."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device of that name. `auto` is the GPU of this rank if there is one, else the CPU.

    Raises:
        LineageError: The name is unknown or the GPU does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise LineageError(f"--device: expected auto, cpu or cuda; got {name!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise LineageError(f"--device: expected auto, cpu or cuda; got {name!r}")
    if device.type == "cpu":
        return device
    index = local_rank if device.index is None else device.index
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= count:
        found = f"{plural(count, 'GPU')}, numbered from 0"
        raise LineageError(f"--device: {name!r} needs GPU {index}, but PyTorch finds {found}")
    return torch.device("cuda", index)


def choose_precision(requested: Precision, device: torch.device) -> Precision:
    """Return the precision to compute in. `auto` is bf16 if the hardware supports it.

    Raises:
        LineageError: fp16 was requested on a CPU.
    """
    if requested == "fp16" and device.type == "cpu":
        raise LineageError("--precision: expected fp32 or bf16 on a CPU; got fp16, which needs a GPU")
    if requested != "auto":
        return requested
    if device.type == "cpu":
        return "bf16" if cpu_has_bf16() else "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def cpu_has_bf16() -> bool:
    """Return True if the CPU has bf16 instructions. Emulated bf16 is slower than float32."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
