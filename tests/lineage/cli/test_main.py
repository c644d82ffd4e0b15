"""`lineage`: dispatch, exit codes, suggestions, and help that imports nothing heavy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from lineage.cli import main as cli
from lineage.cli.main import main
from model_zoo.contract.errors import QueryError
from tests.conftest import ROOT
from tests.project import PROJECT

Install = Callable[[Callable[..., object]], None]
HEAVY = ("torch", "onnx", "onnxruntime", "fastapi", "matplotlib", "scipy", "safetensors", "faster_coco_eval")
HEAVY_FOR_OVERVIEW = (*HEAVY, "cv2", "numpy", "pydantic", "tyro", "uvicorn")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lineage", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60)


def imported_modules(*arguments: str) -> set[str]:
    """Run `lineage` in a new process and return the names of all modules it imported."""
    code = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        f"from lineage.cli.main import main; sys.exit(main({list(arguments)}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Replace all commands by `lineage probe`, which calls the given function."""

    def install(function: Callable[..., object]) -> None:
        module = types.ModuleType("probe_command")
        module.probe = function
        monkeypatch.setitem(sys.modules, "probe_command", module)
        monkeypatch.setattr(cli, "COMMANDS", (cli.Command("probe", "probe_command", "probe", "Probe.", "zoo"),))
        monkeypatch.delenv("LINEAGE_DEBUG", raising=False)

    return install


def test_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for command in cli.COMMANDS:
        assert f"  {command.name:<10}{command.help}" in lines


def test_overview_imports_nothing_heavy() -> None:
    assert imported_modules("--help") & set(HEAVY_FOR_OVERVIEW) == set()


@pytest.mark.parametrize("name", [command.name for command in cli.COMMANDS])
def test_help_of_a_command_imports_nothing_heavy(name: str) -> None:
    assert imported_modules(name, "--help") & set(HEAVY) == set()


@pytest.mark.parametrize("name", [command.name for command in cli.COMMANDS])
def test_help_of_a_command_is_readable(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    text = capsys.readouterr().out
    assert f"usage: lineage {name} " in text
    unreadable = re.findall(r"\{None[^}]*\}|\(default: *(?:None|''|False|True)?\)|\{fixed\}", text)
    assert unreadable == []
    flags = set(re.findall(r"--[\w.-]+", text))
    assert {flag for flag in flags if flag.startswith("--no-") and flag.replace("--no-", "--") not in flags} == set()


def test_extras_in_messages_exist() -> None:
    assert PROJECT["name"] == cli.DISTRIBUTION
    named = {extra for command in cli.COMMANDS for extra in command.extras.split(",")}
    assert named | {*cli.EXTRA_OF_PACKAGE.values(), "training"} <= set(PROJECT["optional-dependencies"])


def test_version_prints_one_line() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"lineage (\d+\.\d+\.\d+\S*|\(not installed, run from a checkout\))\n", done.stdout)


def test_no_command_prints_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: lineage" in capsys.readouterr().err


@pytest.mark.parametrize(("wrong", "hint"), [("sreve", "did you mean serve?"), ("frobnicate", "expected one of")])
def test_unknown_command_suggests_names(wrong: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([wrong]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert repr(wrong) in captured.err
    assert hint in captured.err


def test_unknown_flag_is_a_usage_error(command: Install, capsys: pytest.CaptureFixture[str]) -> None:
    def probe(size: int = 1) -> None: ...

    command(probe)
    assert main(["probe", "--sise", "3"]) == 2
    assert capsys.readouterr().err.startswith("lineage: unknown option --sise; did you mean --size?")


def test_arguments_are_parsed_by_type_and_result_is_exit_code(
    command: Install,
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
        (ModuleNotFoundError("No module named 'yaml'", name="yaml"), 2, "pip install 'yolo-lineage[training]'"),
    ],
)
def test_user_error_prints_one_line(
    error: Exception,
    code: int,
    message: str,
    command: Install,
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


def test_missing_package_of_training_is_installed_with_all_others() -> None:
    train = next(command for command in cli.COMMANDS if command.name == "train")
    error = ModuleNotFoundError("No module named 'torch'", name="torch")
    assert cli._message(error, train).endswith("run: pip install 'yolo-lineage[training]'")


@pytest.mark.parametrize("error", [RuntimeError("bug"), ModuleNotFoundError("no", name="service.gone")], ids=repr)
def test_bug_raises(error: Exception, command: Install) -> None:
    def probe() -> None:
        raise error

    command(probe)
    with pytest.raises(type(error)):
        main(["probe"])


def test_interrupt_exits_silently(command: Install, capsys: pytest.CaptureFixture[str]) -> None:
    def probe() -> None:
        raise KeyboardInterrupt

    command(probe)
    assert main(["probe"]) == 130
    assert capsys.readouterr().err == ""


def test_closed_pipe_exits_silently() -> None:
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


@pytest.mark.parametrize("words", [["help", "detect"], ["--help", "detect"], ["-h", "models", "alias"]])
def test_help_of_a_command_can_be_asked_for_first(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(words)
    assert capsys.readouterr().out.startswith(f"usage: lineage {' '.join(words[1:])}")


@pytest.mark.parametrize("words", [["help"], ["-h"], ["help", "nothing"]])
def test_help_lists_the_commands(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("usage: lineage <command>")


@pytest.mark.parametrize("word", ["-V", "--version", "version"])
def test_version_is_printed(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    assert capsys.readouterr().out.startswith("lineage ")
