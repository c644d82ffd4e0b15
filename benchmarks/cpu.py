"""Name of the CPU that a measurement ran on, and results of several CPUs in one file."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

CPU_INFO: Final = Path("/proc/cpuinfo")
FEATURES: Final = {
    "avx512f": "AVX512",
    "avx512_vnni": "VNNI",
    "avx_vnni": "VNNI",
    "avx512_bf16": "BF16",
    "amx_tile": "AMX",
}
"""Features that decide the speed of inference, by their names in Linux."""


def describe_cpu() -> str:
    """Return model, features and number of cores, such as `AMD EPYC (AVX512, VNNI, BF16), 2 cores`.

    Virtual machines hide the rest of the model's name, so the features identify its generation.
    """
    lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    features = dict.fromkeys(name for flag, name in FEATURES.items() if flag in flags) or ["AVX2"] * ("avx2" in flags)
    extensions = f" ({', '.join(features)})" if features else ""
    return f"{fields.get('model name', platform.machine())}{extensions}, {os.cpu_count()} cores"


def replace_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows to a CSV file, instead of those of the same CPU, which the column `cpu` names."""
    new, place = [[str(value) for value in row] for row in rows], columns.index("cpu")
    before = path.read_text(encoding="utf-8").splitlines()[1:] if path.is_file() else []
    others = [row for row in csv.reader(before) if row[place] not in {row[place] for row in new}]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *others, *new])
