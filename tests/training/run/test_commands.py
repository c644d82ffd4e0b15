"""Commands in messages run as pasted into a shell."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from training.run.commands import command, export_command


def test_arguments_are_quoted() -> None:
    folder = Path("runs/it's a $(test)")
    assert shlex.split(command("train", "--resume", folder)) == ["lineage", "train", "--resume", str(folder)]


@pytest.mark.parametrize(("folder", "name"), [("a.b-1", "a.b-1"), ("a b", "NAME"), ("\N{CAT}", "NAME"), ("-x", "NAME")])
def test_export_names_the_model_as_the_run_if_possible(folder: str, name: str) -> None:
    run = Path("runs", folder)
    assert shlex.split(export_command(run)) == ["lineage", "export", str(run), "--name", name]
