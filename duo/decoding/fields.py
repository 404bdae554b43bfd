"""Settings are given by people, so the fields of their dataclasses are checked like a file's."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from duo.errors import BadInput


def check_types(settings: Any) -> None:
    """Hold every field of a dataclass instance to its type hint.

    Raises:
        BadInput: one does not fit, or is no finite number.
    """
    hints = get_type_hints(type(settings))
    for field in fields(settings):
        value = getattr(settings, field.name)
        try:
            TypeAdapter(hints[field.name]).validate_python(value, strict=True)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"]
            raise BadInput(f"{value!r}: {problem}", field=field.name) from error
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(f"{value} is not finite", field=field.name)
