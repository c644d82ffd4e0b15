"""One version of a model on disk: the ONNX file, its model card and a manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from model_zoo.contract import manifest
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.manifest import PackagedFile


@dataclass(frozen=True)
class Package:
    """One version of one model on disk, as opened by `Repository`.

    All files exist with the right size; their contents are checked only by `verify`.
    """

    name: str
    """Name of the model."""
    version: int
    """Version number."""
    path: Path
    """Folder of the package."""
    card: ModelCard = field(compare=False, repr=False)  # its file is part of `files`
    """Model card."""
    files: tuple[PackagedFile, ...] = field(repr=False, hash=False)  # a server looks packages up for every request
    """Files of the package, without the manifest."""

    @property
    def reference(self) -> str:
        """The package's exact name, `name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def model_path(self) -> Path:
        """Path of the ONNX file."""
        return self.path / manifest.MODEL

    @property
    def digest(self) -> str:
        """SHA-256 over name, size and SHA-256 of all files: equal contents have equal digests."""
        entries = sorted((f.name, f.size, f.sha256) for f in self.files)
        return hashlib.sha256(json.dumps(entries).encode()).hexdigest()

    def verify(self) -> None:
        """Check size and SHA-256 of every file.

        Raises:
            PackageError: a file differs from the manifest.
        """
        with package_errors(self.name, self.version, self.path):
            for file in self.files:
                manifest.check_size(self.path, file)
                manifest.check_contents(self.path, file)


def open_package(folder: Path, name: str, version: int) -> Package:
    """Open the folder of a package: read manifest and card, and check that all files exist with the right size.

    Raises:
        PackageError: a file is missing or damaged.
    """
    with package_errors(name, version, folder):
        files = manifest.read(folder).files
        for file in files:
            manifest.check_size(folder, file)
            if file.name == manifest.CARD:
                manifest.check_contents(folder, file)
        return Package(name, version, folder, ModelCard.read(folder / manifest.CARD), files)


@contextmanager
def package_errors(name: str, version: int, folder: Path) -> Iterator[None]:
    """Raise errors of the block as PackageErrors that name the package and its folder."""
    try:
        yield
    except (OSError, LineageError) as error:
        raise PackageError(f"{name}@{version}: {error}; publish the model again, or repair {folder}") from error
