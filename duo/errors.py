"""What goes wrong because of the user's input, said in one line.

The command line prints such an error as it is and exits with status 2; every other exception is a
bug and keeps its traceback.
"""

from __future__ import annotations

from pathlib import Path


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


def check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    """Make sure that a value is one of a few words.

    Raises:
        BadInput: it is none of them; the error says which there are.
    """
    if value not in choices:
        raise BadInput(f"unknown {value!r}: use one of {', '.join(choices)}", field=field)
