"""Keep the loaded models within a memory budget.

The least recently used models that no request uses are unloaded first. A model counts as 2.5 times the size of its file
plus 16 MiB, for each canvas on a provider with a session per canvas. That is an upper bound of measured growth: on the
CPU, ONNX Runtime keeps weights, repacked ones and buffers in two sessions for all canvases. The same models therefore
always fit. The growth of the process itself would depend on the requests and loads that run at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal

from loky import cpu_count

from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.select import may_use_openvino
from service.inference.loaded_model import LoadedModel

FACTOR: Final = 2.5
FIXED: Final = 16 << 20
OPENVINO_WORKER: Final = 32 << 20  # of each canvas: 40 MB for a file of 7.5 MB, 71 with two workers
# wait: unload other models, also once they are no longer in use. evict: unload those that are idle. free: unload none.
Effort = Literal["wait", "evict", "free"]


class Residency:
    """Counts the memory of the models, and makes place for new ones. `models` begins with the least recently used."""

    def __init__(
        self, budget: int | None, models: Mapping[Package, LoadedModel], evict: Callable[[Package], object]
    ) -> None:
        """Allow `budget` bytes for all models. `evict` begins to unload one."""
        self._budget, self._models, self._evict = budget, models, evict
        self.used = 0
        """Bytes of the models that are loading, loaded or unloading."""
        self.leaving = 0
        """Bytes of the models that are unloading."""
        self.protected: Collection[Package] = ()
        """Models to unload only if no other is idle."""
        self._changed = asyncio.Event()

    def check(self, package: Package, size: int) -> None:
        """Check that a model fits into an empty memory.

        Raises:
            PackageError: it never fits.
        """
        if self._budget is not None and size > self._budget:
            raise PackageError(
                f"{package.reference}: expected a model of at most {_mebibytes(self._budget)} (model_memory); "
                f"got one of {_mebibytes(size)}; raise model_memory"
            )

    async def reserve(self, package: Package, size: int, effort: Effort) -> bool:
        """Reserve `size` bytes for a package, unloading others if they are not free. Return False if that fails."""
        while (excess := self._excess(size)) > 0:
            victim = self._victim(package) if effort != "free" and excess > self.leaving else None
            if victim:
                self._evict(victim)
            elif excess <= self.leaving or effort == "wait":
                self._changed.clear()
                await self._changed.wait()
            else:
                return False
        self.used += size
        return True

    def free(self, size: int) -> None:
        """Return reserved bytes."""
        self.used -= size
        self.notify()

    def notify(self) -> None:
        """Continue a waiting call of `reserve`, after memory was freed or a model became idle."""
        self._changed.set()

    def describe(self) -> str:
        """Describe the use of the budget."""
        return (
            f"models in use or loading take {_mebibytes(self.used)} of {_mebibytes(self._budget or 0)} (model_memory)"
        )

    def _excess(self, size: int) -> int:
        """Return the bytes missing for a model. One that never fits asks for none: its load fails."""
        return 0 if self._budget is None or size > self._budget else self.used + size - self._budget

    def _victim(self, package: Package) -> Package | None:
        """Return the least recently used idle model. Protected ones and versions of the same model come last."""
        idle = [p for p, model in self._models.items() if model.is_idle]
        return min(idle, key=lambda p: p.name == package.name or p in self.protected, default=None)


def model_bytes(package: Package, options: EngineOptions) -> int:
    """Estimate the memory of a loaded package."""
    largest = max(file.size for file in package.files)
    openvino = may_use_openvino(options)
    if options.provider in ("auto", "cpu") and not openvino:
        return int(FACTOR * largest + FIXED)
    workers = (options.workers or int(cpu_count())) if openvino else 0
    return len(options.canvases(package.card)) * int(FACTOR * largest + FIXED + workers * OPENVINO_WORKER)


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"
