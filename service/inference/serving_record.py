"""Remember the default model and the version served for each reference across restarts of the server.

The record is one JSON file in the repository, which readers of models skip. Without it, as in a repository that the
server may not write to, the server starts as if for the first time.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from model_zoo.contract import typed_json
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import read_text, write_atomic
from model_zoo.contract.package import Package
from service.inference.catalog import Catalog

FILE_NAME: Final = ".serving.json"
SCHEMA_VERSION: Final = 1
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServedVersion:
    """A version that was loaded and served."""

    version: int
    """Version number."""
    digest: str
    """Digest of the package: another package of the same number is not this one."""


@dataclass(frozen=True)
class ServingRecord:
    """Content of the file."""

    default_model: str | None = None
    """Name of the model for requests without one."""
    served: Mapping[str, ServedVersion] = field(default_factory=dict)
    """Last version served, by reference."""
    schema_version: int = SCHEMA_VERSION
    """Version of this schema."""

    def packages(self, catalog: Catalog) -> dict[str, Package]:
        """Return the served packages that are still in the repository, by reference."""
        found = {r: catalog.packages.get(f"{r.partition('@')[0]}@{s.version}") for r, s in self.served.items()}
        return {r: p for r, p in found.items() if p and p.digest == self.served[r].digest}


def make_record(default_model: str | None, served: Mapping[str, Package]) -> ServingRecord:
    """Return the record of a default model and the packages served by reference."""
    return ServingRecord(default_model, {r: ServedVersion(p.version, p.digest) for r, p in sorted(served.items())})


def read_record(root: Path) -> ServingRecord:
    """Read the record of a repository. A missing or damaged one is empty."""
    path = root / FILE_NAME
    try:
        document = typed_json.parse(read_text(path))
        typed_json.check_schema(document, SCHEMA_VERSION)
        record = ServingRecord(**typed_json.read_fields(ServingRecord, document))
    except FileNotFoundError:
        return ServingRecord()
    except (OSError, UnicodeDecodeError, LineageError) as error:
        LOG.warning("ignored %s, which remembers the served versions: %s", path, error)
        return ServingRecord()
    return record


def write_record(root: Path, record: ServingRecord) -> str | None:
    """Write the record of a repository. Return why it cannot be written, such as on a full disk.

    A repository that the server may not write to is only logged.
    """
    try:
        write_atomic(root / FILE_NAME, (json.dumps(asdict(record), indent=2) + "\n").encode())
    except OSError as error:
        reason = f"the default model and the served versions are not remembered after a restart: {error}"
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            return reason
        LOG.info("%s", reason)
    return None
