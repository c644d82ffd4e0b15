"""The CPU and the versions that a choice depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.runtime import machine


@pytest.mark.parametrize(
    ("flags", "expected"), [("avx2 amx_bf16", True), ("avx512_bf16", True), ("avx2 avx512_vnni amx_int8", False)]
)
def test_bf16_depends_on_the_flags(flags: str, expected: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: A CPU\nflags\t\t: {flags}\nflags\t\t: other\n")
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    assert machine.computes_bf16() is expected
    assert machine.describe_machine()["cpu"] == "A CPU"
    assert machine.describe_machine()["flags"] == sorted(flags.split())


def test_machine_without_cpuinfo_is_described(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "missing")
    assert machine.describe_machine()["cpu"]
    assert not machine.computes_bf16()


def test_versions_of_the_runtimes_are_included() -> None:
    versions = machine.describe_machine()["versions"]
    assert versions.keys() == set(machine.RUNTIMES)
    assert versions["onnxruntime"] or versions["onnxruntime-gpu"]
