"""Ray Serve: a replica per core, each with one thread per run.

python ray_server.py PORT
"""

import sys
import time

import ray
from detector import CORES, Detector
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=CORES, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=2)
class Detection:
    """Images as raw bodies."""

    def __init__(self) -> None:
        self.detector = Detector(threads=1)

    async def __call__(self, request: Request) -> dict[str, list[list[float]]]:
        """Detect."""
        return {"detections": self.detector(await request.body())}


if __name__ == "__main__":
    ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False)
    address = {"host": "127.0.0.1", "port": int(sys.argv[1])}
    serve.start(http_options=address, logging_config={"enable_access_log": False})
    serve.run(Detection.bind(), route_prefix="/detect")
    while True:
        time.sleep(60)
