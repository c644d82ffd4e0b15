"""Run a program as on another CPU: with AVX2 kernels on a machine that has AVX-512, VNNI or AMX."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("hide_features.c")
CPU_INFO = Path("/proc/cpuinfo")


def cannot_hide() -> str:
    """Return why features cannot be hidden on this machine, or ""."""
    if not CPU_INFO.is_file() or "cpuid_fault" not in CPU_INFO.read_text():
        return "this CPU cannot intercept CPUID, so its features cannot be hidden"
    return "" if shutil.which("cc") else "hiding CPU features needs a C compiler"


def run_module(name: str, *arguments: str, hidden_features: Path | None = None, **environment: str) -> str:
    """Run a module in a new process and return what it prints. `hidden_features` is a folder for the library."""
    preload = {"LD_PRELOAD": str(_build(hidden_features))} if hidden_features else {}
    result = subprocess.run(
        [sys.executable, "-m", name, *arguments],
        env=os.environ | environment | preload,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    return result.stdout


def _build(folder: Path) -> Path:
    library = folder / "hide_features.so"
    if not library.is_file():
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", SOURCE, "-o", library, "-ldl"], check=True, timeout=60)
    return library
