from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.main import main
from model_zoo.contract.repository import Repository
from model_zoo.releases import RELEASES
from tests.file_server import serving_file


def test_without_a_variant_releases_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [[name, release.license, release.url] for name, release in RELEASES.items()]


@pytest.mark.parametrize(("wrong", "hint"), [("yolov5nn", "did you mean yolov5n"), ("resnet50", "available: yolov1, ")])
def test_unknown_variant_is_a_user_error(wrong: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", wrong]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert hint in message
    assert ", ".join(RELEASES) in message


@pytest.mark.slow
def test_official_weights_are_published(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sha256 in the table is that of the release's file, here downloaded from a mirror."""
    monkeypatch.delenv("http_proxy", raising=False)
    flags = ["--repository", str(tmp_path / "models"), "--cache", str(tmp_path / "cache")]
    with serving_file((shared / "weights" / "yolov5n.pt").read_bytes()) as server:
        assert main(["pull", "yolov5n", "--url", server.url(), *flags]) == 0
    assert "published yolov5n@1" in capsys.readouterr().out
    card = Repository(tmp_path / "models").resolve("yolov5n").card
    assert (card.variant, card.class_names[0]) == ("yolov5n", "person")
    assert (card.weights.license, card.weights.sha256) == ("AGPL-3.0", RELEASES["yolov5n"].sha256)
