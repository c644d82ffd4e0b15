"""Python client of a detection server: `Client` and `AsyncClient`, typed results and errors.

Needs httpx2 and NumPy only. Arrays are encoded with OpenCV, which is imported at the first one.
"""

try:
    import httpx2 as _httpx2  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("lineage.client needs httpx2; run: pip install 'yolo-lineage[client]'") from error

from lineage.client.async_client import AsyncClient
from lineage.client.core import Health, ModelInfo
from lineage.client.errors import (
    AccessDenied,
    ClientError,
    DeadlineExceeded,
    ImageError,
    InvalidRequest,
    ModelNotFound,
    ServerError,
    TLSError,
    Unavailable,
    UnexpectedAnswer,
)
from lineage.client.query import Options
from lineage.client.sync_client import Client
from lineage.inputs import Image
from lineage.results import ImageResult

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "Health",
    "Image",
    "ImageError",
    "ImageResult",
    "InvalidRequest",
    "ModelInfo",
    "ModelNotFound",
    "Options",
    "ServerError",
    "TLSError",
    "Unavailable",
    "UnexpectedAnswer",
]
