"""Paths and URLs, and errors of stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.batch.stores import absolute, open_store, read_image, store_errors
from model_zoo.contract.errors import ImageError, ImageTooLarge, LineageError


def test_paths_become_absolute_and_urls_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("a.jpg") == absolute("file://a.jpg") == str(tmp_path / "a.jpg")
    assert absolute("s3://bucket/a.jpg") == "s3://bucket/a.jpg"


@pytest.mark.parametrize(
    ("error", "uri", "message"),
    [
        (ImportError("Install s3fs to access S3"), "s3://b/a", "s3://b/a: s3:// needs .*; run: pip install s3fs"),
        (ImportError("Please install gcsfs"), "gs://b/a", "run: pip install gcsfs"),
        (PermissionError("Forbidden"), "s3://b/a", r"access refused \(Forbidden\); set the credentials"),
        (RuntimeError("Unable to locate credentials"), "s3://b/a", "access refused .*AWS_ACCESS_KEY_ID"),
        (OSError(5, "Input/output error"), "/a", r"/a: cannot be read or written \(Input/output error\)"),
        (RuntimeError("no\nroute"), "gs://b/a", r"the store failed \(RuntimeError: no route\); check the address"),
    ],
)
def test_errors_of_stores_name_the_file_and_the_fix(error: Exception, uri: str, message: str) -> None:
    with pytest.raises(LineageError, match=message), store_errors(uri):
        raise error


def test_unknown_protocols_are_refused() -> None:
    with pytest.raises(LineageError, match="unknown protocol ftpz://; expected a path, or a URL"):
        open_store("ftpz://a/b")


def test_files_that_cannot_be_read_are_faults_of_their_own(tmp_path: Path, memory: object) -> None:
    for uri in (str(tmp_path / "a.jpg"), "memory://a.jpg"):
        with pytest.raises(ImageError, match="No such file or directory"):
            read_image(uri, None)
    with pytest.raises(ImageError, match="Is a directory"):
        read_image(str(tmp_path), None)


def test_files_over_the_limit_are_not_read(tmp_path: Path, memory: object) -> None:
    sparse = tmp_path / "large.jpg"
    with sparse.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ImageTooLarge, match="got 1,099,511,627,776"):
        read_image(str(sparse), None)
    with pytest.raises(ImageTooLarge, match="got 1,099,511,627,776"):
        read_image("memory://missing.jpg", 2**40)
