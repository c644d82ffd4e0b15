"""The front door: quick, lazy, and kind to a user's mistakes."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from lineage.cli import main as cli
from lineage.cli.main import main
from model_zoo.contract.errors import QueryError
from tests.conftest import ROOT

Put = Callable[[Callable[..., object]], None]
HEAVY = ("torch", "onnx", "onnxruntime", "cv2", "numpy", "fastapi", "pydantic", "tyro", "uvicorn")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lineage", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Put one function in the place of all commands, as `lineage probe`."""

    def put(function: Callable[..., object]) -> None:
        module = types.ModuleType("probe_command")
        module.probe = function
        monkeypatch.setitem(sys.modules, "probe_command", module)
        monkeypatch.setattr(cli, "COMMANDS", (cli.Command("probe", "probe_command", "probe", "Probe.", "zoo"),))
        monkeypatch.delenv("LINEAGE_DEBUG", raising=False)

    return put


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = "import sys; from lineage.cli.main import main; main(['--help'])"
    loaded = f"{code}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, timeout=60)
    *text, heavy = done.stdout.splitlines()
    assert heavy == "[]"
    for entry in cli.COMMANDS:
        assert f"  {entry.words:<24}{entry.help}" in text


@pytest.mark.parametrize("entry", cli.COMMANDS, ids=lambda c: c.words)
def test_every_command_exists_and_explains_itself(entry: cli.Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*entry.words.split(), "--help"])
    assert f"usage: lineage {entry.words} " in capsys.readouterr().out
    assert callable(getattr(importlib.import_module(entry.module), entry.function))


def test_commands_that_do_not_train_do_not_import_torch() -> None:
    light = [c.module for c in cli.COMMANDS if c.extras == "cpu"]
    code = f"import importlib, sys; [importlib.import_module(m) for m in {light}]; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr


def test_the_extras_that_messages_name_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == cli.DISTRIBUTION
    named = {extra for command in cli.COMMANDS for extra in command.extras.split(",")}
    assert named <= set(project["optional-dependencies"])


def test_version_is_one_line() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"lineage (\d+\.\d+\.\d+\S*|\(not installed, run from a checkout\))\n", done.stdout)


def test_no_command_shows_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: lineage" in capsys.readouterr().err


@pytest.mark.parametrize(("wrong", "hint"), [("sreve", "did you mean serve?"), ("frobnicate", "expected one of")])
def test_an_unknown_command_gets_a_hint(wrong: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([wrong]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert repr(wrong) in captured.err
    assert hint in captured.err


def test_an_unknown_flag_is_a_usage_error(command: Put) -> None:
    def probe(size: int = 1) -> None: ...

    command(probe)
    with pytest.raises(SystemExit, match="2"):
        main(["probe", "--sise", "3"])


def test_arguments_arrive_typed_and_the_result_is_the_exit_code(
    command: Put,
) -> None:
    def probe(path: Path, ratio: float = 0.5, loud: bool = False) -> int:
        return 7 if (path, ratio, loud) == (Path("a"), 0.25, True) else 0

    command(probe)
    assert main(["probe", "--path", "a", "--ratio", "0.25", "--loud"]) == 7
    assert main(["probe", "--path", "a"]) == 0


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (QueryError("score: expected a number from 0 to 1; got 7"), 2, "score: expected a number from 0 to 1; got 7"),
        (FileNotFoundError(2, "No such file or directory", "a.pt"), 2, "a.pt: No such file or directory"),
        (OSError("address already in use"), 2, "address already in use"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2, "pip install 'yolo-lineage[zoo]'"),
    ],
)
def test_a_users_mistake_is_one_line(
    error: Exception,
    code: int,
    message: str,
    command: Put,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def probe() -> None:
        raise error

    command(probe)
    assert main(["probe"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("lineage: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err

    monkeypatch.setenv("LINEAGE_DEBUG", "1")
    with pytest.raises(type(error)):
        main(["probe"])


@pytest.mark.parametrize("error", [RuntimeError("bug"), ModuleNotFoundError("no", name="service.gone")], ids=repr)
def test_a_bug_is_not_dressed_up_as_a_users_mistake(error: Exception, command: Put) -> None:
    def probe() -> None:
        raise error

    command(probe)
    with pytest.raises(type(error)):
        main(["probe"])


def test_interrupting_ends_quietly(command: Put, capsys: pytest.CaptureFixture[str]) -> None:
    def probe() -> None:
        raise KeyboardInterrupt

    command(probe)
    assert main(["probe"]) == 130
    assert capsys.readouterr().err == ""


def test_a_closed_pipe_ends_quietly() -> None:
    code = "from lineage.cli import main as cli; cli._help = lambda: 'x' * 1_000_000; exit(cli.main(['--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(30) == 141
