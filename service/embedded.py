"""The model that comes with the service: it answers where nobody named a repository and `./models` holds no model."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from model_zoo.contract.package import Repository

EMBEDDED: Final = Repository(Path(__file__).with_name("default"))  # may be read-only: reading never writes
USUAL: Final = Repository(Path("models"))
EITHER: Final = f"(default: {USUAL.root}, or the model that comes with the service)"


def repository_of(named: Path | None) -> Repository:
    """Return the repository that was named; else `./models` where it holds a model, else the embedded one."""
    if named is not None:
        return Repository(named)
    return USUAL if USUAL.names() else EMBEDDED
