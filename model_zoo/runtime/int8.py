"""Switch the activations of an int8 file between signed and unsigned.

Files store activations as int8 with a zero point of 0, as TensorRT requires. ONNX Runtime on x86 is fast with the same
numbers as uint8 around 128. With int8 it falls back to float32 wherever an activation function reads its input twice,
as SiLU does. The type of a tensor is that of its zero point. All activations share one zero point, so changing a few
bytes switches them all.
"""

from __future__ import annotations

ZERO_POINT = "int8_zero_point"
# onnx.TensorProto as protobuf writes it: data_type (field 2) INT8 or UINT8, name (field 8), raw_data (field 9)
_SIGNED, _UNSIGNED = (
    b"\x10" + kind + b"\x42" + bytes([len(ZERO_POINT)]) + ZERO_POINT.encode() + b"\x4a\x01" + value
    for kind, value in ((b"\x03", b"\x00"), (b"\x02", b"\x80"))
)


def to_uint8_activations(model: bytes) -> bytes:
    """Return an ONNX file with uint8 activations. Files without the zero point of `quantize` are returned unchanged."""
    return model.replace(_SIGNED, _UNSIGNED, 1)
