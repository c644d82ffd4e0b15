"""Another version answers while the one that a reference means cannot be served."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from model_zoo.contract import folders
from model_zoo.contract.errors import PackageError, PackageNotFound
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from service.inference.model_store import ModelStore
from service.inference.serving_record import FILE_NAME
from tests.service.conftest import Publish
from tests.service.store_engines import make_verifying_store, run, version


def _wrong_bytes(package: Package) -> None:
    package.model_path.write_bytes(b"\0" * package.model_path.stat().st_size)


def _replace(name: str, text: str | None) -> Callable[[Package], None]:
    def damage(package: Package) -> None:
        if text is None:
            (package.path / name).unlink()
        else:
            (package.path / name).write_text(text)

    return damage


def _empty_folder(package: Package) -> None:
    shutil.rmtree(package.path)
    package.path.mkdir()


def _link_outside(package: Package) -> None:
    outside = package.path.parents[2] / "outside.onnx"
    package.model_path.rename(outside)
    package.model_path.symlink_to(outside)


DAMAGES = {
    "wrong bytes": _wrong_bytes,
    "truncated": _replace("model.onnx", "mo"),
    "no model file": _replace("model.onnx", None),
    "no card": _replace("card.json", None),
    "damaged card": _replace("card.json", "{"),
    "no manifest": _replace("manifest.json", None),
    "damaged manifest": _replace("manifest.json", "[]"),
    "empty folder": _empty_folder,
    "link out of the package": _link_outside,
}


async def _restarted(repository: Repository) -> ModelStore:
    """Return the store of a server that starts now."""
    store = make_verifying_store(repository)
    await store.refresh()
    return store


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_restart_on_a_damaged_newest_version_serves_an_older_one(
    repository: Repository, publish: Publish, damage: Callable[[Package], None], record: bool
) -> None:
    publish()
    publish()

    async def test() -> None:
        await (await _restarted(repository)).close()
        if not record:
            (repository.root / FILE_NAME).unlink()
        damage(publish())
        store = await _restarted(repository)
        assert await version(store, None) == await version(store, "toy") == await version(store, "toy@latest") == 2
        assert store.missing() == []
        [degraded] = store.degraded()
        assert degraded.startswith("toy: serving version 2 instead of 3, because toy@3: ")
        with pytest.raises(PackageError, match="toy@3: "):
            await version(store, "toy@3")
        await store.close()

    run(test)


def test_several_damaged_versions_are_skipped(repository: Repository, publish: Publish) -> None:
    packages = [publish() for _ in range(4)]
    for package in packages[1:]:
        _wrong_bytes(package)

    async def test() -> None:
        store = await _restarted(repository)
        assert await version(store, "toy") == 1
        await store.close()

    run(test)


def test_model_without_a_good_version_does_not_affect_others(repository: Repository, publish: Publish) -> None:
    for package in (publish(), publish()):
        _wrong_bytes(package)
    publish("other")

    async def test() -> None:
        store = await _restarted(repository)
        assert store.missing() == []
        assert store.degraded()[0].startswith("toy: no version can be served, because toy@2: model.onnx is damaged")
        assert await version(store, "other") == 1
        with pytest.raises(PackageError, match="toy@2"):
            await version(store, "toy")
        await store.close()

    run(test)


def test_alias_of_a_damaged_version_keeps_the_version_served_before(repository: Repository, publish: Publish) -> None:
    for _ in range(3):
        publish()
    repository.set_alias("toy", "stable", 1)
    repository.set_alias("toy", "canary", 1)

    async def test() -> None:
        first = await _restarted(repository)
        assert await version(first, "toy@canary") == 1
        await first.refresh()
        await first.close()
        repository.set_alias("toy", "stable", 3)
        repository.set_alias("toy", "canary", 3)
        _wrong_bytes(repository.resolve("toy@3"))
        store = await _restarted(repository)
        assert await version(store, "toy") == await version(store, "toy@canary") == 1, "version 2 was never served"
        (repository.root / FILE_NAME).unlink()
        await store.close()
        store = await _restarted(repository)
        assert await version(store, "toy") == 2
        with pytest.raises(PackageError, match="toy@3"):
            await version(store, "toy@canary")
        await store.close()

    run(test)


def test_damaged_aliases_keep_the_version_served_before(repository: Repository, publish: Publish) -> None:
    publish()
    publish()
    repository.set_alias("toy", "stable", 1)

    async def test() -> None:
        await (await _restarted(repository)).close()
        (repository.root / "toy" / "aliases.json").write_text("{")
        store = await _restarted(repository)
        assert await version(store, "toy") == await version(store, "toy@stable") == 1
        assert "aliases.json" in store.degraded("toy")[0]
        await store.close()

    run(test)


def test_served_version_answers_from_memory_while_its_files_are_damaged(
    repository: Repository, publish: Publish
) -> None:
    package = publish()

    async def test() -> None:
        store = await _restarted(repository)
        package.model_path.unlink()
        await store.refresh()
        assert await version(store, "toy") == 1
        assert store.degraded()[0].startswith(
            "toy: serving version 1 from memory, because toy@1: model.onnx is missing"
        )
        await store.close()

    run(test)


def test_model_whose_folder_cannot_be_read_does_not_affect_others(
    repository: Repository, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read any folder, so the error is injected."""
    publish()
    publish("other")
    scan = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "toy":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    async def test() -> None:
        running = await _restarted(repository)
        monkeypatch.setattr(folders.os, "scandir", refuse)
        await running.refresh()
        starting = await _restarted(repository)
        for store, answer in ((running, "serving version 1"), (starting, "no version can be served")):
            assert store.default.name is None  # `other` is not alone, though nothing else can be read
            assert await version(store, "other") == 1
            assert store.missing() == []
            reason = f"{repository.root / 'toy'}: cannot read the folder (Permission denied)"
            assert store.degraded() == [f"toy: {answer}, because {reason}"]
        assert await version(running, "toy") == 1
        with pytest.raises(PackageError, match="Permission denied"):
            await version(starting, "toy")
        monkeypatch.undo()
        await starting.refresh()
        assert await version(starting, "toy") == 1
        await running.close()
        await starting.close()

    run(test)


def test_removed_version_or_alias_is_not_served(repository: Repository, publish: Publish) -> None:
    for _ in range(2):
        publish()
    repository.set_alias("toy", "canary", 1)

    async def test() -> None:
        store = await _restarted(repository)
        assert await version(store, "toy@canary") == 1
        repository.remove_alias("toy", "canary")
        repository.remove("toy", 2)
        await store.refresh()
        assert await version(store, "toy") == 1
        with pytest.raises(PackageNotFound, match="no version 'canary'"):
            await version(store, "toy@canary")
        await store.close()

    run(test)


def test_link_loops_and_foreign_folders_are_logged_once_as_information(
    repository: Repository, publish: Publish, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    publish()
    for name in ("lost+found", "__MACOSX", "toy/v2", "notes"):
        (repository.root / name).mkdir()
    (repository.root / "loop").symlink_to("loop")
    caplog.set_level("INFO")

    async def test() -> None:
        store = await _restarted(repository)
        await store.refresh()
        assert caplog.text.count("skipped folders without a package: __MACOSX, lost+found, notes, toy/v2") == 1
        assert [r for r in caplog.records if r.levelname not in ("INFO", "DEBUG")] == []
        assert store.problems() == store.degraded() == []
        await store.close()

    run(test)
