"""Settings come from the environment and from flags, are checked at start, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.runtime.base import EngineOptions
from service.settings import Settings, SettingsError, unknown_variables


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LINEAGE_{name.upper()}", raising=False)


def test_the_environment_sets_and_flags_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_PORT", "9000")
    monkeypatch.setenv("LINEAGE_MAX_BATCH", "4")
    settings = Settings(port=9001, repository=Path("elsewhere"))
    assert (settings.port, settings.max_batch, settings.repository) == (9001, 4, Path("elsewhere"))
    assert settings.engine_options == EngineOptions("onnxruntime", "auto", None, 4, "square")


def test_every_wrong_variable_is_named_with_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_wrong_flag_is_named_as_a_flag() -> None:
    with pytest.raises(SettingsError, match=r"^--max-delay-ms: .*got -1"):
        Settings(max_delay_ms=-1)
    with pytest.raises(SettingsError, match=r"^--prot: "):
        Settings(prot=1)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"^max_files \(9\) must not exceed queue_size \(8\)$"):
        Settings(max_files=9, queue_size=8)
    with pytest.raises(SettingsError, match=r"^max_body \(9\) must not exceed max_pending \(8\)$"):
        Settings(max_body=9, max_pending=8)


def test_a_variable_that_is_almost_a_setting_is_told() -> None:
    others = dict.fromkeys(("LINEAGE_DEBUG", "LINEAGE_CACHE", "LINEAGE_SHARED", "PATH"), "4")
    environment = {"LINEAGE_PROT": "1", "LINEAGE_PORT": "2", "LINEAGE_QWXZ": "3", **others}
    assert unknown_variables(environment) == [
        "LINEAGE_PROT is not a setting; did you mean LINEAGE_PORT?",
        "LINEAGE_QWXZ is not a setting",
    ]
