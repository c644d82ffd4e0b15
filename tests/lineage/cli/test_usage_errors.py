"""Wrong usage is explained in one line."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
import tyro

from lineage.cli.arguments import option, parse_and_call
from lineage.cli.main import COMMANDS, main
from model_zoo.contract.errors import LineageError


def probe(
    file: Annotated[str, tyro.conf.Positional, option("FILE")],
    *,
    mode: Literal["fast", "exact"] | None = None,
    batch: int = 4,
    image_size: tuple[int, ...] = (),
    score: Annotated[float | None, option("NUMBER")] = None,
    max_detections: int | None = None,
) -> str:
    """Probe the parser.

    Args:
        file: An image.
        mode: A mode.
        batch: A batch.
        image_size: A size.
        score: A score.
        max_detections: A limit.
    """
    if file == "bad":
        raise ValueError("of the function itself")
    return file


CASES = {
    "": "expected FILE (An image).",
    "a --mode fsat": "--mode: expected one of exact, fast; got 'fsat'; did you mean fast?",
    "a --mode slow": "--mode: expected one of exact, fast; got 'slow'.",
    "a --batch x": "--batch: expected an integer; got 'x'.",
    "a --batch 1.5": "--batch: expected an integer; got '1.5'.",
    "a --batch": "--batch: expected an integer; got nothing.",
    "a --batch=": "--batch: expected an integer; got ''.",
    "a --max-detections many": "--max-detections: expected an integer; got 'many'.",
    "a --score high": "--score: expected a number; got 'high'.",
    "a --image-size 640x480": "--image-size: expected integers separated by blanks; got '640x480'.",
    "a --image-size 640 x": "--image-size: expected integers separated by blanks; got '640 x'.",
    "a --imgsz 640": "unknown option --imgsz; did you mean --image-size?",
    "a --conf=0.3": "unknown option --conf; did you mean --score?",
    "--conf 0.3": "unknown option --conf; did you mean --score?",
    "a --batch-size 8": "unknown option --batch-size; did you mean --batch?",
    "a --max-det 8": "unknown option --max-det; did you mean --max-detections?",
    "a --scoer 0.3": "unknown option --scoer; did you mean --score?",
    "a --something-else": "unknown option --something-else.",
    "a b": "unexpected argument 'b'.",
}


@pytest.mark.parametrize("words", CASES)
def test_mistake_is_explained(words: str) -> None:
    with pytest.raises(LineageError) as caught:
        parse_and_call(probe, "lineage probe", words.split())
    assert str(caught.value) == f"{CASES[words]} Run `lineage probe --help` for its options."


def test_errors_of_the_function_are_its_own() -> None:
    assert parse_and_call(probe, "lineage probe", ["a"]) == "a"
    with pytest.raises(ValueError, match="of the function itself"):
        parse_and_call(probe, "lineage probe", ["bad"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_names_an_unknown_option(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command[0], "--no-such-option", "1"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("lineage: unknown option --no-such-option")


def test_without_events_of_the_parser_its_own_text_appears(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(tyro, "_errors")
    with pytest.raises(SystemExit, match="2"):
        parse_and_call(probe, "lineage probe", ["a", "--batch", "x"])
    assert "--batch" in capsys.readouterr().err
