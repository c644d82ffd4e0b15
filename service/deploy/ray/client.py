"""Engines in other replicas, as a replica that answers HTTP sees them.

    open_engine = RayEngines(handle, timeout=30.0)     # takes the place of `model_zoo.runtime.open.open_engine`

A run is one image. It changes nothing, so an image whose replica dies is sent to another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from model_zoo.contract.letterbox import Size
from model_zoo.contract.package import Package
from model_zoo.contract.pipeline import Feeds
from model_zoo.runtime.base import EngineOptions, EngineUnavailable, Outputs, check_batch
from service.engine_host.messages import Document, describe_package, parse_choice, raise_error
from service.inference.errors import EngineFailed
from service.inference.timed_calls import LOAD_SECONDS

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

MAX_TRIES: Final = 3  # replicas that may die under one image


class RayEngines:
    """Opens engines in the replicas of a deployment."""

    def __init__(self, handle: DeploymentHandle, timeout: float, in_flight: int) -> None:
        """Send up to `in_flight` images of each model at a time. Each may take `timeout` seconds."""
        self._handle, self._timeout, self._in_flight = handle, timeout, in_flight

    def __call__(self, package: Package, options: EngineOptions) -> RayEngine:
        """Load a package in a replica. Others load it when they get its first image.

        Raises:
            LineageError: it cannot be loaded.
        """
        return RayEngine(self._handle, package, options, timeout=self._timeout, workers=self._in_flight)


class RayEngine:
    """One model in the replicas. It takes one image per run: the replicas make batches of the images of all servers.

    Replicas use their own engine options, which come from the same settings.
    """

    max_batch = 1

    def __init__(
        self, handle: DeploymentHandle, package: Package, options: EngineOptions, *, timeout: float, workers: int
    ) -> None:
        self.card, self.workers = options.resize(package.card), workers
        self._package, self._timeout = describe_package(package), timeout
        self._handle = handle.options(multiplexed_model_id=f"{package.reference}#{package.digest[:8]}")
        try:
            opened, _ = self._ask("open", timeout=LOAD_SECONDS)
        except EngineFailed as error:
            raise EngineUnavailable(str(error)) from error
        self.device, self.choice = str(opened["device"]), parse_choice(opened["choice"])
        self._canvases: list[Size] = [(height, width) for height, width in opened["canvases"]]

    @property
    def canvases(self) -> Sequence[Size]:
        """Canvas sizes (height, width) that are ready to run."""
        return self._canvases

    def run(self, feeds: Feeds) -> Outputs:
        """Run one image.

        Raises:
            EngineFailed: several replicas or their engines died, or the deployment is not available.
            RemoteError: the engine failed.
        """
        check_batch(feeds, self.max_batch)
        thresholds = [float(feeds[name][0]) for name in ("score_threshold", "iou_threshold", "distance_weight")]
        answer, rows = self._ask("run", feeds["images"][0], thresholds, timeout=self._timeout)
        return rows[None], np.array([answer["count"]], np.int32)

    def warm_up(self) -> None:
        """Do nothing: replicas warm up what they load."""

    def close(self) -> None:
        """Do nothing: replicas close what they have not used for longest."""

    def _ask(self, method: str, *arguments: Any, timeout: float) -> tuple[Document, Any]:
        """Return the answer of a replica. Ask another one if it has died or its engine has."""
        for _ in range(MAX_TRIES):
            answer, data = self._try(method, *arguments, timeout=timeout)
            if answer.get("error") != EngineFailed.__name__:
                raise_error(answer)
                return answer, data
        raise EngineFailed(f"{self._package['name']}: {answer['message']} ({MAX_TRIES} tries)")

    def _try(self, method: str, *arguments: Any, timeout: float) -> tuple[Document, Any]:
        from ray.exceptions import RayActorError
        from ray.serve.exceptions import RayServeException

        call = getattr(self._handle, method).remote(self._package, *arguments)
        try:
            answer: tuple[Document, Any] = call.result(timeout_s=timeout)
        except RayActorError:
            return {"error": EngineFailed.__name__, "message": "the engine replica has died"}, None
        except RayServeException as error:
            raise EngineFailed(f"the engine replicas are not available ({error}); see `serve status`") from error
        return answer
