"""Explain wrong usage of a command in one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import tyro

from model_zoo.contract.errors import LineageError
from model_zoo.contract.suggest import did_you_mean

Parse = Callable[[Sequence[str]], object]
# Options of other detectors' programs, by the name here.
OTHER_NAMES: Final = {
    "--image-size": ("--imgsz", "--img", "--img-size", "--size", "--input-size", "--resolution"),
    "--batch": ("--batch-size", "--bs"),
    "--score": ("--conf", "--conf-thres", "--confidence", "--threshold", "--score-threshold"),
    "--iou": ("--iou-thres", "--nms-threshold"),
    "--max-detections": ("--max-det",),
    "--runs": ("--project", "--run-dir", "--save-dir"),
    "--output": ("--out", "--output-dir", "--save-dir", "--target"),
    "--save": ("--save-dir", "--save-img", "--output"),
    "--lr": ("--lr0", "--learning-rate"),
    "--repository": ("--repo", "--models-dir", "--model-repository"),
    "--model": ("--cfg", "--arch", "--variant", "--weights"),
    "--data": ("--dataset", "--data-dir"),
    "--cache": ("--cache-images",),
}
KINDS: Final = {
    "INT": "an integer",
    "FLOAT": "a number",
    "NUMBER": "a number",
    "PIXELS": "a number of pixels",
    "INT|{auto}": "an integer or auto",
    "[INT [INT ...]]": "integers separated by blanks",
}
_QUOTED: Final = re.compile(r"\[('.*?')\]|('[^']*')\s*$", re.DOTALL)


@contextlib.contextmanager
def explained(parse: Parse, arguments: Sequence[str], prog: str) -> Iterator[None]:
    """Raise LineageError with one line where tyro would print a box and exit.

    tyro's events are not a public interface yet. Without them, or for an unknown event, its box appears.
    """
    events: Any = getattr(tyro, "_errors", None)
    if not hasattr(events, "on_parse_error"):
        yield
        return

    def handle(event: Any) -> None:
        text = _unknown_option(arguments, _options(parse)) or _explain(type(event).__name__, event)
        if text:
            raise LineageError(f"{text}{'' if text.endswith('?') else '.'} Run `{prog} --help` for its options.")

    with events.on_parse_error(handle):
        yield


def _explain(kind: str, event: Any) -> str:
    """Return one line for an event of tyro, or an empty text for unknown ones."""
    if kind == "UnrecognizedArgs":
        return f"unexpected argument {event.tokens[0]!r}"
    if kind == "MissingArgs":
        return _missing([missing.arg for missing in event.missing_arguments])
    if kind == "InvalidChoice":
        return _choice(event)
    if kind == "BadValue" and event.argument.is_positional():
        return _missing([event.argument])
    if kind == "BadValue" or (kind == "InstantiationFailure" and event.argument is not None):
        return _value(event)
    return ""


def _unknown_option(arguments: Sequence[str], known: Sequence[str]) -> str:
    """Return the first unknown option and the one that was probably meant, or an empty text."""
    flags = [word.partition("=")[0].replace("_", "-") for word in arguments if word.startswith("--") and word != "--"]
    flag = next((flag for flag in flags if flag not in known), None)
    if flag is None:
        return ""
    meant = [name for name in known if flag in OTHER_NAMES.get(name, ())]
    hint = f"did you mean {' or '.join(meant)}?" if meant else did_you_mean(flag, known, count=1)
    return f"unknown option {flag}" + (f"; {hint}" if hint else "")


def _missing(arguments: Sequence[Any]) -> str:
    texts = [f"{_name(argument)} ({str(argument.field.helptext or '').strip().rstrip('.')})" for argument in arguments]
    return f"expected {' and '.join(texts).replace(' ()', '')}"


def _choice(event: Any) -> str:
    choices = sorted(choice for choice in event.choices if choice != "None")
    text = f"{_name(event.argument)}: expected one of {', '.join(choices)}; got {event.value!r}"
    hint = did_you_mean(event.value, choices, count=1)
    return f"{text}; {hint}" if hint else text


def _value(event: Any) -> str:
    metavar = str(event.argument.lowered.metavar)
    found = _QUOTED.search(getattr(event, "message", ""))
    actual = (found[1] or found[2]).replace("', '", " ") if found else "nothing"
    return f"{_name(event.argument)}: expected {KINDS.get(metavar, metavar)}; got {actual}"


def _options(parse: Parse) -> list[str]:
    """Return the names of all options, from the help text."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        parse(["--help"])
    return list(dict.fromkeys(re.findall(r"(?<![\w-])--[a-z][\w-]*", text.getvalue())))


def _name(argument: Any) -> str:
    return str(argument.lowered.metavar) if argument.is_positional() else str(argument.lowered.name_or_flags[-1])
