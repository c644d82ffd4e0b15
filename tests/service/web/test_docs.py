"""GET /docs and /openapi.json."""

from __future__ import annotations

import re

from starlette.testclient import TestClient

from service.api.protocols import BY_NAME, OTHER


def test_docs_load_nothing_from_other_hosts(client: TestClient) -> None:
    response = client.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    assert "/detect" in response.text
    assert "src=" not in response.text
    assert "https://" not in response.text


def test_openapi_describes_every_route(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    for path in ("/detect", "/models", "/models/{name}", "/health/live", "/health/ready", "/metrics", "/admin/refresh"):
        assert path in described["paths"]
    assert "multipart/form-data" in described["paths"]["/detect"]["post"]["requestBody"]["content"]


def test_tags_head_their_operations(client: TestClient) -> None:
    page, described = client.get("/docs").text, client.get("/openapi.json").json()
    for tag in described["tags"]:
        section = page.split(f'<h2 id="{tag["name"]}">', 1)[1].split("<h2", 1)[0]
        paths = [
            path
            for path, methods in described["paths"].items()
            for op in methods.values()
            if op["tags"] == [tag["name"]]
        ]
        assert section.count("<h3 ") == len(paths) > 0
        assert all(f"</b> <code>{path}</code></h3>" in section for path in paths)


def test_backticks_become_code(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "multipart parts named <code>file</code>" in page
    assert "`" not in re.sub("<pre.*?</pre>", "", page, flags=re.DOTALL)


def test_links_of_the_page_have_a_target(client: TestClient) -> None:
    page = client.get("/docs").text
    anchors = re.findall(r'id="([^"]+)"', page)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(anchors)
    assert '<a href="#schema-DetectAnswer">DetectAnswer</a>' in page
    assert all(client.get(f"/{linked}").status_code == 200 for linked in re.findall(r'href="([^#"]+)"', page))


def test_parameters_have_types_and_defaults(client: TestClient) -> None:
    page = client.get("/docs").text
    detect = page.split('<h3 id="post-detect">', 1)[1].split("</article>", 1)[0]
    assert '<code>nms</code><td><code>"diou"</code> or <code>"iou"</code><td>' in detect
    assert "integer, at least 1, at most 100,000<td>" in detect
    assert "array of file, at least 1 item" in detect
    assert "curl -F file=@photo.jpg http://testserver/detect" in detect
    remove = page.split('<h3 id="delete-admin-models-name-versions-version">', 1)[1].split("</article>", 1)[0]
    assert "<code>force</code><td>boolean<br><small>default</small> <code>false</code>" in remove
    assert "curl -X DELETE" in remove


def test_problems_are_documented_with_their_media_type(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert "Problem" in described["components"]["schemas"]
    for methods in described["paths"].values():
        for operation in methods.values():
            media_type = BY_NAME.get(operation["tags"][0], OTHER).media_type
            for status, response in operation["responses"].items():
                if not status.startswith("2") and "Health" not in str(response):
                    assert next(iter(response["content"])) == media_type, (operation["operationId"], status)
