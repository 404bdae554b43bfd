"""`duo bench statistics`: run the simulation, print its table and write its numbers."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from duo.files import check_writable, write_text
from duo.runs import Stopwatch
from reports.statistics.simulation import ALTERNATIVE, Cell, designs, simulate

_HEADER = (
    "dialogues x raters (votes each)", "raters differ", "intervals", "rare share", "bootstrap-t",
    "percentile", "naive", "preference", "two-way", "sign", "naive test", "power",
)  # fmt: skip
#: "Both bad" gets a column of its own: a handful of votes, whose coverage jumps.
_USUAL = ("win", "tie", "loss", "net", "untied")
_DIFFER = {0.0: "not at all", 0.3: "some", 0.6: "much"}


def bench_statistics(
    *,
    studies: int = 1000,
    seed: int = 0,
    resamples: int = 299,
    processes: int = 1,
    out: Path | None = None,
    console: Console | None = None,
) -> tuple[Cell, ...]:
    """Simulate studies of all designs, print the table and write JSON and Markdown.

    Args:
        studies: of each design.
        seed: of all draws.
        resamples: of the bootstrap that stands for comparison; 0 leaves it out.
        processes: how many work at once.
        out: JSON file; the table is written beside it as `.md`. None for neither.
        console: where the table goes; standard output by default.

    Raises:
        BadInput: `out` cannot be written.
    """
    if out is not None:
        check_writable(out.parent, wanted=out)
    watch, chosen = Stopwatch(), designs()
    stderr = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("studies", markup=False),
    )
    with Progress(*columns, console=stderr, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("", total=len(chosen) * studies)
        cells = simulate(
            chosen,
            studies,
            seed=seed,
            resamples=resamples,
            processes=processes,
            on_done=lambda done: bar.advance(task, done),
        )
    text = markdown(cells)
    if out is not None:
        content = {
            "schema": 1,
            "studies": studies,
            "seed": seed,
            "resamples": resamples,
            "cells": [asdict(cell) for cell in cells],
        }
        write_text(out, json.dumps(content, indent=1) + "\n")
        write_text(out.with_suffix(".md"), text)
    console = console or Console()
    console.print(text, markup=False, highlight=False, soft_wrap=True, end="")
    stderr.print(f"{len(cells) * studies} studies in {watch.seconds:.0f} s", highlight=False)
    return cells


def markdown(cells: tuple[Cell, ...]) -> str:
    """The table: a row for each size and how much raters differ, over both true preferences.

    Coverage is the lowest and highest over what is estimated. The tests' columns are type I errors
    at p <= .05, power is that of `preference`.
    """
    error = 1.96 * math.sqrt(0.05 * 0.95 / cells[0].studies)
    lines = [
        f"{cells[0].studies} studies of each design, with no preference and with one of "
        f"{ALTERNATIVE} on the logit scale; all numbers in %. Coverage of nominal 95 % intervals, "
        "lowest to highest over both and over the shares of wins, ties and losses, the net win "
        "rate and the share among untied votes (bootstraps: wins and net only); the rare share is "
        "that of 'both bad', about 7 % of votes. Then type I errors of tests at 5 %, and the power "
        "of the first, which claims a preference only where 'two-way' and 'sign' do; 'sign' alone "
        "is about these raters only. 'Naive' takes all votes as independent. By chance alone a "
        f"number near 5 or 95 is off by up to {100 * error:.1f}.",
        "",
        "| " + " | ".join(_HEADER) + " |",
        "|---|---" + "|---:" * (len(_HEADER) - 2) + "|",
    ]
    for _, group in groupby(cells, key=lambda cell: _size(cell)):
        lines.append("| " + " | ".join(_row(list(group))) + " |")
    return "\n".join(lines) + "\n"


def _size(cell: Cell) -> tuple[int, int, int, float]:
    design = cell.design
    return design.dialogues, design.raters, design.votes_each, design.rater_sd


def _row(cells: list[Cell]) -> list[str]:
    dialogues, raters, each, differ = _size(cells[0])
    null = next(cell for cell in cells if cell.design.preference == 0)
    other = next(cell for cell in cells if cell.design.preference != 0)
    return [
        f"{dialogues} x {raters} ({each})",
        _DIFFER.get(differ, f"{differ:g}"),
        _range(cells, "two_way"),
        _range(cells, "two_way", ("both_bad",)),
        *(_range(cells, method) for method in ("bootstrap_t", "percentile", "naive")),
        *(_percent(null.rejected[test]) for test in ("preference", "two_way", "sign", "naive")),
        f"{100 * other.rejected['preference']:.0f}",
    ]


def _range(cells: list[Cell], method: str, names: tuple[str, ...] = _USUAL) -> str:
    found = [
        cell.coverage[method][name]
        for cell in cells
        for name in names
        if name in cell.coverage.get(method, {})
    ]
    return f"{_percent(min(found))}-{_percent(max(found))}" if found else "-"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
