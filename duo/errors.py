"""Report mistakes in a user's input in one line: what is wrong, in which file, line and field.

The command line prints a `BadInput` as it is and exits with status 2, and so it does where the
system refuses a path; every other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, get_type_hints

from duo.terminal import printable

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import PydanticCustomError

#: A place in nested data, as pydantic gives it: keys and indexes.
Loc = tuple[int | str, ...]

_PLAINER = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this schema",
    "model_type": "must be a mapping of fields to values",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}


class BadInput(Exception):
    """Input that cannot be used: `file:line: field: message`, on one line.

    >>> str(BadInput("must be positive", file="a.yaml", line=3, field="words_per_minute"))
    'a.yaml:3: words_per_minute: must be positive'
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        field: str | None = None,
    ) -> None:
        self.message, self.file, self.line, self.field = message, file, line, field
        place = f"{file}:{line}" if file is not None and line is not None else file
        parts = [str(part) for part in (place, field, message) if part is not None]
        super().__init__(" ".join(": ".join(parts).split()))


def first_line(error: Exception) -> str:
    """Shorten a library's error message, which may be a screen long, to its first statement."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    whole = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return whole[:300]


def check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    """Make sure that a value is one of a few words.

    Raises:
        BadInput: it is none of them; the error says which there are.
    """
    if value not in choices:
        raise BadInput(f"unknown {value!r}: use one of {', '.join(choices)}", field=field)


def check_utf8(path: str) -> None:
    """Make sure that results, which are UTF-8, can name a path.

    Raises:
        BadInput: they cannot.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise BadInput("its name is not UTF-8, as results that name it are", file=path) from None


def check_types(settings: Any) -> None:
    """Hold every field of a dataclass instance, whose values people give, to its type hint.

    A hint may say more than the type: `PositiveInt` or `Annotated[float, Field(le=1)]`.

    Raises:
        BadInput: one does not fit, or is no finite number.
    """
    from pydantic import TypeAdapter, ValidationError

    hints = get_type_hints(type(settings), include_extras=True)
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        try:
            TypeAdapter(hints[setting.name]).validate_python(value, strict=True)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            limits = problem.get("ctx", {})
            said = f"{value!r}: {problem['msg']}"
            if limits.get("gt") == 0:
                said = f"must be positive, not {value}"
            elif limits.get("ge") == 0:
                said = f"must not be negative, as {value} is"
            raise BadInput(said, field=setting.name) from error
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(f"{value} is not finite", field=setting.name)


@contextmanager
def time_limit(seconds: float, what: str, *, file: str | Path | None = None) -> Iterator[None]:
    """Limit the CPU time of a program that came in a file, such as a template, in this process.

    Only the main thread can be interrupted, and only where there are signals for it (not on
    Windows); elsewhere nothing is limited.

    Raises:
        BadInput: it takes longer.
    """
    main = threading.current_thread() is threading.main_thread()
    if not (main and hasattr(signal, "setitimer")):
        yield
        return

    def stop(*_: object) -> None:
        raise BadInput(f"{what} does not end: stopped after {seconds:g} s", file=file)

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into `SystemExit`, so that what was begun is finished.

    One that is ignored, as SIGHUP is under `nohup`, stays so.
    """

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {
        number: signal.signal(number, end)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Problem(NamedTuple):
    """One problem that a pydantic model found: where in the data, and what."""

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
    """Make an error for validators of a whole model, pointing at the field `at` inside it."""
    from pydantic_core import PydanticCustomError

    return PydanticCustomError("misfit", "{problem}", {"problem": message, "at": at})


def problems(error: ValidationError) -> Iterator[Problem]:
    """List all problems that a pydantic model found, in its order."""
    for details in error.errors(include_url=False):
        context: dict[str, Any] = details.get("ctx", {})
        # Tags of unions stand in angle brackets: they are in nobody's file.
        loc = tuple(part for part in details["loc"] if not str(part).startswith("<"))
        message = _PLAINER.get(details["type"], details["msg"])
        loc += tuple(context.get("at", ()))
        yield Problem(loc, printable(message), details["type"] == "extra_forbidden")


def first_problem(found: Iterable[Problem]) -> Problem:
    """Choose the problem to report: the first unknown field, or else the first of all.

    A misspelt field is one too many and one missing: the former says more.
    """
    listed = list(found)
    return next((problem for problem in listed if problem.unknown_field), listed[0])
