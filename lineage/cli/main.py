"""The front door: `lineage <command> ...`. Thin: what a command needs is imported when it is called."""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from model_zoo.contract.suggest import did_you_mean

DISTRIBUTION = "yolo-lineage"
OUR_PACKAGES = ("model_zoo", "service", "training")
USER_ERROR = 2  # as tyro and argparse
INTERRUPTED = 130  # 128 + SIGINT, as shells say it
BROKEN_PIPE = 141  # 128 + SIGPIPE


@dataclass(frozen=True)
class Command:
    """One command: the function that does it, one line of help, and the extras its packages come with.

    `flag`: what is given with the name to mean this command, where another has the name alone; `takes_flag`: whether it
    is also an option of the function.
    """

    name: str
    module: str
    function: str
    help: str
    extras: str
    flag: str = ""
    takes_flag: bool = False

    @property
    def words(self) -> str:
        """What is typed for it."""
        return f"{self.name} {self.flag}".rstrip()

    def is_meant(self, name: str, rest: Sequence[str]) -> bool:
        """Whether this is a command that `name` and the words after it may mean."""
        return name == self.name and any(word.split("=")[0] == self.flag or not self.flag for word in (*rest, ""))


COMMANDS = (
    Command("serve", "lineage.cli.serve", "serve", "Answer POST /detect with the models of a repository.", "cpu"),
    Command("detect", "lineage.cli.detect", "detect", "Find objects in image files, without a server.", "cpu"),
    Command("models", "lineage.cli.models", "models", "List the models of a repository.", "cpu"),
    Command(
        "models",
        "lineage.cli.architectures",
        "architectures",
        "List the networks that can be built.",
        "zoo",
        flag="--architectures",
    ),
    Command("pull", "lineage.cli.pull", "pull", "Download official weights and import them.", "zoo,cpu"),
    Command(
        "import", "lineage.cli.import_export", "import_model", "Take official weights into a repository.", "zoo,cpu"
    ),
    Command(
        "export", "lineage.cli.import_export", "export_model", "Write a model in another form or precision.", "zoo,cpu"
    ),
    Command(
        "export",
        "training.run.publish",
        "publish_run",
        "Publish the best weights of a run.",
        "training",
        flag="--name",
        takes_flag=True,
    ),
    Command("train", "lineage.cli.train", "train", "Train a detector by the recipe of its generation.", "training"),
    Command("evaluate", "lineage.cli.evaluate", "evaluate_model", "Measure how well a model detects.", "training"),
    Command("compare", "lineage.cli.compare", "compare", "Train several generations and compare them.", "training"),
    Command("data", "lineage.cli.data", "data", "Check a dataset, or tell what is in it.", "training"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code; a user's mistake is one line on stderr, never a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name or label the terminal cannot show must not end the run
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return BROKEN_PIPE


def _dispatch(arguments: Sequence[str]) -> int:
    name = arguments[0] if arguments else ""
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"lineage {_version()}")
        return 0
    rest = arguments[1:]
    named = [c for c in COMMANDS if c.is_meant(name, rest)]
    if not named:
        print(_unknown(name) if name else _help(), file=sys.stderr)
        return USER_ERROR
    command = max(named, key=lambda c: len(c.flag))
    if command.takes_flag and {"-h", "--help"} & {*rest}:
        rest = ["--help"]  # `export --name --help` would be a model called --help
    return _run(command, [word for word in rest if command.takes_flag or word != command.flag])


def _run(command: Command, arguments: Sequence[str]) -> int:
    from model_zoo.contract.errors import LineageError

    try:
        return _call(command, arguments)
    except (LineageError, OSError, ModuleNotFoundError) as error:
        if os.environ.get("LINEAGE_DEBUG") == "1" or isinstance(error, BrokenPipeError) or _is_ours(error):
            raise
        print(f"lineage: {_explain(error, command)}", file=sys.stderr)
        return USER_ERROR


def _call(command: Command, arguments: Sequence[str]) -> int:
    import tyro

    function = getattr(importlib.import_module(command.module), command.function)
    flags_without_pairs = (tyro.conf.FlagCreatePairsOff,)  # `--json`, and no `--no-json` beside it
    result = tyro.cli(function, prog=f"lineage {command.words}", args=arguments, config=flags_without_pairs)
    return int(result or 0)


def _is_ours(error: Exception) -> bool:
    """Whether a module of the project itself is missing: a bug, which no extra mends."""
    return isinstance(error, ModuleNotFoundError) and str(error.name).split(".")[0] in OUR_PACKAGES


def _explain(error: Exception, command: Command) -> str:
    if isinstance(error, ModuleNotFoundError):
        return (
            f"`lineage {command.words}` needs the package {error.name}, which is not installed here; "
            f"pip install '{DISTRIBUTION}[{command.extras}]'"
        )
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _help() -> str:
    lines = [f"  {c.words:<24}{c.help}" for c in COMMANDS]
    return "\n".join(
        [
            "usage: lineage <command> [options]     (`lineage <command> --help` tells the options)",
            "",
            "Eight generations of YOLO: train, pull, import, export, detect, serve.",
            "",
            *lines,
            "",
            "  -h, --help   this text        --version   the version",
        ]
    )


def _unknown(name: str) -> str:
    known = list(dict.fromkeys(c.name for c in COMMANDS))
    hint = did_you_mean(name, known) or f"expected one of {', '.join(known)}"
    return f"lineage: no command {name!r}; {hint}"


def _version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed, run from a checkout)"


if __name__ == "__main__":
    sys.exit(main())
