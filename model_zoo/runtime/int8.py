"""The zero point of an int8 file: one constant for all its maps, so that one byte moves them all.

A file counts maps from -128 to 127 with a zero point of 0, as TensorRT asks for. The same numbers counted from 0 to 255
around 128 are what ONNX Runtime multiplies fast on an x86 CPU; as they come it takes them back to float32 in networks
whose activation reads its input twice, as SiLU does. The type of a map is its zero point's, and nothing else in the
file names it.
"""

from __future__ import annotations

ZERO_POINT = "int8_zero_point"
# onnx.TensorProto as protobuf writes it: data_type (field 2) INT8 or UINT8, name (field 8), raw_data (field 9)
_SIGNED, _UNSIGNED = (
    b"\x10" + kind + b"\x42" + bytes([len(ZERO_POINT)]) + ZERO_POINT.encode() + b"\x4a\x01" + value
    for kind, value in ((b"\x03", b"\x00"), (b"\x02", b"\x80"))
)


def to_uint8_activations(model: bytes) -> bytes:
    """Return an ONNX file whose maps count from 0 to 255; the same bytes where it is no int8 file of this project."""
    return model.replace(_SIGNED, _UNSIGNED, 1)
