"""LitServe: a worker process per core, each with one thread per run.

python litserve_server.py PORT
"""

import sys
from typing import Annotated

import litserve
from detector import CORES, Detector
from fastapi import Body


class API(litserve.LitAPI):
    """Images as raw bodies."""

    def setup(self, _: str) -> None:
        """Load the model."""
        self.detector = Detector(threads=1)

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> bytes:
        """Return the body."""
        return request

    def predict(self, image: bytes) -> list[list[float]]:
        """Detect."""
        return self.detector(image)

    def encode_response(self, output: list[list[float]]) -> dict[str, list[list[float]]]:
        """Return the answer."""
        return {"detections": output}


if __name__ == "__main__":
    server = litserve.LitServer(API(api_path="/detect"), accelerator="cpu", devices=1, workers_per_device=CORES)
    port = int(sys.argv[1])
    server.run(port=port, host="127.0.0.1", generate_client_file=False, log_level="warning", access_log=False)
