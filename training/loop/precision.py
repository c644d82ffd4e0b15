"""Where a run computes, and in which number type."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from model_zoo.contract.errors import LineageError
from training.config import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Arithmetic:
    """A device and the number type of the network's forward and backward pass; weights are float32."""

    device: torch.device
    dtype: torch.dtype

    def lowered(self) -> torch.autocast:
        """Return the context in which the network computes in `dtype`."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def scaler(self) -> torch.amp.GradScaler:
        """Return what keeps the small gradients of fp16; for others it does nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device of that name; `auto` is the GPU of this process where there is one. Raises LineageError."""
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
        raise LineageError(f"--device: expected a GPU that is there; got {name!r}: number {index} of {count}")
    return torch.device("cuda", index)


def choose_precision(asked: Precision, device: torch.device) -> Precision:
    """Return the precision to compute in; `auto` is bf16 where the hardware has it. LineageError for fp16 on a CPU."""
    if asked == "fp16" and device.type == "cpu":
        raise LineageError("--precision: expected fp32 or bf16 on a CPU; got fp16, which is for GPUs")
    if asked != "auto":
        return asked
    if device.type == "cpu":
        return "bf16" if cpu_has_bf16() else "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def cpu_has_bf16() -> bool:
    """Tell whether the CPU multiplies bf16 numbers itself; emulated, they are slower than float32."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
