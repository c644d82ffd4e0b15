"""MLServer: a worker process per core, each with one thread per run. Files are base64 in JSON.

mlserver start FOLDER, with settings in MLSERVER_... variables
"""

import numpy as np
from detector import Detector
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Detection(MLModel):
    """Images as one input of type BYTES."""

    async def load(self) -> bool:
        """Load the model."""
        self.detector = Detector(threads=1)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Detect."""
        image = Base64Codec.decode_input(payload.inputs[0])[0]
        rows = self.detector.detect(np.frombuffer(image, np.uint8))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("detections", rows)])
