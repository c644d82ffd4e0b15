"""Commands in messages, with every argument quoted for a shell."""

from __future__ import annotations

import shlex
from pathlib import Path

from model_zoo.contract.card import NAME


def command(*arguments: str | Path) -> str:
    """Return a command that runs as pasted, such as `lineage train --resume 'runs/a b'`."""
    return shlex.join(["lineage", *map(str, arguments)])


def export_command(run: Path) -> str:
    """Return the command that publishes a run, under its own name if a model may have it."""
    return command("export", run, "--name", run.name if NAME.fullmatch(run.name) else "NAME")
