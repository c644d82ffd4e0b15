"""A server whose engines hang or die, to see what its clients notice.

    python -m benchmarks.fault_server --fault hangs --engines 1 --after 20 --repository models

The first `engines` engines have the fault, after `after` images. Other flags are those of `lineage serve`.
"""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import Engine, EngineOptions, Outputs
from model_zoo.runtime.open import open_engine
from service.deploy.uvicorn import run_server
from service.settings import Settings


class FaultyEngine:
    """An engine that hangs or raises after a number of images. Black images do not count."""

    def __init__(self, engine: Engine, fault: str, after: int) -> None:
        self._engine, self._fault, self._after = engine, fault, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def run(self, feeds: Feeds) -> Outputs:
        """Run a batch, hang or raise."""
        if self._after <= 0 and self._fault == "raises":
            raise RuntimeError("CUDA error 700: an illegal memory access was encountered")
        if feeds["images"].any():
            self._after -= len(feeds["images"])
            if self._after < 0 and self._fault == "hangs":
                threading.Event().wait()
        return self._engine.run(feeds)


class FaultyEngines:
    """Opens engines, the first ones with a fault."""

    def __init__(self, fault: str, engines: int, after: int) -> None:
        self._fault, self._left, self._after = fault, engines, after

    def __call__(self, package: Package, options: EngineOptions) -> Engine:
        """Open an engine."""
        engine = open_engine(package, options)
        if self._left == 0:
            return engine
        self._left -= 1
        faulty: Any = FaultyEngine(engine, self._fault, self._after)
        self._after = 0  # the next one fails at once
        return faulty  # type: ignore[no-any-return]


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", choices=("hangs", "raises"), required=True)
    parser.add_argument("--engines", type=int, default=1)
    parser.add_argument("--after", type=int, default=20)
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--run-timeout", type=float, default=1.0)
    arguments = parser.parse_args()
    settings = Settings(repository=arguments.repository, port=0, run_timeout=arguments.run_timeout, poll=0.2)
    run_server(settings, FaultyEngines(arguments.fault, arguments.engines, arguments.after))


if __name__ == "__main__":
    main()
