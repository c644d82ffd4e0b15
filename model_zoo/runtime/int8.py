"""Adapt int8 files to the runtime: the type of their maps, and which maps are in int8.

Files store maps as int8 with a zero point of 0, as TensorRT requires. The same numbers as uint8 around 128 give the
same results. ONNX Runtime on x86 is fast with uint8 alone. The type of a map is that of its zero point, and maps share
few zero points. So changing a few bytes switches them all.

ONNX Runtime computes a convolution and its activation in int8 if every map between them is quantized. Other runtimes
compute both at once, without rounding in between. There, the activations read the maps before they are quantized. Both
names have the same length, so this changes bytes in place too.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Final

from model_zoo.runtime.base import Provider

ZERO_POINT: Final = "int8_zero_point"
OPTIONAL_MAP: Final = "optional_{:06}"  # its forms have the suffixes .fp32 and .int8
# onnx.TensorProto as protobuf writes it: data_type (field 2) INT8 or UINT8, name (field 8), raw_data (field 9)
_ZERO_POINTS: Final = re.compile(rb"\x10\x03(B.%s(?:[+-]\d{3})?J\x01)(.)" % ZERO_POINT.encode(), re.DOTALL)
_OPTIONAL_ZERO_POINTS: Final = re.compile(rb"(\x10\x03B.%s[+-]\d{3}J\x01)." % ZERO_POINT.encode(), re.DOTALL)
# onnx.NodeProto: input (field 1) with a name of 20 bytes
_OPTIONAL_INPUTS: Final = re.compile(rb"(\n\x14optional_\d{6}\.)int8")


def to_uint8_activations(model: bytes) -> bytes:
    """Return an ONNX file with uint8 maps. Files without the zero points of `quantize` are returned unchanged."""
    return _ZERO_POINTS.sub(lambda match: b"\x10\x02" + match[1] + bytes([match[2][0] ^ 0x80]), model)


def without_optional_maps(model: bytes) -> bytes:
    """Return an ONNX file whose activations read the outputs of convolutions before they are quantized.

    The unused nodes remain. Their zero points become 0, because TensorRT reads no others.
    """
    return _OPTIONAL_ZERO_POINTS.sub(b"\\1\0", _OPTIONAL_INPUTS.sub(rb"\1fp32", model))


def adapt_int8(model: Path | bytes, provider: Provider) -> Path | bytes:
    """Return an int8 model, given as path or contents, in the form that suits the provider.

    OpenVINO 2026.4 miscomputes convolutions of signed maps on CPUs without AMX. It needs unsigned ones.
    """
    contents = model if isinstance(model, bytes) else model.read_bytes()
    if provider != "cpu":
        contents = without_optional_maps(contents)
    if provider == "openvino" or (provider == "cpu" and _is_x86()):
        contents = to_uint8_activations(contents)
    return contents


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")
