from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_zoo import pull, releases
from model_zoo.contract.errors import LineageError
from model_zoo.contract.repository import Repository
from model_zoo.pull import find_release, pull_weights
from model_zoo.releases import PublishedResult, Release
from model_zoo.weights.download import DownloadError
from tests.file_server import FileServer, serving_file

Imported = list[tuple[Path, Repository, str, dict[str, Any]]]
UNREACHABLE = "http://127.0.0.1:9"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server of the official release of the variant `small`."""
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("http_proxy", raising=False)
    with serving_file(b"weights" * 9999) as server:
        set_release(server.url("small.pt"), server.sha256, monkeypatch)
        yield server


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> Imported:
    """Record calls of `import_weights` instead of importing."""
    calls: Imported = []
    monkeypatch.setattr(pull, "import_weights", lambda *arguments, **options: calls.append((*arguments, options)))
    return calls


def set_release(url: str, sha256: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    release = Release(url, "AGPL-3.0", None, PublishedResult(28.0, "AP", "COCO val2017", "README"), sha256)
    monkeypatch.setitem(releases.RELEASES, "small", release)


def test_interrupted_download_is_resumed_and_imported(server: FileServer, imported: Imported, tmp_path: Path) -> None:
    messages: list[str] = []
    repository = Repository(tmp_path / "models")
    server.cut = 40_000
    with pytest.raises(DownloadError, match="40,000"):
        pull_weights("small", repository)
    assert imported == []

    server.cut = None
    pull_weights("small", repository, log=messages.append)
    assert messages[0] == "small: 28.0 AP on COCO val2017 (README)"
    assert "licensed under AGPL-3.0" in messages[1]
    assert messages[2].endswith(f"sha256 {server.sha256}, as expected")
    assert [requested_range for _, requested_range in server.requests] == [None, "bytes=39999-"]
    [(path, target, name, options)] = imported
    assert (path.parents[1], path.name, path.read_bytes()) == (tmp_path / "cache", "small.pt", server.contents)
    assert (target, name, options["variant"], options["license"]) == (repository, "small", None, "AGPL-3.0")


def test_mirror_name_and_cache(
    server: FileServer, imported: Imported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    set_release(f"{UNREACHABLE}/small.weights", None, monkeypatch)
    cache, repository = tmp_path / "elsewhere", Repository(tmp_path / "models")
    pull_weights("small", repository, "ants", url=server.url("copy?id=7"), cache=cache, log=messages.append)
    assert messages[2].endswith(f"sha256 {server.sha256}, not verified: no reference is recorded")
    [(path, _, name, options)] = imported
    assert (path.parents[1], path.name, path.read_bytes()) == (cache, "small.weights", server.contents)
    assert (name, options["variant"]) == ("ants", "small")  # cannot be identified from Darknet's files
    assert not (tmp_path / "cache").exists()


def test_unreachable_address_suggests_import(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_release(f"{UNREACHABLE}/small.pt", None, monkeypatch)
    with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:9/small\.pt: .*`lineage import FILE`"):
        pull_weights("small", Repository(tmp_path / "models"))


def test_file_with_another_sha256_is_refused(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_release(server.url("small.pt"), "0" * 64, monkeypatch)
    with pytest.raises(DownloadError, match=f"{'0' * 64}.*{server.sha256}"):
        pull_weights("small", Repository(tmp_path / "models"))
    assert list((tmp_path / "cache").rglob("*.*")) == []
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("variable", ["LINEAGE_CACHE", "XDG_CACHE_HOME", "HOME"])
def test_cache_folder_is_taken_from_the_environment(
    variable: str, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LINEAGE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "base"))
    server.status = 404
    folder = {"LINEAGE_CACHE": "base", "XDG_CACHE_HOME": "base/yolo-lineage", "HOME": "base/.cache/yolo-lineage"}
    with pytest.raises(DownloadError):
        pull_weights("small", Repository(tmp_path / "models"))
    [created] = (tmp_path / folder[variable]).iterdir()
    assert created.name.startswith("small-")


@pytest.mark.parametrize(("name", "hint"), [("yolov5nn", "did you mean yolov5n"), ("resnet50", "available: yolov1, ")])
def test_unknown_variant_suggests_names(name: str, hint: str) -> None:
    with pytest.raises(LineageError, match=hint):
        find_release(name)
