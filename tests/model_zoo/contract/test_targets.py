from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.contract.targets import check_file_target, check_folder_target, check_name, name_from


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("missing")
    (tmp_path / "protected").write_text("old")
    (tmp_path / "protected").chmod(0o444)
    return tmp_path


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("folder", r"expected the path of a file to write; it is a folder"),
        (".", "it is a folder"),
        ("missing/a.onnx", r"cannot be written, because the folder .*missing does not exist"),
        ("file/a.onnx", "cannot be written, because the folder .*file does not exist"),
        ("x" * 300, r"cannot be written \(File name too long\)"),
        ("/proc/a.onnx", "cannot be written"),
        ("/dev/null", "it is no regular file"),
        ("dangling", "it is no regular file"),
        ("protected", "the file there is write-protected"),
    ],
)
def test_unwritable_files_are_refused(target: str, message: str, folder: Path) -> None:
    with pytest.raises(LineageError, match=message):
        check_file_target(folder / target)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("file", "expected a folder to write to; .*file is a file"),
        ("file/models", "expected a folder to write to; .*file is a file"),
        ("/proc/models", r"/proc/models: cannot be written"),
        ("new/" + "x" * 300, r"cannot be written \(File name too long\)"),
        ("dangling", "is a file"),
    ],
)
def test_unwritable_folders_are_refused(target: str, message: str, folder: Path) -> None:
    with pytest.raises(LineageError, match=message):
        check_folder_target(folder / target)


def test_checks_change_nothing(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    for target in ("file", "new.onnx"):
        check_file_target(str(folder / target))
    for target in ("folder", "new", "new/deeper"):
        check_folder_target(str(folder / target))
    assert sorted(folder.rglob("*")) == before
    assert (folder / "file").read_text() == "old"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/b", "/a", "-x", ".hidden", "a b", "a\n", "a@1", "x" * 101, "naïve"]
)
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(LineageError, match="--name: expected letters"):
        check_name(name)


def test_safe_names_are_accepted() -> None:
    for name in (None, "yolov5n", "yolov6l-v3", "A_1.2"):
        check_name(name)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("yolov5n.pt", "yolov5n"),
        ("my net (1).pt", "my-net-1"),
        ("a.b.onnx", "a.b"),
        ("-x-.pt", "x"),
        ("模型.pt", "model"),
        (".pt", "pt"),
        ("runs/bccd 2/", "bccd-2"),
        ("x" * 300, "x" * 100),
    ],
)
def test_names_are_derived_from_files(file: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "runs" / "bccd 2").mkdir(parents=True)
    assert name_from(tmp_path / file if len(file) < 100 else file) == name
    check_name(name)
