"""Access to a real server: keys that come and go, limits, proxies, logs without keys, the playground with a key."""

from __future__ import annotations

import itertools
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineage.cli.main import main
from model_zoo.contract.repository import Repository
from service.access.key_file import add_key, remove_key
from tests.e2e.server import Server
from tests.tiny_onnx import toy_card, toy_onnx

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
TOKENS: dict[str, str] = {}
TRIES = itertools.count()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "model.onnx").write_bytes(toy_onnx(toy_card()))
    Repository(folder / "repository").publish(toy_card(), {"model.onnx": folder / "model.onnx"})
    return folder / "repository"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    TOKENS.update(user=add_key(path, "user", ("detect",)), operator=add_key(path, "operator", ("admin",)))
    return path


@pytest.fixture(scope="module")
def server(models: Path, keys: Path) -> Iterator[Server]:
    """Trusts a proxy on this machine, and allows a key 5 requests and then one in 20 seconds."""
    flags = {"log_level": "debug", "trusted_proxies": "127.0.0.1", "rate_per_address": 0.05, "rate_burst": 5}
    with Server(models, keys=keys, **flags) as server:
        yield server.wait_until_ready()


def status(server: Server, token: str, path: str = "/models", client: str = "192.0.2.9") -> int:
    """Return the status of a request of a client, which the proxy names."""
    headers = {"X-Api-Key": token, "X-Forwarded-For": client}
    return server.client.get(path, headers=headers).status_code


def test_key_is_needed_and_its_scope_counts(server: Server) -> None:
    assert server.client.get("/models", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 401
    assert status(server, TOKENS["user"], client="192.0.2.1") == 200
    assert status(server, TOKENS["user"], "/admin", "192.0.2.1") == 403
    assert status(server, TOKENS["operator"], "/admin", "192.0.2.1") == 200


def follows(server: Server, token: str, wanted: int) -> bool:
    """Return whether a key gets a status within two seconds. Each try has its own address, because of the limit."""
    end = time.monotonic() + 2
    while time.monotonic() < end:
        if status(server, token, client=f"198.18.0.{next(TRIES) % 250}") == wanted:
            return True
        time.sleep(0.1)
    return False


def test_new_and_revoked_keys_are_followed_within_two_seconds(server: Server, keys: Path) -> None:
    token = TOKENS["revoked"] = add_key(keys, "revoked", ("detect",))
    assert follows(server, token, 200)
    remove_key(keys, "revoked")
    assert follows(server, token, 401)
    whole = keys.read_bytes()
    keys.write_bytes(whole[:-30])
    server.wait_for_log(re.compile("API keys unchanged, the file cannot be used"))
    assert follows(server, TOKENS["user"], 200)
    keys.write_bytes(whole)


def test_limit_counts_the_address_that_the_proxy_saw(server: Server) -> None:
    assert [status(server, TOKENS["user"], client="203.0.113.7") for _ in range(6)] == [200] * 5 + [429]
    assert status(server, TOKENS["user"], client="203.0.113.8") == 200
    assert (
        status(server, TOKENS["user"], client="198.51.100.1, 203.0.113.7") == 429
    )  # what the client claims is ignored


def test_addresses_that_clients_claim_are_ignored_without_a_trusted_proxy(models: Path) -> None:
    with Server(models, rate_per_address=0.05, rate_burst=2) as server:
        server.wait_until_ready()
        statuses = [status(server, "", client=f"192.0.2.{n}") for n in range(4)]
        assert statuses == [200, 200, 429, 429]


def test_log_at_debug_has_names_and_no_key(server: Server) -> None:
    for path in ("/models", f"/models?api_key={TOKENS['operator']}", f"/detect?key={TOKENS['user']}"):
        status(server, TOKENS["user"], path, "192.0.2.4")
        status(server, "lineage_unknown", path, "192.0.2.5")
    misplaced = {"X-Request-Id": TOKENS["user"], "X-Forwarded-For": "192.0.2.6"}
    assert server.client.get(f"/models/{TOKENS['user']}", headers=misplaced).status_code == 401
    server.wait_for_log(re.compile("request=lineage_... .*GET /models/lineage_..."))
    assert "user" in server.log
    assert "lineage_" not in server.log.replace("lineage_model", "").replace("lineage_...", "")
    for token in TOKENS.values():
        assert token.removeprefix("lineage_")[:20] not in server.log


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--keys", "none.json"], "none.json: No such file or directory; create it with: lineage keys add NAME"),
        (["--trusted-proxies", "10.0.0.0/8,proxy.example"], "--trusted-proxies: expected addresses or networks"),
        (["--trusted-proxies", "10.0.0.7/8"], "has host bits set"),
        (["--ssl-certfile", "none.pem"], "--ssl-certfile: expected a PEM file; there is no file none.pem"),
        (["--ssl-keyfile", "none.pem"], "needs ssl_certfile"),
    ],
)
def test_mistakes_refuse_the_start_in_one_line(
    flags: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port=0", *flags]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert reason in error


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium; on Debian and Ubuntu: apt install chromium")
def test_playground_asks_for_a_key_and_keeps_it_for_the_tab(models: Path, keys: Path, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), np.full((200, 200, 3), (51, 102, 204), dtype=np.uint8))
    with Server(models, keys=keys) as server, playwright.sync_playwright() as running:
        server.wait_until_ready()
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.wait_for_selector("#access:not([hidden])")
        assert "expected an API key" in page.inner_text("#problem")
        page.set_input_files("#file", image)
        page.fill("#key", "wrong")
        page.click("#access button")
        page.wait_for_selector("#access:not([hidden])")
        page.fill("#key", TOKENS["user"])
        page.click("#access button")
        page.wait_for_selector("#result:not([hidden])")
        assert not page.is_visible("#access")
        assert TOKENS["user"] not in page.content()
        page.reload()
        page.wait_for_selector("#model option", state="attached")
        assert not page.is_visible("#access")
        browser.close()
