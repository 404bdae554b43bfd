"""Write a table to a terminal, as Markdown, LaTeX, CSV or HTML.

Whoever computes numbers returns a `Table` of raw values; only here do they become text. Texts may
be anybody's: each form of writing escapes them, and in a CSV file no cell can become a formula.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from duo.csv_file import csv_cell
from duo.escape import escape_html, escape_latex, escape_markdown, escape_markdown_block
from duo.files import AnyResult, check_writable_file, write_result
from duo.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console

Value = str | int | float | bool | None
Kind = Literal["text", "number"]

NONE, MINUS = "–", "−"

_PADDING = 2  # blanks between columns of a terminal
_WORD = 28  # a longer word may be broken on a terminal
_NUMBER = 40  # a longer text among numbers may be wrapped
_TEXT = 16  # a column of longer texts is made no narrower than this
_ONE_PAGE = 40  # rows of a LaTeX table that stands on one page
_LATEX_HEAD = r"""% Compiles as it is. In a paper, take the tables and load these packages.
\documentclass[a4paper,10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[a4paper,margin=15mm,landscape]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage{longtable}
\begin{document}
"""


def shown(value: Value) -> str:
    """Write a value as a reader wants it: numbers to four digits, a dash where there is none.

    >>> shown(0.123456), shown(12345.6), shown(-2), shown(None)
    ('0.1235', '12346', '−2', '–')
    """
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        text = f"{value:.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"
        return text.replace("-", MINUS)
    return str(value).replace("-", MINUS) if isinstance(value, int) else value


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, and how its values are written.

    Attributes:
        name: its heading; a line break in it is a blank where headings have one line.
        kind: numbers stand to the right and are never wrapped. None: "number" if the column holds
            numbers and no text.
        show: how numbers are written: a function, or a format such as ".2f". Texts are shown as
            they are, None as a dash.
    """

    name: str
    kind: Kind | None = None
    show: Callable[[Any], str] | str = shown

    def text(self, value: Value) -> str:
        """Write a raw value as readers see it."""
        if value is None or isinstance(value, str):
            return shown(value)
        if isinstance(self.show, str):
            return format(value, self.show).replace("-", MINUS)
        return self.show(value)


@dataclass(frozen=True)
class Cell:
    """A cell that is shown otherwise than its column's rule says.

    Attributes:
        value: the raw value, as CSV has it.
        text: what readers see, such as a share with its interval; None: as the column says.
        mark: sign of the note that it bears.
        parts: further raw values that `text` tells, by name, such as the interval's ends; in CSV
            they get columns of their own.
        style: colour on a terminal, as rich names it.
    """

    value: Value
    text: str | None = None
    mark: str = ""
    parts: Mapping[str, Value] = field(default_factory=dict)
    style: str = ""


@dataclass(frozen=True)
class Table:
    """A table of raw values.

    Attributes:
        columns: a text is a column with the usual rules.
        rows: of values, or `Cell`s where one differs.
        notes: paragraphs below it; one that a mark points to begins with the mark.
        sections: numbers of the rows before which a new group begins.

    Raises:
        ValueError: a row is longer or shorter than the others.
    """

    title: str
    columns: Sequence[Column | str]
    rows: Sequence[Sequence[Value | Cell]]
    notes: Sequence[str] = ()
    sections: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"{self.title}: row {number} has {len(row)} cells, not {len(self.columns)}"
                )

    @cached_property
    def heads(self) -> list[Column]:
        """Return the columns, each with its kind."""
        found = [Column(one) if isinstance(one, str) else one for one in self.columns]
        return [
            replace(column, kind=column.kind or _kind(row[at].value for row in self.cells))
            for at, column in enumerate(found)
        ]

    @cached_property
    def cells(self) -> list[list[Cell]]:
        """Return all rows as cells."""
        return [[one if isinstance(one, Cell) else Cell(one) for one in row] for row in self.rows]

    @cached_property
    def texts(self) -> list[list[str]]:
        """Return what readers see of each row, without the marks."""
        return [
            [
                column.text(cell.value) if cell.text is None else cell.text
                for column, cell in zip(self.heads, row, strict=True)
            ]
            for row in self.cells
        ]

    @cached_property
    def marked(self) -> list[list[str]]:
        """Return what readers see of each row, each text with its mark."""
        return [
            [text + cell.mark for text, cell in zip(texts, cells, strict=True)]
            for texts, cells in zip(self.texts, self.cells, strict=True)
        ]

    def csv(self) -> str:
        """Write names and rows of raw values: numbers read back as the same."""
        parts = [
            list(dict.fromkeys(name for row in self.cells for name in row[at].parts))
            for at in range(len(self.columns))
        ]
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            csv_cell(name)
            for column, names in zip(self.heads, parts, strict=True)
            for name in (column.name, *(f"{column.name} {name}".strip() for name in names))
        )
        for row in self.cells:
            writer.writerow(
                csv_cell(value)
                for cell, names in zip(row, parts, strict=True)
                for value in (cell.value, *(cell.parts.get(name) for name in names))
            )
        return stream.getvalue()

    def markdown(self) -> str:
        """Write a heading, the table as GitHub reads it, and its notes."""
        names = [column.name for column in self.heads]
        right = ["---:" if column.kind == "number" else "---" for column in self.heads]
        lines = [f"### {escape_markdown(self.title)}", ""] if self.title else []
        lines += [_markdown_line(names), f"|{'|'.join(right)}|", *map(_markdown_line, self.marked)]
        for note in self.notes:
            lines += ["", escape_markdown_block(note)]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """Write a `<table>` with its caption, and a paragraph of each note after it."""
        lines = ["<table>"]
        if self.title:
            lines.append(f"<caption>{escape_html(self.title)}</caption>")
        lines.append("<thead>")
        names = [escape_html(column.name) for column in self.heads]
        lines.append(self._html_row(names, "col"))
        lines += ["</thead>", "<tbody>"]
        for number, row in enumerate(self._with_marks(escape_html, "<sup>{}</sup>")):
            if number and number in self.sections:
                lines += ["</tbody>", "<tbody>"]
            lines.append(self._html_row(row, "row"))
        lines += ["</tbody>", "</table>"]
        lines += [f'<p class="table-note">{escape_html(note)}</p>' for note in self.notes]
        return "\n".join(lines) + "\n"

    def _html_row(self, texts: Sequence[str], scope: str) -> str:
        made = []
        for at, (column, text) in enumerate(zip(self.heads, texts, strict=True)):
            head = scope == "col" or at == 0
            tag, attributes = ("th", f' scope="{scope}"') if head else ("td", "")
            attributes += ' class="number"' if column.kind == "number" else ""
            made.append(f"<{tag}{attributes}>{text}</{tag}>")
        return f"<tr>{''.join(made)}</tr>"

    def latex(self) -> str:
        """Write a `table`, or a `longtable` of many rows; `latex_document` has what it needs."""
        lines = self._latex_pages() if len(self.rows) > _ONE_PAGE else self._latex_page()
        return "\n".join(lines) + "\n"

    def _latex_page(self) -> Iterator[str]:
        yield r"\begin{table}[p]"
        yield r"\centering\small"
        yield rf"\caption{{{escape_latex(self.title)}}}"
        yield r"\setlength{\tabcolsep}{4pt}"
        # As wide as it is, but never wider than the page.
        yield r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%"
        yield rf"\begin{{tabular}}{{{self._latex_columns}}}"
        yield r"\toprule"
        yield self._latex_heads
        yield r"\midrule"
        yield from self._latex_rows()
        yield r"\bottomrule"
        yield r"\end{tabular}}"
        if self.notes:
            yield r"\par\medskip"
            yield r"\begin{minipage}{\textwidth}\footnotesize"
            yield from (escape_latex(note) + r"\par" for note in self.notes)
            yield r"\end{minipage}"
        yield r"\end{table}"

    def _latex_pages(self) -> Iterator[str]:
        yield r"{\footnotesize\setlength{\tabcolsep}{4pt}"
        yield rf"\begin{{longtable}}{{{self._latex_columns}}}"
        yield rf"\caption{{{escape_latex(self.title)}}} \\"
        yield r"\toprule"
        yield self._latex_heads
        yield r"\midrule"
        yield r"\endhead"
        yield r"\bottomrule"
        yield r"\endfoot"
        yield from self._latex_rows()
        yield r"\end{longtable}"
        yield from (r"\noindent " + escape_latex(note) + r"\par" for note in self.notes)
        yield "}"

    @property
    def _latex_columns(self) -> str:
        return "@{}" + "".join("r" if one.kind == "number" else "l" for one in self.heads) + "@{}"

    @property
    def _latex_heads(self) -> str:
        written = []
        for column in self.heads:
            lines = [escape_latex(line) for line in column.name.split("\n")]
            stacked = r" \\ ".join(lines)
            written.append(stacked if len(lines) == 1 else rf"\shortstack{{{stacked}}}")
        return _latex_line(written)

    def _latex_rows(self) -> Iterator[str]:
        for number, row in enumerate(self._with_marks(escape_latex, r"\textsuperscript{{{}}}")):
            if number and number in self.sections:
                yield r"\addlinespace"
            yield _latex_line(row)

    def _with_marks(self, escape: Callable[[str], str], raised: str) -> Iterator[list[str]]:
        """Escape the rows' texts, and put marks into the form `raised`."""
        for texts, cells in zip(self.texts, self.cells, strict=True):
            yield [
                escape(text) + (raised.format(escape(cell.mark)) if cell.mark else "")
                for text, cell in zip(texts, cells, strict=True)
            ]

    def show(self, console: Console | None = None) -> None:
        """Print it, in parts that fit the console.

        Long texts wrap between words. If the table is still too wide, its columns are shown in
        parts one below the other; each begins with the columns that say what a row is about. In a
        pipe, unless COLUMNS says otherwise, lines are as long as they must.
        """
        from rich import box
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        if console is None:
            console = Console()
            if not console.is_terminal and "COLUMNS" not in os.environ:
                needed = sum(_PADDING + width for _, width in self._widths())
                console.width = max(console.width, needed)
        if self.title:
            console.print(Text(printable(self.title), style="bold"))
        for number, part in enumerate(self._parts(console.width)):
            if number:
                console.print()
            drawn = RichTable(
                box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1)
            )
            for at, width in part.items():
                right = self.heads[at].kind == "number"
                drawn.add_column(
                    Text(printable(self.heads[at].name, lines=True)),
                    justify="right" if right else "left", width=width, overflow="fold",
                )  # fmt: skip
            for line, (row, cells) in enumerate(zip(self.marked, self.cells, strict=True), start=1):
                drawn.add_row(
                    *(Text(printable(row[at], lines=True), style=cells[at].style) for at in part),
                    end_section=line in self.sections,
                )
            console.print(drawn)
        for note in self.notes:
            console.print(Text(printable(note), style="dim"))
        console.print()

    def _widths(self) -> list[tuple[int, int]]:
        """Find the least and the greatest sensible width of each column, in terminal cells."""
        from rich.cells import cell_len

        found = []
        for at, column in enumerate(self.heads):
            name = printable(column.name, lines=True)
            texts = [printable(row[at], lines=True) for row in self.marked]
            lines = [cell_len(line) for text in [name, *texts] for line in text.split("\n")]
            most = max(1, *lines)
            if column.kind == "number":
                least = max([1, *(min(cell_len(text), _NUMBER) for text in texts)])
                wrapped = [name]
            else:
                least = min(most, _TEXT)
                wrapped = [name, *texts]
            words = [cell_len(word) for text in wrapped for word in text.split()]
            found.append((max([least, *(min(width, _WORD) for width in words)]), most))
        return found

    def _parts(self, room: int) -> Iterator[dict[int, int]]:
        """Split the table into parts that fit a console, as columns with their widths."""
        widths = self._widths()

        def needed(columns: Sequence[int]) -> int:
            return sum(_PADDING + widths[at][0] for at in columns)

        texts = [column.kind == "text" for column in self.heads]
        keys = list(range(texts.index(False) if False in texts else 1)) or [0]
        if needed(keys) > room / 2:
            keys = [0]
        part: list[int] = []
        for at in range(len(widths)):
            if part and at not in keys and needed([*part, at]) > room and len(part) > len(keys):
                yield _spread(part, widths, room)
                part = list(keys)
            part.append(at)
        yield _spread(part, widths, room)


def make_result(
    out: Path | None,
    compute: Callable[[], AnyResult],
    tables: Callable[[AnyResult], Sequence[Table]],
) -> AnyResult:
    """Compute a result, write it as JSON and show its tables.

    Args:
        out: the file, known to be writable before anything is computed; None for none.

    Raises:
        BadInput: the file cannot be written; or of `compute`.
    """
    if out is not None:
        check_writable_file(out)
    found = compute()
    if out is not None:
        write_result(out, found)
    for table in tables(found):
        table.show()
    return found


def latex_document(tables: Sequence[Table]) -> str:
    """Write tables as one LaTeX document that compiles as it is, with any engine."""
    return _LATEX_HEAD + "\n".join(table.latex() for table in tables) + r"\end{document}" + "\n"


def _kind(values: Iterator[Value]) -> Kind:
    held = [value for value in values if value is not None]
    return "text" if not held or any(isinstance(value, str | bool) for value in held) else "number"


def _spread(columns: Sequence[int], widths: Sequence[tuple[int, int]], room: int) -> dict[int, int]:
    """Give what room is left to the columns that would need most lines."""
    found = {at: widths[at][0] for at in columns}
    while sum(_PADDING + width for width in found.values()) < room:
        longest = max(found, key=lambda at: widths[at][1] / found[at])
        if found[longest] >= widths[longest][1]:
            break
        found[longest] += 1
    return found


def _markdown_line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(map(escape_markdown, texts))} |"


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
