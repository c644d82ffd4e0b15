"""Requests and answers of the Open Inference Protocol, the same over HTTP and gRPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.api.errors import BadRequest

Parameter = bool | int | float | str
MAX_ID: Final = 1024  # characters
# Parameters that are refused, and why.
_UNSUPPORTED: Final[Mapping[str, str]] = {
    "classification": "there are no class scores to rank; read the output detections",
    "shared_memory_region": "there is no shared memory; send the tensor in the body",
}


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model."""

    name: str
    """Name of the tensor."""
    datatype: str
    """Datatype in the protocol, such as FP32 or BYTES."""
    shape: tuple[int, ...]
    """Shape. -1 stands for any number."""
    optional: bool = False
    """Whether requests may omit the input."""


@dataclass(frozen=True, eq=False)
class InputTensor:
    """An input of a request. `tensors` decodes and checks it."""

    name: str
    """Name of the input."""
    datatype: str
    """Datatype in the protocol."""
    shape: tuple[int, ...]
    """Shape, which fits the data."""
    data: NDArray[np.generic] | Sequence[bytes]
    """Numbers in the shape of the tensor, or the elements of a BYTES tensor in row-major order."""


@dataclass(frozen=True, eq=False)
class InferRequest:
    """A request for an inference."""

    model: str
    """Name of the model, or of a view of it."""
    inputs: Sequence[InputTensor]
    """Inputs."""
    version: str = ""
    """Version number or alias. Empty means the version that the bare name means."""
    outputs: Sequence[str] = ()
    """Names of the outputs to answer. Empty means all."""
    id: str = ""
    """Id that the answer repeats."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """Parameters of the request, such as `timeout` in microseconds and `priority`."""


@dataclass(frozen=True, eq=False)
class OutputTensor:
    """An output of an answer."""

    name: str
    """Name of the output."""
    datatype: str
    """Datatype in the protocol, which is that of the data."""
    data: NDArray[np.generic]
    """Numbers in the shape of the tensor, contiguous."""


@dataclass(frozen=True, eq=False)
class InferResponse:
    """The answer to a request for an inference."""

    model: str
    """Name of the model, as the request has it."""
    version: str
    """Number of the version that answered."""
    outputs: Sequence[OutputTensor]
    """Outputs in the order of the request."""
    id: str = ""
    """Id of the request."""


def check_parameters(parameters: Mapping[str, object]) -> None:
    """Check the names of the parameters of a request, an input or an output.

    Raises:
        BadRequest: one is not supported. Unknown ones are ignored.
    """
    for name, reason in _UNSUPPORTED.items():
        if name in parameters:
            raise BadRequest(f"parameter {name}: {reason}")
