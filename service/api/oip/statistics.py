"""The statistics extension of the protocol. Requests of all protocols count."""

from __future__ import annotations

from typing import Any

from service.api.oip.metadata import find_package
from service.api.oip.served_model import ServedModel, views
from service.state import AppState
from service.telemetry.statistics import Compute, Duration, VersionStatistics


async def describe(state: AppState, model: ServedModel) -> list[dict[str, Any]]:
    """Return the counters of a version, or those of all versions if none is named.

    Raises:
        PackageNotFound, NotReady: as `find_package`.
    """
    package = await find_package(state, model)
    catalog = state.store.known
    others = [p.version for p in catalog.packages.values() if p.name == package.name and not model.version]
    return [_describe(state, model.name, package.name, number) for number in sorted({package.version, *others})]


def describe_all(state: AppState) -> list[dict[str, Any]]:
    """Return the counters of all versions, under the name of each view."""
    packages = sorted(state.store.known.packages.values(), key=lambda p: (p.name, p.version))
    return [_describe(state, p.name + view.suffix, p.name, p.version) for view in views(state) for p in packages]


def _describe(state: AppState, shown: str, name: str, version: int) -> dict[str, Any]:
    found = state.metrics.statistics.get((name, str(version)), VersionStatistics())
    stages = {"success": found.success, "fail": found.fail, "queue": found.queue}
    return {
        "name": shown,
        "version": str(version),
        "last_inference": int(1000 * found.last_inference),
        "inference_count": found.images,
        "execution_count": found.executions,
        "inference_stats": {name: _duration(total) for name, total in stages.items()} | _compute(found.compute),
        "batch_stats": [{"batch_size": size, **_compute(total)} for size, total in sorted(found.batches.items())],
    }


def _compute(compute: Compute) -> dict[str, dict[str, int]]:
    return {f"compute_{name}": _duration(getattr(compute, name)) for name in ("input", "infer", "output")}


def _duration(duration: Duration) -> dict[str, int]:
    return {"count": duration.count, "ns": int(1e9 * duration.seconds)}
