"""The files of `make dist`: equal bytes from equal commits, a complete source archive, a wheel that serves."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from benchmarks import install
from tests.conftest import ROOT
from tests.project import PACKAGES, PROJECT

pytestmark = pytest.mark.slow  # `make dist` installs its tools from the package index


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make dist` fills in a clone."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(["make", "build/dist/.ready"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the tools of make dist cannot be installed here: {done.stderr[-200:]}")
    return make_dist(tmp_path_factory.mktemp("clone"))


def make_dist(folder: Path, umask: int = 0o022) -> Path:
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True, umask=umask)
    (folder / "build").mkdir()
    (folder / "build" / "dist").symlink_to(ROOT / "build" / "dist")
    command = ["make", "dist", "--assume-old=build/dist/.ready"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, umask=umask, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist"


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_two_clones_make_equal_bytes(dist: Path, tmp_path: Path) -> None:
    first = hashes(dist)
    assert {name.rpartition("0.1.0")[2] for name in first} == {".tar.gz", "-py3-none-any.whl"}
    assert hashes(make_dist(tmp_path / "elsewhere" / "with another umask", 0o077)) == first


def test_source_archive_has_the_tracked_files_of_the_packages_and_no_others(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=dist.parent, capture_output=True, text=True, check=True)
    extra = {"CHANGELOG.md", "THIRD_PARTY.md", "README.md", "LICENSE", "pyproject.toml", ".gitignore", "PKG-INFO"}
    assert names == {*listed.stdout.split(), *extra}


@pytest.mark.parametrize("tool", install.TOOLS)
def test_installed_wheel_serves_the_bundled_model_from_an_empty_folder(tool: str, dist: Path, tmp_path: Path) -> None:
    [wheel] = dist.glob("*.whl")
    measured = install.measure(wheel, tmp_path, tool)
    assert measured["detections"] > 5
    assert not [path for path in (tmp_path / "environment").rglob("torch") if path.is_dir()]
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("command", [("uvx", "--from"), ("pipx", "run", "--spec")], ids=lambda command: command[0])
def test_wheel_runs_without_an_installation(command: tuple[str, ...], dist: Path, tmp_path: Path) -> None:
    [wheel] = dist.glob("*.whl")
    program = [str(ROOT / "build" / "dist" / "bin" / command[0]), *command[1:], f"{wheel}[cpu]", "lineage"]
    environment = os.environ | {"UV_CACHE_DIR": str(tmp_path / "uv"), "PIPX_HOME": str(tmp_path / "pipx")}
    for verb, expected in (("version", PROJECT["version"]), ("models", "ui-elements")):
        done = subprocess.run(
            [*program, verb], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
