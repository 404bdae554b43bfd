"""The numbers behind a chart: exact as CSV, to four digits as LaTeX (booktabs) and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from reports.charts.chart import Chart
from reports.escape import csv_cell, latex, markdown

NONE, MINUS = "–", "−"

_HEAD = r"""% Compiles as it is. In a paper, take the table and load booktabs{package}.
\documentclass[a4paper,10pt]{{article}}
\usepackage[T1]{{fontenc}}
\usepackage[a4paper,margin=15mm,landscape]{{geometry}}
\usepackage{{booktabs}}
\usepackage{{{package_name}}}
\begin{{document}}
"""
_FOOT = r"\end{document}" + "\n"
_ONE_PAGE = 40  # rows


def csv_text(chart: Chart) -> str:
    """A header and the rows; numbers read back as the same numbers, None is an empty cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(csv_cell, chart.columns))
    writer.writerows(map(csv_cell, row) for row in chart.rows)
    return stream.getvalue()


def latex_text(chart: Chart) -> str:
    """A document with the table and its caption; a long table goes over several pages."""
    lines = _one_page(chart) if len(chart.rows) <= _ONE_PAGE else _pages(chart)
    name = "graphicx" if len(chart.rows) <= _ONE_PAGE else "longtable"
    head = _HEAD.format(package=f" and {name}", package_name=name)
    return head + "\n".join(lines) + "\n" + _FOOT


def markdown_text(chart: Chart) -> str:
    """A heading, the table as GitHub reads it, and the caption."""
    numeric = _numeric(chart)
    lines = [
        f"### {markdown(chart.title)}\n",
        _markdown_line(chart.columns),
        "|" + "|".join("---:" if number else "---" for number in numeric) + "|",
        *(_markdown_line(row) for row in chart.rows),
        f"\n{markdown(chart.caption)}\n",
    ]
    return "\n".join(lines)


def shown(value: object) -> str:
    """A value as a reader wants it: numbers to four digits, a dash where there is none.

    >>> shown(0.123456), shown(12345.6), shown(-2), shown(None)
    ('0.1235', '12346', '−2', '–')
    """
    if value is None:
        return NONE
    if isinstance(value, float):
        text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        return text.replace("-", MINUS)
    return str(value).replace("-", MINUS) if isinstance(value, int) else str(value)


def _markdown_line(row: tuple[object, ...]) -> str:
    return f"| {' | '.join(markdown(shown(value)) for value in row)} |"


def _latex_line(row: tuple[object, ...]) -> str:
    return " & ".join(latex(shown(value)) for value in row) + r" \\"


def _numeric(chart: Chart) -> list[bool]:
    """Of each column whether it holds numbers."""
    return [
        any(isinstance(row[at], int | float) for row in chart.rows)
        and not any(isinstance(row[at], str) for row in chart.rows)
        for at in range(len(chart.columns))
    ]


def _tabular(chart: Chart) -> str:
    return "@{}" + "".join("r" if number else "l" for number in _numeric(chart)) + "@{}"


def _one_page(chart: Chart) -> Iterator[str]:
    yield r"\begin{table}[p]"
    yield r"\centering\small"
    yield rf"\caption{{{latex(chart.caption)}}}"
    yield r"\setlength{\tabcolsep}{4pt}"
    # As wide as it is, but never wider than the page.
    yield r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%"
    yield rf"\begin{{tabular}}{{{_tabular(chart)}}}"
    yield r"\toprule"
    yield _latex_line(chart.columns)
    yield r"\midrule"
    yield from map(_latex_line, chart.rows)
    yield r"\bottomrule"
    yield r"\end{tabular}}"
    yield r"\end{table}"


def _pages(chart: Chart) -> Iterator[str]:
    yield r"\footnotesize\setlength{\tabcolsep}{4pt}"
    yield rf"\begin{{longtable}}{{{_tabular(chart)}}}"
    yield rf"\caption{{{latex(chart.caption)}}} \\"
    yield r"\toprule"
    yield _latex_line(chart.columns)
    yield r"\midrule"
    yield r"\endhead"
    yield r"\bottomrule"
    yield r"\endfoot"
    yield from map(_latex_line, chart.rows)
    yield r"\end{longtable}"
