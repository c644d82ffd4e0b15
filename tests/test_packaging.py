"""The distribution, its pins and what the pinned wheels say they need."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.gpu_wheels import FACTS, PINS, download, read_pins, read_wheel

ROOMS = ("model_zoo", "service", "training")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LOCK = dict(line.split("==") for line in (ROOT / "requirements" / "lock.txt").read_text(encoding="utf-8").split())
GPU = {**LOCK, **read_pins()}
WHEELS = json.loads(FACTS.read_text(encoding="utf-8"))

FROM_THE_DRIVER = {"libcuda.so.1"}
FROM_TENSORRT_LIBS = re.compile(r"libnv(infer|infer_plugin|onnxparser)\.so\.(\d+)")
# glibc, libstdc++ and zlib: in every image of Debian's Python
FROM_DEBIAN = re.compile(r"(ld-linux-x86-64|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|z))\.so\.\d+")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the distribution is made of, so that building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "lineage/cli/main.py"):
        shutil.copy(ROOT / name, folder)
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, built without the network, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, f"--wheel-dir={folder}", str(source)], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder)
    return folder


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_wheel_holds_every_file_of_the_rooms(source: Path, wheel: Path) -> None:
    expected = {Path(room) / path for room in ROOMS for path in files(source / room)}
    assert expected - files(wheel) == set()
    assert {Path(room, "py.typed") for room in ROOMS} <= expected


def test_wheel_holds_nothing_but_the_rooms(wheel: Path) -> None:
    top = {path.name for path in wheel.iterdir() if path.is_dir() and not path.name.endswith(".dist-info")}
    assert top == set(ROOMS)


def test_wheel_tells_its_license(wheel: Path) -> None:
    information = next(wheel.glob("*.dist-info"))
    metadata = (information / "METADATA").read_text(encoding="utf-8")
    assert "License-Expression: Apache-2.0" in metadata
    assert (information / "licenses" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_wheel_brings_the_command(wheel: Path) -> None:
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


def test_lock_satisfies_what_the_project_asks_for() -> None:
    asked = PROJECT["dependencies"] + [r for extra in ("cpu", "zoo", "training", "test", "dev") for r in EXTRAS[extra]]
    requirements = [r for r in map(Requirement, asked) if canonicalize_name(r.name) != PROJECT["name"]]
    assert [str(r) for r in requirements if not satisfied(r, LOCK)] == []


def test_lock_leaves_the_build_of_torch_to_the_machine() -> None:
    assert all(re.fullmatch(r"[\w.]+", version) for version in LOCK.values())


def test_gpu_facts_are_those_of_the_pins() -> None:
    pins = read_pins()
    assert {name: facts["version"] for name, facts in WHEELS.items()} == {name: pins[name] for name in WHEELS}


def test_gpu_pins_satisfy_what_the_extra_asks_for() -> None:
    requirements = [Requirement(text) for text in EXTRAS["gpu"]]
    assert [str(r) for r in requirements if not satisfied(r, GPU)] == []


def test_gpu_pins_satisfy_what_the_wheels_ask_for() -> None:
    asked = [Requirement(text) for facts in WHEELS.values() for text in facts["requires"]]
    wanted = [r for r in asked if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in ("cuda", "cudnn"))]
    assert len(wanted) >= 10
    assert [str(r) for r in wanted if not satisfied(r, GPU)] == []


def test_every_library_the_gpu_wheels_link_is_brought() -> None:
    brought = {Path(library).name for facts in WHEELS.values() for library in facts["libraries"]}
    linked = {soname for facts in WHEELS.values() for sonames in facts["libraries"].values() for soname in sonames}
    rest = linked - brought - FROM_THE_DRIVER
    tensorrt = {soname for soname in rest if FROM_TENSORRT_LIBS.fullmatch(soname)}
    assert {soname for soname in rest - tensorrt if not FROM_DEBIAN.fullmatch(soname)} == set()
    assert {soname.rpartition(".")[2] for soname in tensorrt} == {GPU["tensorrt-cu13"].partition(".")[0]}


def test_tensorrt_parts_are_of_one_version() -> None:
    assert len({version for name, version in GPU.items() if name.startswith("tensorrt-cu13")}) == 1


def test_gpu_image_finds_the_libraries() -> None:
    """The loader searches LD_LIBRARY_PATH alone: ONNX Runtime's providers have no run path to other wheels."""
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
def test_gpu_facts_are_what_the_wheels_say(name: str, tmp_path: Path) -> None:
    try:
        path = download(name, read_pins()[name], tmp_path)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the wheel of {name} cannot be downloaded here ({PINS.name}): {error.stderr[-200:]}")
    assert read_wheel(path) == WHEELS[name]
