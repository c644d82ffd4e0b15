"""Malicious pickles execute nothing, and take no more time and memory than their size allows."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.weights.importers import load_checkpoint
from model_zoo.weights.pickle_values import Global, Stub
from model_zoo.weights.safe_pickle import MAX_STEPS, read

PROTO = b"\x80\x02"


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def touch(canary: Path) -> str:
    return f"touch {canary}"


def python_touch(canary: Path) -> bytes:
    return text(f"open({str(canary)!r}, 'w').close()")


class Exploit:
    """An object that is rebuilt by a call, as in most attacks."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.reduction = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.reduction


# Attacks that succeed on Python's unpickler, as a test proves, and must be refused here.
LIVE: dict[str, Callable[[Path], bytes]] = {
    "os.system": lambda c: PROTO + call(name("os", "system"), text(touch(c))) + b".",
    "posix.system": lambda c: PROTO + call(name("posix", "system"), text(touch(c))) + b".",
    "eval": lambda c: PROTO + call(name("builtins", "eval"), python_touch(c)) + b".",
    "exec": lambda c: PROTO + call(name("builtins", "exec"), python_touch(c)) + b".",
    "python 2's eval": lambda c: PROTO + call(name("__builtin__", "eval"), python_touch(c)) + b".",
    "__reduce__": lambda c: pickle.dumps(Exploit(os.system, touch(c)), protocol=2),
    "__reduce__, protocol 0": lambda c: pickle.dumps(Exploit(os.system, touch(c)), protocol=0),
    "__reduce__, protocol 4": lambda c: pickle.dumps(Exploit(os.system, touch(c)), protocol=4),
    "__reduce__, protocol 5": lambda c: pickle.dumps({"model": Exploit(os.system, touch(c))}, protocol=5),
    "os.mkdir": lambda c: PROTO + call(name("os", "mkdir"), text(str(c))) + b".",
    "getattr": lambda c: (
        PROTO
        + call(
            call(name("builtins", "getattr"), name("os", "path"), text("os")) + b"0" + name("os", "system"),
            text(touch(c)),
        )
        + b"."
    ),
    "dotted name": lambda c: b"\x80\x04" + text("os") + text("path.os.system") + b"\x93(" + text(touch(c)) + b"tR.",
    "__import__": lambda c: (
        PROTO
        + call(name("builtins", "__import__"), text("os"))
        + b"0"
        + call(name("os", "system"), text(touch(c)))
        + b"."
    ),
    "functools.partial": lambda c: (
        PROTO + call(call(name("functools", "partial"), name("os", "system"), text(touch(c)))) + b"."
    ),
    "map": lambda c: (
        PROTO
        + call(
            name("builtins", "list"), call(name("builtins", "map"), name("os", "system"), b"](" + text(touch(c)) + b"e")
        )
        + b"."
    ),
    "a call in a key": lambda c: PROTO + b"}" + call(name("os", "system"), text(touch(c))) + b"Ns.",
    "a call among an OrderedDict's pairs": lambda c: (
        PROTO
        + call(
            name("collections", "OrderedDict"), b"](](" + text("a") + call(name("os", "system"), text(touch(c))) + b"ee"
        )
        + b"."
    ),
    "nested pickle": lambda c: (
        PROTO
        + call(
            name("pickle", "loads"),
            call(
                name("_codecs", "encode"),
                text((PROTO + call(name("os", "system"), text(touch(c))) + b".").decode("latin1")),
                text("latin1"),
            ),
        )
        + b"."
    ),
    "subprocess": lambda c: (
        PROTO + call(name("subprocess", "call"), b"](" + text("touch") + text(str(c)) + b"e") + b"."
    ),
    "INST": lambda c: b"(" + text(touch(c)) + b"ios\nsystem\n.",
    "OBJ": lambda c: b"(" + name("os", "system") + text(touch(c)) + b"o.",
    "NEWOBJ": lambda c: PROTO + name("subprocess", "Popen") + b"](" + text("touch") + text(str(c)) + b"e\x85\x81.",
    "__setstate__ by BUILD": lambda c: (
        PROTO
        + name("collections", "OrderedDict")
        + b")\x81}"
        + text("x")
        + text("y")
        + b"sb0"
        + call(name("os", "system"), text(touch(c)))
        + b"."
    ),
    "extension registry": lambda c: PROTO + b"\x82\xf0(" + text(touch(c)) + b"tR.",
    "extension registry, two bytes": lambda c: PROTO + b"\x83\xf0\x00(" + text(touch(c)) + b"tR.",
    "extension registry, four bytes": lambda c: PROTO + b"\x84\xf0\x00\x00\x00(" + text(touch(c)) + b"tR.",
}
INERT = {"NEWOBJ"}  # creates an object of a harmful class, which stays an inert record

# Pickles that are damaged, too large, or contain something that no checkpoint needs.
REFUSED: dict[str, bytes] = {
    "empty file": b"",
    "only a header": PROTO,
    "no STOP": PROTO + b"}",
    "empty stack": PROTO + b".",
    "reduce on an empty stack": PROTO + b"R.",
    "reduce of text": PROTO + text("os.system") + b")R.",
    "reduce of a stub": PROTO + name("models.yolo", "Model") + b")\x81)R.",
    "reduce without tuple": PROTO + name("collections", "OrderedDict") + b"]R.",
    "missing mark": PROTO + b"t.",
    "missing memo entry": PROTO + b"h\x07.",
    "unknown opcode": PROTO + b"\xff.",
    "truncated text": PROTO + b"X\xff\x00\x00\x00abc",
    "text of a terabyte": PROTO + b"\x8d" + struct.pack("<Q", 1 << 40) + b".",
    "bytes of a terabyte": PROTO + b"\x8e" + struct.pack("<Q", 1 << 40) + b".",
    "integer of a kilobyte": PROTO + b"\x8b" + struct.pack("<i", 1024) + b"\x7f" * 1024 + b".",
    "protocol 0 integer": b"I" + b"9" * 100_000 + b"\n.",
    "odd number of items": PROTO + b"}(" + text("a") + b"u.",
    "unhashable key": PROTO + b"}]Ns.",
    "tuple as a key": PROTO + b"})Ns.",
    "bytes as a key": PROTO + b"}C\x01aNs.",
    "items for a tuple": PROTO + b")Na.",
    "state for a class": PROTO + name("torch.nn", "Module") + b"}b.",
    "state for a function": PROTO + name("torch._utils", "_rebuild_tensor_v2") + b"}b.",
    "state for a list": PROTO + b"]}b.",
    "state for text": PROTO + text("x") + b"}b.",
    "object of text": PROTO + text("os.system") + b")\x81.",
    "object with keywords": b"\x80\x04" + name("a", "B") + b")}" + text("k") + b"Ns\x92.",
    "global of numbers": b"\x80\x04K\x01K\x02\x93.",
    "persistent id": PROTO + text("somewhere") + b"Q.",
    "persistent id, protocol 0": b"Psomewhere\n.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1) + b"x.",
    "copyreg.__newobj__": PROTO + call(name("copyreg", "__newobj__"), name("subprocess", "Popen")) + b".",
    "torch.load under another name": PROTO + call(name("torch.storage", "_load_from_bytes"), text("x")) + b".",
    "tensor without storage": PROTO
    + call(name("torch._utils", "_rebuild_tensor_v2"), N := b"N", b"K\x00", b")", b")")
    + b".",
    "marshal": PROTO + call(name("marshal", "loads"), text("x")) + b".",
    "ctypes": PROTO + call(name("ctypes", "CDLL"), text("libc.so.6")) + b".",
    "more steps than any checkpoint": PROTO + b"N0" * (MAX_STEPS // 2 + 1) + b"N.",
    "few steps, many copies": (
        PROTO + b"](" + b"N" * 50_000 + b"eq\x00" + (name("builtins", "set") + b"h\x00\x85R0") * 100 + b"."
    ),
}


@pytest.fixture
def canary(tmp_path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def _extension():
    copyreg.add_extension("os", "system", 0xF0)
    copyreg._extension_cache.pop(0xF0, None)
    yield
    copyreg.remove_extension("os", "system", 0xF0)


@pytest.mark.usefixtures("_extension")
@pytest.mark.parametrize("attack", sorted(LIVE.keys() - INERT))
def test_attacks_succeed_on_pickle(attack, canary):
    try:
        result = pickle.loads(LIVE[attack](canary))
    except Exception:
        result = None
    assert canary.exists(), f"the attack had no effect and returned {result!r}"


@pytest.mark.usefixtures("_extension")
@pytest.mark.parametrize("attack", LIVE)
def test_attack_executes_nothing(attack, canary):
    stream = io.BytesIO(LIVE[attack](canary))
    if attack in INERT:
        assert isinstance(read(stream), Stub)
    else:
        with pytest.raises(LineageError, match="refused"):
            read(stream)
    assert not canary.exists()


@pytest.mark.usefixtures("_extension")
@pytest.mark.parametrize("attack", LIVE)
def test_attack_in_a_checkpoint_executes_nothing(attack, canary, tmp_path):
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", LIVE[attack](canary))
    with pytest.raises(LineageError, match=r"^weights\.pt: "):
        load_checkpoint(path)
    assert not canary.exists()


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_pickle_is_refused(case):
    with pytest.raises(LineageError, match=r"expected|refused"):
        read(io.BytesIO(REFUSED[case]))


def test_error_names_the_call():
    with pytest.raises(LineageError, match=r"would call posix\.system, which no checkpoint needs"):
        read(io.BytesIO(pickle.dumps(Exploit(os.system, "true"), protocol=2)))


def test_control_characters_are_escaped_in_messages():
    with pytest.raises(LineageError) as refusal:
        read(io.BytesIO(PROTO + call(name("\x1b[2Jos", "s" * 10_000)) + b"."))
    assert "\x1b" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_names_and_objects_stay_inert():
    value = read(io.BytesIO(PROTO + name("models.yolo", "Model") + b")\x81}" + text("nc") + b"K\x02sb."))
    assert isinstance(value, Stub)
    assert (value.kind, value.state) == ("models.yolo.Model", {"nc": 2})
    assert read(io.BytesIO(PROTO + name("os", "system") + b".")) == Global("os.system")


def test_huge_memo_index_uses_no_memory():
    assert read(io.BytesIO(PROTO + b"Nr\xff\xff\xff\xff.")) is None


def test_deep_nesting_does_not_recurse():
    depth = 200_000
    value = read(io.BytesIO(PROTO + b"]" * depth + b"a" * (depth - 1) + b"."))
    assert isinstance(value, list)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_equal_those_of_pickle(protocol):
    value = {
        "text": "é\U0001f600", "numbers": [0, -1, 255, 65_536, -(2**40), 2**63 - 1, 0.5, float("inf")], "none": None,
        "flags": (True, False), "one": (1,), "two": (1, 2), "four": (1, 2, 3, 4), "empty": [(), [], {}, ""],
        "set": {"a", "b"}, "ordered": OrderedDict(a=1, b=[2]), 3: "integer key", "long": "x" * 70_000,
    }  # fmt: skip
    value["again"] = value["numbers"]
    result = read(io.BytesIO(pickle.dumps(value, protocol)))
    assert result == value
    assert result["again"] is result["numbers"]
