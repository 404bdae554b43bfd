"""Values on their way between two processes, as JSON of plain data.

No pickle: reading a value never runs code that the other side chose. `None`, `bool`, `float`, `str`
and small `int` stand for themselves; everything else is a list `[tag, part, ...]` whose parts are
values again. An instance of a subclass travels as its plain base type.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

_SAFE_INT = 2**63

Flatten = Callable[[Any], Iterable[Any]]
Build = Callable[[list[Any]], Any]


def _pairs(mapping: Any) -> list[Any]:
    return [part for pair in mapping.items() for part in pair]


def _mapping(parts: list[Any]) -> dict[Any, Any]:
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _from(module: str, name: str, parts: Iterable[Any]) -> Any:
    return getattr(import_module(module), name)(*parts)


_BUILTIN_TYPES = {it for it in vars(builtins).values() if isinstance(it, type)}
_TYPE_NAMED = {it.__name__: it for it in _BUILTIN_TYPES}


#: How each plain type is taken apart and built again, by the module and name of the type. Names,
#: so that a type's module is imported only where a value of it arrives.
_TYPES: dict[tuple[str, str], tuple[Flatten, Build]] = {
    ("builtins", "list"): (list, list),
    ("builtins", "tuple"): (list, tuple),
    ("builtins", "set"): (list, set),
    ("builtins", "frozenset"): (list, frozenset),
    ("builtins", "dict"): (_pairs, _mapping),
    ("builtins", "dict_keys"): (list, lambda parts: dict.fromkeys(parts).keys()),
    ("builtins", "dict_values"): (list, lambda parts: dict(enumerate(parts)).values()),
    ("builtins", "dict_items"): (list, lambda parts: dict(parts).items()),
    ("builtins", "bytes"): (lambda it: [it.hex()], lambda parts: bytes.fromhex(parts[0])),
    ("builtins", "bytearray"): (lambda it: [it.hex()], lambda parts: bytearray.fromhex(parts[0])),
    ("builtins", "complex"): (lambda it: [it.real, it.imag], lambda parts: complex(*parts)),
    ("builtins", "range"): (lambda it: [it.start, it.stop, it.step], lambda parts: range(*parts)),
    ("collections", "deque"): (list, lambda parts: _from("collections", "deque", [parts])),
    ("collections", "Counter"): (
        _pairs,
        lambda parts: _from("collections", "Counter", [_mapping(parts)]),
    ),
    ("collections", "OrderedDict"): (
        _pairs,
        lambda parts: _from("collections", "OrderedDict", [_mapping(parts)]),
    ),
    ("collections", "defaultdict"): (
        _pairs,
        lambda parts: _from("collections", "defaultdict", [None, _mapping(parts)]),
    ),
    ("decimal", "Decimal"): (
        lambda it: [str(it)],
        lambda parts: _from("decimal", "Decimal", parts),
    ),
    ("fractions", "Fraction"): (
        lambda it: [it.numerator, it.denominator],
        lambda parts: _from("fractions", "Fraction", parts),
    ),
    ("datetime", "date"): (
        lambda it: [it.year, it.month, it.day],
        lambda parts: _from("datetime", "date", parts),
    ),
    ("datetime", "datetime"): (
        lambda it: [it.year, it.month, it.day, it.hour, it.minute, it.second, it.microsecond],
        lambda parts: _from("datetime", "datetime", parts),
    ),
    ("datetime", "timedelta"): (
        lambda it: [it.days, it.seconds, it.microseconds],
        lambda parts: _from("datetime", "timedelta", parts),
    ),
}
_BUILD: dict[str, Build] = {name: build for (_, name), (_, build) in _TYPES.items()}
_BUILD |= {"int": lambda parts: int(parts[0], 16), "type": lambda parts: _TYPE_NAMED[parts[0]]}

#: How an instance of a subclass becomes the plain scalar that it holds, whatever it overrides.
_SCALARS: dict[type, Callable[[Any], Any]] = {
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
}

#: Types whose instances a call can change in place, and how to take over the new content.
REPLACE: dict[type, Callable[[Any, Any], None]] = {
    list: lambda old, new: old.__setitem__(slice(None), new),
    bytearray: lambda old, new: old.__setitem__(slice(None), new),
    dict: lambda old, new: (old.clear(), old.update(new))[0],
    set: lambda old, new: (old.clear(), old.update(new))[0],
}


def encode(value: Any, refer: Callable[[Any], list[Any]]) -> Any:
    """Turn a value into JSON data; `refer` makes a message for what is not plain data."""
    kind = type(value)
    if kind in (type(None), bool, float, str):
        return value
    if kind is int:
        return value if -_SAFE_INT < value < _SAFE_INT else ["int", hex(value)]
    if isinstance(value, type) and value in _BUILTIN_TYPES:
        return ["type", value.__name__]
    for base in kind.__mro__:
        key = (base.__module__, base.__qualname__)
        if key in _TYPES:
            return [key[1], *(encode(part, refer) for part in _TYPES[key][0](value))]
        if base in _SCALARS:
            return encode(_SCALARS[base](value), refer)
    number = _plain_number(value)
    return refer(value) if number is None else encode(number, refer)


def decode(data: Any, resolve: Callable[[str, list[Any]], Any]) -> Any:
    """Build the value again; `resolve(tag, parts)` answers for what `refer` wrote.

    Raises:
        Exception: of any kind, where the data are not what `encode` writes.
    """
    if not isinstance(data, list):
        return data
    tag, *parts = data
    build = _BUILD.get(tag)
    if build is None:
        return resolve(tag, parts)
    return build([decode(part, resolve) for part in parts])


def _plain_number(value: Any) -> Any:
    """Numbers of other libraries (numpy, sympy) as Python's own; None for what is none."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    numbers = sys.modules.get("numbers")
    if numbers is None or not isinstance(value, numbers.Number):
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else None
