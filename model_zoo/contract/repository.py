"""A model repository on disk.

    <root>/<name>/<version>/model.onnx      and other files of the model
                            card.json       the model card
                            manifest.json   size and SHA-256 of each file
    <root>/<name>/aliases.json              alias -> version

Versions are positive integers. A package is published by one rename and never changed afterwards, so readers need no
lock and only see complete packages. Entries starting with a dot are incomplete and must be ignored. Folders without a
package, such as `lost+found`, are skipped. Requires a POSIX file system.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from model_zoo.contract import manifest, typed_json
from model_zoo.contract.card import NAME, ModelCard
from model_zoo.contract.errors import ChangeRefused, PackageError, PackageNotFound
from model_zoo.contract.file_lock import file_lock
from model_zoo.contract.files import read_text, write_atomic
from model_zoo.contract.folders import ALIAS, VERSION, folders, version_numbers
from model_zoo.contract.package import Package, open_package, package_errors
from model_zoo.contract.rollout import ROLLOUT, Rollout, read_rollout
from model_zoo.contract.suggest import did_you_mean

ALIASES = "aliases.json"
LATEST, STABLE = "latest", "stable"
_IN_POLICY = "cannot remove it while the rollout policy names it; change the policy first"


@dataclass(frozen=True)
class Problem:
    """An unusable package, or a problem of a whole model."""

    name: str
    """Name of the model."""
    version: int | None
    """Version number, or None if the problem concerns the whole model."""
    reason: str
    """Why it is unusable."""
    unreadable: bool = False
    """Whether the folder of the model cannot be read, so that its versions are unknown."""


@dataclass(frozen=True, init=False)
class Repository:
    """A folder of models. Reading never writes, and a missing folder is an empty repository."""

    root: Path
    """Folder of the models."""

    def __init__(self, root: str | Path) -> None:
        object.__setattr__(self, "root", Path(root))

    def names(self) -> list[str]:
        """List the models that have at least one version. Folders that cannot be read are left out."""
        return [folder.name for folder in folders(self.root) if _is_model(folder)]

    def versions(self, name: str) -> list[int]:
        """List the versions of a model in ascending order, including damaged ones."""
        return version_numbers(self.root / _checked_name(name))

    def foreign(self) -> list[str]:
        """List the folders that hold no package and are skipped, such as `lost+found` and `cars/2.bak`."""
        return [name for folder in folders(self.root) for name in _skipped(folder)]

    def aliases(self, name: str) -> dict[str, int]:
        """Return the aliases of a model, without the implied `latest`."""
        path = self.root / _checked_name(name) / ALIASES
        try:
            aliases = typed_json.parse(read_text(path))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise PackageError(f"{name}: cannot read {ALIASES} ({error})") from error
        if not isinstance(aliases, dict) or not all(_is_alias(a) and type(v) is int for a, v in aliases.items()):
            actual = typed_json.shorten(aliases)
            raise PackageError(f"{name}: expected {ALIASES} to map names to versions; got {actual}; fix or delete it")
        return aliases

    def resolve(self, reference: str) -> Package:
        """Return the package of `name`, `name@version` or `name@alias`.

        A bare name resolves to the alias `stable` if it is set, otherwise to the highest version.

        Raises:
            PackageNotFound: the model, version or alias does not exist.
            PackageError: the package is damaged.
        """
        name, separator, version = reference.partition("@")
        self._require_name(name)
        if not separator:
            version = STABLE if STABLE in self.aliases(name) else LATEST
        return self._open(name, self._resolve_version(name, version))

    def version_number(self, name: str, version: str) -> int:
        """Return the number of a version that is given by its number or an alias, damaged or not.

        Raises:
            PackageNotFound: the model, version or alias does not exist.
        """
        self._require_name(name)
        return self._resolve_version(name, version)

    def publish(self, card: ModelCard, files: Mapping[str, str | Path]) -> Package:
        """Publish files as the next version of `card.name`.

        Publishing is atomic even if the process is killed, and concurrent publishers get different versions.

        Args:
            card: Card of the model.
            files: Source path of each file by its name in the package; must include `model.onnx`.

        Raises:
            PackageError: a file name is invalid, or files cannot be copied.
        """
        manifest.check_names([*files, manifest.CARD])
        if self.root.is_file():
            raise PackageError(f"{self.root}: expected a folder; got a file")
        home = self.root / card.name
        staging = home / f".publish-{uuid4().hex}"
        try:
            staging.mkdir(parents=True)
            manifest.fill(staging, card, files)
            version = _claim_next_version(home, staging)
            manifest.sync_folder(self.root)
        except OSError as error:
            raise PackageError(f"{card.name}: cannot publish in {self.root} ({error})") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            with suppress(OSError):
                home.rmdir()  # nothing was published, and it is empty
        return self._open(card.name, version)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point `alias` to `version`, after a check of its files.

        Raises:
            PackageNotFound: the model or version does not exist.
            ChangeRefused: the alias is invalid, `latest` or another one in other case, or the repository is read-only.
            PackageError: the package is damaged.
        """
        if not _is_alias(alias):
            raise ChangeRefused(
                "alias: expected letters, digits, dots, hyphens and underscores, at most 100, that start with a letter "
                f"and are not {LATEST!r}, which is always the newest version; got {alias!r}"
            )
        with self.locked(name):
            self._open(name, self._resolve_version(name, str(version))).verify()
            aliases = self.aliases(name)
            if similar := next(
                (a for a in (LATEST, STABLE, *aliases) if a.lower() == alias.lower() and a != alias), None
            ):
                raise ChangeRefused(
                    f"alias: expected a name that differs from {similar!r} by more than case; got {alias!r}"
                )
            _write_aliases(self.root / name, aliases | {alias: version})

    def remove_alias(self, name: str, alias: str) -> None:
        """Remove an alias.

        Raises:
            PackageNotFound: the model or alias does not exist.
            ChangeRefused: the rollout policy names the alias, or the repository is read-only.
        """
        with self.locked(name):
            aliases = self.aliases(name)
            if alias not in aliases:
                raise PackageNotFound(
                    f"{name} has no alias {alias!r}; existing aliases: {', '.join(aliases) or 'none'}"
                )
            rollout = read_rollout(self.root / name) or Rollout()
            if alias in rollout.versions.values():
                raise ChangeRefused(f"{name}@{alias}: {_IN_POLICY}")
            _write_aliases(self.root / name, {a: v for a, v in aliases.items() if a != alias})

    def remove(self, name: str, version: int, *, force: bool = False) -> None:
        """Delete a version, damaged or not. If it is the highest one, its number is reused by the next version.

        Args:
            name: Name of the model.
            version: Version to delete.
            force: Also remove aliases and parts of the policy that name it, and the model with its last version.

        Raises:
            PackageNotFound: the model or version does not exist.
            ChangeRefused: an alias or the rollout policy names the version, it is the last one, or the repository is
                read-only.
        """
        with self.locked(name):
            home = self.root / name
            self._resolve_version(name, str(version))
            aliases = self.aliases(name)
            pointing = [alias for alias, v in aliases.items() if v == version]
            if pointing and not force:
                raise ChangeRefused(
                    f"{name}@{version}: cannot remove it while {', '.join(pointing)} points to it; "
                    "move or remove the alias first, or force the removal"
                )
            rollout, names = read_rollout(home) or Rollout(), {str(version), *pointing}
            in_policy = not names.isdisjoint(rollout.versions.values())
            if in_policy and not force:
                raise ChangeRefused(f"{name}@{version}: {_IN_POLICY}, or force the removal")
            is_last = self.versions(name) == [version]
            if is_last and not force:
                raise ChangeRefused(
                    f"{name}@{version} is the last version; "
                    "force its removal (--force, or ?force=true) to remove the model with it"
                )
            if pointing and not is_last:
                _write_aliases(home, {alias: v for alias, v in aliases.items() if v != version})
            if in_policy and not is_last:
                write_atomic(home / ROLLOUT, rollout.without(names).to_json())
            _delete_folder(home if is_last else home / str(version))

    def remove_model(self, name: str) -> None:
        """Delete a model with all versions and aliases.

        Raises:
            PackageNotFound: the model does not exist.
        """
        with self.locked(name):
            _delete_folder(self.root / name)

    def scan(self) -> tuple[list[Package], list[Problem]]:
        """List all usable packages and all problems. Folders without a package are skipped.

        Raises:
            PackageError: the folder of the repository cannot be read.
        """
        packages: list[Package] = []
        problems: list[Problem] = []
        for folder in folders(self.root):
            name = folder.name
            try:
                versions = version_numbers(folder)
            except PackageError as error:
                problems += [Problem(name, None, str(error), unreadable=True)] if NAME.fullmatch(name) else []
                continue
            if versions and not NAME.fullmatch(name):
                problems.append(Problem(name, None, f"{folder}: expected a folder name matching {NAME.pattern}"))
                continue
            for version in versions:
                try:
                    packages.append(self._open(name, version))
                except PackageError as error:
                    problems.append(Problem(name, version, str(error)))
            problems += self._alias_problems(name, versions) if versions else []
        return packages, problems

    def _alias_problems(self, name: str, known: Sequence[int]) -> list[Problem]:
        try:
            aliases = self.aliases(name)
        except PackageError as error:
            return [Problem(name, None, str(error))]
        dangling = [(alias, version) for alias, version in aliases.items() if version not in known]
        return [
            Problem(name, None, f"{name}: alias {alias!r} points to version {version}, which does not exist")
            for alias, version in dangling
        ]

    def _open(self, name: str, version: int) -> Package:
        """Open a package of this repository, and check that it belongs to its place."""
        folder = self.root / name / str(version)
        with package_errors(name, version, folder):
            if not folder.resolve().is_relative_to(self.root.resolve()):
                raise PackageError("the folder is a link to a path outside the repository")
        package = open_package(folder, name, version)
        with package_errors(name, version, folder):
            if package.card.name != name:
                raise PackageError(f"expected a card of {name!r}; got one of {package.card.name!r}")
        return package

    def _resolve_version(self, name: str, requested: str) -> int:
        """Return the version of a number or an alias."""
        versions = self.versions(name)
        if requested == LATEST:
            version = max(versions, default=None)
        else:
            version = int(requested) if VERSION.fullmatch(requested) else self.aliases(name).get(requested)
        if version not in versions:
            target = f" (alias of version {version})" if requested in self.aliases(name) else ""
            known = ", ".join([*map(str, versions), LATEST, *self.aliases(name)])
            raise PackageNotFound(f"{name} has no version {requested!r}{target}; expected one of: {known}")
        return version

    def _require_name(self, name: str) -> None:
        names = self.names()
        if name in names:
            return
        if NAME.fullmatch(name) and os.path.isdir(self.root / name):
            self.versions(name)  # raises if the folder cannot be read
        if not names:
            prefix = f"no model {name!r}: " if name else ""
            raise PackageNotFound(f"{prefix}{self.empty_message()}")
        hints = filter(None, [did_you_mean(name, names, count=1), f"available: {', '.join(names)}"])
        raise PackageNotFound(f"no model {name!r}; {' '.join(hints)}")

    def empty_message(self) -> str:
        """Explain how to fill an empty repository, or which folder was meant if this one is a model or a package."""
        root = self.root.absolute()
        if os.path.isfile(root / manifest.MANIFEST):  # pathlib raises for folders without permission
            return f"{self.root} is a package, not a model repository; did you mean {root.parent.parent}?"
        if any(os.path.isfile(folder / manifest.MANIFEST) for folder in folders(root)):
            return f"{self.root} is a model, not a model repository; did you mean {root.parent}?"
        state = "is empty" if os.path.isdir(root) else "does not exist"
        return (
            f"the model repository {self.root} {state}; publish one with "
            f"`lineage import <weights> --name <name> --repository {self.root}`, "
            "`lineage export <run> --name <name>` or `lineage publish <file.onnx>`"
        )

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the lock for changes of a model."""
        self._require_name(name)
        try:
            with file_lock(self.root / name / ".lock"):
                yield
        except OSError as error:
            raise ChangeRefused(f"{name}: cannot change it in {self.root} ({error})") from error


def _is_model(folder: Path) -> bool:
    """Return True if a folder has the name and at least one version of a model, and can be read."""
    try:
        return NAME.fullmatch(folder.name) is not None and bool(version_numbers(folder))
    except PackageError:
        return False


def _skipped(folder: Path) -> list[str]:
    """Return the folder if it is no model, else those in it that are no version. `scan` reports unreadable models."""
    if not NAME.fullmatch(folder.name):
        return [folder.name]
    try:
        known = {str(version) for version in version_numbers(folder)}
        return [f"{folder.name}/{f.name}" for f in folders(folder) if f.name not in known] if known else [folder.name]
    except PackageError:
        return []


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise PackageNotFound(f"no model {name!r}: expected a name matching {NAME.pattern}")
    return name


def _is_alias(text: str) -> bool:
    return text != LATEST and ALIAS.fullmatch(text) is not None


def _delete_folder(folder: Path) -> None:
    """Delete a folder atomically: readers no longer see it, however long deleting takes."""
    trash = folder.with_name(f".removed-{uuid4().hex}")
    folder.rename(trash)
    manifest.sync_folder(folder.parent)
    shutil.rmtree(trash, ignore_errors=True)


def _claim_next_version(home: Path, staging: Path) -> int:
    """Rename a complete folder to the next free version. Retry if another publisher was faster."""
    while True:
        taken = [int(entry) for entry in os.listdir(home) if VERSION.fullmatch(entry)]
        version = max(taken, default=0) + 1
        try:
            staging.rename(home / str(version))  # fails if the version exists
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            manifest.sync_folder(home)
            return version


def _write_aliases(home: Path, aliases: Mapping[str, int]) -> None:
    part = home / f".aliases-{uuid4().hex}"
    manifest.write(part, json.dumps(aliases, indent=2, sort_keys=True) + "\n")
    part.replace(home / ALIASES)
    manifest.sync_folder(home)
