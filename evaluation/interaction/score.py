"""`duo eval interaction`: read transcripts, count, print, write."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from duo.errors import BadInput
from duo.files import write_text
from duo.speech import Conversation, read_conversation
from duo.transcript import transcript_files
from evaluation.interaction.report import Figures, report
from evaluation.interaction.table import table


def read_all(paths: Iterable[Path]) -> tuple[list[Conversation], list[BadInput]]:
    """Every transcript that can be scored, and what is wrong with the others.

    Raises:
        BadInput: there is no such file or folder, or a folder without transcripts.
    """
    conversations, left_out = [], []
    for path in transcript_files(paths):
        try:
            conversations.append(read_conversation(path))
        except BadInput as error:
            left_out.append(error)
    return conversations, left_out


def score(paths: Iterable[Path], *, out: Path | None = None, console: Console) -> Figures:
    """Score transcripts, print a table and write the figures.

    Args:
        paths: transcripts, or folders of them.
        out: JSON file for all figures and events; None for none.
        console: where the table goes.

    Returns:
        What was written; see `evaluation.interaction.report.report`.

    Raises:
        BadInput: not one transcript could be scored, or the file cannot be written.
    """
    conversations, left_out = read_all(paths)
    if not conversations:
        raise nothing_left(left_out)
    found = report(conversations, left_out)
    if out is not None:
        write_text(out, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    console.print(table(found))
    return found


def nothing_left(left_out: list[BadInput]) -> BadInput:
    """The error when no transcript can be used: the first problem, and how many more there are."""
    first = left_out[0]
    others = f" (and {len(left_out) - 1} more that cannot be scored)" if len(left_out) > 1 else ""
    return BadInput(first.message + others, file=first.file, line=first.line, field=first.field)
