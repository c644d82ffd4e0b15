"""Images of tasks: which addresses are fetched, and with which token."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path

import pytest

from model_zoo.contract.errors import ImageError
from service.api.labelstudio.images import ImageSource
from service.inference.errors import MemoryFull
from tests.service.api.labelstudio.file_host import ACCESS, REFRESH, FileHost, hosting

Files = list[bytes | ImageError]
DATA = "data:image/png;base64," + base64.b64encode(b"inline").decode()


def get(addresses: Sequence[object], origins: Sequence[str] = (), token: Path | None = None) -> Files:
    async def run() -> Files:
        deadline = asyncio.get_running_loop().time() + 30
        return await ImageSource(origins, token, 1_000_000).get_all(addresses, lambda _: None, deadline)

    return asyncio.run(run())


def test_paths_and_addresses_on_the_origin_are_fetched(host: FileHost) -> None:
    host.files = {"/data/upload/1/%C3%A9%20b.png": b"a", "/b.png?x=%2F": b"b"}
    addresses = [
        "/data/upload/1/é b.png",
        f"{host.origin}/b.png?x=%2F#part",
        host.origin.replace("http", "HTTP") + "/b.png?x=%2F",
        DATA,
    ]
    assert get(addresses, [host.origin]) == [b"a", b"b", b"b", b"inline"]


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data",
        "{origin}.evil.example/a.png",
        "{origin}@evil.example/a.png",
        "http://user:pass@{host}/a.png",
        "{origin}",
        "{origin}\\@evil.example/a.png",
        "//evil.example/a.png",
        "file:///etc/passwd",
        "ftp://{host}/a.png",
        "s3://bucket/a.png",
        "a.png",
        "http://[/a.png",
    ],
)
def test_other_addresses_are_not_fetched(address: str, host: FileHost) -> None:
    host.files["/a.png"] = b"a"
    address = address.format(origin=host.origin, host=host.origin.removeprefix("http://"))
    (error,) = get([address], [host.origin])
    assert isinstance(error, ImageError)
    assert f"expected an address on {host.origin}, as label_studio_url says" in str(error)
    assert host.requests == []


@pytest.mark.parametrize("address", [None, "", 5, ["/a.png"], {"url": "/a.png"}])
def test_what_is_no_address_is_an_error(address: object) -> None:
    (error,) = get([address], ["http://127.0.0.1:9"])
    assert "expected the address of an image" in str(error)


def test_without_the_setting_nothing_is_fetched() -> None:
    inline, error = get([DATA, "/data/upload/a.png"])
    assert inline == b"inline"
    assert "set label_studio_url" in str(error)


def test_inline_image_must_be_base64() -> None:
    (error,) = get(["data:image/png;base64,???"])
    assert isinstance(error, ImageError)
    assert "expected base64" in str(error)


def test_token_is_exchanged_once_and_sent_to_label_studio_alone(tmp_path: Path, host: FileHost) -> None:
    (tmp_path / "token").write_text(REFRESH)
    host.files, host.authorized = {"/a.png": b"a", "/b.png": b"b"}, f"Bearer {ACCESS}"
    with hosting() as other:
        other.files["/c.png"] = b"c"
        addresses = ["/a.png", "/b.png", f"{other.origin}/c.png"]
        assert get(addresses, [host.origin, other.origin], tmp_path / "token") == [b"a", b"b", b"c"]
        assert other.requests == [("GET", "/c.png", "")]
    assert [method for method, _, _ in host.requests].count("POST") == 1


def test_refused_token_is_the_reason_for_images_of_label_studio(tmp_path: Path, host: FileHost) -> None:
    (tmp_path / "token").write_text("a.b.c")
    refused, inline = get(["/a.png", DATA], [host.origin], tmp_path / "token")
    assert "api/token/refresh: expected status 200; got 401" in str(refused)
    assert inline == b"inline"


def test_image_that_does_not_arrive_is_given_up(host: FileHost) -> None:
    async def run() -> Files:
        deadline = asyncio.get_running_loop().time() + 0.2
        addresses = [f"{host.origin}/slow", DATA]
        return await ImageSource([host.origin], None, 1_000_000).get_all(addresses, lambda _: None, deadline)

    slow, inline = asyncio.run(run())
    assert "not received in time" in str(slow)
    assert inline == b"inline"


def test_files_are_counted_until_the_memory_is_full(host: FileHost) -> None:
    host.files = {"/a.png": b"a" * 10, "/b.png": b"b" * 20}
    sizes: list[int] = []

    def reserve(size: int) -> None:
        if size == len(b"inline"):
            raise MemoryFull("full")
        sizes.append(size)

    async def run(*addresses: str) -> None:
        await ImageSource([host.origin], None, 1_000_000).get_all(
            addresses, reserve, asyncio.get_running_loop().time() + 30
        )

    asyncio.run(run("/a.png", "/b.png", "/gone.png"))
    assert sorted(sizes) == [10, 20]
    with pytest.raises(MemoryFull):
        asyncio.run(run("/a.png", DATA))
