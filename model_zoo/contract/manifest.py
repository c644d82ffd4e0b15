"""What a package folder holds: the list of its files with size and sha256, written, read and compared.

Errors here speak of the file alone; `package` adds which package it belongs to.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from model_zoo.contract import typed_json
from model_zoo.contract.card import NAME, ModelCard
from model_zoo.contract.errors import LineageError, PackageError
from model_zoo.contract.files import file_sha256

MODEL, CARD, MANIFEST = "model.onnx", "card.json", "manifest.json"
SCHEMA_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PackagedFile:
    """One file of a package: plain name, sha256 (hex), size in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """The document that lists a package's files."""

    files: tuple[PackagedFile, ...]
    schema_version: int = SCHEMA_VERSION


def read(folder: Path) -> Manifest:
    """Read a folder's manifest and check what it says, without looking at the files."""
    try:
        text = locate(folder, MANIFEST).read_text(encoding="utf-8")
        manifest = Manifest(**typed_json.read_fields(Manifest, typed_json.parse(text)))
    except (LineageError, UnicodeDecodeError) as error:
        raise PackageError(f"{MANIFEST}: {error}") from error
    if manifest.schema_version != SCHEMA_VERSION:
        raise PackageError(f"{MANIFEST}: expected schema_version {SCHEMA_VERSION}; got {manifest.schema_version}")
    check_names([file.name for file in manifest.files])
    if not all(_SHA256.fullmatch(file.sha256) for file in manifest.files):
        raise PackageError(f"{MANIFEST}: expected every sha256 as 64 lower-case hexadecimal digits")
    return manifest


def check_names(names: list[str]) -> None:
    """Refuse file names that lead elsewhere, come twice, or leave out what every package has."""
    for name in names:
        if not NAME.fullmatch(name) or name == MANIFEST:
            raise PackageError(f"expected plain file names that match {NAME.pattern}; got {name!r}")
    if len(set(names)) != len(names) or not {MODEL, CARD} <= set(names):
        raise PackageError(f"expected every file once, {MODEL} and {CARD} among them; got {', '.join(names)}")


def locate(folder: Path, name: str) -> Path:
    """Return the path of a regular file that really lies in the folder."""
    path = folder / name
    if not path.exists():
        raise PackageError(f"{name} is missing")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PackageError(f"{name} is a link to a place outside the package")
    if not path.is_file():
        raise PackageError(f"{name} is not a regular file")
    return path


def check_size(folder: Path, file: PackagedFile) -> None:
    """Compare a file's size with the manifest."""
    size = locate(folder, file.name).stat().st_size
    if size != file.size:
        raise PackageError(f"{file.name} is damaged: expected {file.size} bytes; got {size}")


def check_contents(folder: Path, file: PackagedFile) -> None:
    """Compare a file's sha256 with the manifest; reads all of it."""
    came = file_sha256(locate(folder, file.name))
    if came != file.sha256:
        raise PackageError(f"{file.name} is damaged: expected sha256 {file.sha256}; got {came}")


def fill(folder: Path, card: ModelCard, sources: Mapping[str, Path]) -> None:
    """Write a whole package into an empty folder and wait until it is on the disk."""
    for name, source in sources.items():
        with open(source, "rb") as original, open(folder / name, "xb") as copy:
            shutil.copyfileobj(original, copy)
            copy.flush()
            os.fsync(copy.fileno())
    write(folder / CARD, card.to_json())
    entries = [PackagedFile(n, file_sha256(folder / n), (folder / n).stat().st_size) for n in sorted([*sources, CARD])]
    write(folder / MANIFEST, json.dumps(asdict(Manifest(tuple(entries))), indent=2) + "\n")
    sync_folder(folder)


def write(path: Path, text: str) -> None:
    """Write a new file and wait until it is on the disk."""
    with open(path, "x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the entries of a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
