"""Documents, compared with the code. Their commands are run on small inputs."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lineage.cli import main as cli
from lineage.cli.arguments import parse_and_call
from lineage.cli.main import main
from model_zoo.contract import card, letterbox
from model_zoo.contract.repository import Repository
from service.api import problems
from service.api.native.schemas import DetectAnswer, DetectQuery
from service.app import create_app
from service.settings import Settings
from tests.conftest import ROOT
from tests.docs.documents import DOCUMENTS, blocks, code_lines, commands, table, text
from tests.e2e.server import Server
from tests.project import PROJECT
from tests.tiny_onnx import toy_card, toy_onnx

PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
VERBS = [command.name for command in cli.COMMANDS]


def lineage_commands() -> list[tuple[str, list[str]]]:
    """Return the arguments of every call of `lineage`, also through python, torchrun and docker compose."""
    found = []
    for document, words in code_lines():
        names = [Path(word).name for word in words]
        if names[0] == "lineage":
            found.append((document, words[1:]))
        elif "lineage" in names and names[names.index("lineage") - 1] == "-m":
            found.append((document, words[names.index("lineage") + 1 :]))
        elif names[:3] == ["docker", "compose", "run"]:
            found.append((document, words[next(i for i, name in enumerate(names) if name in VERBS) :]))
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder with the files that commands in documents use: three versions of yolov5n, images, the samples."""
    graph = tmp_path / "yolov5n.onnx"
    small = dataclasses.replace(toy_card("yolov5n"), class_names=("person", "car", "button"))
    graph.write_bytes(toy_onnx(small))
    for _ in range(3):
        Repository(tmp_path / "models").publish(small, {"model.onnx": graph})
    (tmp_path / "photos").mkdir()
    (tmp_path / "ui-elements.onnx").write_bytes(toy_onnx(toy_card("ui-elements")))
    for name in ("photo.jpg", "a.jpg", "b.jpg", "photos/c.jpg"):
        cv2.imwrite(str(tmp_path / name), np.full((48, 64, 3), 200, dtype=np.uint8))
    write_request = re.search(r"^printf .* > request\.json$", text("docs/oip.md"), re.MULTILINE)
    assert write_request
    subprocess.run(["bash", "-c", write_request[0]], cwd=tmp_path, check=True)
    samples = Path("service") / "web" / "static" / "playground" / "samples"
    shutil.copytree(ROOT / samples, tmp_path / samples)
    return tmp_path


@pytest.fixture
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a server on its models and ui-elements, and yield its address without the scheme."""
    elsewhere = tmp_path_factory.mktemp("server")  # the folder `service` of `home` would shadow the package
    Repository(home / "models").publish(toy_card("ui-elements"), {"model.onnx": home / "ui-elements.onnx"})
    with Server(home / "models", elsewhere, default_model="yolov5n") as server:
        yield f"127.0.0.1:{server.wait_until_ready().port}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_link_targets_exist(path: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", path.read_text(encoding="utf-8")):
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        assert file.exists(), link
        headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in anchors, link


def test_readme_fits_two_screens_and_lists_all_commands() -> None:
    assert len(text("README.md").splitlines()) <= 100
    [listed] = [row[1] for row in table("README.md", "Features") if row[0] == "Commands"]
    assert listed.split(", ") == [command.name for command in cli.COMMANDS]


@pytest.mark.parametrize(
    ("document", "words"), lineage_commands(), ids=lambda v: v if isinstance(v, str) else " ".join(v[:3])
)
def test_commands_in_documents_are_accepted(
    document: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Parse verbs, flags and values as the command does, without running it."""
    words = words[: next((i for i, word in enumerate(words) if word in (">", "|", "&&")), len(words))]
    if words[0].startswith("-"):
        assert main(words) == 0
        return
    command, rest = cli.find_command(words)
    assert command, f"{document}: lineage {shlex.join(words)}"
    function = getattr(importlib.import_module(command.module), command.function)

    @functools.wraps(function)
    def accept(**options: Any) -> int:
        return 0

    try:
        code = parse_and_call(accept, f"lineage {command.name}", rest)
    except SystemExit as end:
        code = end.code
    assert code == 0, f"{document}: lineage {shlex.join(words)}\n{capsys.readouterr().err}"


def test_commands_without_weights_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    found = [words for document, words in commands("lineage") if document not in ("operations.md", "video.md")]
    runnable = [words for words in found if words[0] in ("detect", "models") and "verify" not in words]
    assert len(runnable) >= 5
    for words in runnable:
        assert main(words[: words.index(">")] if ">" in words else words) == 0, words
    assert (home / "drawn" / "wizard.jpg").is_file()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_requests_in_documents_are_answered(home: Path, server: str) -> None:
    for document, words in commands("curl"):
        if document == "operations.md":  # tests/e2e/test_operations.py runs it
            continue
        command = ["curl", "--silent", "--show-error", "--fail", *(w.replace("localhost:8000", server) for w in words)]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (document, words, done.stderr)
        if "-o" not in words and any("/detect?" in word for word in words):
            DetectAnswer.model_validate_json(done.stdout)
    assert cv2.imread(str(home / "drawn.jpg")).shape == (48, 64, 3)


def test_documented_answer_has_the_schema_of_the_service() -> None:
    example = blocks("docs/serving.md", "json")[0]
    DetectAnswer.model_validate(json.loads(example))


@pytest.mark.parametrize(
    "kind",
    [
        *(card.ModelCard, letterbox.LetterboxPolicy, card.Thresholds, card.WeightsOrigin, card.ParentWeights),
        card.Metric,
    ],
)
def test_every_field_of_the_card_is_documented(kind: type[Any]) -> None:
    documented = [row[0] for row in table("docs/contract.md", kind.__name__)]
    assert documented == [field.name for field in dataclasses.fields(kind)]


def test_every_query_parameter_is_documented() -> None:
    assert [row[0] for row in table("docs/serving.md", "POST /detect")] == list(DetectQuery.model_fields)


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {row[0]: row[1] for row in table("docs/serving.md", "Settings")}
    assert list(documented) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        expected = {"decoders": "one per core"}.get(name, "none" if field.default is None else str(field.default))
        assert documented[name] == expected, name


def test_every_error_is_documented() -> None:
    documented = {(int(row[0]), row[1]) for row in table("docs/serving.md", "Errors")}
    assert documented == set(problems.STATUS_BY_ERROR.values())


def test_every_address_is_documented() -> None:
    rows = "\n".join(re.findall(r"^\| (`[A-Z]+ /[^|]+)", "\n".join(map(text, PAGES)), re.MULTILINE))
    documented = set(re.findall(r"`([A-Z]+ /[^`]*)`", rows)) | {"POST /detect"}
    paths = create_app(Settings()).openapi()["paths"]
    served = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert documented == served | {"GET /docs"}


def test_documented_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    targets_in_documents = {words[0] for _, words in commands("make") if words}
    assert targets_in_documents
    assert targets_in_documents <= targets


def test_glossary_is_sorted_without_duplicates() -> None:
    words = [row[0].lower() for row in table("docs/glossary.md", "Glossary")]
    assert words == sorted(set(words))


def test_every_dependency_has_its_license_listed() -> None:
    required = [*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra)]
    names = {re.split(r"[^\w.-]", requirement)[0] for requirement in required} - {PROJECT["name"]}
    assert {row[0] for row in table("THIRD_PARTY.md", "Packages")} == names
