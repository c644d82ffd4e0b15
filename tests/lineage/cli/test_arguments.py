from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from lineage.cli.arguments import option, parse_and_call
from model_zoo.contract.errors import LineageError


@dataclass(frozen=True)
class Options:
    """Nested options."""

    size: int | None = None
    """Size in pixels."""
    average: bool = True
    """Average the weights."""


NESTED = Options()


def probe(
    name: Annotated[str | None, option("NAME")] = None,
    mode: Literal["a", "b"] | None = None,
    ratio: Annotated[float | None, option("RATIO", hint="(default: the model's)")] = None,
    as_json: Annotated[bool, option(name="json")] = False,
    batch: int = 4,
    options: Annotated[Options, option(name="")] = NESTED,
) -> tuple[object, ...]:
    """Probe the parser.

    Args:
        name: A name.
        mode: A mode.
        ratio: A ratio.
        as_json: Print JSON.
        batch: A batch.
        options: Nested options.
    """
    return name, mode, ratio, as_json, batch, options


def help_lines(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    with pytest.raises(SystemExit, match="0"):
        parse_and_call(probe, "probe", ["--help"])
    lines = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
    return {line.partition("  ")[0]: line.partition("  ")[2].strip() for line in lines if line[:2] == "--" != line[2:4]}


def test_help_shows_only_useful_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert help_lines(capsys) == {
        "--name NAME": "A name.",
        "--mode {a,b}": "A mode.",
        "--ratio RATIO": "A ratio. (default: the model's)",
        "--json": "Print JSON.",
        "--batch INT": "A batch. (default: 4)",
        "--size INT": "Size in pixels.",
        "--average, --no-average": "Average the weights. (default: on)",
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (None, None, None, False, 4, Options())),
        (["--name", "x", "--mode", "b", "--ratio", "0.5"], ("x", "b", 0.5, False, 4, Options())),
        (["--json", "--size", "9", "--no-average"], (None, None, None, True, 4, Options(9, False))),
    ],
)
def test_options_are_parsed(arguments: list[str], expected: tuple[object, ...]) -> None:
    assert parse_and_call(probe, "probe", arguments) == expected


@pytest.mark.parametrize("arguments", [["--no-json"], ["--mode", "None"], ["--batch", "x"]])
def test_wrong_usage_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LineageError, match=arguments[0]):
        parse_and_call(probe, "probe", arguments)
    assert capsys.readouterr() == ("", "")
