"""Files that released versions wrote: this version reads them as they are, and refuses those of newer schemas."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from model_zoo.contract import golden
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError
from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import read_rollout
from model_zoo.runtime.model_file import open_model_file
from service.access.key_file import read_keys
from service.inference.catalog import read_catalog
from service.inference.serving_record import read_record
from tests.conftest import ROOT
from tests.service.app_client import serving

RELEASES = sorted(path for path in Path(__file__).parent.iterdir() if path.is_dir() and path.name != "__pycache__")
SAMPLE = ROOT / "service/web/static/playground/samples/wizard.jpg"


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    """A copy of the repository that a release wrote."""
    return Repository(shutil.copytree(request.param, tmp_path / "models"))


def test_there_is_a_repository_of_the_first_release() -> None:
    assert RELEASES[0].name == "0.1.0"


def test_all_documents_are_read(repository: Repository) -> None:
    package = repository.resolve("ui-elements@stable")
    assert (package.version, package.card.name) == (1, "ui-elements")
    assert package.card == open_model_file(package.path / "model.onnx").card
    expected = golden.read(package)
    assert expected
    assert len(expected.cases) == 5
    policy = read_rollout(repository.root / "ui-elements")
    assert policy
    assert policy.stable == "1"
    record = read_record(repository.root)
    assert record.default_model == "ui-elements"
    assert record.packages(read_catalog(repository)) == {"ui-elements": package}
    assert [key.name for key in read_keys(repository.root / "keys.json")] == ["camera"]


def test_model_passes_its_golden_images_is_served_and_no_file_is_rewritten(repository: Repository) -> None:
    before = contents(repository.root)
    with serving(repository) as client:  # runs the golden images first
        answer = client.post("/detect", files={"file": SAMPLE.read_bytes()}).json()
    assert contents(repository.root) == before
    assert answer["model"] == {"name": "ui-elements", "version": 1}
    assert len(answer["results"][0]["detections"]) > 5


def contents(root: Path) -> dict[str, bytes]:
    """Return all files but the server's own record."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.name != ".serving.json"]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


NEWER: dict[str, Callable[[Repository], object]] = {
    "ui-elements/1/card.json": lambda r: ModelCard.read(r.root / "ui-elements/1/card.json"),
    "ui-elements/1/manifest.json": lambda r: r.resolve("ui-elements"),
    "ui-elements/rollout.json": lambda r: read_rollout(r.root / "ui-elements"),
    "keys.json": lambda r: read_keys(r.root / "keys.json"),
}


@pytest.mark.parametrize("document", NEWER)
def test_document_of_a_newer_schema_is_refused_before_its_fields(document: str, repository: Repository) -> None:
    write_newer(repository.root / document)
    with pytest.raises(LineageError, match="expected schema_version 1; got 2; a newer release wrote it, upgrade"):
        NEWER[document](repository)


def test_server_record_of_a_newer_schema_is_ignored(repository: Repository, caplog: pytest.LogCaptureFixture) -> None:
    write_newer(repository.root / ".serving.json")
    assert read_record(repository.root).served == {}
    assert "a newer release wrote it" in caplog.text


def write_newer(path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, "schema_version": 2, "a_new_field": 1}), encoding="utf-8")


def test_package_of_a_newer_schema_leaves_others_in_service(repository: Repository) -> None:
    home = repository.root / "ui-elements"
    shutil.copytree(home / "1", home / "2")
    write_newer(home / "2" / "manifest.json")
    packages, problems = repository.scan()
    assert [package.version for package in packages] == [1]
    assert "a newer release wrote it" in str(problems[0])
