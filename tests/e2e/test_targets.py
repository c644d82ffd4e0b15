"""Every verb that writes checks its target before any work. The inputs do not exist: nothing may be read before."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.main import main

VERBS = {
    "import": ["import", "none.pt", "--repository", "TARGET"],
    "pull": ["pull", "yolov5n", "--url", "http://127.0.0.1:1/a.pt", "--repository", "TARGET"],
    "detect": ["detect", "none.jpg", "--save", "TARGET"],
    "evaluate": ["evaluate", "none.pt", "--data", "none", "--output", "TARGET"],
    "compare": ["compare", "--data", "none", "--models", "yolov5n", "--output", "TARGET"],
    "data": ["data", "stats", "none", "--output", "TARGET"],
}


def errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail with one line, and return it."""
    assert main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("target", ["/proc/out", "a_file", "a_file/out", "x" * 300])
@pytest.mark.parametrize("verb", VERBS)
def test_unwritable_folders_are_refused_first(
    verb: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").write_text("old")
    line = errors([target if word == "TARGET" else word for word in VERBS[verb]], capsys)
    assert target in line
    assert "cannot be written" in line or "expected a folder" in line
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]
    assert (tmp_path / "a_file").read_text() == "old"


@pytest.mark.parametrize("target", ["/proc/x.onnx", ".", "none/x.onnx", "/dev/null", "x" * 300])
@pytest.mark.parametrize("flags", [[], ["--random-weights"], ["--format", "tensorrt"]])
def test_unwritable_files_are_refused_first(
    target: str,
    flags: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pt").write_text("old")
    line = errors(["export", "net.pt", "--output", target, *flags], capsys)
    assert target in line
    assert "cannot be written" in line or "expected the path of a file to write" in line
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("net.pt", "old")]


def test_weights_are_not_overwritten_by_their_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.pt").write_text("old")
    (tmp_path / "link").symlink_to("net.pt")
    for output in ("net.pt", "link"):
        line = errors(["export", str(tmp_path / "net.pt"), "--output", str(tmp_path / output)], capsys)
        assert "expected another file to write than the one to export" in line
    assert (tmp_path / "net.pt").read_text() == "old"


@pytest.mark.parametrize("name", ["../up", "", "a/b", ".hidden"])
@pytest.mark.parametrize("verb", ["import", "pull"])
def test_unsafe_names_are_refused_first(
    verb: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "models")
    arguments = [target if word == "TARGET" else word for word in VERBS[verb]]
    assert "--name: expected letters" in errors([*arguments, "--name", name], capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--precision", "int8"], "got --precision int8 and no --calibration"),
        (["--precision", "int8", "--calibration", "none"], "none is not a folder"),
        (["--image-size", "999999"], "at most 8192 pixels"),
        (["--image-size", "0"], "expected one positive number"),
        (["--candidates", "0"], "multiple of 64"),
        (["--min-sqnr", "nan"], "--min-sqnr: expected a number"),
        (["--license", " "], "--license: expected an SPDX identifier"),
    ],
)
def test_options_are_checked_before_the_weights_are_read(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in errors(["import", "none.pt", "--repository", str(tmp_path / "models"), *flags], capsys)
    (tmp_path / "net.pt").touch()
    output = str(tmp_path / "net.onnx")
    assert message in errors(["export", str(tmp_path / "net.pt"), "--output", output, *flags], capsys)


def test_other_absurd_options_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--batch: expected at least 1" in errors(["evaluate", "a.pt", "--data", "none", "--batch", "0"], capsys)
    assert "expected one positive number" in errors(["data", "stats", "none", "--image-size", "0"], capsys)
