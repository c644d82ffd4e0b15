"""libjpeg's messages: collected, attributed to a file, and never on the terminal."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from model_zoo.contract.errors import ImageError
from model_zoo.contract.images import c_stderr, decode_image, decode_parsed, parse_image
from tests.conftest import ROOT
from tests.images import damaged_jpeg, encode, gradient_image

pytestmark = pytest.mark.skipif(not isinstance(c_stderr.create(), c_stderr.CStderr), reason="needs glibc")
LIBC = ctypes.CDLL(None)


def c_print(text: bytes) -> None:
    """Print to the C variable `stderr`, as libjpeg does."""
    LIBC.fputs(text, ctypes.c_void_p.in_dll(LIBC, "stderr"))


def noise(**options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    return encode(Image.fromarray(pixels), "JPEG", **options)


def overwritten_progressive() -> bytes:
    data = bytearray(noise(progressive=True))
    data[len(data) // 2 : len(data) // 2 + 5] = b"\x12\x34\x56\x78\x11"
    return bytes(data)


def lost_restart() -> bytes:
    data = cv2.imencode(".jpg", np.asarray(gradient_image(96, 128)), [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1].tobytes()
    at = data.index(b"\xff\xd1", data.index(b"\xff\xda"))
    return data[:at] + data[at + 2 :]


def bad_code() -> bytes:
    data = noise()
    return data[: len(data) // 2] + b"\xff\xd9"


def unknown_jfif() -> bytes:
    return noise().replace(b"JFIF\0\x01", b"JFIF\0\x05", 1)


NOISY = {
    "truncated progressive": damaged_jpeg,
    "overwritten progressive": overwritten_progressive,
    "lost restart marker": lost_restart,
    "bad code": bad_code,
    "unknown JFIF version": unknown_jfif,
}


@pytest.mark.parametrize("name", NOISY)
def test_decoding_prints_nothing(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = NOISY[name]()
    cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert capfd.readouterr().err, "the file no longer makes libjpeg print"
    with contextlib.suppress(ImageError):
        decode_image(data)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("min_size", [None, (8, 8)])
@pytest.mark.parametrize("name", ["truncated progressive", "overwritten progressive", "lost restart marker"])
def test_damage_is_reported_to_the_caller(name: str, min_size: tuple[int, int] | None) -> None:
    warnings: list[str] = []
    decode_parsed(parse_image(NOISY[name]()), warnings.append, min_size)
    [warning] = warnings
    assert warning.startswith("the JPEG is damaged, parts of the image may be missing (")


def test_harmless_messages_are_not_reported() -> None:
    warnings: list[str] = []
    decode_image(unknown_jfif(), warn=warnings.append)
    assert warnings == []


def test_other_output_reaches_the_terminal_during_and_after_decoding(capfd: pytest.CaptureFixture[str]) -> None:
    with c_stderr.create().collect() as lines:
        c_print(b"collected\n")
        os.write(2, b"from Python\n")
    c_print(b"printed\n")
    assert lines == ["collected"]
    assert capfd.readouterr().err == "from Python\nprinted\n"


def test_overlapping_blocks_restore_the_variable(capfd: pytest.CaptureFixture[str]) -> None:
    collector = c_stderr.create()
    with collector.collect() as outer:
        with collector.collect() as inner:
            c_print(b"both\n")
        c_print(b"outer\n")
    assert (outer, inner) == (["both", "outer"], ["both"])
    c_print(b"printed\n")
    assert capfd.readouterr().err == "printed\n"


def test_memory_is_bounded() -> None:
    collector = c_stderr.create()
    assert isinstance(collector, c_stderr.CStderr)
    for _ in range(5):
        with collector.collect() as lines:
            c_print(b"x" * c_stderr.MAX_BYTES)
        assert lines == ["x" * c_stderr.MAX_BYTES]
    assert os.fstat(collector._descriptor).st_size <= 2 * c_stderr.MAX_BYTES


def test_damage_is_reported_for_the_damaged_file_only() -> None:
    """Threads decode sound and damaged files at the same time, and all share the C variable."""
    files = [("damaged", lost_restart()), *[(f"sound {i}", noise()) for i in range(3)]] * 100
    warned: list[str] = []

    def decode(name: str, data: bytes) -> None:
        decode_image(data, warn=lambda _: warned.append(name))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda file: decode(*file), files))
    assert warned == ["damaged"] * 100


def test_exclusive_block_runs_alone() -> None:
    collector = c_stderr.create()
    with ThreadPoolExecutor(1) as pool, collector.collect(exclusive=True) as lines:
        other = pool.submit(lambda: enter_and_print(collector))
        assert not wait([other], timeout=0.1).done
    assert other.result(10) == ["printed"]
    assert lines == []


def enter_and_print(collector: c_stderr.CStderr | c_stderr.NoStderr) -> list[str]:
    with collector.collect() as lines:
        c_print(b"printed\n")
    return lines


def test_child_of_a_fork_decodes(tmp_path: Path) -> None:
    """A thread of the parent may hold the lock at the fork."""
    (tmp_path / "damaged.jpg").write_bytes(lost_restart())
    code = """
import os, sys
from model_zoo.contract.images import decode, decode_image
data, warnings = open("damaged.jpg", "rb").read(), []
decode._C_STDERR._changed.acquire()
child = os.fork()
if not child:
    decode_image(data, warn=warnings.append)
    os._exit(7 if len(warnings) == 1 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"7\n", b"")
