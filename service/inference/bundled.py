"""The model that comes with the service: it answers where nobody named a repository and `./models` holds no model."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from model_zoo.contract.package import Repository

BUNDLED_REPOSITORY: Final = Repository(Path(__file__).parents[1] / "default")  # may be read-only: reading never writes
DEFAULT_REPOSITORY: Final = Repository(Path("models"))
REPOSITORY_HELP: Final = f"(default: {DEFAULT_REPOSITORY.root}, or the model that comes with the service)"


def repository_of(named: Path | None) -> Repository:
    """Return the repository that was named; else `./models` where it holds a model, else the embedded one."""
    if named is not None:
        return Repository(named)
    return DEFAULT_REPOSITORY if DEFAULT_REPOSITORY.names() else BUNDLED_REPOSITORY
