from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from model_zoo.contract.files import file_sha256, read_text, write_atomic


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


def test_full_disk_leaves_no_file_and_names_the_path(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: both fail in the middle of writing."""
    code = (
        "import resource, sys\n"
        "from model_zoo.contract.files import write_atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_atomic(sys.argv[1], bytes(100_000))\n"
        "except OSError as error:\n    print(error.filename, error.strerror)\n"
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{path} File too large\n"
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("model.onnx", b"old")]


def test_name_of_maximal_length_is_written(tmp_path: Path) -> None:
    write_atomic(str(tmp_path / ("x" * 255)), b"new")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"new"


def test_texts_are_read_from_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("é", encoding="utf-8-sig")
    assert read_text(tmp_path / "text") == "é"
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for a writer
    with pytest.raises(OSError, match="expected a regular file"):
        read_text(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none")
