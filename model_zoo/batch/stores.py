"""Files in folders and object stores, by path or URL, through fsspec."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

import fsspec
from fsspec.core import url_to_fs
from fsspec.registry import known_implementations

from model_zoo.contract.errors import ImageError, LineageError
from model_zoo.contract.images import check_length

LOCAL: Final = ("file", "local")


def protocol(uri: str) -> str:
    """Return the part of a URL before `://`, or `file` for a path."""
    return str(fsspec.utils.get_protocol(uri))


def is_local(uri: str) -> bool:
    """Return True for a path, also in the form `file://`."""
    return protocol(uri) in LOCAL


def absolute(uri: str) -> str:
    """Return a path as an absolute one, and a URL as it is."""
    return os.path.abspath(os.path.expanduser(re.sub("^(file|local)://", "", uri))) if is_local(uri) else uri


def open_store(uri: str) -> tuple[Any, str]:
    """Return the file system of a path or URL, and the path in it.

    Raises:
        LineageError: The protocol is unknown, or its package is not installed.
    """
    with store_errors(uri):
        store, path = url_to_fs(uri, use_listings_cache=False)
    return store, path


@contextmanager
def open_file(uri: str) -> Iterator[IO[bytes]]:
    """Open a file to read.

    Raises:
        LineageError: It cannot be read, in the block or before.
    """
    store, path = open_store(uri)
    with store_errors(uri), store.open(path, "rb") as file:
        yield file


def read_image(uri: str, size: int | None) -> bytes:
    """Return the contents of an image file, unless it is over the limit.

    Args:
        uri: Path or URL.
        size: Size in bytes, if it is known.

    Raises:
        ImageError: There is no such file, it cannot be read from the local disk, or it is too large.
        LineageError: The store cannot be reached. Other images would fail, too.
    """
    if is_local(uri):
        try:
            with open(absolute(uri), "rb") as file:
                check_length(os.fstat(file.fileno()).st_size)
                return file.read()
        except OSError as error:
            raise ImageError(error.strerror or str(error)) from error
    store, path = open_store(uri)
    try:
        with store_errors(uri):
            check_length((store.info(path)["size"] if size is None else size) or 0)
            return bytes(store.cat_file(path))
    except LineageError as error:
        if isinstance(error.__cause__, FileNotFoundError | IsADirectoryError):
            raise ImageError("No such file or directory") from error
        raise


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Raise errors of the block as LineageErrors that name the file and the fix.

    Every store has errors of its own, which have no common class.
    """
    try:
        yield
    except LineageError:
        raise
    except ImportError as error:
        raise LineageError(_missing_package(uri, error)) from error
    except Exception as error:
        raise LineageError(f"{uri}: {_describe(error, uri)}") from error


def _missing_package(uri: str, error: ImportError) -> str:
    package = known_implementations.get(protocol(uri), {}).get("class", "fsspec").partition(".")[0]
    fix = f"run: pip install {package}" if package != "fsspec" else str(error)
    return f"{uri}: {protocol(uri)}:// needs a package that is not installed; {fix}"


def _describe(error: Exception, uri: str) -> str:
    """Return one line: what happened, and what to check."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split())[:300] or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    if isinstance(error, ValueError) and text.startswith("Protocol not known"):
        return f"unknown protocol {protocol(uri)}://; expected a path, or a URL such as s3://bucket/folder or gs://"
    if is_local(uri):
        return f"cannot be read or written ({text})"
    if isinstance(error, PermissionError) or "credential" in f"{type(error).__name__} {text}".lower():
        return (
            f"access refused ({text}); set the credentials of {protocol(uri)}:// as its own tools read them, such as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or GOOGLE_APPLICATION_CREDENTIALS, and check their rights"
        )
    return f"the store failed ({type(error).__name__}: {text}); check the address and the network"
