"""Every block of code in the documents has a test that runs or reads it, or a reason here why none does."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests.docs.documents import ASSIGNMENT, DOCUMENTS, FENCE, SHELLS, joined, text
from tests.project import PROJECT

LANGUAGES = {
    "python": "test_snippets runs it",
    "sh": "PROGRAMS below",
    "json": "read below",
    "yaml": "read below",
    "xml": "read below",
    "js": "tests/e2e/test_live.py runs it in Chromium",
    "mermaid": "tests/tools/test_site.py draws it",
    "text": "a drawing",
}
PROGRAMS = {
    "lineage": "test_docs parses every call, and runs those that need no weights",
    "curl": "test_docs sends every request",
    "printf": "test_docs writes the request with it",
    "torchrun": "test_docs parses what it starts",
    "python": "tests/clients and the tests of these modules run them",
    "pip": "test_extras_of_commands_exist; tests/test_release.py installs the wheel",
    "make": "test_docs looks for the target",
    "docker": "tests/e2e/test_docker.py and test_docker_scale.py",
    "perf_analyzer": "tests/clients",
    "base64": "tests/clients",
    "grpcurl": "not run: it is in no package index",
    "npm": "not run: it fetches the design systems of the example",
    "cp": "not run: it replaces the bundled model of the checkout",
    "rm": "not run: it replaces the bundled model of the checkout",
    ".": "not run: it changes the user's shell",
}
# Programs of another language inside a command.
INNER = re.compile(r"<<'?EOF'?\n.*?^EOF$|'from .*?'$", re.DOTALL | re.MULTILINE)
TESTED = "operations.md"  # tests/e2e/test_operations.py runs the whole page


def fenced() -> list[tuple[str, str, str]]:
    """Return document, language and text of all blocks."""
    return [(str(path), *block) for path in DOCUMENTS for block in FENCE.findall(path.read_text(encoding="utf-8"))]


def programs() -> Iterator[str]:
    for document, language, body in fenced():
        if language in SHELLS and Path(document).name != TESTED:
            for line in joined(INNER.sub("", body)):
                words = [word for word in shlex.split(line, comments=True) if not ASSIGNMENT.match(word)]
                yield from (Path(word).name or word for word in words[:1])


def test_every_language_has_a_test() -> None:
    assert {language for _, language, _ in fenced()} == set(LANGUAGES)


def test_every_program_has_a_test_or_a_reason() -> None:
    assert set(programs()) == set(PROGRAMS)


READ = {"json": json.loads, "yaml": yaml.safe_load, "xml": ElementTree.fromstring}


@pytest.mark.parametrize(("document", "language", "body"), [block for block in fenced() if block[1] in READ])
def test_data_can_be_read(document: str, language: str, body: str) -> None:
    assert READ[language](body) is not None


def test_extras_of_commands_exist() -> None:
    extras = PROJECT["optional-dependencies"]
    named = re.findall(r"(?:yolo-lineage|'\.)\[([\w,]+)\]", "\n".join(map(text, map(str, DOCUMENTS))))
    assert named
    assert {extra for names in named for extra in names.split(",")} <= set(extras)
