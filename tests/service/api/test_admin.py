"""/admin: changes of models and versions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import parse_rollout, read_rollout
from service.api.native.schemas import Model
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.service.api.conftest import KEY_NAME, POLICY
from tests.service.app_client import check_problem, detect, png
from tests.service.conftest import Publish, flat

TOY = "/admin/models/toy"


def model_after(response: Response) -> Model:
    assert response.status_code == 200, response.text
    return Model.model_validate(response.json()["model"])


def states(model: Model) -> dict[int, str]:
    return {version.version: version.state for version in model.versions}


def answering(client: TestClient, reference: str = "toy") -> int:
    response = detect(client, png(flat(1)), model=reference)
    return int(response.json()["model"]["version"])


def test_alias_is_set_moved_and_removed(admin: TestClient, repository: Repository) -> None:
    first = admin.put(f"{TOY}/aliases/stable", json={"version": 2})
    assert (model_after(first).aliases, model_after(first).default) == ({"stable": 2}, 2)
    assert states(model_after(first))[2] == "loaded", "the answer shows the state after the change"
    moved = admin.put(f"{TOY}/aliases/stable", json={"version": 1})
    assert (moved.json()["before"], moved.json()["after"], answering(admin)) == (2, 1, 1)
    removed = admin.delete(f"{TOY}/aliases/stable")
    assert (removed.json()["before"], model_after(removed).default, answering(admin)) == (1, 3, 3)
    assert repository.aliases("toy") == {}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "title", "detail"),
    [
        ("PUT", f"{TOY}/aliases/stable", {}, 422, "Not processable", "version: expected an integer; the"),
        ("PUT", f"{TOY}/aliases/stable", {"version": True}, 422, "Not processable", "version: expected an integer; go"),
        ("PUT", f"{TOY}/aliases/x", {"version": 1, "v": 1}, 422, "Not processable", "v: unknown field; expected"),
        ("PUT", f"{TOY}/aliases/stable", [1], 422, "Not processable", "the document: expected an object; got [1]"),
        ("PUT", f"{TOY}/aliases/stable", {"version": 9}, 404, "No such model", "toy has no version '9'; expected"),
        ("PUT", f"{TOY}/aliases/latest", {"version": 1}, 409, "Change refused", "alias: expected letters"),
        ("PUT", "/admin/models/tyo/aliases/x", {"version": 1}, 404, "No such model", "did you mean toy?"),
        ("PUT", "/admin/models/..%2Ftoy/aliases/x", {"version": 1}, 404, "Not Found", "no such address"),
        ("DELETE", f"{TOY}/aliases/best", None, 404, "No such model", "toy has no alias 'best'; existing alias"),
        ("DELETE", f"{TOY}/versions/9", None, 404, "No such model", "toy has no version '9'"),
        ("DELETE", f"{TOY}/versions/latest", None, 404, "No such model", "version: expected a number, such as 3"),
        ("DELETE", f"{TOY}/versions/3", None, 409, "Change refused", "toy@3: cannot remove it while kept points"),
        ("DELETE", f"{TOY}/versions/1?forced=1", None, 422, "Query not understood", "did you mean force?"),
        ("DELETE", f"{TOY}/versions/1?force=much", None, 422, "Query not understood", "force: expected a boolean"),
        ("POST", f"{TOY}/versions/9/load", None, 404, "No such model", "toy has no version '9'"),
        ("POST", "/admin/models/tyo/unload", None, 404, "No such model", "did you mean toy?"),
        ("GET", "/admin/models/tyo/rollout", None, 404, "No such model", "did you mean toy?"),
        ("PUT", f"{TOY}/rollout", {"canary": {"version": 9}}, 404, "No such model", "canary.version: toy has"),
        ("PUT", f"{TOY}/rollout", {"canary": {}}, 422, "Not processable", "canary.version: expected a string;"),
        ("PUT", f"{TOY}/rollout", {"shadow": {"version": 1, "percent": 101}}, 422, "Not processable", "percent: "),
        ("DELETE", f"{TOY}/rollout", None, 404, "No such model", "toy has no rollout policy"),
        ("POST", f"{TOY}/versions/3", None, 405, "Method Not Allowed", "expected DELETE"),
    ],
)  # fmt: skip
def test_mistakes_get_one_clear_error_and_change_nothing(
    admin: TestClient, repository: Repository, method: str, path: str, body: Any, status: int, title: str, detail: str
) -> None:
    repository.set_alias("toy", "kept", 3)
    before = admin.post("/admin/refresh").json()
    response = admin.request(method, path, json=body) if body is not None else admin.request(method, path)
    assert detail in check_problem(response, status, title)
    assert admin.post("/admin/refresh").json() == before
    assert (repository.versions("toy"), repository.aliases("toy")) == ([1, 2, 3], {"kept": 3})
    assert read_rollout(repository.root / "toy") is None


def test_versions_are_removed_by_the_rules_of_the_command_line(admin: TestClient, repository: Repository) -> None:
    repository.set_alias("toy", "stable", 2)
    assert states(model_after(admin.delete(f"{TOY}/versions/3"))).keys() == {1, 2}
    after = model_after(admin.delete(f"{TOY}/versions/2", params={"force": True}))
    assert (states(after), after.aliases, answering(admin)) == ({1: "loaded"}, {}, 1)
    detail = check_problem(admin.delete(f"{TOY}/versions/1"), 409, "Change refused")
    assert detail.startswith("toy@1 is the last version; force its removal")
    assert admin.delete(f"{TOY}/versions/1", params={"force": True}).json()["model"] is None
    check_problem(detect(admin, png(flat(1)), model="toy"), 404, "No such model")


def test_versions_are_loaded_and_unloaded(admin: TestClient) -> None:
    loaded = admin.post(f"{TOY}/versions/1/load")
    assert (loaded.json()["after"], states(model_after(loaded))) == (1, {1: "loaded", 2: "available", 3: "loaded"})
    unloaded = admin.post(f"{TOY}/unload")
    assert (unloaded.json()["before"], set(states(model_after(unloaded)).values())) == ([1, 3], {"unloaded"})
    assert "load" in check_problem(detect(admin, png(flat(1)), model="toy"), 409, "Model unusable")
    assert states(Model(**admin.post("/admin/refresh").json()["models"][0]))[3] == "unloaded"
    assert states(model_after(admin.post(f"{TOY}/load")))[3] == "loaded"
    assert answering(admin) == 3


def test_rollout_is_set_shown_and_removed(admin: TestClient, repository: Repository) -> None:
    assert admin.get(f"{TOY}/rollout").json() == {}
    changed = admin.put(f"{TOY}/rollout", json=POLICY)
    assert model_after(changed).default == 1
    assert admin.get(f"{TOY}/rollout").json() == changed.json()["after"] == POLICY
    assert read_rollout(repository.root / "toy") == parse_rollout(POLICY)
    removed = admin.delete(f"{TOY}/rollout")
    assert (removed.json()["before"], model_after(removed).default) == (POLICY, 3)


def test_damaged_rollout_is_reported_and_can_be_replaced(admin: TestClient, repository: Repository) -> None:
    (repository.root / "toy" / "rollout.json").write_text('{"stabel": 1}')
    detail = check_problem(admin.get(f"{TOY}/rollout"), 422, "Not processable")
    assert detail.startswith("toy: rollout.json: stabel: unknown field")
    replaced = admin.put(f"{TOY}/rollout", json=POLICY)
    assert "stabel" in replaced.json()["before"]["damaged"]
    assert model_after(replaced).default == 1


def test_refresh_follows_the_repository_at_once(admin: TestClient, publish: Publish) -> None:
    publish()
    assert answering(admin) == 3
    [model] = admin.post("/admin/refresh").json()["models"]
    assert (states(Model(**model))[4], answering(admin)) == ("loaded", 4)


def test_status_shows_reasons_and_settings_in_force(
    admin: TestClient, repository: Repository, publish: Publish
) -> None:
    publish().model_path.write_bytes(b"wrong")
    (repository.root / "toy" / "2" / "service.json").write_text('{"queue_size": 7}')
    admin.post("/admin/refresh")
    status = admin.get("/admin").json()
    assert status["model_settings"] == {"toy@2": {"queue_size": 7}}
    assert (status["repository"], status["settings"]["poll"]) == (str(repository.root), 1000)
    assert "model.onnx is damaged" in status["models"][0]["versions"][3]["reason"]
    assert status["degraded"][0].startswith("toy: serving version 3 instead of 4")


def test_every_change_is_one_line_of_the_log(admin: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "service.api.admin")
    admin.put(f"{TOY}/aliases/stable", json={"version": 2})
    admin.put(f"{TOY}/aliases/stable", json={"version": 99})
    admin.delete(f"{TOY}/versions/1")
    records = [record for record in caplog.records if record.name == "service.api.admin"]
    fields: list[Mapping[str, Any]] = [vars(record)["fields"] for record in records]
    assert fields == [
        {"key": KEY_NAME, "change": "set alias toy@stable", "before": None, "after": 2},
        {"key": KEY_NAME, "change": "remove toy@1", "before": 1, "after": None},
    ]


def test_bundled_model_is_not_changed(admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    store = admin.app_state["service"].store
    monkeypatch.setattr(store, "_repository", BUNDLED_REPOSITORY)
    response = admin.delete("/admin/models/ui-elements/versions/1", params={"force": True})
    assert "the bundled model cannot be changed" in check_problem(response, 409, "Change refused")
    assert BUNDLED_REPOSITORY.versions("ui-elements") == [1]


def test_read_only_repository_is_not_changed(admin: TestClient, repository: Repository) -> None:
    (repository.root / "toy" / ".lock").mkdir()  # root may write anywhere
    for change in (
        admin.put(f"{TOY}/aliases/stable", json={"version": 2}),
        admin.delete(f"{TOY}/versions/1"),
        admin.put(f"{TOY}/rollout", json=POLICY),
    ):
        assert "toy: cannot change it in" in check_problem(change, 409, "Change refused")
    assert answering(admin) == 3


@pytest.mark.parametrize(
    "path", [f"{TOY}/load", f"{TOY}/unload", f"{TOY}/versions/1/load", "/v2/repository/models/toy/unload"]
)
def test_loads_and_unloads_of_one_process_are_refused(
    admin: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    settings = admin.app_state["service"].settings
    monkeypatch.setitem(settings.__dict__, "processes", 2)
    answer = admin.post(path)
    assert answer.status_code == 409
    assert "in one of several processes only; publish or remove versions, or set aliases" in answer.text
    assert states(Model(**admin.post("/admin/refresh").json()["models"][0]))[3] == "loaded"
