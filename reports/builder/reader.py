"""Reads files one by one: keeps what is broken apart from what is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from duo.errors import BadInput
from duo.files import sha256
from reports.builder.evidence import Figures, Piece
from reports.builder.kinds import Kind, recognise
from reports.builder.walk import File, walk

#: What goes wrong in a program that trusts a file's form.
_MISFITS = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)


class Reader:
    """Reads what runs hold.

    Args:
        runs: folders, or single files.
        columns: what another tool calls our columns of ratings.
        tell: told what is under way.

    Attributes:
        problems: what is broken so far; files are named as inside the run.
        notes: what else the reader of the page should know.
        digests: SHA-256 of the files that were used, by name.

    Raises:
        BadInput: there is no such folder or file.
    """

    def __init__(
        self,
        runs: Sequence[Path],
        *,
        columns: Mapping[str, str] | None = None,
        tell: Callable[[str], None] = lambda what: None,
    ) -> None:
        self.tell = tell
        self._roots = tuple(f"{run}/" for run in runs if run.is_dir())
        tell("looking for results")
        walked = walk(runs)
        self.problems: list[BadInput] = list(walked.problems)
        self.notes: list[str] = []
        self.digests: dict[str, str] = {}
        self._found: dict[Kind, list[tuple[File, Any]]] = {}
        for file in walked.files:
            with self.about(file):
                if (seen := recognise(file.path, columns)) is not None:
                    self._found.setdefault(seen.kind, []).append((file, seen.content))

    def files(self, *kinds: Kind) -> list[File]:
        """The files of some kinds, by name."""
        return sorted(file for kind in kinds for file, _ in self._found.get(kind, []))

    def json(
        self, kind: Kind, check: Callable[[Figures], object] = lambda content: None
    ) -> tuple[Piece[Figures], ...]:
        """JSON of a kind.

        Args:
            kind: which.
            check: does with the content what will be done with it, so that what is not as it should
                be comes to light.
        """
        pieces = []
        for file, content in self._found.get(kind, []):
            with self.about(file):
                check(content)
                pieces.append(Piece[Figures](content, (self.used(file),)))
        return tuple(pieces)

    def used(self, file: File) -> str:
        """Note that a result rests on a file; its name."""
        if file.name not in self.digests:
            self.digests[file.name] = sha256(file.path)
        return file.name

    @contextmanager
    def about(self, file: File | None = None) -> Iterator[None]:
        """Whatever is wrong with a file's content inside this block becomes a problem."""
        try:
            yield
        except BadInput as error:
            self.problems.append(self.named(error, file))
        except OSError as error:
            problem = BadInput(f"cannot be read: {error.strerror or error}")
            self.problems.append(self.named(problem, file))
        except _MISFITS as error:
            missing = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            problem = BadInput(f"is not as it should be: {missing}")
            self.problems.append(self.named(problem, file))

    def named(self, error: BadInput, file: File | None = None) -> BadInput:
        """An error with the file's name inside the run instead of its path."""
        place = None if error.file is None else str(error.file)
        if file is not None and place in (None, str(file.path), str(file.path.parent)):
            place = file.name
        return BadInput(
            self.inside(error.message),
            file=None if place is None else self.inside(place),
            line=error.line,
            field=error.field,
        )

    def inside(self, text: str) -> str:
        """Text in which paths begin inside the run."""
        for root in self._roots:
            text = text.replace(root, "")
        return text
