"""Ask raters about themselves, before the rating and after it: what may be asked and answered."""

from __future__ import annotations

import math
import random
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from duo.errors import misfit

Text = Annotated[str, Field(min_length=1, pattern=r"\S", max_length=20_000)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]

#: Characters of an answer in words; longer ones are cut there.
LIMIT = 5_000

#: Before the rating, or after it.
Part = Literal["before", "after"]

_Bound = Annotated[float, Field(allow_inf_nan=False, strict=False)]


class Strict(BaseModel):
    """A part of a design: no unknown fields, nothing converted, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Asked(Strict):
    """A question about the rater.

    Attributes:
        name: in the data.
        kind: "choice": one of the options; "several": any of them; "scale": a number from 1 to
            `points`; "text"; "number".
        ask: what is asked.
        options: of a choice, and of several.
        points: of a scale, whose ends mean `low` and `high`.
        least, most: a number may be.
        required: the rater cannot go on without an answer.
    """

    name: Name
    kind: Literal["choice", "several", "scale", "text", "number"]
    ask: Text
    options: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    points: Annotated[int, Field(ge=2, le=11)] = 5
    low: Text | None = None
    high: Text | None = None
    least: _Bound | None = None
    most: _Bound | None = None
    required: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        listed = self.kind in ("choice", "several")
        if listed and len(self.options) < 2:
            raise misfit("two options or more are needed", "options")
        if not listed and self.options:
            raise misfit(f"goes with choice and several, not with {self.kind}", "options")
        if len(set(self.options)) != len(self.options):
            raise misfit("an option is given twice", "options")
        if self.kind != "number" and (self.least, self.most) != (None, None):
            raise misfit("goes with number only", "least" if self.least is not None else "most")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise misfit(f"is less than the least ({self.least:g})", "most")
        return self

    def reply(self, given: Any) -> Any:
        """Return an answer as it is stored; None if there is none.

        Raises:
            ValueError: it is none to this question.
        """
        if given in (None, "", [], ()):
            return None
        if self.kind == "choice" and given in self.options:
            return given
        if self.kind == "several" and isinstance(given, list | tuple):
            if all(one in self.options for one in given):
                return [option for option in self.options if option in given]
        elif self.kind == "text" and isinstance(given, str):
            text = given.replace("\0", "").encode("utf-8", "replace").decode("utf-8").strip()
            return text[:LIMIT] or None
        elif isinstance(given, int | float) and not isinstance(given, bool):
            scale = self.kind == "scale" and given in range(1, self.points + 1)
            least = -math.inf if self.least is None else self.least
            most = math.inf if self.most is None else self.most
            number = self.kind == "number" and math.isfinite(given) and least <= given <= most
            if scale or number:
                return int(given) if given == int(given) else given
        raise ValueError(f"{self.name} cannot be {given!r}")

    def drawn(self, draw: random.Random) -> Any:
        """Draw an answer, for raters that do not exist."""
        if self.kind in ("choice", "several"):
            option = draw.choice(self.options)
            return option if self.kind == "choice" else [option]
        if self.kind == "text":
            return "synthetic"
        if self.kind == "scale":
            return draw.randint(1, self.points)
        least = min(0.0, self.most or 0.0) if self.least is None else self.least
        most = least + 9 if self.most is None else self.most
        number = draw.uniform(least, most)
        return round(number) if least <= round(number) <= most else number
