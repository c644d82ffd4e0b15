"""Sources of the documentation site, and the site itself."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tools import site

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def write(root: Path, **documents: str) -> Path:
    for name, text in {"README": "[all](docs/a.md)\n", **documents}.items():
        path = root / (f"{name}.md" if name.isupper() else f"docs/{name}.md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def names(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in site.collect(root)]


def test_linked_files_are_collected_with_the_files_that_they_link_to(tmp_path: Path) -> None:
    write(tmp_path, a="[b](../CHANGES.md#x) ![c](c.png)", CHANGES="[d](docs/d.txt) [web](https://a.b/c.md) [here](#e)")
    for name in ("c.png", "d.txt", "not-linked.txt"):
        (tmp_path / "docs" / name).touch()
    assert names(tmp_path) == ["CHANGES.md", "README.md", "docs/a.md", "docs/c.png", "docs/d.txt"]


def test_links_in_code_are_text(tmp_path: Path) -> None:
    write(tmp_path, a="```md\n[x](none.md)\n```\n\n    [y](none.md)\n\nand `[z](none.md)`\n")
    assert names(tmp_path) == ["README.md", "docs/a.md"]


@pytest.mark.parametrize("target", ["none.md", "../docs", "../../outside.md"])
def test_link_that_leads_nowhere_is_refused(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "outside.md").touch()
    root = write(tmp_path / "project", a=f"[x]({target})")
    assert site.main(root, tmp_path / "sources") == 1
    assert "docs/a.md: expected a link to a file of the repository; got" in capsys.readouterr().err
    assert not (tmp_path / "sources").exists()


def test_old_sources_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "old.md").touch()
    assert site.main(write(tmp_path / "project", a=""), tmp_path / "sources") == 0
    assert not (tmp_path / "sources" / "old.md").exists()


def test_every_document_has_a_place_in_the_navigation() -> None:
    listed = re.findall(
        r"^ +- (?:[^:\n]+: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE
    )
    documents = [str(path.relative_to(ROOT)) for path in site.collect(ROOT) if path.suffix == ".md"]
    assert sorted(listed) == documents


@pytest.fixture(scope="module")
def built() -> Path:
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    done = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "build" / "docs" / "site"


@pytest.mark.slow
def test_pages_link_to_nothing_that_is_loaded_from_other_hosts(built: Path) -> None:
    loaded = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//[^ >]*")
    assert [match for page in built.rglob("*.html") for match in loaded.findall(page.read_text(encoding="utf-8"))] == []


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address(built: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(built))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium; on Debian and Ubuntu: apt install chromium")
def test_browser_finds_search_diagrams_and_reference_without_other_hosts(address: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    requested: list[str] = []
    with (
        playwright.sync_playwright() as started,
        started.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser,
    ):
        page = browser.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.goto(address)
        page.wait_for_selector("div.mermaid")  # replaces the source of the diagram
        page.goto(f"{address}docs/reference/client/")
        assert page.locator("#lineage\\.client\\.sync_client\\.Client\\.detect").count() == 1
        page.keyboard.press("Control+k")
        page.keyboard.type("wait_until_ready")
        page.wait_for_selector("a[href*='wait_until_ready'] >> visible=true")
    assert [url for url in requested if not url.startswith((address, "data:", "blob:"))] == []
