"""The API keys in force, which follow their file."""

from __future__ import annotations

import asyncio
import hmac
import logging
from pathlib import Path
from typing import Final

from model_zoo.contract.errors import LineageError
from service.access.key_file import Key, hash_token, read_keys
from service.telemetry.logs import OncePerSecond

LOG: Final = logging.getLogger(__name__)
LOG.addFilter(OncePerSecond())
POLL: Final = 0.5


class Keys:
    """Finds keys by what a client sent. Belongs to the event loop."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            KeyFileError: it is missing or damaged.
        """
        self._path = path
        self._seen = _stamp(path)
        self._keys = read_keys(path)
        self.problem: str | None = None
        """Why the file cannot be used. The keys read before are still in force."""

    def find(self, token: str) -> Key | None:
        """Return the key, or None if it is unknown or expired. The time taken does not depend on the keys."""
        sent = hash_token(token)
        matching = [key for key in self._keys if hmac.compare_digest(key.sha256, sent)]
        if matching and matching[0].is_expired():
            LOG.warning("the API key %s has expired; requests with it are refused", matching[0].name)
            return None
        return matching[0] if matching else None

    async def watch(self) -> None:
        """Follow the file until cancelled. One that cannot be used is read again, and the keys stay as they are."""
        while True:
            await asyncio.sleep(POLL)
            stamp = await asyncio.to_thread(_stamp, self._path)
            if stamp != self._seen or self.problem:
                self._seen = stamp
                await self._reload()

    async def _reload(self) -> None:
        try:
            self._keys = await asyncio.to_thread(read_keys, self._path)
        except LineageError as error:
            if str(error) != self.problem:
                LOG.error("API keys unchanged, the file cannot be used: %s", error)
            self.problem = str(error)
        else:
            self.problem = None
            LOG.info("API keys in force: %s", ", ".join(key.name for key in self._keys) or "none")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what differs after a change of the file, or None if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
