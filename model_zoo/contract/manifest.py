"""Manifest of a package folder: its files with size and SHA-256.

Error messages name only the file; `package` adds the name of the package.
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

MODEL, PLAN, CARD, MANIFEST = "model.onnx", "model.engine", "card.json", "manifest.json"
GOLDEN = "golden/"  # the only folder inside a package
EXPECTED = "golden/expected.json"
SCHEMA_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PackagedFile:
    """One file of a package."""

    name: str
    """File name, without folder except for `golden/`."""
    sha256: str
    """SHA-256 in hex."""
    size: int
    """Size in bytes."""


@dataclass(frozen=True)
class Manifest:
    """Content of manifest.json."""

    files: tuple[PackagedFile, ...]
    """All files but the manifest itself."""
    schema_version: int = SCHEMA_VERSION
    """Version of this schema."""


def read(folder: Path) -> Manifest:
    """Read and check the manifest of a folder without reading the listed files.

    Raises:
        PackageError: the manifest is missing or invalid.
    """
    path = locate(folder, MANIFEST)
    try:
        document = typed_json.parse(path.read_text(encoding="utf-8"))
        typed_json.check_schema(document, SCHEMA_VERSION)
        manifest = Manifest(**typed_json.read_fields(Manifest, document))
    except (LineageError, UnicodeDecodeError) as error:
        raise PackageError(f"{MANIFEST}: {error}") from error
    check_names([file.name for file in manifest.files])
    if not all(_SHA256.fullmatch(file.sha256) for file in manifest.files):
        raise PackageError(f"{MANIFEST}: expected each sha256 as 64 lower-case hexadecimal digits")
    return manifest


def check_names(names: list[str]) -> None:
    """Check the file names of a package.

    Raises:
        PackageError: a name is not a plain file name, also below `golden/`, or occurs twice, or a required file is
            missing.
    """
    for name in names:
        if not NAME.fullmatch(name.removeprefix(GOLDEN)) or name == MANIFEST:
            raise PackageError(
                f"expected plain file names that match {NAME.pattern}, alone or after {GOLDEN!r}; got {name!r}"
            )
    if len(set(names)) != len(names) or not {MODEL, CARD} <= set(names):
        raise PackageError(f"expected distinct files that include {MODEL} and {CARD}; got {', '.join(names)}")
    golden = [name for name in names if name.startswith(GOLDEN)]
    if golden and EXPECTED not in golden:
        raise PackageError(f"expected {EXPECTED} with the golden images; got only {', '.join(golden)}")


def locate(folder: Path, name: str) -> Path:
    """Return the path of a file after checking that it is a regular file inside the folder.

    Raises:
        PackageError: it is missing, not a regular file, or a link out of the folder.
    """
    path = folder / name
    if not path.exists():
        raise PackageError(f"{name} is missing")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PackageError(f"{name} is a link to a path outside the package")
    if not path.is_file():
        raise PackageError(f"{name} is not a regular file")
    return path


def check_size(folder: Path, file: PackagedFile) -> None:
    """Check the size of a file.

    Raises:
        PackageError: the size differs from the manifest.
    """
    size = locate(folder, file.name).stat().st_size
    if size != file.size:
        raise PackageError(f"{file.name} is damaged: expected {file.size} bytes; got {size}")


def check_contents(folder: Path, file: PackagedFile) -> None:
    """Check the SHA-256 of a file, which reads all of it.

    Raises:
        PackageError: the SHA-256 differs from the manifest.
    """
    actual = file_sha256(locate(folder, file.name))
    if actual != file.sha256:
        raise PackageError(f"{file.name} is damaged: expected sha256 {file.sha256}; got {actual}")


def fill(folder: Path, card: ModelCard, sources: Mapping[str, str | Path]) -> None:
    """Write a package into an empty folder and flush it to disk."""
    if any(name.startswith(GOLDEN) for name in sources):
        (folder / GOLDEN).mkdir()
    for name, source in sources.items():
        with open(source, "rb") as original, open(folder / name, "xb") as copy:
            shutil.copyfileobj(original, copy)
            copy.flush()
            os.fsync(copy.fileno())
    write(folder / CARD, card.to_json())
    entries = [PackagedFile(n, file_sha256(folder / n), (folder / n).stat().st_size) for n in sorted([*sources, CARD])]
    write(folder / MANIFEST, json.dumps(asdict(Manifest(tuple(entries))), indent=2) + "\n")
    for path in {(folder / name).parent for name in sources} | {folder}:
        sync_folder(path)


def write(path: Path, text: str) -> None:
    """Write a new file and flush it to disk."""
    with open(path, "x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
