"""What a schema found wrong, said in one line: the first problem, its place and its field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from duo.terminal import printable

#: A place in nested data, as pydantic gives it: keys and indexes.
Loc = tuple[int | str, ...]

_PLAINER = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this schema",
    "model_type": "must be a mapping of fields to values",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}


class Problem(NamedTuple):
    """One problem: where in the data, and what."""

    loc: Loc
    message: str
    unknown_field: bool = False

    @property
    def field(self) -> str | None:
        """The place as one reads it: `utterances[2].say`; None for the data as a whole.

        >>> Problem(("utterances", 2, "say"), "").field
        'utterances[2].say'
        """
        name = ""
        for part in self.loc:
            name += f"[{part}]" if isinstance(part, int) else f".{part}"
        return printable(name.removeprefix(".")) or None


def misfit(message: str, *at: int | str) -> PydanticCustomError:
    """An error for validators of a whole model, pointing at the field `at` inside it."""
    return PydanticCustomError("misfit", "{problem}", {"problem": message, "at": at})


def problems(error: ValidationError) -> Iterator[Problem]:
    """All problems that a schema found, in its order."""
    for details in error.errors(include_url=False):
        context: dict[str, Any] = details.get("ctx", {})
        # Tags of unions stand in angle brackets: they are in nobody's file.
        loc = tuple(part for part in details["loc"] if not str(part).startswith("<"))
        message = _PLAINER.get(details["type"], details["msg"])
        loc += tuple(context.get("at", ()))
        yield Problem(loc, printable(message), details["type"] == "extra_forbidden")
