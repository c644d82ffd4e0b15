"""The name of a CPU has the features that identify the generation of a virtual CPU. Its rows replace older ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import cpu
from benchmarks.cpu import replace_rows


@pytest.mark.parametrize(
    ("flags", "features"),
    [
        ("fpu avx2", " (AVX2)"),
        ("fpu avx2 avx_vnni", " (VNNI)"),
        ("avx2 avx512f avx512_vnni avx512_bf16 amx_tile", " (AVX512, VNNI, BF16, AMX)"),
        ("fpu", ""),
    ],
)
def test_the_name_has_the_features(flags: str, features: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: {flags}\n")
    monkeypatch.setattr(cpu, "CPU_INFO", info)
    assert cpu.describe_cpu() == f"AMD EPYC{features}, {os.cpu_count()} cores"


def test_rows_of_other_cpus_stay(tmp_path: Path) -> None:
    path = tmp_path / "speed.csv"
    path.write_text('cpu,ms\n"Xeon, 2 cores",5\n"EPYC, 2 cores",7\n')
    replace_rows(path, ["cpu", "ms"], [["EPYC, 2 cores", 6]])
    assert path.read_text() == 'cpu,ms\n"Xeon, 2 cores",5\n"EPYC, 2 cores",6\n'
