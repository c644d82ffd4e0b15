"""API keys in /openapi.json."""

from __future__ import annotations

from pathlib import Path

from service.access.key_file import add_key
from service.app import create_app
from service.settings import Settings


def test_guarded_operations_need_a_key_and_open_ones_do_not(tmp_path: Path) -> None:
    add_key(tmp_path / "keys.json", "a", ("detect",))
    document = create_app(Settings(keys=tmp_path / "keys.json")).openapi()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            is_guarded = not path.startswith("/health/")
            assert ("security" in operation) == is_guarded, path
            assert not is_guarded or "4XX" in operation["responses"]


def test_server_without_keys_describes_none() -> None:
    assert "securitySchemes" not in create_app(Settings()).openapi()["components"]
