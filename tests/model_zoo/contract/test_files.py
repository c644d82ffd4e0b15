from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from model_zoo.contract.files import file_sha256, write_atomic


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "plan"
    write_atomic(path, b"old")

    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_atomic(path, fail)
    assert [p.read_bytes() for p in path.parent.iterdir()] == [b"old"]


def test_files_get_umask_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_file_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"contents")
    assert file_sha256(tmp_path / "file") == hashlib.sha256(b"contents").hexdigest()
