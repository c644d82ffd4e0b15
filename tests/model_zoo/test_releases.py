"""The tables of official releases and of sizes, and the two commands that show and use them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineage.cli import pull as pull_command
from lineage.cli.main import main
from model_zoo import releases
from model_zoo.contract.package import Repository
from model_zoo.registry import families, family_of, variants
from model_zoo.releases import RELEASES, WITHOUT_WEIGHTS, PublishedResult, Release
from model_zoo.sizes import KNOWN_SIZES, compute_size, model_size
from tests.docs.test_models import PAGES, ROW
from tests.file_server import FileServer, serving_file

PUBLIC = [name for name in variants() if not name.endswith("-test")]
HOSTS = ("https://github.com/", "https://pjreddie.com/media/files/", "https://download.openmmlab.com/mmdetection/")
DESCRIBED = {row[0]: row for page in PAGES for row in ROW.findall(page.read_text(encoding="utf-8"))}


def test_releases_are_of_variants_that_can_be_built() -> None:
    assert set(RELEASES) | set(WITHOUT_WEIGHTS) <= set(PUBLIC)
    assert not set(RELEASES) & set(WITHOUT_WEIGHTS)
    assert {family_of(name) for name in RELEASES} == set(families())


@pytest.mark.parametrize("variant", RELEASES)
def test_a_release_is_told_in_full(variant: str) -> None:
    release = RELEASES[variant]
    assert release.url.startswith(HOSTS)
    assert re.fullmatch(r"[\w.-]+\.(pt|pth|weights)", release.file_name)
    assert release.license in ("AGPL-3.0", "GPL-3.0", "Apache-2.0", "LicenseRef-Darknet")
    assert re.fullmatch(r"\d{4}\.\d{5}", release.paper or "") or family_of(variant) in ("yolov5", "yolov6")
    assert re.fullmatch(r"[0-9a-f]{64}", release.sha256 or "0" * 64)
    assert 20 < release.result.value < 80


def test_a_file_is_the_release_of_one_variant() -> None:
    assert len({release.url for release in RELEASES.values()}) == len(RELEASES)


def test_sizes_are_kept_of_every_variant() -> None:
    assert set(KNOWN_SIZES) == set(PUBLIC)


@pytest.mark.parametrize("variant", KNOWN_SIZES)
def test_sizes_are_the_codes(variant: str) -> None:
    """Where a page of `docs/models` has the variant, another test holds that to the code."""
    if variant not in DESCRIBED:
        assert KNOWN_SIZES[variant] == compute_size(variant)
        return
    _, size, _, deployed, gflops = DESCRIBED[variant]
    kept = KNOWN_SIZES[variant]
    assert (f"{kept.input_size[0]}", f"{kept.params:,}", f"{kept.gflops:.2f}") == (size, deployed, gflops)


def test_the_size_of_another_variant_is_counted() -> None:
    assert "yolov5-test" not in KNOWN_SIZES
    assert model_size("yolov5-test") == compute_size("yolov5-test")


def test_architectures_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--architectures"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["variant", "family", "input", "params", "GFLOPs", "weights", "published"]
    assert [row.split()[0] for row in rows] == PUBLIC
    [nano] = [row for row in rows if row.startswith("yolov5n ")]
    assert re.split(r"  +", nano) == [
        "yolov5n", "yolov5", "640 x 640", "1,867,405", "4.47", "AGPL-3.0", "28.0 AP on COCO val2017 (README of v7.0)",
    ]  # fmt: skip


def test_architectures_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json", "--architectures"]) == 0
    entries = {entry["variant"]: entry for entry in json.loads(capsys.readouterr().out)["architectures"]}
    assert list(entries) == PUBLIC
    assert entries["yolov3"] == {
        "variant": "yolov3",
        "family": "yolov3",
        "params": 61_922_845,
        "gflops": 140.69,
        "input_size": [608, 608],
        "published": {"value": 33.0, "measure": "AP", "dataset": "COCO test-dev", "source": "the paper"},
        "paper": "1804.02767",
        "weights": {
            "license": "LicenseRef-Darknet",
            "url": "https://pjreddie.com/media/files/yolov3.weights",
            "sha256": "523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297",
        },
    }
    assert entries["yolov1-paper"]["weights"] is None
    assert entries["yolov1-paper"]["published"]["value"] == 63.4
    assert entries["yolov3-voc"]["published"] is entries["yolov3-voc"]["weights"] is None


def test_pull_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [[name, release.license, release.url] for name, release in RELEASES.items()]


@pytest.mark.parametrize(("wrong", "hint"), [("yolov5nn", "did you mean yolov5n"), ("resnet50", "available: yolov1, ")])
def test_pull_answers_an_unknown_name_with_a_list(wrong: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", wrong]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert hint in message
    assert ", ".join(RELEASES) in message


Imported = list[tuple[Path, dict[str, object]]]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server of a file that is the official release of `small`."""
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("http_proxy", raising=False)
    with serving_file(b"weights" * 9999) as server:
        publish(server.url("small.pt"), server.sha256, monkeypatch)
        yield server


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> Imported:
    """What is handed to `lineage import`, whose own tests are elsewhere."""
    calls: Imported = []
    monkeypatch.setattr(pull_command, "import_model", lambda path, **options: calls.append((path, options)))
    return calls


def publish(url: str, sha256: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    release = Release(url, "AGPL-3.0", None, PublishedResult(28.0, "AP", "COCO val2017", "README"), sha256)
    monkeypatch.setitem(releases.RELEASES, "small", release)


def pull(tmp_path: Path, *flags: str) -> int:
    return main(["pull", "small", "--repository", str(tmp_path / "models"), *flags])


def test_pull_downloads_and_imports(
    server: FileServer, imported: Imported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.cut = 40_000
    assert pull(tmp_path) == 2
    assert "received 40,000. Try again to download the rest" in capsys.readouterr().err
    assert imported == []

    server.cut = None
    assert pull(tmp_path) == 0
    told = capsys.readouterr().out
    assert "small: 28.0 AP on COCO val2017 (README)" in told
    assert "weights are under AGPL-3.0" in told
    assert f"sha256 {server.sha256}, as expected" in told
    assert [asked for _, asked in server.requests] == [None, "bytes=39999-"]
    [(path, options)] = imported
    assert (path.parents[1], path.name, path.read_bytes()) == (tmp_path / "cache", "small.pt", server.contents)
    assert options == {
        "name": "small",
        "repository": tmp_path / "models",
        "variant": None,  # the file tells it
        "license": "AGPL-3.0",
    }


def test_pull_takes_a_mirror_a_name_and_a_cache(
    server: FileServer,
    imported: Imported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish("http://127.0.0.1:9/small.weights", None, monkeypatch)
    folder = tmp_path / "elsewhere"
    assert pull(tmp_path, "--url", server.url("copy?id=7"), "--name", "ants", "--cache", str(folder)) == 0
    assert f"sha256 {server.sha256}, with which it can be compared later" in capsys.readouterr().out
    [(path, options)] = imported
    assert (path.parents[1], path.name, path.read_bytes()) == (folder, "small.weights", server.contents)
    assert (options["name"], options["variant"]) == ("ants", "small")  # Darknet's files do not tell it
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_pull_takes_the_official_weights_in(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The release's own file, from a mirror, is the one whose sha256 the table has."""
    monkeypatch.delenv("http_proxy", raising=False)
    flags = ["--repository", str(tmp_path / "models"), "--cache", str(tmp_path / "cache")]
    with serving_file((shared / "weights" / "yolov5n.pt").read_bytes()) as server:
        assert main(["pull", "yolov5n", "--url", server.url(), *flags]) == 0
    assert "published yolov5n@1" in capsys.readouterr().out
    card = Repository(tmp_path / "models").resolve("yolov5n").card
    assert (card.variant, card.class_names[0]) == ("yolov5n", "person")
    assert (card.weights.license, card.weights.sha256) == ("AGPL-3.0", RELEASES["yolov5n"].sha256)


def test_pull_without_the_network_says_what_to_do(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("http://127.0.0.1:9/small.pt", None, monkeypatch)
    assert pull(tmp_path) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "http://127.0.0.1:9/small.pt: cannot be downloaded" in message
    assert "`lineage import FILE`" in message


def test_pull_refuses_another_file(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(server.url("small.pt"), "0" * 64, monkeypatch)
    assert pull(tmp_path) == 2
    assert f"expected a file with SHA-256 {'0' * 64}; got {server.sha256}" in capsys.readouterr().err
    assert list((tmp_path / "cache").rglob("*.*")) == []
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("variable", ["LINEAGE_CACHE", "XDG_CACHE_HOME", "HOME"])
def test_the_cache_lies_where_the_environment_says(
    variable: str, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LINEAGE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "base"))
    server.status = 404
    folder = {"LINEAGE_CACHE": "base", "XDG_CACHE_HOME": "base/yolo-lineage", "HOME": "base/.cache/yolo-lineage"}
    assert pull(tmp_path) == 2
    [made] = (tmp_path / folder[variable]).iterdir()
    assert made.name.startswith("small-")
