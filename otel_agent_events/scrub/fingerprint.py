"""What tells scrubbers apart, from run to run and on any machine.

Of a callable these count: its module and name; its code, with that of the functions within it; and what it has from
outside, that is defaults, arguments of a `functools.partial`, variables of the functions around it. Of an object that
can be called, and of one whose method is given, the code of its class counts, and its attributes as they are when the
scrubber is made. Values count where they are plain: texts, numbers, regular expressions, functions, and containers of
these; of all others only what class they are of.

What a callable looks up when it is called, such as a global, does not count, and what is not written in Python is
known by its name. Another minor version of Python compiles to other code, which is another callable here.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from types import CellType, CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_agent_events.events import JSON

_WRITTEN = (FunctionType, staticmethod, classmethod, property)
_PLAIN = (int, float, complex, str, bytes, tuple, list, set, frozenset, dict, re.Pattern)


def fingerprint(patterns: Sequence[str], also: Callable[[str], str] | None) -> str:
    """Give what tells these patterns and this callable from others; empty if there are none."""
    told: list[JSON] = list(patterns)
    if also is not None:
        told.append(_Teller().callable(also))
    written = json.dumps(told, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:16] if told else ""


def _name(value: object) -> str:
    # An object that can be called is named by its class; of a method of a built-in type only the name is its own.
    module = getattr(value, "__module__", None) or type(value).__module__
    return f"{module}:{getattr(value, '__qualname__', type(value).__qualname__)}"


class _Teller:
    """Tells of code and values in words that are the same on any machine."""

    def __init__(self) -> None:
        self._within: set[int] = set()

    def callable(self, value: object) -> JSON:
        """Tell of what a user gives."""
        if isinstance(value, functools.partial):
            return [_name(value.func), self.callable(value.func), self._value(value.args), self._value(value.keywords)]
        if isinstance(value, MethodType):
            return [_name(value), self._value(value.__func__), self._object(value.__self__)]
        if isinstance(value, FunctionType):
            return [_name(value), self._value(value)]
        return [_name(value), self._object(value)]

    def _object(self, value: object) -> JSON:
        of = value if isinstance(value, type) else type(value)
        members = [
            [name, self._value(member)]
            for base in of.__mro__
            for name, member in sorted(vars(base).items())
            if isinstance(member, _WRITTEN) or (isinstance(member, _PLAIN) and not name.startswith("__"))
        ]
        return [members, [] if value is of else self._value(_attributes(value))]

    def _value(self, value: object) -> JSON:
        """Tell of a value; of one that holds itself, only once."""
        if id(value) in self._within:
            return "again"
        self._within.add(id(value))
        try:
            return [type(value).__qualname__, self._code(value) if callable(value) else self._plain(value)]
        finally:
            self._within.remove(id(value))

    def _plain(self, value: object) -> JSON:
        match value:
            case int():
                return hex(value)
            case str() | bytes() | float() | complex():
                return repr(value)
            case tuple() | list():
                return [self._value(item) for item in value]
            case set() | frozenset():
                return sorted(json.dumps(self._value(item)) for item in value)
            case dict():
                return [[self._value(key), self._value(item)] for key, item in value.items()]
            case re.Pattern():
                return [repr(value.pattern), value.flags]
        return self._code(value)

    def _code(self, value: object) -> JSON:
        match value:
            case FunctionType():
                outside = [value.__defaults__, value.__kwdefaults__, *map(_content, value.__closure__ or ())]
                return [self._code(value.__code__), *map(self._value, outside)]
            case CodeType():
                names = [*value.co_names, *value.co_varnames, *value.co_freevars, *value.co_cellvars]
                return [value.co_code.hex(), *map(self._value, value.co_consts), names]
            case staticmethod() | classmethod():
                return self._value(value.__func__)
            case property():
                return [self._value(value.fget)]
        return _name(value) if callable(value) else _name(type(value))


def _attributes(value: object) -> dict[str, object]:
    slots = {name for base in type(value).__mro__ for name in getattr(base, "__slots__", ())}
    kept = {name: getattr(value, name) for name in sorted(slots) if hasattr(value, name) and name[:2] != "__"}
    return {**kept, **getattr(value, "__dict__", {})}


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # a variable that has no value yet
