"""Errors of the inference layer.

    ServiceError                    the service cannot answer now; the message is meant for the client
    ├── NotReady                    the model, or the list of models, is still loading
    ├── ShuttingDown                the server is stopping and accepts no new work
    ├── DeadlineExceeded            no answer before the deadline of the request
    ├── EngineFailed                the engine of a model failed twice on a request, and is being replaced
    └── Overloaded                  a limit is reached; try again later
        ├── WaitTooLong             the expected wait exceeds the deadline of the request
        ├── LoadQueueFull           too many requests wait for models to load
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


class EngineFailed(ServiceError):
    """The engine of a model failed twice on a request, or is being replaced."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds until a new try may succeed."""


class Overloaded(ServiceError):
    """A limit of the server is reached."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds until a new try may succeed."""


class WaitTooLong(Overloaded):
    """The expected wait exceeds the deadline of the request."""


class LoadQueueFull(Overloaded):
    """Too many requests wait for models to load."""


class QueueFull(Overloaded):
    """A queue is at its limit."""


class DecodeQueueFull(QueueFull):
    """Too many images wait to be decoded."""


class InferenceQueueFull(QueueFull):
    """Too many images wait for one model."""


class MemoryFull(Overloaded):
    """The request bodies in memory are at their limit."""
