"""ONNX Runtime sessions of models in memory."""

from __future__ import annotations

import onnx
import onnxruntime as ort
import torch

from model_zoo.contract.card import Precision
from model_zoo.runtime.sessions import make_session


def open_model(model: onnx.ModelProto | bytes, precision: Precision = "fp32") -> ort.InferenceSession:
    """Open a model in ONNX Runtime on the CPU. int8 runs in the same form as in the engine."""
    return make_session(_contents(model), threads=torch.get_num_threads(), precision=precision)


def open_reference(model: onnx.ModelProto | bytes) -> ort.InferenceSession:
    """Open a model without graph optimization, so that no kernel of the CPU replaces the operators of the graph.

    int8 then means what ONNX defines: float32 convolutions of dequantized values.
    """
    return make_session(_contents(model), threads=torch.get_num_threads(), optimize=False)


def _contents(model: onnx.ModelProto | bytes) -> bytes:
    return model if isinstance(model, bytes) else bytes(model.SerializeToString())
