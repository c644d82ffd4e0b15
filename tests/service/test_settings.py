"""Settings from the environment and from flags, and the messages for invalid ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model_zoo.runtime.base import EngineOptions
from service.settings import Settings, SettingsError, unknown_variables


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LINEAGE_{name.upper()}", raising=False)


def test_flags_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_PORT", "9000")
    monkeypatch.setenv("LINEAGE_MAX_BATCH", "4")
    settings = Settings(port=9001, repository=Path("elsewhere"))
    assert (settings.port, settings.max_batch, settings.repository) == (9001, 4, Path("elsewhere"))
    assert settings.engine_options == EngineOptions("onnxruntime", "auto", None, 4, "auto")


@pytest.mark.parametrize("name", ["timeout", "header_timeout", "keep_alive_timeout", "poll"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e9", "", "75s"])
def test_durations_are_bounded(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^--{name.replace('_', '-')}: expected "):
        Settings(**{name: value})


@pytest.mark.parametrize("name", ["host", "repository", "port", "timeout", "default_model", "max_connections"])
def test_empty_variable_is_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker Compose passes variables that are not set as empty ones."""
    monkeypatch.setenv(f"LINEAGE_{name.upper()}", "")
    assert getattr(Settings(), name) == Settings.model_fields[name].default


def test_empty_host_does_not_listen_on_all_interfaces() -> None:
    with pytest.raises(SettingsError, match=r"^--host: expected text of at least 1 character"):
        Settings(host="")


@pytest.mark.parametrize("headers", ["a b", "X-\u5199", "X:Y"])
def test_cors_headers_are_names(headers: str) -> None:
    with pytest.raises(SettingsError, match=r"^--cors-headers: expected names such as X-Request-Id"):
        Settings(cors_headers=headers)


def test_all_invalid_variables_are_reported_with_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_PORT", "99999")
    monkeypatch.setenv("LINEAGE_PROVIDER", "gpu")
    with pytest.raises(SettingsError) as caught:
        Settings()
    first, second = str(caught.value).splitlines()
    assert first.startswith("LINEAGE_PORT: ")
    assert "65535" in first
    assert "'99999'" in first
    assert second.startswith("LINEAGE_PROVIDER: ")
    assert "'cuda'" in second
    assert "'gpu'" in second


def test_invalid_flags_are_reported_as_flags() -> None:
    with pytest.raises(SettingsError, match=r"^--max-delay-ms: .*got -1"):
        Settings(max_delay_ms=-1)
    with pytest.raises(SettingsError, match=r"^--prot: "):
        Settings(prot=1)


def test_contradicting_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"^max_files \(9\) must not exceed queue_size \(8\)$"):
        Settings(max_files=9, queue_size=8)
    with pytest.raises(SettingsError, match=r"^max_body \(9\) must not exceed max_pending \(8\)$"):
        Settings(max_body=9, max_pending=8)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "server.example"])
def test_kept_images_beyond_loopback_need_keys(host: str) -> None:
    with pytest.raises(SettingsError, match=rf"images of users to everybody who can reach {host}: set keys, or listen"):
        Settings(shadow_images=1, host=host)
    Settings(shadow_images=1, host=host, keys=Path("keys.json"))
    Settings(shadow_images=1, host="localhost")


@pytest.mark.parametrize("rate", [0, 1e-310, -1, "nan", "inf"])  # 1 / 1e-310 is infinite, as is its Retry-After
def test_rates_are_bounded(rate: object) -> None:
    for name in ("rate_per_key", "rate_per_address"):
        with pytest.raises(SettingsError, match="expected "):
            Settings(**{name: rate})
    with pytest.raises(SettingsError, match="rate-burst: expected "):
        Settings(rate_burst=10**400)


def test_unknown_variables_are_reported_with_a_suggestion() -> None:
    others = dict.fromkeys(("LINEAGE_DEBUG", "LINEAGE_CACHE", "LINEAGE_SHARED", "PATH"), "4")
    environment = {"LINEAGE_PROT": "1", "LINEAGE_PORT": "2", "LINEAGE_QWXZ": "3", **others}
    assert unknown_variables(environment) == [
        "LINEAGE_PROT is ignored: it is not a setting; did you mean LINEAGE_PORT?",
        "LINEAGE_QWXZ is ignored: it is not a setting",
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", None),
        ("*", "*"),
        ("null", "null"),
        (" https://App.example/ ,http://[::1]:8080", "https://app.example,http://[::1]:8080"),
        ("https://a.example:443,http://b.example:80", "https://a.example,http://b.example"),
    ],
)
def test_origins_are_written_as_browsers_send_them(written: str, read: str | None) -> None:
    assert Settings(cors_origins=written).cors_origins == read


@pytest.mark.parametrize(
    "origin",
    [
        "app.example",
        "https://app.example/page",
        "https://*.example",
        "https://b\u00fccher.example",
        "https://me@app.example",
        "https://",
    ],
)
def test_other_origins_are_refused(origin: str) -> None:
    with pytest.raises(SettingsError, match=r"^--cors-origins: expected origins such as https://"):
        Settings(cors_origins=origin)


@pytest.mark.parametrize("setting", [{"grpc_port": 8001}, {"zmq": "tcp://127.0.0.1:5555"}], ids=str)
def test_ports_without_their_extra_are_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, setting: dict[str, object]
) -> None:
    monkeypatch.setattr("service.settings.find_spec", lambda name: None)
    extra = "grpc" if "grpc_port" in setting else "zmq"
    install = rf"expected the extra {extra}; install it with: pip install 'yolo-lineage\[{extra}\]'"
    with pytest.raises(SettingsError, match=install):
        Settings(**setting)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:5555", "tcp://127.0.0.1", "http://127.0.0.1:5555", "ipc://", "5555"])
def test_endpoint_of_zmq_is_checked(endpoint: str) -> None:
    pytest.importorskip("zmq", reason="needs the extra zmq")
    with pytest.raises(SettingsError, match=r"^--zmq: expected an endpoint such as tcp://127\.0\.0\.1:5555"):
        Settings(zmq=endpoint)


def test_zmq_beyond_this_machine_is_refused_where_keys_protect_the_rest(tmp_path: Path) -> None:
    pytest.importorskip("zmq", reason="needs the extra zmq")
    keys = tmp_path / "keys.json"
    for local in ("tcp://127.0.0.1:5555", "tcp://[::1]:5555", "ipc:///run/frigate.sock"):
        assert Settings(zmq=local, keys=keys).zmq == local
    for endpoint in ("tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://192.0.2.1:5555", "tcp://eth0:*"):
        assert Settings(zmq=endpoint).zmq == endpoint
        with pytest.raises(SettingsError, match=r"zmq \(.*\) would answer requests without a key"):
            Settings(zmq=endpoint, keys=keys)


@pytest.mark.parametrize("setting", [{"model_memory": 9}, {"shadow_images": 5}], ids=str)
def test_what_is_kept_in_one_process_needs_one(monkeypatch: pytest.MonkeyPatch, setting: dict[str, int]) -> None:
    monkeypatch.setattr(os, "memfd_create", print, raising=False)
    ((name, value),) = setting.items()
    assert getattr(Settings(**setting), name) == value
    with pytest.raises(SettingsError, match=rf"^{name} \({value}\) needs one process; got processes 2"):
        Settings(processes=2, **setting)


def test_several_processes_need_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert Settings(processes=1).processes == 1
    with pytest.raises(SettingsError, match=r"^processes \(2\) needs Linux; leave it at 1"):
        Settings(processes=2)


@pytest.mark.parametrize("text", ["labels:8080", "ftp://a", "http://", "http://a/b", "http://u@a", "http://a?b", "*"])
def test_addresses_of_label_studio_are_origins(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^--label-studio-url: expected addresses such as http://"):
        Settings(label_studio_url=text)


def test_addresses_of_label_studio_are_normalized() -> None:
    settings = Settings(label_studio_url="HTTP://Labels:8080/, https://images.example")
    assert settings.label_studio_url == "http://labels:8080,https://images.example"


def test_token_of_label_studio_needs_an_address() -> None:
    with pytest.raises(SettingsError, match=r"^label_studio_token .* needs label_studio_url"):
        Settings(label_studio_token=Path("token"))


def test_bf16_needs_a_provider_that_computes_it() -> None:
    with pytest.raises(SettingsError, match="compute bf16: expected provider openvino or auto; got cpu"):
        Settings(provider="cpu", compute="bf16")
    assert Settings(compute="bf16").engine_options.compute == "bf16"
