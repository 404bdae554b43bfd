"""The table as LaTeX with booktabs: a document that compiles as it is, with any engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.escape import latex as escaped
from reports.table1.grid import Entry, Grid

_HEAD = r"""% Compiles as it is. In a paper, take the tables and load booktabs and graphicx.
\documentclass[a4paper,10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[a4paper,margin=15mm,landscape]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
"""
_FOOT = r"\end{document}" + "\n"


def latex(grids: Sequence[Grid]) -> str:
    """Each grid as a table with its caption and notes, in one document."""
    return _HEAD + "\n".join(line for grid in grids for line in _lines(grid)) + "\n" + _FOOT


def _lines(grid: Grid) -> Iterator[str]:
    yield r"\begin{table}[p]"
    yield r"\centering\small"
    yield rf"\caption{{{escaped(grid.title)}}}"
    yield r"\setlength{\tabcolsep}{4pt}"
    # As wide as it is, but never wider than the page.
    yield r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%"
    columns = "".join("l" if n in grid.texts else "r" for n in range(len(grid.heads)))
    yield rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}"
    yield r"\toprule"
    for level in range(max(map(len, grid.heads))):
        heads = [_head(head, level) for head in grid.heads]
        yield " & ".join(heads) + r" \\"
    yield r"\midrule"
    for number, row in enumerate(grid.rows):
        if number and number in grid.starts and len(grid.starts) < len(grid.rows):
            yield r"\addlinespace"
        yield " & ".join(map(_entry, row)) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}}"
    yield r"\par\medskip"
    yield r"\begin{minipage}{\textwidth}\footnotesize"
    for mark, text in grid.notes:
        yield _superscript(mark) + escaped(text) + r"\par"
    yield r"\end{minipage}"
    yield r"\end{table}"


def _head(head: tuple[str, ...], level: int) -> str:
    """Words of the columns with one line stand on the lower of two."""
    text = head[level] if level < len(head) and len(head) > 1 else ""
    if len(head) == 1 and level == 0:
        text = head[0]
    return escaped(text)


def _entry(entry: Entry) -> str:
    return escaped(entry.text) + _superscript(entry.marks)


def _superscript(marks: str) -> str:
    return rf"\textsuperscript{{{escaped(marks)}}}" if marks else ""
