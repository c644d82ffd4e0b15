"""Get the images of Label Studio's tasks: `data:` URIs, and files of the addresses that a setting allows.

Tasks come from clients, and an address in one could lead anywhere in the server's network. So nothing else is fetched,
and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from model_zoo.contract.errors import ImageError
from model_zoo.contract.typed_json import shorten
from service.api.base64_text import decode_base64
from service.api.errors import BadRequest
from service.api.labelstudio.fetch import authorize, fetch
from service.api.offload import offload

_URL_CHARACTERS: Final = "/%?&=+$,;:@!*'()[]~"
_THREADS: Final = ThreadPoolExecutor(4, "label-studio")
T = TypeVar("T")


@dataclass(frozen=True)
class ImageSource:
    """Where images of tasks may come from."""

    origins: Sequence[str]
    """Origins that may be asked, such as https://labels.example:8080. The first one is Label Studio's own."""
    token_file: Path | None
    """File of the access token for Label Studio."""
    max_bytes: int
    """Max bytes of an image."""

    async def get_all(
        self, addresses: Sequence[object], reserve: Callable[[int], None], deadline: float
    ) -> list[bytes | ImageError]:
        """Return the files at the addresses, or why they cannot be used.

        `reserve` is called with the size of each file. `deadline` is a time on the event loop's clock.

        Raises:
            MemoryFull: `reserve` has no memory left.
        """
        size = sum(len(address) for address in addresses if isinstance(address, str))
        located = await offload(size, self._locate_all, addresses)
        headers: Mapping[str, str] | ImageError = {}
        if self.token_file and any(isinstance(url, str) and self._is_own(url) for url in located):
            headers = await _run(partial(authorize, self.origins[0], self.token_file), deadline)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._get(url, headers, reserve, deadline)) for url in located]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _get(
        self,
        located: str | bytes | ImageError,
        headers: Mapping[str, str] | ImageError,
        reserve: Callable[[int], None],
        deadline: float,
    ) -> bytes | ImageError:
        if isinstance(located, str):
            sent = headers if self._is_own(located) else {}
            if isinstance(sent, ImageError):
                return sent
            image = await _run(partial(fetch, located, sent, self.max_bytes), deadline)
        else:
            image = located
        if isinstance(image, bytes):
            reserve(len(image))
        return image

    def _is_own(self, url: str) -> bool:
        return url.startswith(f"{self.origins[0]}/")

    def _locate_all(self, addresses: Sequence[object]) -> list[str | bytes | ImageError]:
        return [self._locate(address) for address in addresses]

    def _locate(self, address: object) -> str | bytes | ImageError:
        """Return the URL to fetch, or the file that the address itself holds."""
        if not isinstance(address, str) or not address:
            return ImageError(f"expected the address of an image; got {shorten(address)}")
        if address.startswith("data:"):
            return _decode(address)
        if not self.origins:
            return ImageError(f"{shorten(address)}: to fetch images from Label Studio, set label_studio_url")
        if address.startswith("/") and not address.startswith("//"):
            address = self.origins[0] + address
        for origin in self.origins:
            path = address[len(origin) :].partition("#")[0]
            if address[: len(origin)].lower() == origin and path.startswith("/"):
                return origin + quote(path, safe=_URL_CHARACTERS)
        expected = " or ".join(self.origins)
        return ImageError(f"{shorten(address)}: expected an address on {expected}, as label_studio_url says")


def _decode(address: str) -> bytes | ImageError:
    try:
        return decode_base64(address, "the image of the task")
    except BadRequest as error:
        return ImageError(str(error))


async def _run(work: Callable[[float], T], deadline: float) -> T | ImageError:
    """Return `work(deadline)`, computed in a thread, whose clock is the monotonic one, or why it failed."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(deadline):
            return await loop.run_in_executor(_THREADS, work, time.monotonic() + deadline - loop.time())
    except ImageError as error:
        return error
    except TimeoutError:
        return ImageError("the image was not received in time")
