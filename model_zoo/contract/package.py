"""A model repository on disk.

    <root>/<name>/<version>/model.onnx      and what else the model needs
                            card.json       the model card
                            manifest.json   size and sha256 of every file
    <root>/<name>/aliases.json              alias -> version

Versions are positive whole numbers. A package appears by one rename and is never changed afterwards, so readers need no
lock and see whole packages only; entries whose name begins with a dot are unfinished work and nobody's business.
Needs a POSIX file system.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from model_zoo.contract import manifest, typed_json
from model_zoo.contract.card import NAME, ModelCard
from model_zoo.contract.errors import LineageError, PackageError, PackageNotFound
from model_zoo.contract.manifest import PackagedFile
from model_zoo.contract.suggest import did_you_mean

ALIASES = "aliases.json"
LATEST, STABLE = "latest", "stable"
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Package:
    """One version of one model on disk; `Repository` gives it out, complete but with unread contents: see `verify`."""

    name: str
    version: int
    path: Path
    card: ModelCard = field(compare=False, repr=False)  # the digest speaks for it
    files: tuple[PackagedFile, ...] = field(repr=False)

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
        """Sha256 over names, sizes and sha256 of all files: equal for equal content, wherever it lies."""
        entries = sorted((f.name, f.size, f.sha256) for f in self.files)
        return hashlib.sha256(json.dumps(entries).encode()).hexdigest()

    def verify(self) -> None:
        """Read every file and compare size and sha256; PackageError names the first that differs."""
        with _explained(self.name, self.version):
            for file in self.files:
                manifest.check_size(self.path, file)
                manifest.check_contents(self.path, file)


@dataclass(frozen=True)
class Problem:
    """Something in a repository that cannot be used, and why; `version` is None where it concerns the whole model."""

    name: str
    version: int | None
    reason: str


@dataclass(frozen=True)
class Repository:
    """Models in a folder; reading never writes, and a folder that does not exist is an empty repository."""

    root: Path

    def names(self) -> list[str]:
        """List the models that have at least one version."""
        return [e.name for e in _entries(self.root) if NAME.fullmatch(e.name) and self.versions(e.name)]

    def versions(self, name: str) -> list[int]:
        """List the versions of a model, rising, damaged ones included; empty where there is no such model."""
        entries = _entries(self.root / _safe(name))
        return sorted(int(e.name) for e in entries if _VERSION.fullmatch(e.name) and e.is_dir())

    def aliases(self, name: str) -> dict[str, int]:
        """Return the aliases that were set; `latest` is implied and not among them."""
        path = self.root / _safe(name) / ALIASES
        try:
            aliases = typed_json.parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise PackageError(f"{name}: {ALIASES} cannot be read ({error})") from error
        if not isinstance(aliases, dict) or not all(_is_alias(a) and type(v) is int for a, v in aliases.items()):
            came = typed_json.shorten(aliases)
            raise PackageError(f"{name}: expected {ALIASES} to map names to versions; got {came}; mend or delete it")
        return aliases

    def resolve(self, reference: str) -> Package:
        """Find the package of `name`, `name@version` or `name@alias`.

        A bare name means the alias `stable` where it is set and the highest version otherwise. PackageNotFound says
        what there is; PackageError says why a package cannot be used.
        """
        name, at, wanted = reference.partition("@")
        self._require_name(name)
        if not at:
            wanted = STABLE if STABLE in self.aliases(name) else LATEST
        return self._open(name, self._version(name, wanted))

    def publish(self, card: ModelCard, files: Mapping[str, Path]) -> Package:
        """Copy `files` (name in the package -> source, `model.onnx` among them) into the next version of `card.name`.

        All or nothing, whenever the process ends; publishers at the same time get different versions.
        """
        manifest.check_names([*files, manifest.CARD])
        home = self.root / card.name
        aside = home / f".publish-{uuid4().hex}"
        try:
            aside.mkdir(parents=True)
            manifest.fill(aside, card, files)
            version = _take_next_version(home, aside)
            manifest.sync_folder(self.root)
        except OSError as error:
            raise PackageError(f"{card.name}: cannot be published in {self.root} ({error})") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return self._open(card.name, version)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let `alias` mean `version` from now on; the package must be usable, and `latest` cannot be set."""
        if not _is_alias(alias):
            raise PackageError(f"alias: expected {_ALIAS.pattern} and not {LATEST!r}, which is implied; got {alias!r}")
        with self._locked(name):
            self._open(name, self._version(name, str(version)))
            _write_aliases(self.root / name, self.aliases(name) | {alias: version})

    def remove_alias(self, name: str, alias: str) -> None:
        """Forget an alias."""
        with self._locked(name):
            aliases = self.aliases(name)
            if alias not in aliases:
                raise PackageNotFound(f"{name} has no alias {alias!r}; there is: {', '.join(aliases) or 'none'}")
            _write_aliases(self.root / name, {a: v for a, v in aliases.items() if a != alias})

    def remove(self, name: str, version: int) -> None:
        """Delete a version, damaged or not; it must have no alias. The number of a highest version is given again."""
        with self._locked(name):
            home = self.root / name
            self._version(name, str(version))
            held = [alias for alias, v in self.aliases(name).items() if v == version]
            if held:
                raise PackageError(f"{name}@{version} is what {', '.join(held)} means; move or remove the alias first")
            trash = home / f".removed-{uuid4().hex}"
            (home / str(version)).rename(trash)  # from here on nobody sees it, however long deleting takes
            manifest.sync_folder(home)
            shutil.rmtree(trash, ignore_errors=True)

    def scan(self) -> tuple[list[Package], list[Problem]]:
        """List every usable package, and what cannot be used with the reason."""
        packages: list[Package] = []
        problems: list[Problem] = []
        for entry in _entries(self.root):
            if not entry.is_dir():
                continue
            if not NAME.fullmatch(entry.name):
                problems.append(Problem(entry.name, None, f"expected a folder name that matches {NAME.pattern}"))
                continue
            for version in self.versions(entry.name):
                try:
                    packages.append(self._open(entry.name, version))
                except PackageError as error:
                    problems.append(Problem(entry.name, version, str(error)))
            problems += self._alias_problems(entry.name)
        return packages, problems

    def _alias_problems(self, name: str) -> list[Problem]:
        try:
            aliases = self.aliases(name)
        except PackageError as error:
            return [Problem(name, None, str(error))]
        known = self.versions(name)
        lost = [(alias, version) for alias, version in aliases.items() if version not in known]
        return [Problem(name, None, f"{name}: alias {a!r} means version {v}, which is not there") for a, v in lost]

    def _open(self, name: str, version: int) -> Package:
        """Read one package: manifest, card, and that every file is there with its size."""
        folder = self.root / name / str(version)
        with _explained(name, version):
            if not folder.resolve().is_relative_to(self.root.resolve()):
                raise PackageError("the folder is a link to a place outside the repository")
            files = manifest.read(folder).files
            for file in files:
                manifest.check_size(folder, file)
                if file.name == manifest.CARD:
                    manifest.check_contents(folder, file)
            card = ModelCard.read(folder / manifest.CARD)
            if card.name != name:
                raise PackageError(f"expected a card of {name!r}; got one of {card.name!r}")
        return Package(name, version, folder, card, files)

    def _version(self, name: str, wanted: str) -> int:
        """Find the version that a number or an alias means."""
        versions = self.versions(name)
        if wanted == LATEST:
            version = max(versions, default=None)
        else:
            version = int(wanted) if _VERSION.fullmatch(wanted) else self.aliases(name).get(wanted)
        if version not in versions:
            gone = f" (alias of version {version})" if wanted in self.aliases(name) else ""
            known = ", ".join([*map(str, versions), LATEST, *self.aliases(name)])
            raise PackageNotFound(f"{name} has no version {wanted!r}{gone}; expected one of: {known}")
        return version

    def _require_name(self, name: str) -> None:
        names = self.names()
        if name in names:
            return
        if not names:
            raise PackageNotFound(
                f"no model {name!r}: the model repository {self.root} is empty; publish one with "
                f"`lineage import <weights> --name <name> --repository {self.root}` or with `lineage export`"
            )
        hints = filter(None, [did_you_mean(name, names, count=1), f"available: {', '.join(names)}"])
        raise PackageNotFound(f"no model {name!r}; {' '.join(hints)}")

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Keep others from moving aliases or removing versions; a process that ends gives the lock back."""
        self._require_name(name)
        try:
            with open(self.root / name / ".lock", "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise PackageError(f"{name}: cannot be changed in {self.root} ({error})") from error


def _entries(folder: Path) -> list[Path]:
    """List a folder without what begins with a dot; empty where there is none."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise PackageError(f"{folder}: cannot be read ({error})") from error


def _safe(name: str) -> str:
    if not NAME.fullmatch(name):
        raise PackageNotFound(f"no model {name!r}: expected a name that matches {NAME.pattern}")
    return name


def _is_alias(text: str) -> bool:
    return text != LATEST and _ALIAS.fullmatch(text) is not None


@contextmanager
def _explained(name: str, version: int) -> Iterator[None]:
    """Turn what goes wrong inside into a PackageError about this package."""
    try:
        yield
    except (OSError, LineageError) as error:
        raise PackageError(f"{name}@{version}: {error}; publish the model again") from error


def _take_next_version(home: Path, aside: Path) -> int:
    """Rename a finished folder to the next free number; where somebody was quicker, to the one after."""
    while True:
        version = max((int(e.name) for e in _entries(home) if _VERSION.fullmatch(e.name)), default=0) + 1
        try:
            aside.rename(home / str(version))  # fails where a folder with contents is
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            manifest.sync_folder(home)
            return version


def _write_aliases(home: Path, aliases: Mapping[str, int]) -> None:
    aside = home / f".aliases-{uuid4().hex}"
    manifest.write(aside, json.dumps(aliases, indent=2, sort_keys=True) + "\n")
    aside.replace(home / ALIASES)
    manifest.sync_folder(home)
