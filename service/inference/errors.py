"""Errors of the inference layer.

    ServiceError                    the service cannot answer now; the message is meant for the client
    ├── NotReady                    the model, or the list of models, is still loading
    ├── ShuttingDown                the server is stopping and accepts no new work
    ├── DeadlineExceeded            no answer before the deadline of the request
    └── Overloaded                  a limit is reached; try again later
        ├── QueueFull
        │   ├── DecodeQueueFull     too many images wait to be decoded
        │   └── InferenceQueueFull  too many images wait for one model
        └── MemoryFull              the request bodies in memory are at their limit

Errors in the request itself (unknown model, bad image, bad threshold) are `model_zoo.contract.errors.LineageError`.
"""


class ServiceError(Exception):
    """Base of the errors of the inference layer."""


class NotReady(ServiceError):
    """The requested model is not loaded yet."""


class ShuttingDown(ServiceError):
    """The server accepts no new work."""


class DeadlineExceeded(ServiceError):
    """The request was not answered in time."""


class Overloaded(ServiceError):
    """A limit of the server is reached."""


class QueueFull(Overloaded):
    """A queue is at its limit."""


class DecodeQueueFull(QueueFull):
    """Too many images wait to be decoded."""


class InferenceQueueFull(QueueFull):
    """Too many images wait for one model."""


class MemoryFull(Overloaded):
    """The request bodies in memory are at their limit."""
