"""Load and unload models by the repository extension of the protocol."""

from __future__ import annotations

from collections.abc import Iterable

from service.api.admin import check_one_process, log_change
from service.api.errors import BadRequest
from service.api.oip.infer import unusable_as_not_ready
from service.api.oip.served_model import find_model
from service.inference.request import RequestContext
from service.state import AppState


async def load(state: AppState, name: str, parameters: Iterable[str], context: RequestContext) -> None:
    """Load the version that a model means by its bare name, also after an unload.

    Raises:
        BadRequest: the parameters have a configuration or files of a model.
        ChangeRefused: the server has several processes.
        PackageNotFound: the model is unknown.
        NotReady: it cannot be loaded, or not before the deadline.
    """
    for parameter in parameters:
        if parameter == "config" or parameter.startswith("file:"):
            reason = "is not supported; publish a version to the repository, and load it then"
            raise BadRequest(f"parameter {parameter[:100]}: {reason}")
    check_one_process(state)
    reference = find_model(state, name).reference
    with unusable_as_not_ready():
        package = await state.store.load(reference, context)
    log_change(context.client, f"load {reference}", None, package.version)


async def unload(state: AppState, name: str, context: RequestContext) -> None:
    """Unload all versions of a model, and return once no request uses them.

    Raises:
        ChangeRefused: the server has several processes.
        PackageNotFound: the model is unknown.
    """
    check_one_process(state)
    reference = find_model(state, name).reference
    unloaded = await state.store.unload(reference)
    log_change(context.client, f"unload {reference}", sorted(package.version for package in unloaded), None)
