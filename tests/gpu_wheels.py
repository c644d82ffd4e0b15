"""Read the metadata of the GPU wheels: libraries, linked libraries and required packages.

    python -m tests.gpu_wheels        # downloads every wheel of requirements/gpu.txt and writes tests/gpu_wheels.json

The `gpu` image can only be tried on a machine with a GPU. These facts can be checked anywhere. The wheel of
`tensorrt-cu13-libs` is not on the default index, so it is skipped. `tensorrt-cu13` pins its version.
"""

from __future__ import annotations

import email
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PINS = HERE.parent / "requirements" / "gpu.txt"
FACTS = HERE / "gpu_wheels.json"
NOT_DOWNLOADABLE = {"tensorrt-cu13", "tensorrt-cu13-libs"}  # a source package and its placeholder
TARGET = ["--python-version=3.11", "--only-binary=:all:"]
TARGET += [f"--platform={tag}_x86_64" for tag in ("manylinux_2_28", "manylinux_2_27", "manylinux2014", "manylinux2010")]

SECTION_DYNAMIC = 6
DT_NEEDED = 1


def read_pins() -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in PINS.read_text(encoding="utf-8").splitlines())
    return dict(line.split("==") for line in lines if line)


def download(name: str, version: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *TARGET, f"--dest={folder}"]
    subprocess.run([*command, f"{name}=={version}"], check=True, capture_output=True, text=True)
    return next(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))


def read_wheel(path: Path) -> dict[str, Any]:
    """Return {"version", "requires": [...], "libraries": {path in the wheel: [sonames it links]}}."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        message = email.message_from_bytes(wheel.read(metadata))
        libraries = sorted(name for name in names if ".so" in Path(name).name)
        return {
            "version": message["Version"],
            "requires": message.get_all("Requires-Dist", []),
            "libraries": {name: needed(wheel.read(name)) for name in libraries},
        }


def needed(elf: bytes) -> list[str]:
    """Return the sonames that a 64-bit little-endian shared library links (DT_NEEDED, System V ABI, chapter 5)."""
    sections_at, count = struct.unpack_from("<Q", elf, 40)[0], struct.unpack_from("<H", elf, 60)[0]
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, sections_at + 64 * i) for i in range(count)]
    dynamic = next(section for section in sections if section[1] == SECTION_DYNAMIC)
    strings = sections[dynamic[6]][4]  # offset of the section in sh_link, which has the names
    entries = struct.iter_unpack("<QQ", elf[dynamic[4] : dynamic[4] + dynamic[5]])
    starts = [strings + value for tag, value in entries if tag == DT_NEEDED]
    return sorted(elf[start : elf.index(b"\0", start)].decode() for start in starts)


def main() -> None:
    facts = {}
    for name, version in read_pins().items():
        if name not in NOT_DOWNLOADABLE:
            with tempfile.TemporaryDirectory() as folder:
                facts[name] = read_wheel(download(name, version, Path(folder)))
    FACTS.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
