"""The structure of the code: small functions and files, typed signatures, imports that run one way."""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.structure import (
    PACKAGES,
    SCRIPTS,
    Function,
    Length,
    file_lengths,
    find_cycle,
    function_lengths,
    imported_names,
    module_graph,
    module_of,
    name_of,
    nodes_of,
    percentile_95,
    python_files,
)
from tests.conftest import ROOT

FILES = python_files(*PACKAGES)
SCRIPT_FILES = python_files(*SCRIPTS)
TEST_FILES = [path for path in python_files("tests") if path.name.startswith("test_")]
MODULES = [module_of(path) for path in FILES]
TRACKED = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
    "\0"
)


def longer_than(limit: int, lengths: list[Length]) -> list[Length]:
    return [length for length in lengths if length.lines > limit]


def test_functions_are_short() -> None:
    lengths = function_lengths(FILES)
    assert statistics.median(length.lines for length in lengths) <= 10
    assert percentile_95(lengths) <= 40, f"the longest: {lengths[-5:]}"


def test_files_are_short() -> None:
    lengths = file_lengths(FILES)
    assert statistics.median(length.lines for length in lengths) <= 150
    assert longer_than(400, lengths) == []


def test_tests_examples_and_benchmarks_are_short() -> None:
    assert longer_than(450, file_lengths(SCRIPT_FILES)) == []
    assert longer_than(60, function_lengths(path for path in SCRIPT_FILES if has_long_function(path))) == []


def has_long_function(path: Path) -> bool:
    """Return True if a function has over 60 lines, with comments. Counting without them takes seconds for all files."""
    return any(isinstance(node, Function) and (node.end_lineno or 0) - node.lineno > 60 for node in nodes_of(path))


# Tests that mirror no module: they run several parts together, or check something other than code.
NOT_MIRRORED = {
    "tests/examples/browser/": "a page",
    "tests/examples/ui_elements/test_documents.py": "README and data card of the example",
    "tests/clients/": "unmodified clients of other projects",
    "tests/docs/": "documents, compared with the code",
    "tests/e2e/": "whole programs: server, containers, browser",
    "tests/model_zoo/test_newcomer.py": "registry, export and service with a generation that a test adds",
    "tests/service/deploy/kubernetes/": "manifests of Kubernetes and KServe",
    "tests/parity/": "reference numbers of the original programs",
    "tests/training/deploy/": "the manifest of a training job",
    "tests/training/augment/test_parity.py": "reference numbers of the original augmentations",
    "tests/test_architecture.py": "the structure of all packages",
    "tests/test_packaging.py": "the wheel and the pins",
    "tests/test_paths.py": "paths as text, in all public functions",
    "tests/test_release.py": "wheel and source archive, as released",
    "tests/test_style.py": "the language of all files",
    "tests/upgrades/": "files that released versions wrote",
}


def mirrored(test: Path) -> list[Path]:
    """Return the modules that a test file may be named after: `test_<module>.py` or `test_<module>_<topic>.py`."""
    words = test.stem.removeprefix("test_").split("_")
    folder = ROOT / test.parent.relative_to(ROOT / "tests")
    return [folder / "_".join(words[:count]) for count in range(len(words), 0, -1)]


@pytest.mark.parametrize("test", TEST_FILES, ids=name_of)
def test_test_files_are_named_after_modules(test: Path) -> None:
    if not name_of(test).startswith(tuple(NOT_MIRRORED)):
        modules = mirrored(test)
        assert any(m.with_suffix(".py").is_file() or (m / "__init__.py").is_file() for m in modules), modules[0]


def test_test_files_import_no_other_ones() -> None:
    """Shared helpers are in modules beside them, so that a test can be moved or renamed."""
    tests = {module_of(path) for path in TEST_FILES}
    imports = [(name_of(path), name) for path in python_files("tests") for name in imported_names(nodes_of(path))]
    assert [use for use in imports if not tests.isdisjoint((use[1], use[1].rpartition(".")[0]))] == []


def test_files_named_as_not_mirrored_exist() -> None:
    assert [name for name in NOT_MIRRORED if not (ROOT / name).exists()] == []


def untyped(function: Function) -> bool:
    a = function.args
    arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    return function.returns is None or any(
        argument.annotation is None and argument.arg not in ("self", "cls") for argument in arguments
    )


def test_signatures_are_typed() -> None:
    functions = [(path, node) for path in FILES for node in nodes_of(path) if isinstance(node, Function)]
    assert [f"{name_of(path)}:{f.lineno} {f.name}" for path, f in functions if untyped(f)] == []


# Docstrings of public names other than magic methods and constructors: one sentence first, in the imperative.
DOCSTRINGS = "D100,D101,D102,D103,D104,D106,D205,D400,D401"


def test_public_names_have_docstrings_that_begin_with_an_imperative_line() -> None:
    run_tool("ruff", "check", "--no-cache", f"--select={DOCSTRINGS}", *PACKAGES)


def run_tool(tool: str, *arguments: str) -> None:
    command = [Path(sys.executable).with_name(tool), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_run_one_way() -> None:
    run_tool("lint-imports", "--no-cache")


def test_no_modules_import_each_other() -> None:
    assert find_cycle(module_graph()) == []


@pytest.mark.parametrize("package", ["service", "model_zoo/contract", "model_zoo/runtime"])
def test_serving_imports_no_networks_and_no_training(package: str) -> None:
    wrong = {
        f"{name_of(path)}: {name}"
        for path in python_files(package)
        for name in imported_names(nodes_of(path))
        if re.match(r"(model_zoo\b(?!\.(contract|runtime)\b)|torch|onnx\b|training\b)", name)
    }
    assert wrong == set()


NOT_FOR_SERVING = ["torch", "torchvision", "onnx", "onnxscript", "safetensors", "training"]
NOT_FOR_THE_CONTRACT = [*NOT_FOR_SERVING, "service", "onnxruntime", "fastapi", "pydantic", "uvicorn", "tyro"]


def test_contract_imports_without_everything_but_numpy_and_opencv() -> None:
    contract = [name for name in MODULES if name.startswith("model_zoo.contract")]
    assert_imports_without(NOT_FOR_THE_CONTRACT, contract)


def test_service_imports_without_torch() -> None:
    served = {name for name in MODULES if name.startswith(("service", "model_zoo.runtime"))}
    served -= {"model_zoo.runtime.cuda", "model_zoo.runtime.tensorrt"}  # need the libraries of a GPU
    assert_imports_without(NOT_FOR_SERVING, ["lineage.cli.main", *sorted(served)])


def test_inference_imports_without_a_web_framework() -> None:
    inference = [name for name in MODULES if name.startswith("service.inference")]
    assert_imports_without([*NOT_FOR_SERVING, "fastapi", "starlette", "uvicorn"], inference)


@pytest.mark.parametrize("module", ["service", "model_zoo"])
def test_telemetry_of_onnxruntime_is_disabled(module: str, tmp_path: Path) -> None:
    """With telemetry on, importing it writes an identifier of the machine to the user's cache folder."""
    set_here = {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI"}
    environment = {name: value for name, value in os.environ.items() if name not in set_here} | {"HOME": str(tmp_path)}
    command = [sys.executable, "-c", f"import {module}, onnxruntime"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert list(tmp_path.rglob("*deviceid*")) == []


def assert_imports_without(blocked: list[str], modules: list[str]) -> None:
    program = f"""
import importlib, sys
sys.modules.update(dict.fromkeys({blocked}))  # None: importing it raises ImportError
for name in {modules}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Views have the names of the programs that read them.
NAMES_CLIENTS = ("service/settings.py", "service/api/oip/views.py", "service/api/oip/view_layouts.py")


def test_service_names_no_generation() -> None:
    generation = re.compile(r"yolo[ -]?(v?\d|x)|darknet", re.IGNORECASE)
    wrong = {
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in (ROOT / "service").rglob("*")
        if path.suffix in (".py", ".html", ".js", ".css") and name_of(path) not in NAMES_CLIENTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if generation.search(line)
    }
    assert wrong == set()


FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "globals", "locals"}


def looks_up_code_by_name(node: ast.AST) -> bool:
    """Return True for `eval("...")`, `globals()[name]`, `getattr(nn, name)`: text that becomes a class or a call."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    if node.func.id != "getattr":
        return node.func.id in FORBIDDEN_CALLS
    holder, name = node.args[:2]
    return (
        isinstance(holder, ast.Name) and holder.id in ("nn", "torch", "F", "np") and not isinstance(name, ast.Constant)
    )


def test_networks_are_plain_python() -> None:
    lookups = [f"{name_of(path)}:{n.lineno}" for path in FILES for n in nodes_of(path) if looks_up_code_by_name(n)]
    layer_lists = [
        name_of(path) for path in (ROOT / "model_zoo").rglob("*") if path.suffix in (".yaml", ".yml", ".cfg")
    ]
    assert lookups == []
    assert layer_lists == []


# Written so that this file does not match itself.
PATHS_OF_ONE_MACHINE = r"(?<![\w.$}])[/](work|tmp|root|farm|opt/pypi\w*|opt/wheels|var/tmp)/"
REGISTRY_HOSTS = r"\b(pypi[.](org|nvidia)|files[.]python|download[.]pytorch|ghcr[.]io|docker[.]io|quay[.]io|nvcr[.]io)"


@pytest.mark.skipif(len(TRACKED) < 2, reason="not a git checkout: tracked files are unknown")
def test_tracked_files_name_no_machine() -> None:
    machine = re.compile(f"{PATHS_OF_ONE_MACHINE}|{REGISTRY_HOSTS}")
    wrong = {
        f"{name}:{number}: {line.strip()[:100]}"
        for name in filter(None, TRACKED)
        if (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if machine.search(line)
    }
    assert wrong == set()
