"""Turn results of parts that do not return a `Table` yet into Tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.errors import MarkupError
from rich.text import Text

from duo.files import Result
from duo.table import Column, Table

_NUMBER = re.compile(r"[-–−+<.]?\s*[\d.]|[-–−]$|$")


def plain(content: Any) -> Any:
    if isinstance(content, Result):
        return content.model_dump(mode="json", by_alias=True)
    return content


def tables(found: Any) -> list[Table]:
    if isinstance(found, Table):
        return [found]
    if not isinstance(found, Iterable):
        return [_of_rich(found)]
    return [one if isinstance(one, Table) else _of_rich(one) for one in found]


def _of_rich(table: Any) -> Table:
    columns = [[_plain(cell) for cell in column.cells] for column in table.columns]
    caption = _plain(table.caption) if table.caption else ""
    return Table(
        _plain(table.title) if table.title else "",
        [
            Column(_plain(column.header), "number" if all(map(_NUMBER.match, texts)) else "text")
            for column, texts in zip(table.columns, columns, strict=True)
        ],
        list(zip(*columns, strict=True)),
        [line for line in caption.splitlines() if line],
        frozenset(n + 1 for n, row in enumerate(table.rows) if row.end_section),
    )


def _plain(cell: Any) -> str:
    if isinstance(cell, Text):
        return cell.plain
    try:
        return Text.from_markup(str(cell)).plain
    except MarkupError:
        return str(cell)
