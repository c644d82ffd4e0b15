"""`lineage keys`: a key is shown once, listed without it, and removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.main import main
from service.access.key_file import read_keys
from service.access.keys import Keys


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "keys.json")


def test_key_is_printed_once_and_works(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "add", "ci", "--scope", "detect,admin", "--expires", "30d", "--file", file]) == 0
    token, note = capsys.readouterr()
    key = Keys(Path(file)).find(token.strip())  # stdout has the key alone, for scripts
    assert key
    assert (key.name, key.scopes) == ("ci", ("detect", "admin"))
    assert key.expires
    assert "not stored" in note
    for command in (["keys", "list"], ["keys"]):
        assert main([*command, "--file", file]) == 0
        listed = capsys.readouterr().out
        assert "ci" in listed
        assert "detect,admin" in listed
        assert token.strip() not in listed
        assert key.sha256 not in listed


def test_removed_key_is_no_longer_listed(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "add", "ci", "--file", file])
    assert main(["keys", "remove", "ci", "--file", file]) == 0
    capsys.readouterr()
    assert main(["keys", "--file", file]) == 0
    assert "No keys in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["add", "x", "--scope", "read"],
            "--scope: expected detect or admin, or both separated by a comma; got 'read'",
        ),
        (["add", "x", "--scope", ""], "--scope: expected detect or admin"),
        (["add", "x", "--expires", "30"], "--expires: expected a number with the unit m, h, d or w, such as 30d"),
        (["add", "x", "--expires", "0d"], "--expires: expected a number"),
        (["add", "a b"], "name: expected up to 64 letters"),
        (["add", "ci"], "the name 'ci' is in use"),
        (["remove", "cii"], "no key 'cii'; did you mean ci?"),
    ],
)
def test_mistake_is_one_line_and_changes_nothing(
    file: str, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    main(["keys", "add", "ci", "--file", file])
    before = Path(file).read_bytes()
    capsys.readouterr()
    assert main(["keys", *arguments, "--file", file]) == 2
    out, error = capsys.readouterr()
    assert reason in error
    assert (out, len(error.splitlines())) == ("", 1)
    assert Path(file).read_bytes() == before


def test_missing_folder_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "add", "ci", "--file", str(tmp_path / "none" / "keys.json")]) == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_scopes_are_those_of_the_file(file: str) -> None:
    main(["keys", "add", "ci", "--file", file])
    assert [key.scopes for key in read_keys(Path(file))] == [("detect",)]
