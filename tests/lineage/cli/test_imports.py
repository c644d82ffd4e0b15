"""Imports of commands without garbage collection."""

from __future__ import annotations

import gc
import importlib
from contextlib import suppress
from pathlib import Path

import pytest

from lineage.cli import main as cli
from lineage.cli.imports import quick_imports


def test_garbage_collection_is_disabled_within_the_block_alone() -> None:
    with suppress(ModuleNotFoundError), quick_imports():
        assert not gc.isenabled()
        importlib.import_module("no_such_module")
    assert gc.isenabled()


def test_objects_of_the_block_are_never_scanned() -> None:
    with quick_imports():
        kept = ["of a module"]
    assert not any(scanned is kept for scanned in gc.get_objects())


def test_modules_of_commands_are_imported_without_collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "probe_imports.py").write_text(
        "import gc\n\nAT_IMPORT = gc.isenabled()\n\ndef probe() -> int:\n    return AT_IMPORT + 2 * gc.isenabled()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(cli, "COMMANDS", (cli.Command("probe", "probe_imports", "probe", "Probe.", "zoo"),))
    assert cli.main(["probe"]) == 2
