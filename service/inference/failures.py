"""Failed loads: why a package could not be loaded, and when the next try is due.

A package is tried again once its files have changed and then stay unchanged for one check. Files that are being copied
are therefore left alone until the copy ends. Without such a change it is tried after 5 s, then after twice the previous
wait each time, at most after 5 min.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from model_zoo.contract.package import Package

MIN_WAIT: Final = 5.0
MAX_WAIT: Final = 300.0
_VARYING: Final = re.compile(r"\b[0-9a-f]{64}\b|\d+")  # hashes and sizes, which change while a file is being copied
Fingerprint = tuple[object, ...]


@dataclass
class Failure:
    """The last failed load of one package."""

    reason: str
    """Why it failed."""
    tries: int
    """Number of failed loads since the files last changed."""
    next_try: float
    """Time of the next try, on the monotonic clock."""
    loaded: Fingerprint
    """Files when the load began."""
    seen: Fingerprint
    """Files at the last check."""

    @property
    def is_due(self) -> bool:
        """Return True if the package should be tried again now."""
        return time.monotonic() >= self.next_try

    @property
    def next_try_at(self) -> datetime:
        """Date and time of the next try (UTC)."""
        return datetime.now(UTC) + timedelta(seconds=max(0.0, self.next_try - time.monotonic()))


def backoff(tries: int) -> float:
    """Return the seconds to wait after a number of failures in a row."""
    return float(min(MAX_WAIT, MIN_WAIT * 2.0 ** min(tries - 1, 10)))


class LoadFailures(dict[Package, Failure]):
    """The packages that failed to load, and those that an operator has unloaded."""

    def __init__(self) -> None:
        super().__init__()
        self._stopped: dict[str, bool] = {}

    def add(self, package: Package, reason: str, files: Fingerprint) -> None:
        """Record a failed load that began with `files`. The wait for the next try doubles while they do not change."""
        before = self.get(package)
        tries = before.tries + 1 if before and before.loaded == files else 1
        self[package] = Failure(reason, tries, time.monotonic() + backoff(tries), files, files)

    def allow(self, package: Package) -> bool:
        """Return True if a package may be loaded now: it has not failed or is due again, and was not unloaded."""
        return not self.is_stopped(package) and (package not in self or self[package].is_due)

    def reason(self, package: Package) -> str | None:
        """Return why a package cannot be used, or None if it can or was not tried yet."""
        if self.is_stopped(package):
            version = f"/versions/{package.version}" if package.reference in self._stopped else ""
            address = f"/admin/models/{package.name}{version}/load"
            return f"an operator unloaded {package.reference}; POST {address} loads it again"
        return self[package].reason if package in self else None

    def is_stopped(self, package: Package) -> bool:
        """Return True if an operator has unloaded the version, or the model and not loaded the version since."""
        return self._stopped.get(package.reference, self._stopped.get(package.name, False))

    def stop(self, reference: str) -> None:
        """Allow no load of `name@version`, or of any version of `name`, until `release`."""
        self._decide(reference, stopped=True)

    def release(self, reference: str) -> None:
        """Undo `stop`, and make failed loads due at once."""
        self._decide(reference, stopped=False)
        for package, failure in self.items():
            if reference in (package.name, package.reference):
                failure.next_try = 0.0

    def _decide(self, reference: str, *, stopped: bool) -> None:
        """Store a decision. One on a model replaces those on its versions."""
        self._stopped = {r: value for r, value in self._stopped.items() if not r.startswith(f"{reference}@")}
        self._stopped[reference] = stopped

    def check_files(self, files: Mapping[Package, Fingerprint]) -> None:
        """Make the packages due whose files have changed since the load, and not since the last check."""
        for package in self.keys() & files.keys():
            failure = self[package]
            if files[package] == failure.seen != failure.loaded:
                failure.next_try = 0.0
            failure.seen = files[package]

    def keep(self, packages: Collection[Package], references: Collection[str]) -> None:
        """Forget the failures of all other packages, and what an operator decided on other references."""
        for package in self.keys() - set(packages):
            del self[package]
        self._stopped = {r: stopped for r, stopped in self._stopped.items() if r in references}


class ReasonLog:
    """Remembers which reasons were logged for which version, so that each is logged once."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()

    def is_new(self, subject: str, reason: str) -> bool:
        """Return True at the first call with this subject and reason. Numbers and hashes in the reason are ignored."""
        key = (subject, _VARYING.sub("#", reason))
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def keep(self, subjects: Collection[str]) -> None:
        """Forget all other subjects."""
        self._seen = {key for key in self._seen if key[0] in subjects}


def fingerprint(folder: Path) -> Fingerprint:
    """Return name, size, times, inode and mode of each file of a folder, or the error that reading it raises."""
    try:
        stats = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    except OSError as error:
        return (error.errno,)
    return tuple((n, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_mode) for n, s in stats)


def fingerprints(packages: Collection[Package]) -> dict[Package, Fingerprint]:
    """Return the fingerprint of each package's folder."""
    return {package: fingerprint(package.path) for package in packages}
