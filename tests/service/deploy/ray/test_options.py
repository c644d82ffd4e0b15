"""Arguments of an application on Ray."""

from __future__ import annotations

import re

import pytest

from service.deploy.ray.options import OF_RAY, RaySettings
from service.settings import Settings, SettingsError


def test_settings_of_the_server_are_arguments() -> None:
    settings = RaySettings(repository="/models", queue_size=128, in_flight=8)
    assert (str(settings.repository), settings.queue_size, settings.in_flight) == ("/models", 128, 8)


def test_variables_count_for_missing_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_MAX_BATCH", "4")
    monkeypatch.setenv("LINEAGE_HOST", "0.0.0.0")  # as images of the server have it
    assert RaySettings().max_batch == 4


@pytest.mark.parametrize("name", OF_RAY)
def test_settings_without_effect_are_refused(name: str) -> None:
    assert name in Settings.model_fields
    with pytest.raises(SettingsError, match=rf"^args: {name} has no effect on Ray; use "):
        RaySettings(**{name: None})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_batch": "many"}, r"args: max_batch: expected .*; got 'many'"),
        ({"max_bach": 4}, r"args: max_bach: .*; got 4"),
        ({"in_flight": 0}, r"args: in_flight: expected .*; got 0"),
    ],
)
def test_faults_name_the_argument(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{message}$") as raised:
        RaySettings(**arguments)
    assert "--" not in str(raised.value)
    assert re.fullmatch(r"[^\n]+", str(raised.value))
