"""The record of served versions survives restarts and damage."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from model_zoo.contract.repository import Repository
from service.inference import bundled, serving_record
from service.inference.catalog import read_catalog
from service.inference.serving_record import FILE_NAME, ServingRecord, make_record, read_record, write_record
from tests.service.conftest import Publish
from tests.service.store_engines import make_verifying_store, run, version


def test_record_is_read_as_written(repository: Repository, publish: Publish) -> None:
    first, second = publish(), publish()
    record = make_record("toy", {"toy": second, "toy@canary": first})
    write_record(repository.root, record)
    assert read_record(repository.root) == record
    assert record.packages(read_catalog(repository)) == {"toy": second, "toy@canary": first}
    assert repository.scan() == ([first, second], [])


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"default_model": 1}', '{"served": {"toy": 1}}', '{"schema_version": 2}', '{"more": 1}'],
)
def test_damaged_record_is_ignored(
    repository: Repository, publish: Publish, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    (repository.root / FILE_NAME).write_text(text)

    async def test() -> None:
        store = make_verifying_store(repository)
        await store.refresh()
        assert await version(store, None) == 1
        await store.close()

    run(test)
    assert caplog.text.count(FILE_NAME) == 1
    assert read_record(repository.root).default_model == "toy", "it is written again"


def test_record_of_another_repository_is_ignored(repository: Repository, publish: Publish) -> None:
    publish(contents=b"one")
    served = {"toy": {"version": 1, "digest": "0" * 64}, "cars": {"version": 7, "digest": "1" * 64}}
    (repository.root / FILE_NAME).write_text(json.dumps({"default_model": "cars", "served": served}))
    assert read_record(repository.root).packages(read_catalog(repository)) == {}

    async def test() -> None:
        store = make_verifying_store(repository)
        await store.refresh()
        assert await version(store, None) == 1
        await store.close()

    run(test)


def test_repository_that_cannot_be_written_is_served(
    repository: Repository, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    publish().model_path.write_bytes(b"other")
    (repository.root / FILE_NAME).mkdir()  # also for root, who may write anywhere
    caplog.set_level("INFO")

    async def test() -> None:
        for _ in range(2):
            store = make_verifying_store(repository)
            await store.refresh()
            await store.refresh()
            assert await version(store, None) == 1
            await store.close()

    run(test)
    assert "not remembered after a restart" in caplog.text
    assert sorted(os.listdir(repository.root)) == [FILE_NAME, "toy"]


def test_full_disk_is_degraded_logged_once_and_tried_again(
    repository: Repository, publish: Publish, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def test() -> None:
        store = make_verifying_store(repository)
        with monkeypatch.context() as full:
            full.setattr(serving_record, "write_atomic", no_space)
            for _ in range(3):
                await store.refresh()
            assert "No space left on device" in str(store.degraded())
            assert await version(store, None) == 1
        await store.refresh()
        assert store.degraded() == []
        await store.close()

    run(test)
    assert caplog.text.count("not remembered after a restart") == 1
    assert read_record(repository.root).served["toy"].version == 1


def test_pipe_in_place_of_the_record_is_ignored(repository: Repository, caplog: pytest.LogCaptureFixture) -> None:
    repository.root.mkdir(exist_ok=True)
    os.mkfifo(repository.root / FILE_NAME)
    assert read_record(repository.root) == ServingRecord()
    assert "expected a regular file" in caplog.text


def test_bundled_repository_is_never_written_to(
    repository: Repository, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    link = Repository(tmp_path / "link")
    link.root.symlink_to(repository.root)
    monkeypatch.setattr(bundled, "BUNDLED_REPOSITORY", repository)

    async def test() -> None:
        store = make_verifying_store(link)
        await store.refresh()
        await store.close()

    run(test)
    assert os.listdir(repository.root) == ["toy"]


def test_nothing_is_written_without_a_model(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "models")

    async def test() -> None:
        for _ in range(2):
            store = make_verifying_store(repository)
            await store.refresh()
            await store.close()
            repository.root.mkdir(exist_ok=True)

    run(test)
    assert os.listdir(repository.root) == []
    assert read_record(repository.root) == ServingRecord()
