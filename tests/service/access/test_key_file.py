"""The file of API keys: hashes only, written at once, damaged ones explained."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.access.key_file import KeyFileError, add_key, hash_token, read_keys, remove_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_file_has_the_hash_and_not_the_key(path: Path) -> None:
    token = add_key(path, "ci", ("detect",))
    [key] = read_keys(path)
    assert token not in path.read_text()
    assert token.removeprefix("lineage_") not in path.read_text()
    assert (key.name, key.sha256, key.scopes, key.expires) == ("ci", hash_token(token), ("detect",), None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_are_random(path: Path) -> None:
    tokens = {add_key(path, f"key-{n}", ("detect",)) for n in range(20)}
    assert len(tokens) == 20
    assert all(len(token) == len("lineage_") + 43 for token in tokens)  # 256 bits in base64


def test_change_keeps_the_mode_of_the_file(path: Path) -> None:
    add_key(path, "a", ("detect",))
    path.chmod(0o640)
    add_key(path, "b", ("detect",))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_expired_key_is_known_as_expired(path: Path) -> None:
    add_key(path, "old", ("detect",), timedelta(seconds=-1))
    add_key(path, "new", ("detect",), timedelta(days=1))
    assert [key.is_expired() for key in read_keys(path)] == [True, False]


def test_admin_implies_detect(path: Path) -> None:
    add_key(path, "a", ("admin",))
    add_key(path, "d", ("detect",))
    admin, detect = read_keys(path)
    assert (admin.allows("detect"), admin.allows("admin")) == (True, True)
    assert (detect.allows("detect"), detect.allows("admin")) == (True, False)


def test_name_in_use_and_unknown_name_change_nothing(path: Path) -> None:
    add_key(path, "ci", ("detect",))
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="the name 'ci' is in use"):
        add_key(path, "ci", ("admin",))
    with pytest.raises(KeyFileError, match="no key 'Ci2'; did you mean ci"):
        remove_key(path, "Ci2")
    with pytest.raises(KeyFileError, match="expected up to 64 letters"):
        add_key(path, "a\nb", ("detect",))
    assert path.read_bytes() == before
    assert [other.name for other in path.parent.iterdir()] == ["keys.json"]


def test_removed_key_is_gone(path: Path) -> None:
    add_key(path, "a", ("detect",))
    add_key(path, "b", ("detect",))
    remove_key(path, "a")
    assert [key.name for key in read_keys(path)] == ["b"]


KEY = {"name": "a", "sha256": "0" * 64, "scopes": ["detect"], "created": "2026-01-01T00:00:00Z"}


def document(**changes: Any) -> dict[str, Any]:
    return {"schema_version": 1, "keys": [KEY | changes]}


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ("{", "line 1 column 2"),
        ("[]", "the document: expected an object"),
        ({"schema_version": 2, "keys": []}, "expected schema_version 1; got 2; a newer release wrote it"),
        ({"schema_version": 1}, "keys: expected a list of objects; the field is missing"),
        (document(scope=["detect"]), "keys[0].scope: unknown field"),
        (document(scopes=["read"]), "keys[0].scopes[0]: expected one of 'detect', 'admin'; got 'read'"),
        (document(scopes=[]), "keys[0].scopes: expected detect, admin or both"),
        (document(sha256="secret"), "keys[0].sha256: expected 64 hex digits"),
        (document(expires="tomorrow"), "keys[0].expires: expected a time such as"),
        (document(expires="2030-01-01T00:00:00"), "keys[0].expires: expected a time such as"),
        (document(name=""), "keys[0].name: expected a name"),
        ({"schema_version": 1, "keys": [KEY, KEY]}, "keys[1].name: expected a name that no other key has; got 'a'"),
    ],
)
def test_damaged_file_is_explained(path: Path, contents: object, reason: str) -> None:
    path.write_text(contents if isinstance(contents, str) else json.dumps(contents))
    with pytest.raises(KeyFileError) as caught:
        read_keys(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)  # it may be a key in the wrong place


def test_binary_and_missing_files_are_explained(path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"keys\.json: No such file or directory; create it with: lineage keys add"):
        read_keys(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(KeyFileError, match=r"keys\.json: .*utf-8"):
        read_keys(path)


def test_symbolic_link_stays(path: Path, tmp_path: Path) -> None:
    add_key(path, "a", ("detect",))
    link = tmp_path / "link.json"
    link.symlink_to(path)
    add_key(link, "b", ("detect",))
    assert link.is_symlink()
    assert [key.name for key in read_keys(path)] == ["a", "b"]


def test_key_with_two_names_is_refused(path: Path) -> None:
    add_key(path, "a", ("detect",))
    written = json.loads(path.read_text())
    written["keys"].append(written["keys"][0] | {"name": "b"})
    path.write_text(json.dumps(written))
    with pytest.raises(KeyFileError, match=r"keys\[1\].sha256: expected a key that has no other name; b is one of two"):
        read_keys(path)


def test_only_a_missing_file_can_be_created(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"expected a regular file$"):
        read_keys(tmp_path)
