"""The lines that every command prints after it has published a model."""

from __future__ import annotations

from pathlib import Path

from model_zoo.contract.package import Package


def print_published(package: Package, repository: Path) -> None:
    """Print where a package is, and how to serve its repository."""
    print(f"published {package.name}@{package.version} in {package.path}")
    print(f"serve it: lineage serve --repository {repository}")
