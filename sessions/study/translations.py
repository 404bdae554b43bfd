"""Say the texts of a design in another language: the same design with some texts replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duo.errors import misfit

#: The fields of a design that have texts for raters.
TRANSLATED = (
    "title", "consent", "about", "instructions", "criteria", "example", "comprehension", "checks",
    "before", "after", "strength", "marks",
)  # fmt: skip

#: Fields inside them that are the same in all languages.
_SAME = ("name", "kind", "who")


def translated(data: Mapping[str, Any], over: Mapping[str, Any], *at: int | str) -> dict[str, Any]:
    """Return the data of a design, or of a part of it, with the texts that another language has.

    Lists are replaced item by item, and must be as long.

    Args:
        over: a part of the data, with texts in another language; what is not in it stays.
        at: where `over` stands, for the error.

    Raises:
        PydanticCustomError: there is no such text.
    """
    if unknown := [name for name in over if name not in data]:
        raise misfit("there is no such text in the design", *at, unknown[0])
    if len(at) == 2 and (fixed := [name for name in over if name not in TRANSLATED]):
        raise misfit("is the same in all languages", *at, fixed[0])
    changed = {name: _one(data[name], value, *at, name) for name, value in over.items()}
    return {**data, **changed}


def _one(before: Any, after: Any, *at: int | str) -> Any:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        who = "about" in at  # there it is a text
        if not who and (
            fixed := [one for one in _SAME if one in after and after[one] != before[one]]
        ):
            raise misfit(f"must be {before[fixed[0]]!r}, as in the design", *at, fixed[0])
        return translated(before, after, *at)
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        if len(before) != len(after):
            raise misfit(f"has {len(after)} parts, not {len(before)} as in the design", *at)
        pairs = zip(before, after, strict=True)
        return [_one(one, other, *at, place) for place, (one, other) in enumerate(pairs)]
    if isinstance(before, str | None) and isinstance(after, str):
        return after
    if before == after:
        return before
    raise misfit("must be a text, as in the design", *at)
