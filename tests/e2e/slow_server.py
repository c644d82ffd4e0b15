"""A server whose engine sleeps for each image: `python -m tests.e2e.slow_server REPOSITORY SECONDS [WORKERS]`."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import EngineOptions, Outputs
from service.deploy.uvicorn import create_server, listen
from service.settings import Settings
from tests.service.fake_engine import FakeEngine


@dataclass
class SlowEngine(FakeEngine):
    """A fake engine with a constant time per image."""

    seconds: float = 0.0

    def run(self, feeds: Feeds) -> Outputs:
        """Run one batch."""
        time.sleep(self.seconds * len(feeds["images"]))
        return super().run(feeds)


def main(repository: str, seconds: str, workers: str = "2") -> None:
    """Serve until the process is killed."""

    def open_slow_engine(package: Package, options: EngineOptions) -> SlowEngine:
        return SlowEngine(package.card, options.workers or 1, seconds=float(seconds))

    logging.basicConfig(level=logging.INFO)
    settings = Settings(repository=Path(repository), port=0, workers=int(workers), verify_on_load=False)
    create_server(settings, open_slow_engine).run(sockets=[listen(settings)])


if __name__ == "__main__":
    main(*sys.argv[1:])
