"""Parse the arguments of a verb with tyro, with help text that shows only useful defaults."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo

from lineage.cli.usage_errors import explained

_NO_DEFAULT: Final = ("None", "", "''", "False")


def parse_and_call(function: Callable[..., Any], prog: str, arguments: Sequence[str]) -> Any:
    """Call a function with options parsed from `arguments`, and return its result. `--help` exits with code 0.

    Raises:
        LineageError: The arguments do not fit the function.
    """

    def parse(words: Sequence[str]) -> Callable[[], Any]:
        parsed: Callable[[], Any] = tyro.cli(
            _readable_function(function),
            prog=prog,
            description=_description(function),
            args=words,
            config=(tyro.conf.DisallowNone,),
            registry=_Registry(),
        )
        return parsed

    with explained(parse, arguments, prog):
        call = parse(arguments)
    return call()


def option(metavar: str | None = None, *, hint: str | None = None, name: str | None = None) -> Any:
    """Return an annotation that sets an option's name, its value's name and its default hint in the help."""
    return tyro.conf.arg(name=name, metavar=metavar, help_behavior_hint=hint)


class _Registry(ConstructorRegistry):
    """Apply `_readable` to the fields of dataclasses and Pydantic models."""

    def __init__(self) -> None:
        super().__init__()
        self._is_active = False
        self.struct_rule(self._apply)

    def _apply(self, info: StructTypeInfo) -> StructConstructorSpec | None:
        if self._is_active:  # called by `get_struct_spec` below: leave the type to tyro's own rules
            return None
        self._is_active = True
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            self._is_active = False
        if not isinstance(spec, StructConstructorSpec):
            return None
        fields = tuple(dataclasses.replace(f, type=_readable(f.type, f.default)) for f in spec.fields)
        return dataclasses.replace(spec, fields=fields)


def _readable_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the same signature with `_readable` applied to its parameters."""

    @functools.wraps(function)
    def call(**options: Any) -> Any:
        return functools.partial(function, **options)  # called after parsing: its errors are not of the arguments

    signature, hints = inspect.signature(function), get_type_hints(function, include_extras=True)
    types = {name: _readable(hints[name], p.default) for name, p in signature.parameters.items()}
    del call.__wrapped__  # otherwise tyro would follow it to the original annotations
    call.__signature__ = signature  # type: ignore[attr-defined]  # inspect reads it, typeshed lacks it
    call.__annotations__ = types
    return call


def _readable(annotation: Any, default: object) -> Any:
    """Hide defaults that mean "not given", and give `--no-x` only to flags that are on by default."""
    base, *metadata = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    added: list[Any] = [tyro.conf.arg(help_behavior_hint=_default_hint)]
    if default is False:
        added.append(tyro.conf.FlagCreatePairsOff)
    return Annotated[(base, *added, *metadata)]  # the option's own configuration takes precedence


def _default_hint(default: str) -> str:
    return "" if default in _NO_DEFAULT else f"(default: {'on' if default == 'True' else default})"


def _description(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\nArgs:")[0].strip()
