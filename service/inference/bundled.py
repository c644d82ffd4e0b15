"""The model bundled with the service, served by default until `./models` holds a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from model_zoo.contract.repository import Repository

BUNDLED_REPOSITORY: Final = Repository(Path(__file__).parents[1] / "default")  # may be read-only
DEFAULT_REPOSITORY: Final = Repository(Path("models"))
REPOSITORY_HELP: Final = f"(default: {DEFAULT_REPOSITORY.root}, or the bundled model while that is empty)"


def repository_of(path: Path | None) -> Repository:
    """Return the repository at `path`, by default `./models` if it holds a model, else the bundled one."""
    if path is not None:
        return Repository(path)
    return DEFAULT_REPOSITORY if holds_model(DEFAULT_REPOSITORY) else BUNDLED_REPOSITORY


def is_bundled(repository: Repository) -> bool:
    """Return True for the bundled repository, by whatever path."""
    return repository.root.resolve() == BUNDLED_REPOSITORY.root.resolve()


def holds_model(repository: Repository) -> bool:
    """Return True if a repository holds a model. A file with its name holds none.

    Raises:
        PackageError: the folder cannot be read.
    """
    return os.path.isdir(repository.root) and bool(repository.names())
