"""Folders of a repository that are no models, and repositories that cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model_zoo.contract.errors import PackageError, PackageNotFound
from model_zoo.contract.folders import folders, version_numbers
from model_zoo.contract.package import Package
from model_zoo.contract.repository import Repository
from tests.conftest import ROOT

FOREIGN = (
    "lost+found", "__MACOSX/tiny/1", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "tmp.Xy12",
    "tiny - Copy", "photos/2024", "empty", "unpacked/unpacked/1",
)  # fmt: skip
HIDDEN = (".git", ".snapshot", "..2026_01_31", ".Trash-1000/1", "tiny/.publish-1", "tiny/.nfs0001")
NO_VERSIONS = ("tiny/1.bak", "tiny/01", "tiny/v2", "tiny/0", "tiny/-1", "tiny/2.partial", "tiny/1 (2)")


def test_foreign_folders_and_files_are_skipped(repository: Repository, package: Package) -> None:
    for name in (*FOREIGN, *HIDDEN, *NO_VERSIONS):
        (repository.root / name).mkdir(parents=True)
    for name in ("Thumbs.db", ".DS_Store", "photos/2024/beach.jpg", "__MACOSX/tiny/1/._model.onnx", "tiny/notes.txt"):
        (repository.root / name).write_bytes(b"")
    assert repository.scan() == ([package], [])
    assert repository.names() == ["tiny"]
    skipped = {name.partition("/")[0] for name in FOREIGN} | set(NO_VERSIONS)
    assert set(repository.foreign()) == skipped


@pytest.mark.parametrize("file", ["card.json", "model.onnx", "manifest.json", None])
def test_incomplete_version_is_a_problem(repository: Repository, package: Package, file: str | None) -> None:
    """An empty version folder, or one with a single file, may be a copy that has just begun."""
    started = repository.root / "tiny" / "2"
    started.mkdir()
    if file:
        (started / file).write_bytes((package.path / file).read_bytes())
    packages, (problem,) = repository.scan()
    assert packages == [package]
    assert (problem.name, problem.version) == ("tiny", 2)
    assert str(started) in problem.reason


def test_links_are_followed_and_loops_are_skipped(repository: Repository, package: Package) -> None:
    (repository.root / "loop").symlink_to("loop")
    (repository.root / "self").symlink_to(".")
    (repository.root / "tiny" / "2").symlink_to("2")
    (repository.root / "tiny" / "3").symlink_to("1")
    (repository.root / "gone").symlink_to("nowhere")
    packages, problems = repository.scan()
    assert [p.version for p in packages] == [1, 3]
    assert problems == []
    assert repository.foreign() == ["self"]


def test_version_mounted_from_a_config_map_is_read(repository: Repository, package: Package) -> None:
    """Kubernetes mounts `..data -> ..2026_01_31` and one link through it for every file."""
    data = package.path / "..2026_01_31"
    data.mkdir()
    for file in ("model.onnx", "card.json", "manifest.json"):
        (package.path / file).rename(data / file)
        (package.path / file).symlink_to(f"..data/{file}")
    (package.path / "..data").symlink_to(data.name)
    assert repository.scan() == ([package], [])
    package.verify()


@pytest.mark.parametrize("kind", ["file", "loop", "link to a file"])
def test_repository_that_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "models"
    if kind == "loop":
        path.symlink_to(path)
    elif kind == "file":
        path.write_text("text")
    else:
        (tmp_path / "text").write_text("text")
        path.symlink_to(tmp_path / "text")
    for read in (Repository(path).scan, Repository(path).names, lambda: Repository(path).resolve("tiny")):
        with pytest.raises(PackageError, match=r"models: (expected a folder; got a file|cannot read the folder)"):
            read()


def test_model_or_package_in_place_of_a_repository_is_named(repository: Repository, package: Package) -> None:
    for path, kind in ((package.path, "package"), (package.path.parent, "model")):
        with pytest.raises(PackageNotFound) as caught:
            Repository(path).resolve("tiny")
        assert f"{path} is a {kind}, not a model repository; did you mean {repository.root}?" in str(caught.value)


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from model_zoo.contract.errors import PackageError
from model_zoo.contract.repository import Repository

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
repository = Repository(Path(sys.argv[1]))
packages, problems = repository.scan()
print([p.reference for p in packages], [(p.name, p.unreadable) for p in problems], repository.names())
print(repository.foreign(), "is empty" in repository.empty_message())
try:
    repository.resolve("locked")
except PackageError as error:
    print(error)
"""


def test_unreadable_folder_hides_only_its_model(tmp_path: Path, repository: Repository, package: Package) -> None:
    for name in ("locked", "lost+found"):
        (repository.root / name / "1").mkdir(parents=True)
        (repository.root / name).chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o755)
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, repository.root], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for name in ("locked", "lost+found"):  # so that pytest can delete them
        (repository.root / name).chmod(0o755)
    if "Permission denied" in done.stderr:
        pytest.skip("this checkout is not readable for other users")
    assert done.stdout.splitlines() == [
        "['tiny@1'] [('locked', True)] ['tiny']",
        "['lost+found'] True",
        f"{repository.root / 'locked'}: cannot read the folder (Permission denied)",
    ]


def test_missing_folder_is_empty(tmp_path: Path) -> None:
    assert folders(tmp_path / "none") == version_numbers(tmp_path / "none") == []
    assert os.listdir(tmp_path) == []
