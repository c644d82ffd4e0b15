"""Versions of installed distributions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version(name: str) -> str | None:
    """Return the version of a distribution, None if it is not installed: the project itself runs from a checkout."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
