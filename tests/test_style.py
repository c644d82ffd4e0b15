"""Code and documents keep to the rules of plain language in `tests/style_rules.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import style_rules
from tests.conftest import ROOT

PACKAGES = ("lineage", "model_zoo", "service", "training")
PLACES = (
    *PACKAGES,
    *("tests", "examples", "benchmarks", "docs", "docker"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "THIRD_PARTY.md"),
    *("Makefile", "Dockerfile", "docker-compose.yml", "pyproject.toml"),
)


@pytest.mark.parametrize("place", PLACES)
def test_language_is_plain(place: str) -> None:
    files = style_rules.files_under([ROOT / place])
    assert files
    assert [text for path in files for text in style_rules.violations(path)] == []


def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> list[str]:
    """Return the violations of a file of that name and content in a package."""
    monkeypatch.setattr(style_rules, "ROOT", tmp_path)
    path = tmp_path / "package" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return [line.partition(": ")[2] for line in style_rules.violations(path)]


LONG = "word " * 26
WRONG = {
    '"""What a module is."""\n': "docstring begins with 'What'",
    '"""Load a file; check it."""\n': "semicolon in the first line of a docstring",
    f'"""Load a file.\n\n{LONG}."""\n': "26 words in one sentence",
    '"""Load a picture."""\n': "'picture': use image",
    "LIMIT = 3  # what the user is told\n": "'told': use log",
    'raise ValueError(f"expected {1} or a photo of it")\n': "'photo': use image",
    '"""Load the colour."""\n': "'colour': use American spelling",
    '@dataclass\nclass Box:\n    """Corners."""\n\n    left: float\n': "Box.left: no docstring below the field",
}


@pytest.mark.parametrize(("source", "message"), WRONG.items(), ids=WRONG.values())
def test_faults_of_code_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str) -> None:
    [found] = check(tmp_path, monkeypatch, "module.py", source)
    assert found.startswith(message)


RIGHT = {
    "a quoted name": '"""Return `picture` of the file."""\n',
    "a file name": 'HELP = "send one file such as photo.jpg"\n',
    "a documented field": '@dataclass\nclass Box:\n    """Corners."""\n\n    left: float\n    """In pixels."""\n',
    "a private record": "@dataclass\nclass _Box:\n    left: float\n",
    "an example": '"""Load a file.\n\n    python load.py --one --two ' + "a " * 26 + '\n\nAnd more.\n"""\n',
}


@pytest.mark.parametrize("source", RIGHT.values(), ids=RIGHT)
def test_plain_code_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    assert check(tmp_path, monkeypatch, "module.py", source) == []


def test_code_in_documents_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "Run:\n\n    a picture of the house\n\n```sh\nthe room is told\n```\n"
    text = f"# Title\n\n{code}\nSee `picture` and [a page](picture.md).\n"
    assert check(tmp_path, monkeypatch, "page.md", text) == []
    assert check(tmp_path, monkeypatch, "page.md", "- one\n    - a picture\n") == ["'picture': use image"]


def test_text_of_pages_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(tmp_path, monkeypatch, "page.html", '<p class="picture">Drop a picture</p>') == [
        "'picture': use image"
    ]
