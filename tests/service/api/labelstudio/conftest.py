"""A host of files that stands for Label Studio."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.api.labelstudio.file_host import FileHost, hosting


@pytest.fixture
def host() -> Iterator[FileHost]:
    with hosting() as host:
        yield host
