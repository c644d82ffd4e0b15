"""Read a pickle without unpickling it: an interpreter of its opcodes that can build plain values and nothing else.

Python's own unpickler imports what a file names and calls it. This one imports nothing and calls nothing. A name stays
a `Global`, an object becomes an inert `Stub` that records its class name and state, and a call is one of the few that
checkpoints need, done in plain Python, or one known to be harmless that stays undone, or a reason to refuse the file
(`pickle_values`). Opcodes that checkpoint writers do not use are refused too, and so is a file that asks for more work
than any checkpoint: time and memory are bounded by the size of the file.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

from model_zoo.contract.errors import LineageError
from model_zoo.weights.pickle_values import Global, Stub, call, checked_key

MAX_STEPS = 1_000_000  # the largest official checkpoint takes about 150,000
MAX_INTEGER_BYTES = 8

Persistent = Callable[[object], object]


def read(stream: BinaryIO, persistent: Persistent | None = None) -> object:
    """Interpret one pickle and leave the stream behind it.

    `persistent` turns a persistent id into a value, or raises LineageError. Raises LineageError if the pickle is
    damaged, asks for something that a checkpoint does not need, or is out of all proportion.
    """
    machine = _Machine(persistent or _refuse_persistent)
    try:
        return machine.run(stream)
    except LineageError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
        raise LineageError(f"expected a whole pickle; got a damaged one ({type(error).__name__})") from error


class _Machine:
    """The stack machine of the pickle protocol; every opcode it knows is in `_OPCODES`."""

    def __init__(self, persistent: Persistent) -> None:
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, object] = {}
        self.steps = 0

    def run(self, stream: BinaryIO) -> object:
        for opcode, argument, _ in pickletools.genops(stream):
            self.spend(1)
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name not in _OPCODES:
                raise LineageError(f"expected a checkpoint; its pickle uses {opcode.name}, which none needs; refused")
            _OPCODES[opcode.name](self, argument)
        raise ValueError("no STOP")

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise LineageError(f"expected a checkpoint; got a pickle of more than {MAX_STEPS} steps; refused")

    def skip(self, _: object) -> None:
        """Nothing to do: how the pickle is written, not what it says."""

    def push(self, value: object) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        """Take what lies above the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def take(self, count: int) -> list[Any]:
        """Take the topmost `count` values."""
        if len(self.stack) < count:
            raise IndexError("stack is empty")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def integer(self, value: int) -> None:
        if value.bit_length() > 8 * MAX_INTEGER_BYTES:
            raise LineageError("expected a checkpoint; its pickle has an integer beyond 64 bits; refused")
        self.push(value)

    def remember(self, key: int | None) -> None:
        self.memo[len(self.memo) if key is None else key] = self.stack[-1]

    def stack_global(self) -> None:
        module, name = self.take(2)
        self.push(_global(module, name))

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Stub):
            target.items.extend((None, item) for item in items)
        else:
            raise TypeError("items for something that is no list")

    def update(self, items: list[Any]) -> None:
        target, pairs = self.stack[-1], zip(items[::2], items[1::2], strict=True)
        if isinstance(target, dict):
            target.update((checked_key(k), v) for k, v in pairs)
        elif isinstance(target, Stub):
            target.items.extend(pairs)
        else:
            raise TypeError("items for something that is no dict")

    def unite(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, set):
            raise TypeError("items for something that is no set")
        target.update(checked_key(item) for item in items)

    def call(self) -> None:
        function, arguments = self.take(2)
        parts = _tuple(arguments)
        self.spend(len(parts) + sum(len(part) for part in parts if isinstance(part, list | tuple)))
        self.push(call(function, parts))

    def make(self, with_keywords: bool) -> None:
        keywords = self.stack.pop() if with_keywords else {}
        kind, arguments = self.take(2)
        if keywords or not isinstance(kind, Global):
            raise LineageError("expected a checkpoint; its pickle makes an object of something that is no class")
        self.push(Stub(kind.path, _tuple(arguments)))

    def set_state(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Stub):
            target.state = state
        elif not isinstance(target, dict):  # an OrderedDict may carry attributes (a state dict's metadata): dropped
            what = target if isinstance(target, Global) else type(target).__name__
            raise LineageError(f"expected a checkpoint; its pickle tries to change {what}; refused")


def _tuple(value: object) -> tuple[object, ...]:
    if not isinstance(value, tuple):
        raise TypeError("arguments that are no tuple")
    return value


def _global(module: object, name: object) -> Global:
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError("a name that is no text")
    return Global(f"{module}.{name}")


def _refuse_persistent(_pid: object) -> object:
    raise LineageError("expected a checkpoint; its pickle refers to data outside itself; refused")


# --- opcodes -------------------------------------------------------------------------------------------------------

_Step = Callable[[_Machine, Any], object]


def _constant(make: Callable[[], object]) -> _Step:
    return lambda machine, _: machine.push(make())


def _tuple_of(count: int) -> _Step:
    return lambda machine, _: machine.push(tuple(machine.take(count)))


_OPCODES: dict[str, _Step] = {
    **dict.fromkeys(["PROTO", "FRAME"], _Machine.skip),
    **dict.fromkeys(["BININT", "BININT1", "BININT2", "LONG1", "LONG4"], _Machine.integer),
    **dict.fromkeys(["BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"], _Machine.push),
    **dict.fromkeys(["BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINSTRING", "SHORT_BINSTRING"], _Machine.push),
    **dict.fromkeys(["BINPUT", "LONG_BINPUT", "MEMOIZE"], _Machine.remember),
    **dict.fromkeys(["BINGET", "LONG_BINGET"], lambda machine, key: machine.push(machine.memo[key])),
    "NONE": _constant(lambda: None),
    "NEWTRUE": _constant(lambda: True),
    "NEWFALSE": _constant(lambda: False),
    "EMPTY_TUPLE": _constant(tuple),
    "EMPTY_LIST": _constant(list),
    "EMPTY_DICT": _constant(dict),
    "EMPTY_SET": _constant(set),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "MARK": lambda machine, _: machine.mark(),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.to_mark(),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.to_mark())),
    "APPEND": lambda machine, _: machine.extend(machine.take(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.to_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.to_mark()),
    "ADDITEMS": lambda machine, _: machine.unite(machine.to_mark()),
    "GLOBAL": lambda machine, path: machine.push(_global(*path.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.stack_global(),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.make(with_keywords=False),
    "NEWOBJ_EX": lambda machine, _: machine.make(with_keywords=True),
    "BUILD": lambda machine, _: machine.set_state(),
    "BINPERSID": lambda machine, _: machine.push(machine.persistent(machine.stack.pop())),
}
