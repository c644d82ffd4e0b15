"""Metadata, configuration and readiness of models, as the JSON documents of the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from model_zoo.contract.package import Package
from service.api.oip.infer import unusable_as_not_ready
from service.api.oip.messages import TensorSpec
from service.api.oip.served_model import ServedModel, views
from service.inference.errors import NotReady
from service.inference.model_store import ModelStore
from service.state import AppState
from service.telemetry.tracing import SERVICE_NAME, version

EXTENSIONS: Final = ("binary_tensor_data", "model_repository", "model_configuration", "statistics")
STATES: Final = {"loaded": "READY", "loading": "LOADING"}


def describe_server() -> dict[str, Any]:
    """Return name, version and extensions of the server."""
    return {"name": SERVICE_NAME, "version": version(), "extensions": [*EXTENSIONS]}


async def find_package(state: AppState, model: ServedModel) -> Package:
    """Return the version that a request for a model gets, without loading it.

    Raises:
        PackageNotFound: the model or its version is unknown.
        NotReady: the package is damaged, or the repository is still being read.
    """
    store, reference = state.store, model.reference
    if store.catalog is None:
        raise NotReady("; ".join(store.missing()))
    if package := store.serving(reference) or store.catalog.packages.get(reference):
        return package
    with unusable_as_not_ready():
        return await asyncio.to_thread(store.repository.resolve, reference)


async def describe_model(state: AppState, model: ServedModel) -> dict[str, Any]:
    """Return the metadata of a model: its versions, inputs and outputs.

    Raises:
        PackageNotFound, NotReady: as `find_package`.
    """
    package = await find_package(state, model)
    packages = state.store.known.packages.values()
    versions = sorted(other.version for other in packages if other.name == package.name)
    inputs, outputs = _tensors(state.store, model, package)
    return {
        "name": model.name,
        "versions": [str(number) for number in versions] or [str(package.version)],
        "platform": model.view.platform,
        "inputs": [_describe(tensor) for tensor in inputs],
        "outputs": [_describe(tensor) for tensor in outputs],
    }


async def configure_model(state: AppState, model: ServedModel) -> dict[str, Any]:
    """Return the configuration of a model. Its shapes include the batch, so `max_batch_size` is 0.

    Raises:
        PackageNotFound, NotReady: as `find_package`.
    """
    package = await find_package(state, model)
    inputs, outputs = _tensors(state.store, model, package)
    parameters = model.view.parameters(package.card)
    return {
        "name": model.name,
        "platform": model.view.platform,
        "backend": SERVICE_NAME,
        "max_batch_size": 0,
        "input": [_configure(tensor) | {"optional": tensor.optional} for tensor in inputs],
        "output": [_configure(tensor) for tensor in outputs],
        "parameters": {name: {"string_value": text} for name, text in parameters.items()},
    }


async def check_ready(state: AppState, model: ServedModel) -> None:
    """Check that a model is loaded and works.

    Raises:
        PackageNotFound, NotReady: as `find_package`.
        NotReady: it is not loaded, or its engine has failed.
    """
    if reason := why_not_ready(state.store, await find_package(state, model)):
        raise NotReady(reason)


def list_index(state: AppState, *, ready_only: bool) -> list[dict[str, str]]:
    """List each view of each version. The default model is first, and views before native models."""
    return [row for row in _index(state) if row["state"] == "READY" or not ready_only]


def why_not_ready(store: ModelStore, package: Package) -> str:
    """Return why a version cannot answer now, empty if it can."""
    if model := store.loaded.get(package):
        return model.problem or ""
    if failure := store.failure(package):
        return failure.reason
    reasons = {"loading": "is loading", "unloaded": "was unloaded by an operator; load it again"}
    return f"{package.reference} {reasons.get(store.state(package), 'is not loaded; a load or a request loads it')}"


def _index(state: AppState) -> Iterator[dict[str, str]]:
    store, catalog = state.store, state.store.known
    default = (store.default.name or "").partition("@")[0]
    rows = [(p.name, p.version, STATES.get(store.state(p)), why_not_ready(store, p)) for p in catalog.packages.values()]
    rows += [(p.name, p.version, None, p.reason) for p in catalog.problems if p.version is not None]
    rows.sort(key=lambda row: (row[0] != default, bool(row[3]), row[:2]))
    for view in views(state):
        taken = {*catalog.all_names} if view.suffix else ()
        for name, number, status, reason in (row for row in rows if row[0] + view.suffix not in taken):
            shown = status if status == "LOADING" or not reason else None
            yield {
                "name": name + view.suffix,
                "version": str(number),
                "state": shown or "UNAVAILABLE",
                "reason": reason,
            }


def _tensors(store: ModelStore, model: ServedModel, package: Package) -> tuple[list[TensorSpec], list[TensorSpec]]:
    loaded, card = store.loaded.get(package), package.card
    canvases = loaded.engine.canvases if loaded else [card.input_size]
    return [*model.view.inputs(card, canvases)], [*model.view.outputs(card)]


def _describe(tensor: TensorSpec) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": [*tensor.shape]}


def _configure(tensor: TensorSpec) -> dict[str, Any]:
    datatype = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
    return {"name": tensor.name, "data_type": f"TYPE_{datatype}", "dims": [*tensor.shape]}
