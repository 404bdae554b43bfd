"""Say what raters may be asked, and may answer: about dialogues, the instructions, and themselves.

All of it is a part of a study's design (`sessions.study.design`).
"""

from __future__ import annotations

import math
import random
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from duo.errors import misfit

Text = Annotated[str, Field(min_length=1, pattern=r"\S", max_length=20_000)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]

#: Characters of an answer in words; longer ones are cut there.
LIMIT = 5_000

#: Before the rating, or after it.
Part = Literal["before", "after"]

Count = Annotated[int, Field(ge=0, le=10_000)]
_Bound = Annotated[float, Field(allow_inf_nan=False, strict=False)]


class Strict(BaseModel):
    """A part of a design: no unknown fields, nothing converted, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _different(options: tuple[str, ...]) -> tuple[str, ...]:
    if len(options) == 1:
        raise misfit("two options or more are needed")
    if len(set(options)) != len(options):
        raise misfit("an option is given twice")
    return options


Options = Annotated[tuple[Text, ...], Field(strict=False), AfterValidator(_different)]


class Asked(Strict):
    """A question about the rater.

    Attributes:
        kind: "choice": one of the options; "several": any of them; "scale": a number from 1 to
            `points`; "text"; "number".
        points: of a scale, whose ends mean `low` and `high`.
        least, most: a number may be.
        required: the rater cannot go on without an answer.
    """

    name: Name
    kind: Literal["choice", "several", "scale", "text", "number"]
    ask: Text
    options: Options = ()
    points: Annotated[int, Field(ge=2, le=11)] = 5
    low: Text | None = None
    high: Text | None = None
    least: _Bound | None = None
    most: _Bound | None = None
    required: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        listed = self.kind in ("choice", "several")
        if listed and not self.options:
            raise misfit("two options or more are needed", "options")
        if not listed and self.options:
            raise misfit(f"goes with choice and several, not with {self.kind}", "options")
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


class Criterion(Strict):
    """Something that dialogues are compared in.

    Attributes:
        title: what raters see as its name, if it is not the name itself.
        better, worse: anchors; what a dialogue is like that does well, and one that does badly.
    """

    name: Name
    title: Text | None = None
    question: Text
    definition: Text
    better: Text
    worse: Text

    @property
    def shown(self) -> str:
        """Its name as it is shown, such as "Human-likeness"."""
        return self.title or self.name[:1].upper() + self.name[1:].replace("_", " ")


class Question(Strict):
    """A question about the instructions, of which one option is right."""

    ask: Text
    options: Annotated[Options, Field(min_length=1)]
    answer: Text
    because: Text

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.answer not in self.options:
            raise misfit("is none of the options", "answer")
        return self


class Comprehension(Strict):
    """The check that the instructions were understood; no questions: no check."""

    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    questions: Annotated[tuple[Question, ...], Field(strict=False)] = ()


_Kinds = Annotated[dict[Name, Text], Field(max_length=9)]


class Strength(Strict):
    """How strong a preference is; asked where one of two dialogues is preferred.

    Attributes:
        levels: from weak to strong, each with its label; none: it is not asked.
        required: a preference counts as an answer only with its strength.
    """

    levels: _Kinds = Field(default_factory=dict)
    required: bool = False


class Marks(Strict):
    """What raters may mark at a turn of an assistant.

    Attributes:
        kinds: each with its label, such as "Here it should have stopped"; none: nothing is marked.
        least: marks that a page needs before it is taken.
    """

    kinds: _Kinds = Field(default_factory=dict)
    least: Count = 0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.least and not self.kinds:
            raise misfit("needs kinds of marks", "least")
        return self
