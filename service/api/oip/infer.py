"""Answer an inference, whatever the transport: parameters, model, outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from model_zoo.contract.errors import PackageError, PackageNotFound
from model_zoo.contract.typed_json import shorten
from service.api.errors import BadRequest
from service.api.oip.messages import InferRequest, InferResponse, Parameter
from service.api.oip.served_model import ServedModel, find_model
from service.inference.errors import NotReady
from service.inference.query import QueryOptions
from service.inference.request import RequestContext
from service.state import AppState

MICROSECONDS: Final = 1e-6


async def check(state: AppState, model: ServedModel, context: RequestContext) -> None:
    """Load a model and check the expected wait, before the tensors are received.

    Raises:
        PackageNotFound: the model is unknown.
        NotReady: it is still loading, was unloaded, or cannot be loaded.
        WaitTooLong: an answer is not expected in time.
        InferenceQueueFull: too many images wait for the model.
    """
    with unusable_as_not_ready():
        await state.detection.check(model.reference, QueryOptions(), context)


async def infer(state: AppState, request: InferRequest, context: RequestContext) -> InferResponse:
    """Run the model of a request.

    Raises:
        BadRequest: a parameter, input or output is unknown or malformed.
        LineageError, ServiceError: as `check` and `DetectionService.detect`.
    """
    context = apply_parameters(context, request.parameters)
    model = find_model(state, request.model, request.version)
    names = _check_outputs(request.outputs, model.view.output_names)
    with unusable_as_not_ready():
        version, outputs = await model.view.run(state, request, model.reference, context)
    by_name = {output.name: output for output in outputs}
    return InferResponse(request.model, version, [by_name[name] for name in names], request.id)


def apply_parameters(context: RequestContext, parameters: Mapping[str, Parameter]) -> RequestContext:
    """Apply `timeout` (microseconds, from now) and `priority` (1 is normal, higher numbers are low) to a context.

    Both mean the default if they are 0. Other parameters are ignored.

    Raises:
        BadRequest: one is not an integer of at least 0.
    """
    timeout, priority = (_count(parameters, name) for name in ("timeout", "priority"))
    if timeout:
        deadline = asyncio.get_running_loop().time() + timeout * MICROSECONDS
        context = replace(context, deadline=min(context.deadline, deadline))
    if priority:
        context = replace(context, priority="normal" if priority == 1 else "low")
    return context


@contextmanager
def unusable_as_not_ready() -> Iterator[None]:
    """Report a model that exists and cannot be used as not ready, which clients of the protocol expect."""
    try:
        yield
    except PackageNotFound:
        raise
    except PackageError as error:
        raise NotReady(str(error)) from error


def _count(parameters: Mapping[str, Parameter], name: str) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or not 0 <= value < 2**64:
        raise BadRequest(f"parameter {name}: expected an integer of at least 0; got {shorten(value)}")
    return value


def _check_outputs(asked: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """Return the names of the outputs to answer."""
    for name in asked:
        if name not in known:
            raise BadRequest(f"outputs: expected {' or '.join(known)}; got {shorten(name)}")
    if len({*asked}) < len(asked):
        raise BadRequest("outputs: expected each name once")
    return asked or known
