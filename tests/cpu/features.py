"""Run a program as on another CPU: with AVX2 kernels on a machine that has AVX-512, VNNI or AMX."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("hide_features.c")
CPU_INFO = Path("/proc/cpuinfo")
FEATURES = ("avx512f", "avx_vnni", "amx_tile")


def cannot_hide() -> str:
    """Return why AVX2 kernels cannot be run on this machine, or ""."""
    flags = _flags()
    if "avx2" not in flags:
        return "this CPU has no AVX2"
    if flags.isdisjoint(FEATURES):
        return ""  # nothing to hide
    if "cpuid_fault" not in flags:
        return "this CPU cannot intercept CPUID, so its features cannot be hidden"
    return "" if shutil.which("cc") else "hiding CPU features needs a C compiler"


def run_module(name: str, *arguments: str, hidden_features: Path | None = None, **environment: str) -> str:
    """Run a module in a new process and return what it prints. `hidden_features` is a folder for the library."""
    preload = {}
    if hidden_features and not _flags().isdisjoint(FEATURES):
        preload["LD_PRELOAD"] = str(_build(hidden_features))
    result = subprocess.run(
        [sys.executable, "-m", name, *arguments],
        env=os.environ | environment | preload,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    return result.stdout


def _flags() -> set[str]:
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.is_file() else []
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}


def _build(folder: Path) -> Path:
    library = folder / "hide_features.so"
    if not library.is_file():
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", SOURCE, "-o", library, "-ldl"], check=True, timeout=60)
    return library
