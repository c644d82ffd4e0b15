"""Adapt int8 files to the CPU: switch their activations from signed to unsigned where that is faster or needed.

Files store activations as int8 with a zero point of 0, as TensorRT requires. ONNX Runtime on x86 is fast with the same
numbers as uint8 around 128. With int8 it falls back to float32 wherever an activation function reads its input twice,
as SiLU does. The type of a tensor is that of its zero point. All activations share one zero point, so changing a few
bytes switches them all.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from model_zoo.runtime.base import Provider

ZERO_POINT = "int8_zero_point"
# onnx.TensorProto as protobuf writes it: data_type (field 2) INT8 or UINT8, name (field 8), raw_data (field 9)
_SIGNED, _UNSIGNED = (
    b"\x10" + kind + b"\x42" + bytes([len(ZERO_POINT)]) + ZERO_POINT.encode() + b"\x4a\x01" + value
    for kind, value in ((b"\x03", b"\x00"), (b"\x02", b"\x80"))
)


def to_uint8_activations(model: bytes) -> bytes:
    """Return an ONNX file with uint8 activations. Files without the zero point of `quantize` are returned unchanged."""
    return model.replace(_SIGNED, _UNSIGNED, 1)


def adapt_int8(model: Path | bytes, provider: Provider) -> Path | bytes:
    """Return an int8 model, given as path or contents, in the form that suits the provider and this CPU.

    On x86 CPUs with VNNI, uint8 activations are multiplied faster; without VNNI, sums of their products overflow
    16 bits. OpenVINO 2026.4 miscomputes convolutions of signed activations that come from a concatenation.
    """
    if provider == "openvino" or (provider == "cpu" and _has_vnni()):
        return to_uint8_activations(model if isinstance(model, bytes) else model.read_bytes())
    return model


def _has_vnni() -> bool:
    with contextlib.suppress(OSError):  # not Linux
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return False
