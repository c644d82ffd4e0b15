"""The folder of results, on a local disk or in an object store, in which every file is complete or absent."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, BinaryIO, Final

from model_zoo.batch.stores import absolute, is_local, open_file, open_store, protocol, store_errors
from model_zoo.contract.errors import LineageError
from model_zoo.contract.file_lock import file_lock
from model_zoo.contract.files import write_atomic
from model_zoo.contract.targets import check_folder_target

# A put of these stores is atomic: readers see the whole object or none.
OBJECT_STORES: Final = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "memory")
LOCK: Final = ".lock"
_TEMPORARY: Final = re.compile(r"\.[0-9a-f]{32}")  # left by `write_atomic` in a process that was killed


class Folder:
    """A folder of results."""

    def __init__(self, uri: str) -> None:
        """Open a folder, which need not exist.

        Raises:
            LineageError: The store is none that writes files atomically, or its package is not installed.
        """
        self.uri = absolute(uri).rstrip("/") or "/"
        self._local = Path(self.uri) if is_local(uri) else None
        if self._local is None and protocol(uri) not in OBJECT_STORES:
            raise LineageError(
                f"{uri}: expected a folder on a local disk or in an object store ({', '.join(OBJECT_STORES[:-1])}); "
                "others may leave half-written files"
            )
        self._store, self._path = open_store(self.uri)

    def file(self, name: str) -> str:
        """Return the path or URL of a file."""
        return f"{self.uri}/{name}"

    def names(self) -> set[str]:
        """List the files. A missing folder has none."""
        try:
            with store_errors(self.uri):
                entries = self._store.ls(self._path, detail=False)
        except LineageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return set()
            raise
        return {str(entry).rstrip("/").rpartition("/")[2] for entry in entries}

    def read(self, name: str) -> bytes:
        """Return the contents of a file."""
        with self.open(name) as file:
            return file.read()

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file to read."""
        with open_file(self.file(name)) as file:
            yield file

    def write(self, name: str, contents: bytes) -> None:
        """Write a file, durably and so that a killed process leaves the old file, the new one or none.

        Raises:
            LineageError: It cannot be written.
        """
        with store_errors(self.file(name)):
            if self._local:
                write_atomic(self._local / name, lambda file: _write_durably(file, contents))
            else:
                self._store.pipe_file(f"{self._path}/{name}", contents)

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with store_errors(self.file(name)), suppress(FileNotFoundError):
            self._store.rm_file(f"{self._path}/{name}")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs on this machine out of a local folder, and remove what a killed one has left unfinished.

        Raises:
            LineageError: Another process writes to the folder.
        """
        if self._local:
            check_folder_target(self._local)
            self._local.mkdir(parents=True, exist_ok=True)
        try:
            with file_lock(self._local / LOCK, seconds=0) if self._local else nullcontext():
                self._remove_unfinished()
                yield
        except TimeoutError as error:
            raise LineageError(f"{self.uri}: another run writes to this folder; wait until it ends") from error

    def _remove_unfinished(self) -> None:
        for name in self.names() if self._local else ():
            if _TEMPORARY.fullmatch(name):
                self.remove(name)


def _write_durably(file: BinaryIO, contents: bytes) -> None:
    file.write(contents)
    file.flush()
    os.fsync(file.fileno())
