"""ONNX Runtime sessions of models in memory."""

from __future__ import annotations

import onnx
import onnxruntime as ort
import torch

from model_zoo.contract.card import Precision
from model_zoo.runtime.sessions import make_session


def open_model(model: onnx.ModelProto, precision: Precision = "fp32") -> ort.InferenceSession:
    """Open a model in ONNX Runtime on the CPU. int8 runs in the same form as in the engine."""
    return make_session(model.SerializeToString(), threads=torch.get_num_threads(), precision=precision)
