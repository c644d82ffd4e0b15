"""`lineage serve`: mistakes that are refused before the server starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.main import main


def test_file_named_as_repository_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "models.zip").write_bytes(b"PK")
    assert main(["serve", "--port", "0", "--repository", str(tmp_path / "models.zip")]) == 2
    expected = f"lineage: --repository: expected a folder; {tmp_path / 'models.zip'} is a file\n"
    assert capsys.readouterr().err == expected


def test_missing_token_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--port", "0", "--label-studio-url", "http://labels", "--label-studio-token", "gone"]
    assert main(["serve", *flags]) == 2
    assert capsys.readouterr().err == "lineage: --label-studio-token: expected a file; gone does not exist\n"
