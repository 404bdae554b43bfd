"""Read and write CSV as spreadsheets have it, none of whose cells can become a formula."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from duo.errors import BadInput
from duo.escape import clean
from duo.files import opened, read_text

_DELIMITERS = (",", ";", "\t", "|")
#: What a spreadsheet would run, were the characters before it dropped or not shown; an apostrophe
#: goes before such a cell. A sign before a letter, as in `+Duo`, would be run too.
_FORMULA = re.compile(r"'*[\t\r\n]|['\s]*[=+\-@＝＋－＠]")


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Read a CSV file: line numbers and cells, the header first.

    Marks that spreadsheets leave are passed over: a first line `sep=;`, another delimiter than a
    comma, decimal commas under such a one, and empty rows and columns at the end. So is the header
    of a file that was put behind another. What `csv_cell` guarded stays guarded.

    Raises:
        BadInput: it cannot be read, is no CSV, or a row has more or fewer cells than the header.
    """
    text = _table_text(path)
    blank = re.match(r"(?:[ \t]*(?:\r\n?|\n))*", text)
    skipped = blank[0] if blank else ""
    text, line = text[len(skipped) :], 1 + len(skipped.splitlines())
    first = text.splitlines()[0] if text else ""
    declared = re.fullmatch(r'("?)sep=(.)\1\s*', first)
    delimiter = declared[2] if declared else max(_DELIMITERS, key=first.count)
    stream = io.StringIO(text, newline="")
    if declared:
        stream.readline()
        line += 1
    before = line - 1
    reader = csv.reader(stream, delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        while header and not header[-1]:
            header.pop()
        if not header:
            raise BadInput("empty: not even a header line", file=path)
        yield line, header
        line = reader.line_num + 1 + before
        for cells in reader:
            while len(cells) > len(header) and not cells[-1].strip():
                cells.pop()
            again = [cell.strip("\ufeff ") for cell in cells] == header  # of files put together
            if any(cell.strip() for cell in cells) and not again:
                if len(cells) != len(header):
                    wrong = f"{len(cells)} cells under {len(header)} columns"
                    raise BadInput(wrong, file=path, line=line)
                if delimiter != ",":
                    cells = [_with_point(cell) for cell in cells]
                yield line, cells
            line = reader.line_num + 1 + before
    except csv.Error as error:
        raise BadInput(f"not CSV: {error}", file=path, line=line) from error


def spelled(name: str) -> str:
    """Spell a column or choice as ours are, such as "System Left" or "Both bad"."""
    return re.sub(r"[\s-]+", "_", name.lower())


def _with_point(cell: str) -> str:
    """Write a number with a decimal comma as all others are written."""
    number = re.fullmatch(r"\s*-?\d+,\d+(?:[eE][-+]?\d+)?\s*", cell)
    return cell.replace(",", ".") if number else cell


def _table_text(path: Path) -> str:
    """Read a table's text, or say what a file is that is none."""
    with opened(path) as stream:
        start = stream.read(4)
    if start in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        raise BadInput("is a spreadsheet's own file: save the sheet as CSV", file=path)
    text = read_text(path)
    if text.lstrip()[:1] == "<":
        raise BadInput("is a web page, not CSV", file=path)
    return text


def csv_cell(value: str | float | None) -> str:
    """Write a value as a field of CSV that no spreadsheet runs; `csv_text` undoes it.

    None is empty, numbers are exact, truth is `true` or `false`. Text is clean but may have
    several lines; before what could be a formula stands an apostrophe.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(float(value)) if isinstance(value, float) else str(value)
    text = clean(value.replace("\r\n", "\n").replace("\r", "\n"), lines=True)
    return f"'{text}" if _is_formula(text) else text


def csv_text(field: str) -> str:
    """Read a field that `csv_cell` wrote: drop the apostrophe that guards a formula."""
    return field[1:] if field.startswith("'") and _is_formula(field) else field


def _is_formula(text: str) -> bool:
    seen = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return _FORMULA.match(seen) is not None
