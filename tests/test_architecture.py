"""The measures of a good room: small functions and files, typed signatures, imports that run one way.

Lines of a function are the code lines of its body: docstring, blank lines and comments do not count, and a nested
function counts for itself, not for the one around it. Lines of a file are all its lines.
"""

from __future__ import annotations

import ast
import io
import os
import re
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

ROOMS = ("lineage", "model_zoo", "service", "training")
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
Function = ast.FunctionDef | ast.AsyncFunctionDef
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES]
TRACKED = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
    "\0"
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def functions() -> Iterator[tuple[Path, Function]]:
    for path in FILES:
        yield from ((path, node) for node in nodes(path) if isinstance(node, Function))


def code_lines(path: Path) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return {line for t in tokens if t.type not in NOT_CODE for line in range(t.start[0], t.end[0] + 1)}


def lines_of(node: ast.stmt) -> set[int]:
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def body_length(function: Function, code: set[int]) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    lines = {line for statement in body for line in lines_of(statement)} & code
    nested = (n for statement in body for n in ast.walk(statement) if isinstance(n, Function))
    return len(lines.difference(*(lines_of(n) for n in nested)))


def test_functions_are_short() -> None:
    code = {path: code_lines(path) for path in FILES}
    lengths = sorted((body_length(f, code[path]), f"{name_of(path)}:{f.name}") for path, f in functions())
    percentile_95 = lengths[int(0.95 * len(lengths))][0]
    assert statistics.median(length for length, _ in lengths) <= 10
    assert percentile_95 <= 40, f"the longest: {lengths[-5:]}"


def test_files_are_short() -> None:
    lengths = sorted((len(path.read_text(encoding="utf-8").splitlines()), name_of(path)) for path in FILES)
    assert statistics.median(length for length, _ in lengths) <= 150
    assert lengths[-1][0] <= 400, f"the longest: {lengths[-5:]}"


def untyped(function: Function) -> bool:
    a = function.args
    named = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    return function.returns is None or any(
        argument.annotation is None and argument.arg not in ("self", "cls") for argument in named
    )


def test_signatures_are_typed() -> None:
    assert [f"{name_of(path)}:{f.lineno} {f.name}" for path, f in functions() if untyped(f)] == []


# A docstring for whatever is public (magic methods and constructors are not asked), one sentence first, imperative.
DOCSTRINGS = "D100,D101,D102,D103,D104,D106,D205,D400,D401"


def test_public_names_say_what_they_do_in_one_imperative_line() -> None:
    run_tool("ruff", "check", "--no-cache", f"--select={DOCSTRINGS}", *ROOMS)


def run_tool(tool: str, *arguments: str) -> None:
    command = [Path(sys.executable).with_name(tool), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_run_one_way() -> None:
    run_tool("lint-imports", "--no-cache")


def imported(path: Path) -> set[str]:
    found = set[str]()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("room", ["service", "model_zoo/contract"])
def test_what_runs_a_model_knows_the_contract_alone(room: str) -> None:
    foreign = {
        f"{name_of(path)}: {name}"
        for path in (ROOT / room).rglob("*.py")
        for name in imported(path)
        if re.match(r"(model_zoo\b(?!\.(contract|runtime)\b)|torch|onnx\b|training\b)", name)
    }
    assert foreign == set()


NOT_FOR_SERVING = ["torch", "torchvision", "onnx", "onnxscript", "safetensors", "training"]
NOT_FOR_THE_CONTRACT = [*NOT_FOR_SERVING, "service", "onnxruntime", "fastapi", "pydantic", "uvicorn", "tyro"]


def test_contract_needs_numpy_and_opencv_alone() -> None:
    contract = [name for name in MODULES if name.startswith("model_zoo.contract")]
    assert_imports_without(NOT_FOR_THE_CONTRACT, contract)


def test_service_needs_no_torch() -> None:
    served = {name for name in MODULES if name.startswith(("service", "model_zoo.runtime"))}
    served -= {"model_zoo.runtime.tensorrt"}  # needs the libraries of a GPU
    assert_imports_without(NOT_FOR_SERVING, ["lineage.cli.main", *sorted(served)])


@pytest.mark.parametrize("module", ["service", "model_zoo"])
def test_onnxruntime_reports_to_nobody(module: str, tmp_path: Path) -> None:
    """Where its telemetry is on, importing it makes an identifier of the machine under the user's cache folder."""
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


def test_service_knows_no_generation() -> None:
    generation = re.compile(r"yolo[ -]?(v?\d|x)|darknet", re.IGNORECASE)
    named = {
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in (ROOT / "service").rglob("*")
        if path.suffix in (".py", ".html", ".js", ".css")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if generation.search(line)
    }
    assert named == set()


FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "globals", "locals"}


def looks_up_code_by_name(node: ast.AST) -> bool:
    """`eval("...")`, `globals()[name]`, `getattr(nn, name)`: text that becomes a class or a call."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    if node.func.id != "getattr":
        return node.func.id in FORBIDDEN_CALLS
    holder, name = node.args[:2]
    return (
        isinstance(holder, ast.Name) and holder.id in ("nn", "torch", "F", "np") and not isinstance(name, ast.Constant)
    )


def test_networks_are_plain_python() -> None:
    found = [f"{name_of(path)}:{n.lineno}" for path in FILES for n in nodes(path) if looks_up_code_by_name(n)]
    layer_lists = [
        name_of(path) for path in (ROOT / "model_zoo").rglob("*") if path.suffix in (".yaml", ".yml", ".cfg")
    ]
    assert found == []
    assert layer_lists == []


# Written so that this file does not match itself.
PATHS_OF_ONE_MACHINE = r"(?<![\w.$}])[/](work|tmp|root|farm|opt/pypi\w*|opt/wheels|var/tmp)/"
REGISTRY_HOSTS = r"\b(pypi[.](org|nvidia)|files[.]python|download[.]pytorch|ghcr[.]io|docker[.]io|quay[.]io|nvcr[.]io)"


@pytest.mark.skipif(len(TRACKED) < 2, reason="not a git checkout: what is tracked is not known")
def test_tracked_files_name_no_machine() -> None:
    machine = re.compile(f"{PATHS_OF_ONE_MACHINE}|{REGISTRY_HOSTS}")
    named = {
        f"{name}:{number}: {line.strip()[:100]}"
        for name in filter(None, TRACKED)
        if (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if machine.search(line)
    }
    assert named == set()
