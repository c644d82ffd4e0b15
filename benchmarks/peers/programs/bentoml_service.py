"""BentoML: a worker process per core, each with one thread per run.

bentoml serve bentoml_service:Detection --port PORT
"""

from pathlib import Path
from typing import Annotated

import bentoml
from detector import CORES, Detector


@bentoml.service(workers=CORES, threads=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Detection:
    """Images as raw bodies."""

    def __init__(self) -> None:
        self.detector = Detector(threads=1)

    @bentoml.api(route="/detect")
    def detect(self, image: Annotated[Path, bentoml.validators.ContentType("image/jpeg")], /) -> list[list[float]]:
        """Detect in the file that BentoML has written."""
        return self.detector(image.read_bytes())
