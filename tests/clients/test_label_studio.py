"""A real Label Studio connects the server as its machine learning backend and fetches predictions."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from httpx2 import Client, TransportError

from model_zoo.contract.repository import Repository
from service.inference.bundled import BUNDLED_REPOSITORY
from tests.clients.environments import environment
from tests.conftest import ROOT
from tests.e2e.protocols import NATIVE, Sample, label_studio_call
from tests.e2e.server import Server

pytestmark = pytest.mark.slow
SAMPLE = ROOT / "service" / "web" / "static" / "playground" / "samples" / "wizard.jpg"
CARD = Repository(BUNDLED_REPOSITORY.root).resolve("ui-elements").card
TOKEN = "0123456789abcdef0123456789abcdef01234567"
PATIENCE = 480
LABELS = "".join(f'<Label value="{name}"/>' for name in CARD.class_names)
CONFIG = (
    '<View><Image name="img" value="$image"/>'
    f'<RectangleLabels name="box" toName="img">{LABELS}</RectangleLabels></View>'
)
# It refuses backends on loopback addresses and legacy tokens by default.
SETTINGS = {
    "ML_BLOCK_LOCAL_IP": "false",
    "USE_DEFAULT_BANNED_SUBNETS": "false",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    "LATEST_VERSION_CHECK": "false",
    "COLLECT_ANALYTICS": "false",
}


@pytest.fixture(scope="module")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Label Studio with a new SQLite database, and a client of its API."""
    program, folder = environment("label_studio") / "label-studio", tmp_path_factory.mktemp("label_studio")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    login = ["--username", "a@example.com", "--password", "secret-Pass1", "--user-token", TOKEN]
    command = [program, "start", "--no-browser", "--port", str(port), "--data-dir", folder / "data", *login]
    variables = SETTINGS | {"HOME": str(folder), "PATH": f"{program.parent}:/usr/bin:/bin"}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, env=variables, stdout=log, stderr=log) as process,
        Client(base_url=f"http://127.0.0.1:{port}", timeout=60, headers={"Authorization": f"Token {TOKEN}"}) as client,
    ):
        try:
            wait_until_up(client, process, folder / "log")
            yield client
        finally:
            process.kill()


def wait_until_up(client: Client, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with suppress(TransportError):
            if client.get("/health").status_code == 200:
                return
        time.sleep(1)
    raise AssertionError(log.read_text()[-3000:])


def ask(client: Client, method: str, path: str, **options: object) -> dict[str, object]:
    response = client.request(method, path, **options)
    assert response.is_success, (path, response.text[:1000])
    return response.json()


def test_predictions_of_data_uris_and_uploaded_images(label_studio: Client, tmp_path: Path) -> None:
    (tmp_path / "token.txt").write_text(TOKEN)
    origin = str(label_studio.base_url).rstrip("/")
    flags = {"label_studio_url": origin, "label_studio_token": tmp_path / "token.txt"}
    with Server(BUNDLED_REPOSITORY.root, **flags) as server:
        server.wait_until_ready()
        sample = Sample.of(SAMPLE.read_bytes())
        expected = label_studio_call(CARD, [sample]).send(server.client).json()["results"][0]["result"]
        assert len(expected) == len(NATIVE.detect(server.client, CARD, [sample])[0]) > 5
        project = ask(label_studio, "POST", "/api/projects", json={"title": "test", "label_config": CONFIG})["id"]
        uri = f"data:image/jpeg;base64,{base64.b64encode(sample.data).decode()}"
        ask(label_studio, "POST", f"/api/projects/{project}/import", json=[{"data": {"image": uri}}])
        ask(label_studio, "POST", f"/api/projects/{project}/import", files={"file": ("a.jpg", sample.data)})
        url = f"http://127.0.0.1:{server.port}/label-studio"
        backend = ask(label_studio, "POST", "/api/ml", json={"project": project, "url": url, "title": "lineage"})
        assert (backend["state"], backend["model_version"]) == ("CO", "ui-elements@1")
        action = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}"
        ask(label_studio, "POST", action, json={"selectedItems": {"all": True, "excluded": []}})
        predictions = ask(label_studio, "GET", f"/api/predictions?project={project}")
        assert [prediction["result"] for prediction in predictions] == [expected, expected]
