"""Current values that are read at each scrape: queues, memory, states of models and engines, readiness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.state import AppState
from service.telemetry.metrics import PREFIX

MODEL_STATES: Final = ("loaded", "loading", "failed")
ENGINE_STATES: Final = ("ok", "replaced", "failed")


class StateCollector(Collector):
    """Reads the state of the application. Call it on the event loop, to which that state belongs."""

    def __init__(self, state: AppState) -> None:
        self._state = state

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield all current values."""
        yield from self._general()
        yield from self._models()

    def _general(self) -> Iterator[GaugeMetricFamily]:
        state, settings = self._state, self._state.settings
        not_ready = bool(state.store.missing() or state.shutdown.problem)
        yield _gauge("ready", "1 if requests can be answered", int(not not_ready))
        yield _gauge(
            "degraded", "Number of references and settings that cannot be followed", len(state.store.degraded())
        )
        yield _gauge("decode_queue_images", "Images that wait to be decoded", state.detection.decode_waiting)
        yield _gauge("queue_limit_images", "Max images that wait in a queue", settings.queue_size)
        used = settings.max_pending - state.memory.free
        yield _gauge("request_body_bytes", "Bytes of request bodies in memory", used)
        yield _gauge("request_body_limit_bytes", "Max bytes of request bodies in memory", settings.max_pending)
        yield _gauge("model_memory_bytes", "Estimated bytes of all models in memory", state.store.memory_used)
        if settings.model_memory:
            yield _gauge("model_memory_limit_bytes", "Max bytes of all models in memory", settings.model_memory)

    def _models(self) -> Iterator[GaugeMetricFamily]:
        states = _family("model_state", "1 for the state of a version", ("model", "version", "state"))
        engines = _family("engine_state", "1 for the state of an engine", ("model", "version", "state"))
        queues = _family("queue_images", "Images that wait for inference", ("model", "version"))
        chosen = _family("engine_info", "1 for the engine of a version", ("model", "version", "device", "compute"))
        workers = _family("engine_workers", "Inferences at the same time", ("model", "version"))
        speeds = _family("engine_measured_images_per_second", "When it was chosen", ("model", "version"))
        store = self._state.store
        for package in store.known.packages.values():
            if (current := store.state(package)) in MODEL_STATES:
                for known in MODEL_STATES:
                    states.add_metric([package.name, str(package.version), known], int(known == current))
        for package, model in store.loaded.items():
            labels = [package.name, str(package.version)]
            queues.add_metric(labels, model.waiting)
            for known in ENGINE_STATES:
                engines.add_metric([*labels, known], int(known == model.engine_state))
            choice = model.engine.choice
            chosen.add_metric([*labels, model.engine.device, choice.compute], 1)
            workers.add_metric(labels, model.engine.workers)
            if choice.measured:
                speeds.add_metric(labels, choice.measured.images_per_second)
        yield from (states, engines, queues, chosen, workers, speeds)


def _family(name: str, text: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)
