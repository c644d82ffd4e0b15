"""Adapt int8 files to the runtime: switch their activations from signed to unsigned where that is faster or needed.

Files store activations as int8 with a zero point of 0, as TensorRT requires. The same numbers as uint8 around 128 give
the same results. ONNX Runtime on x86 is fast with uint8. With int8 it falls back to float32 wherever an activation
function reads its input twice, as SiLU does. The type of a tensor is that of its zero point. All activations share one
zero point, so changing a few bytes switches them all.
"""

from __future__ import annotations

import platform
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
    """Return an int8 model, given as path or contents, in the form that suits the provider.

    OpenVINO 2026.4 miscomputes convolutions of signed activations on CPUs without VNNI. It needs unsigned ones.
    """
    if provider == "openvino" or (provider == "cpu" and _is_x86()):
        return to_uint8_activations(model if isinstance(model, bytes) else model.read_bytes())
    return model


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")
