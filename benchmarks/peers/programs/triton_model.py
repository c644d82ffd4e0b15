"""NVIDIA Triton's Python backend: an instance per core, each with one thread per run."""

import triton_python_backend_utils as triton
from detector import Detector


class TritonPythonModel:
    """Images as bytes of one UINT8 tensor, detections as one FP32 tensor."""

    @staticmethod
    def auto_complete_config(config: "triton.ModelConfig") -> "triton.ModelConfig":
        """Declare the tensors."""
        config.add_input({"name": "image", "data_type": "TYPE_UINT8", "dims": [-1]})
        config.add_output({"name": "detections", "data_type": "TYPE_FP32", "dims": [-1, 6]})
        config.set_max_batch_size(0)
        return config

    def initialize(self, _: dict[str, str]) -> None:
        """Load the model."""
        self.detector = Detector(threads=1)

    def execute(self, requests: list["triton.InferenceRequest"]) -> list["triton.InferenceResponse"]:
        """Detect in one image per request."""
        return [triton.InferenceResponse([triton.Tensor("detections", self._rows(request))]) for request in requests]

    def _rows(self, request: "triton.InferenceRequest"):
        return self.detector.detect(triton.get_input_tensor_by_name(request, "image").as_numpy())
