"""Folders of results: files are complete or absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model_zoo.batch.folder import Folder
from model_zoo.contract.errors import LineageError


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_files_are_written_listed_read_and_removed(kind: str, tmp_path: Path, memory: object) -> None:
    folder = Folder(str(tmp_path / "out") if kind == "local" else "memory://bucket/out")
    assert folder.names() == set()
    folder.write("a", b"1")
    folder.write("a", b"2")
    assert (folder.names(), folder.read("a")) == ({"a"}, b"2")
    folder.remove("a")
    folder.remove("a")
    assert folder.names() == set()


def test_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / ("." + "0a" * 16)).write_bytes(b"half")
    folder = Folder(str(tmp_path))
    with folder.lock():
        assert folder.names() == {".lock"}


def test_one_run_at_a_time_writes(tmp_path: Path) -> None:
    with (
        Folder(str(tmp_path)).lock(),
        pytest.raises(LineageError, match="another run writes to this folder"),
        Folder(str(tmp_path)).lock(),
    ):
        pass


def test_contents_reach_the_disk_before_the_file_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append((tmp_path / "a").exists()))
    Folder(str(tmp_path)).write("a", b"1")
    assert seen == [False]


def test_stores_that_may_leave_half_a_file_are_refused() -> None:
    with pytest.raises(LineageError, match="expected a folder on a local disk or in an object store"):
        Folder("http://host/folder")


def test_unwritable_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LineageError, match="is a file"), Folder(str(tmp_path / "file/out")).lock():
        pass
