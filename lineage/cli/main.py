"""Entry point of `lineage <command> ...`. A command's module is imported only when the command runs."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from lineage.cli.imports import quick_imports
from lineage.cli.tables import plain
from model_zoo.contract.errors import LineageError
from model_zoo.contract.suggest import did_you_mean
from model_zoo.contract.versions import installed_version

DISTRIBUTION: Final = "yolo-lineage"
PROJECT_PACKAGES: Final = ("lineage", "model_zoo", "service", "training")
USER_ERROR: Final = 2  # the code of tyro and argparse for wrong usage
INTERRUPTED: Final = 130  # 128 + SIGINT
BROKEN_PIPE: Final = 141  # 128 + SIGPIPE


class Command(NamedTuple):
    """A verb of the command line."""

    name: str
    """Verb, as in `lineage <name>`."""
    module: str
    """Module of the function, imported when the verb runs."""
    function: str
    """Function whose parameters are the verb's options."""
    help: str
    """One line for `lineage --help`."""
    extras: str
    """Extras of the distribution that install what the verb needs."""


COMMANDS: Final = (
    Command("serve", "lineage.cli.serve", "serve", "Run the HTTP server: POST /detect with your models.", "cpu"),
    Command("detect", "lineage.cli.detect", "detect", "Detect objects in images, videos and streams.", "cpu"),
    Command("batch", "lineage.cli.batch", "batch", "Detect objects in whole data sets; resumable.", "cpu,batch"),
    Command(
        "models",
        "lineage.cli.models",
        "models",
        "List the models of a repository; alias, remove and rollout change them.",
        "cpu",
    ),
    Command("keys", "lineage.cli.keys", "list_", "List the API keys of a server; add and remove change them.", "cpu"),
    Command("pull", "lineage.cli.pull", "pull", "Download official weights and import them.", "zoo,cpu"),
    Command("import", "lineage.cli.import_weights", "import_", "Import weights into a repository.", "zoo,cpu"),
    Command("publish", "lineage.cli.publish", "publish", "Publish an exported file or a package.", "cpu"),
    Command("export", "lineage.cli.export", "export", "Export weights to a file, or publish a run.", "zoo,cpu"),
    Command("train", "lineage.cli.train", "train", "Train a detector with the recipe of its generation.", "training"),
    Command("evaluate", "lineage.cli.evaluate", "evaluate", "Measure how well a model detects.", "training"),
    Command("tune", "lineage.cli.tune", "tune", "Find the fastest configuration of a model on this machine.", "cpu"),
    Command("compare", "lineage.cli.compare", "compare", "Train several generations and compare them.", "training"),
    Command("data", "lineage.cli.data", "data", "Check a dataset, or count what it contains.", "training"),
)
SUBCOMMANDS: Final = (
    Command("models alias", "lineage.cli.change_models", "alias", "Point an alias to a version.", "cpu"),
    Command("models remove", "lineage.cli.change_models", "remove", "Remove a version, an alias or a model.", "cpu"),
    Command("models rollout", "lineage.cli.rollout", "rollout", "Show or change the rollout policy of a model.", "cpu"),
    Command("models verify", "lineage.cli.verify_models", "verify", "Check files and golden images of models.", "cpu"),
    Command("keys add", "lineage.cli.keys", "add", "Make an API key.", "cpu"),
    Command("keys list", "lineage.cli.keys", "list_", "List the API keys of a server.", "cpu"),
    Command("keys remove", "lineage.cli.keys", "remove", "Remove an API key.", "cpu"),
)
# Extras that install packages the project imports; packages not listed come with `training`.
EXTRA_OF_PACKAGE: Final = {
    "av": "video",
    "fsspec": "batch",
    "onnxruntime": "cpu",
    "onnx": "zoo",
    "onnx_ir": "zoo",
    "onnxscript": "zoo",
    "pyarrow": "batch",
    "safetensors": "zoo",
    "torch": "zoo",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    A user's mistake is reported in one line on stderr, without a traceback.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):  # escape characters that the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # prevents an error when Python flushes at exit
        return BROKEN_PIPE


def _dispatch(arguments: Sequence[str]) -> int:
    name = arguments[0] if arguments else ""
    if name in ("-h", "--help", "help"):
        command, _ = find_command(arguments[1:])
        if command:
            return _run(command, ["--help"])
        print(_help())
        return 0
    if name in ("-V", "--version", "version"):
        print(f"lineage {installed_version(DISTRIBUTION) or '(not installed, run from a checkout)'}")
        return 0
    command, rest = find_command(arguments)
    if command is None:
        print(_unknown_command(name) if name else _help(), file=sys.stderr)
        return USER_ERROR
    changes = [other.name for other in SUBCOMMANDS if other.name.startswith(f"{command.name} ")]
    if changes and rest and not rest[0].startswith("-"):
        print(_unknown_subcommand(command.name, rest[0], changes), file=sys.stderr)
        return USER_ERROR
    return _run(command, rest)


def find_command(words: Sequence[str]) -> tuple[Command | None, Sequence[str]]:
    """Return the command that the first words name, or None, and the remaining words."""
    commands = {command.name: command for command in (*COMMANDS, *SUBCOMMANDS)}
    for count in (2, 1):
        command = commands.get(" ".join(words[:count]))
        if command:
            return command, words[count:]
    return None, words


def _run(command: Command, arguments: Sequence[str]) -> int:
    try:
        return _call(command, arguments)
    except (LineageError, OSError, ModuleNotFoundError) as error:
        if os.environ.get("LINEAGE_DEBUG") == "1" or isinstance(error, BrokenPipeError) or _is_bug(error):
            raise
        print("\n".join(map(plain, f"lineage: {_message(error, command)}".splitlines())), file=sys.stderr)
        return USER_ERROR


def _call(command: Command, arguments: Sequence[str]) -> int:
    with quick_imports():
        from lineage.cli.arguments import parse_and_call

        function = getattr(importlib.import_module(command.module), command.function)
    return int(parse_and_call(function, f"lineage {command.name}", arguments) or 0)


def _is_bug(error: Exception) -> bool:
    """Return True if a module of the project itself is missing: no extra installs it."""
    return isinstance(error, ModuleNotFoundError) and str(error.name).split(".")[0] in PROJECT_PACKAGES


def _message(error: Exception, command: Command) -> str:
    if isinstance(error, ModuleNotFoundError):
        extra = EXTRA_OF_PACKAGE.get(str(error.name).split(".")[0], "training")
        extras = command.extras if {extra, "training"} & {*command.extras.split(",")} else extra  # training has all
        return (
            f"`lineage {command.name}` needs the package {error.name}, which is not installed; "
            f"run: pip install '{DISTRIBUTION}[{extras}]'"
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _help() -> str:
    return "\n".join(
        [
            "usage: lineage <command> [options]",
            "",
            "Eight generations of YOLO: train, import, export, detect and serve.",
            "Run `lineage <command> --help` for its options.",
            "",
            *(f"  {command.name:<10}{command.help}" for command in COMMANDS),
            "",
            "  -h, --help  show this help and exit",
            "  --version   show the version and exit",
        ]
    )


def _unknown_command(name: str) -> str:
    names = [command.name for command in COMMANDS]
    hint = did_you_mean(name, names) or f"expected one of {', '.join(names)}"
    return f"lineage: unknown command {name!r}; {hint}"


def _unknown_subcommand(name: str, word: str, known: Sequence[str]) -> str:
    expected = ", ".join(f"`lineage {command}`" for command in (name, *known))
    return f"lineage: {name}: unexpected argument {word!r}; expected one of {expected}"


if __name__ == "__main__":
    sys.exit(main())
