"""Keys in force: found by hash, followed on disk, kept if the file is damaged."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from service.access import keys as module
from service.access.key_file import Key, KeyFileError, add_key, read_keys, remove_key
from service.access.keys import Keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_only_valid_keys_are_found(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens = {name: add_key(path, name, ("detect",)) for name in "ab"}
    expired = add_key(path, "old", ("detect",), timedelta(seconds=-1))
    keys = Keys(path)
    assert {name: key.name for name, token in tokens.items() if (key := keys.find(token))} == {"a": "a", "b": "b"}
    for wrong in ("", tokens["a"][:-1], f"{tokens['a']}x", "\xff", expired):
        assert keys.find(wrong) is None
    assert "the API key old has expired" in caplog.text
    assert expired not in caplog.text


def test_damaged_file_is_refused_at_start(path: Path) -> None:
    path.write_text("{")
    with pytest.raises(KeyFileError, match="expected a JSON document"):
        Keys(path)


def test_changes_are_followed_and_damage_keeps_the_old_keys(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "POLL", 0.01)
    token = add_key(path, "a", ("detect",))

    async def run() -> None:
        keys = Keys(path)
        watching = asyncio.create_task(keys.watch())
        other = add_key(path, "b", ("admin",))
        await _until(lambda: keys.find(other))
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        await _until(lambda: keys.problem)
        assert str(path) in str(keys.problem)
        assert keys.find(token)
        path.unlink()
        await _until(lambda: "No such file" in str(keys.problem))
        assert keys.find(other)
        path.write_bytes(whole)
        await _until(lambda: keys.problem is None)
        remove_key(path, "a")
        await _until(lambda: keys.find(token) is None)
        assert keys.find(other)
        watching.cancel()

    asyncio.run(run())
    assert "API keys unchanged, the file cannot be used" in caplog.text


def test_file_that_could_not_be_read_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permission or a free descriptor comes back without a change of the file."""
    monkeypatch.setattr(module, "POLL", 0.01)
    tries, logged = 0, list[object]()
    monkeypatch.setattr(module.LOG, "error", lambda *values: logged.append(values))

    def fail_at_first(path: Path) -> tuple[Key, ...]:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise KeyFileError(f"{path}: Permission denied")
        return read_keys(path)

    async def run() -> None:
        add_key(path, "a", ("detect",))
        keys = Keys(path)
        monkeypatch.setattr(module, "read_keys", fail_at_first)
        watching = asyncio.create_task(keys.watch())
        other = add_key(path, "b", ("detect",))
        await _until(lambda: keys.find(other))
        assert keys.problem is None
        watching.cancel()

    asyncio.run(run())
    assert len(logged) == 1


async def _until(condition: object) -> None:
    async with asyncio.timeout(20):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)
