"""The documents: their text, tables, blocks and commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

FOLDERS = ("docs", "examples", "benchmarks", "service")
FOUND = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
DOCUMENTS = sorted(path for path in FOUND if "node_modules" not in path.parts)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SHELLS = ("sh", "bash", "shell", "console")
ASSIGNMENT = re.compile(r"[A-Z_]+=")
INDENTED = re.compile(r"^    (\S.*)$", re.MULTILINE)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(text(name)) if kind == language]


def table(name: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, without its head and without backquotes."""
    section = text(name).split(f"# {heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert lines, f"{name}: no table below {heading!r}"
    return [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in lines[0].splitlines()[2:]]


def commands(program: str) -> list[tuple[str, list[str]]]:
    """Return every line of code in a document that calls `program`: (document, words)."""
    return [(document, words[1:]) for document, words in code_lines() if Path(words[0]).name == program]


def code_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield every shell command of the documents: (document, words), without assignments of variables before it."""
    for path in DOCUMENTS:
        source = path.read_text(encoding="utf-8")
        lines = [line for kind, body in FENCE.findall(source) if kind in SHELLS for line in joined(body)]
        for line in [*lines, *INDENTED.findall(source)]:
            try:
                words = shlex.split(line, comments=True)
            except ValueError:  # an indented drawing or JSON
                continue
            while words and ASSIGNMENT.match(words[0]):
                del words[0]
            if words:
                yield path.name, words


def joined(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()
