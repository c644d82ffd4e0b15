"""`lineage publish`."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.main import main
from model_zoo.contract.repository import Repository
from tests.tiny_onnx import toy_card, toy_onnx


def test_file_is_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "toy.onnx").write_bytes(toy_onnx(toy_card()))
    flags = ["--repository", str(tmp_path / "models")]
    assert main(["publish", str(tmp_path / "toy.onnx"), "--name", "cars", *flags]) == 0
    assert main(["publish", str(tmp_path / "models" / "cars" / "1"), "--shapes", "buckets", *flags]) == 0
    assert Repository(tmp_path / "models").versions("cars") == [1, 2]
    assert Repository(tmp_path / "models").resolve("cars").card.shapes == "buckets"
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"published cars@1 in {tmp_path / 'models' / 'cars' / '1'}",
        f"serve it: lineage serve --repository {tmp_path / 'models'}",
    ]


@pytest.mark.parametrize(("target", "message"), [("file", "expected a folder"), ("file/models", "cannot publish in")])
def test_unusable_repository_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, message: str
) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "toy.onnx").write_bytes(toy_onnx(toy_card()))
    assert main(["publish", str(tmp_path / "toy.onnx"), "--repository", str(tmp_path / target)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / target) in line
    assert message in line
