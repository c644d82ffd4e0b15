"""The wheel, the pinned versions, and the requirements of the pinned wheels."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.gpu_wheels import FACTS, PINS, download, read_pins, read_wheel
from tests.project import PACKAGES, PROJECT

EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LOCK = dict(line.split("==") for line in (ROOT / "requirements" / "lock.txt").read_text(encoding="utf-8").split())
GPU = {**LOCK, **read_pins()}
WHEELS = json.loads(FACTS.read_text(encoding="utf-8"))

DRIVER_LIBRARIES = {"libcuda.so.1"}
TENSORRT_LIBRARIES = re.compile(r"libnv(infer|infer_plugin|onnxparser)\.so\.(\d+)")
# glibc, libstdc++ and zlib, in every Debian image of Python
DEBIAN_LIBRARIES = re.compile(r"(ld-linux-x86-64|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|z))\.so\.\d+")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that the build leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, built without network access."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, f"--wheel-dir={folder}", str(source)], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder)
    return folder


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_wheel_contains_every_file_of_the_packages(source: Path, wheel: Path) -> None:
    expected = {Path(package) / path for package in PACKAGES for path in files(source / package)}
    assert expected - files(wheel) == set()
    assert {Path(package, "py.typed") for package in PACKAGES} <= expected


def test_wheel_contains_only_the_packages(wheel: Path) -> None:
    top = {path.name for path in wheel.iterdir() if path.is_dir() and not path.name.endswith(".dist-info")}
    assert top == set(PACKAGES)


def test_wheel_declares_its_license(wheel: Path) -> None:
    metadata_folder = next(wheel.glob("*.dist-info"))
    metadata = (metadata_folder / "METADATA").read_text(encoding="utf-8")
    assert "License-Expression: Apache-2.0" in metadata
    assert (metadata_folder / "licenses" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_wheel_installs_the_command(wheel: Path) -> None:
    entry_points = (next(wheel.glob("*.dist-info")) / "entry_points.txt").read_text(encoding="utf-8")
    assert "lineage = lineage.cli.main:main" in entry_points
    command = [sys.executable, "-c", "import sys; from lineage.cli.main import main; sys.exit(main(['--help']))"]
    done = subprocess.run(command, cwd=wheel, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout


def satisfied(requirement: Requirement, pins: dict[str, str]) -> bool:
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    version = versions.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version)


def test_lock_satisfies_the_requirements_of_the_project() -> None:
    required = PROJECT["dependencies"] + [
        r for extra in ("cpu", "onnx", "zoo", "training", "test", "dev") for r in EXTRAS[extra]
    ]
    requirements = [r for r in map(Requirement, required) if canonicalize_name(r.name) != PROJECT["name"]]
    assert [str(r) for r in requirements if not satisfied(r, LOCK)] == []


def test_track_extra_has_the_requirements_of_trackers_without_its_opencv() -> None:
    pytest.importorskip("trackers", reason="tracking needs trackers")
    needed = {r.name: r for r in map(Requirement, requires("trackers") or ()) if not r.marker and r.name != "numpy"}
    del needed["opencv-python"]
    extra = {canonicalize_name(r.name): r for r in map(Requirement, EXTRAS["track"])}
    assert {canonicalize_name(name) for name in needed} == set(extra)
    assert all(satisfied(requirement, LOCK) for requirement in needed.values())


def test_lock_pins_no_local_builds() -> None:
    assert all(re.fullmatch(r"[\w.]+", version) for version in LOCK.values())


def test_gpu_wheel_facts_have_the_pinned_versions() -> None:
    pins = read_pins()
    assert {name: facts["version"] for name, facts in WHEELS.items()} == {name: pins[name] for name in WHEELS}


def test_gpu_pins_satisfy_the_gpu_extra() -> None:
    requirements = [Requirement(text) for text in EXTRAS["gpu"]]
    assert [str(r) for r in requirements if not satisfied(r, GPU)] == []


def test_gpu_pins_satisfy_the_requirements_of_the_wheels() -> None:
    required = [Requirement(text) for facts in WHEELS.values() for text in facts["requires"]]
    applicable = [
        r for r in required if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in ("cuda", "cudnn"))
    ]
    assert len(applicable) >= 10
    assert [str(r) for r in applicable if not satisfied(r, GPU)] == []


def test_gpu_wheels_provide_every_library_they_link() -> None:
    provided = {Path(library).name for facts in WHEELS.values() for library in facts["libraries"]}
    linked = {soname for facts in WHEELS.values() for sonames in facts["libraries"].values() for soname in sonames}
    rest = linked - provided - DRIVER_LIBRARIES
    tensorrt = {soname for soname in rest if TENSORRT_LIBRARIES.fullmatch(soname)}
    assert {soname for soname in rest - tensorrt if not DEBIAN_LIBRARIES.fullmatch(soname)} == set()
    assert {soname.rpartition(".")[2] for soname in tensorrt} == {GPU["tensorrt-cu13"].partition(".")[0]}


def test_tensorrt_packages_have_one_version() -> None:
    assert len({version for name, version in GPU.items() if name.startswith("tensorrt-cu13")}) == 1


def test_images_are_labeled_with_the_version_and_license() -> None:
    label = re.compile(r'org\.opencontainers\.image\.(\w+)="([^"]+)"')
    labels = dict(label.findall((ROOT / "Dockerfile").read_text(encoding="utf-8")))
    assert labels == {"title": "YOLO Lineage", "version": PROJECT["version"], "licenses": PROJECT["license"]}


def test_changelog_and_notes_have_the_version() -> None:
    version = PROJECT["version"]
    assert f"\n## [{version}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / "releases" / f"{version}.md").is_file()


def test_gpu_image_finds_the_libraries() -> None:
    """ONNX Runtime's providers have no run path to other wheels, so LD_LIBRARY_PATH must list their folders."""
    folders = {
        str(Path(library).parent) for name in WHEELS for library in WHEELS[name]["libraries"] if "nvidia" in library
    }
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    searched = re.search(r"LD_LIBRARY_PATH=(\S+)", dockerfile)
    assert searched is not None
    assert {f"/opt/venv/lib/python3.11/site-packages/{f}" for f in (*folders, "tensorrt_libs")} == set(
        searched.group(1).split(":")
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnxruntime-gpu", "tensorrt-cu13-bindings", "nvidia-cuda-runtime"])
def test_gpu_wheel_facts_equal_the_wheels(name: str, tmp_path: Path) -> None:
    try:
        path = download(name, read_pins()[name], tmp_path)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the wheel of {name} ({PINS.name}) cannot be downloaded: {error.stderr[-200:]}")
    assert read_wheel(path) == WHEELS[name]
