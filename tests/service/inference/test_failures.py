"""Failed loads are tried again: when files change, and after a growing wait."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from model_zoo.contract.errors import PackageError
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.inference import failures
from service.inference.failures import LoadFailures, ReasonLog, fingerprint
from service.inference.model_store import ModelStore
from tests.service.conftest import Publish
from tests.service.store_engines import Engines, engines, make_verifying_store, run, store, version

__all__ = ["engines", "store"]

CONTENTS = b"the weights" * 1000


def _preallocate(folder: Path, rest: dict[str, bytes]) -> None:
    """Write every file at its full size first, as SMB copies and downloaders do."""
    for name, data in rest.items():
        (folder / name).write_bytes(b"\0" * len(data))


def _only_manifest(folder: Path, rest: dict[str, bytes]) -> None:
    (folder / "manifest.json").write_bytes(rest["manifest.json"])


def _truncated(folder: Path, rest: dict[str, bytes]) -> None:
    for name, data in rest.items():
        (folder / name).write_bytes(data[: len(data) // 2])


def _wrong_content(folder: Path, rest: dict[str, bytes]) -> None:
    for name, data in rest.items():
        (folder / name).write_bytes(data)
    (folder / "model.onnx").write_bytes(b"x" + CONTENTS[1:])


def _empty(folder: Path, rest: dict[str, bytes]) -> None:
    pass


def _dead_link(folder: Path, rest: dict[str, bytes]) -> None:
    _wrong_content(folder, rest)
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to("not there yet")


@pytest.mark.parametrize("begin", [_preallocate, _only_manifest, _truncated, _wrong_content, _empty, _dead_link])
def test_version_written_late_replaces_the_old_one(
    repository: Repository, publish: Publish, begin: Callable[[Path, dict[str, bytes]], None]
) -> None:
    publish()
    complete = publish(contents=CONTENTS)
    files = {path.name: path.read_bytes() for path in complete.path.iterdir()}
    shutil.rmtree(complete.path)

    async def test() -> None:
        store = make_verifying_store(repository)
        complete.path.mkdir()
        begin(complete.path, files)
        for _ in range(3):
            await store.refresh()
            assert await version(store, None) == 1
        for name, data in files.items():
            (complete.path / name).unlink(missing_ok=True)
            (complete.path / name).write_bytes(data)
        await store.refresh()
        await store.refresh()
        assert await version(store, None) == 2
        assert store.degraded() == store.problems() == []
        await store.close()

    run(test)


@pytest.mark.parametrize("keep", [(), ("mtime",)])
def test_content_that_changes_in_place_is_noticed(
    repository: Repository, publish: Publish, keep: tuple[str, ...]
) -> None:
    package = publish(contents=CONTENTS)
    package.model_path.write_bytes(b"\0" * len(CONTENTS))

    async def test() -> None:
        store = make_verifying_store(repository)
        await store.refresh()
        assert store.state(package) == "failed"
        times = package.model_path.stat()
        with package.model_path.open("r+b") as file:
            file.write(CONTENTS)
        if keep:
            os.utime(package.model_path, ns=(times.st_atime_ns, times.st_mtime_ns))
        await store.refresh()
        assert store.state(package) == "failed", "the files may still be changing"
        await store.refresh()
        assert store.state(package) == "loaded"
        await store.close()

    run(test)


def test_failed_load_is_tried_again_after_a_while(
    store: ModelStore, publish: Publish, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = publish()
    engines.broken = {1: PackageError("toy@1: stale file handle")}

    async def test() -> None:
        await store.refresh()
        await store.refresh()
        assert engines.loads == 1
        failure = store.failure(package)
        assert failure is not None
        failure.next_try = 0.0
        engines.broken = {}
        assert await version(store, "toy") == 1, "a request tries it, too"
        assert store.failure(package) is None
        await store.close()

    run(test)


def test_wait_doubles_up_to_a_limit_and_starts_again_when_files_change(
    publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures.time, "monotonic", lambda: 1000.0)
    package, failed = publish(), LoadFailures()
    waits = []
    for _ in range(9):
        failed.add(package, "reason", ("files",))
        waits.append(failed[package].next_try - 1000)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert not failed[package].is_due
    failed.add(package, "reason", ("other files",))
    assert failed[package].next_try == 1005


def test_files_are_loaded_once_they_stop_changing(publish: Publish) -> None:
    package, failed = publish(), LoadFailures()
    failed.add(package, "reason", ("a",))
    due = []
    for files in ("a", "a", "b", "c", "d", "d"):
        failed.check_files({package: (files,)})
        due.append(failed[package].is_due)
    assert due == [False, False, False, False, False, True]


def test_fingerprint_of_an_unreadable_folder_is_its_error(tmp_path: Path) -> None:
    missing = fingerprint(tmp_path / "none")
    assert missing == fingerprint(tmp_path / "none") != fingerprint(tmp_path)


def test_reasons_are_logged_once_while_a_copy_grows(
    repository: Repository, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    growing = publish(contents=CONTENTS)

    async def test() -> None:
        store = make_verifying_store(repository)
        for size in range(100, 1000, 100):
            growing.model_path.write_bytes(CONTENTS[:size])
            await store.refresh()
        records = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert [r.levelname for r in records] == ["ERROR", "WARNING"]
        await store.close()

    run(test)


def test_reason_log_distinguishes_subjects_and_reasons() -> None:
    log = ReasonLog()
    hashes = ("0" * 64, "a" * 64)
    assert [log.is_new("toy@1", f"expected sha256 {h}; got 5 bytes") for h in hashes] == [True, False]
    assert log.is_new("toy@2", "expected 5 bytes")
    assert log.is_new("toy@1", "is missing")
    log.keep({"toy@2"})
    assert (log.is_new("toy@1", "is missing"), log.is_new("toy@2", "expected 6 bytes")) == (True, False)


def test_changing_repository_does_not_lose_requests(repository: Repository, publish: Publish) -> None:
    """Requests are answered at any time while a damaged version is repaired and damaged again."""
    publish()
    package: Package = publish(contents=CONTENTS)

    async def test() -> None:
        store = make_verifying_store(repository)
        await store.refresh()
        for damaged in (True, False, True, False):
            package.model_path.write_bytes(b"\0" * len(CONTENTS) if damaged else CONTENTS)
            refreshes = [asyncio.create_task(store.refresh()) for _ in range(1)]
            assert await version(store, None) in (1, 2)
            await asyncio.gather(*refreshes)
        await store.close()

    run(test)
