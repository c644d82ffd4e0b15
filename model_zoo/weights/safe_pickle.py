"""Read a pickle safely, with an interpreter of its opcodes that builds plain values only.

Python's unpickler imports and calls whatever a file names. This interpreter imports nothing: a name stays a `Global`,
and an object becomes an inert `Stub` with its class name and state. Of the calls, `pickle_values` executes the few that
checkpoints need, in plain Python, and records those known to be harmless. All others are errors.

Opcodes that no checkpoint uses are errors, too. The number of steps is limited, and time and memory are bounded by the
size of the file.
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
    """Read one pickle, and leave the stream at its end.

    `persistent` converts a persistent id to a value.

    Raises:
        LineageError: The pickle is damaged, too large, or contains something that no checkpoint needs.
    """
    machine = _Machine(persistent or _refuse_persistent)
    try:
        return machine.run(stream)
    except LineageError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
        raise LineageError(f"expected a valid pickle; it is damaged ({type(error).__name__})") from error


class _Machine:
    """The stack machine of the pickle protocol. `_OPCODES` has all supported opcodes."""

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
                raise LineageError(
                    f"expected a checkpoint; its pickle uses {opcode.name}, which no checkpoint needs; refused"
                )
            _OPCODES[opcode.name](self, argument)
        raise ValueError("expected STOP")

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise LineageError(f"expected a checkpoint; its pickle has more than {MAX_STEPS} steps; refused")

    def skip(self, _: object) -> None:
        """Do nothing: the opcode carries no value."""

    def push(self, value: object) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        """Pop all values above the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def pop(self, count: int) -> list[Any]:
        """Pop the topmost `count` values."""
        if len(self.stack) < count:
            raise IndexError("stack is empty")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def integer(self, value: int) -> None:
        if value.bit_length() > 8 * MAX_INTEGER_BYTES:
            raise LineageError("expected a checkpoint; its pickle has an integer of more than 64 bits; refused")
        self.push(value)

    def memoize(self, key: int | None) -> None:
        self.memo[len(self.memo) if key is None else key] = self.stack[-1]

    def stack_global(self) -> None:
        module, name = self.pop(2)
        self.push(_global(module, name))

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Stub):
            target.items.extend((None, item) for item in items)
        else:
            raise TypeError("expected a list")

    def update(self, items: list[Any]) -> None:
        target, pairs = self.stack[-1], zip(items[::2], items[1::2], strict=True)
        if isinstance(target, dict):
            target.update((checked_key(k), v) for k, v in pairs)
        elif isinstance(target, Stub):
            target.items.extend(pairs)
        else:
            raise TypeError("expected a dict")

    def add_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, set):
            raise TypeError("expected a set")
        target.update(checked_key(item) for item in items)

    def call(self) -> None:
        function, arguments = self.pop(2)
        parts = _tuple(arguments)
        self.spend(len(parts) + sum(len(part) for part in parts if isinstance(part, list | tuple)))
        self.push(call(function, parts))

    def new_object(self, with_keywords: bool) -> None:
        keywords = self.stack.pop() if with_keywords else {}
        kind, arguments = self.pop(2)
        if keywords or not isinstance(kind, Global):
            raise LineageError("expected a checkpoint; its pickle creates an object without a class; refused")
        self.push(Stub(kind.path, _tuple(arguments)))

    def set_state(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Stub):
            target.state = state
        elif not isinstance(target, dict):  # attributes of an OrderedDict (a state dict's metadata) are dropped
            what = target if isinstance(target, Global) else type(target).__name__
            raise LineageError(f"expected a checkpoint; its pickle sets the state of {what}; refused")


def _tuple(value: object) -> tuple[object, ...]:
    if not isinstance(value, tuple):
        raise TypeError("expected arguments in a tuple")
    return value


def _global(module: object, name: object) -> Global:
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError("expected a name")
    return Global(f"{module}.{name}")


def _refuse_persistent(_pid: object) -> object:
    raise LineageError("expected a checkpoint; its pickle refers to external data; refused")


# --- opcodes -------------------------------------------------------------------------------------------------------

_Step = Callable[[_Machine, Any], object]


def _constant(make: Callable[[], object]) -> _Step:
    return lambda machine, _: machine.push(make())


def _tuple_of(count: int) -> _Step:
    return lambda machine, _: machine.push(tuple(machine.pop(count)))


_OPCODES: dict[str, _Step] = {
    **dict.fromkeys(["PROTO", "FRAME"], _Machine.skip),
    **dict.fromkeys(["BININT", "BININT1", "BININT2", "LONG1", "LONG4"], _Machine.integer),
    **dict.fromkeys(["BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"], _Machine.push),
    **dict.fromkeys(["BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINSTRING", "SHORT_BINSTRING"], _Machine.push),
    **dict.fromkeys(["BINPUT", "LONG_BINPUT", "MEMOIZE"], _Machine.memoize),
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
    "APPEND": lambda machine, _: machine.extend(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.to_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.to_mark()),
    "ADDITEMS": lambda machine, _: machine.add_items(machine.to_mark()),
    "GLOBAL": lambda machine, path: machine.push(_global(*path.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.stack_global(),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.new_object(with_keywords=False),
    "NEWOBJ_EX": lambda machine, _: machine.new_object(with_keywords=True),
    "BUILD": lambda machine, _: machine.set_state(),
    "BINPERSID": lambda machine, _: machine.push(machine.persistent(machine.stack.pop())),
}
