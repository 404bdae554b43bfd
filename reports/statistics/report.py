"""`duo report statistics`: analyse a file of ratings, print tables, write JSON and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from duo.files import check_writable, write_text
from duo.runs import Stopwatch, write_manifest
from duo.terminal import printable
from reports.statistics.analysis import analyse
from reports.statistics.exclusions import Rules, read_rules
from reports.statistics.ratings import read_ratings
from reports.statistics.results import StudyResult, to_json
from reports.statistics.tables import csv_text, tables


def report_statistics(
    ratings: Path,
    out: Path,
    *,
    rules: Path | None = None,
    systems: Sequence[str] | None = None,
    cluster: str = "item",
    columns: Mapping[str, str] | None = None,
    choices: Mapping[str, str] | None = None,
    seed: int = 0,
    console: Console | None = None,
) -> StudyResult:
    """Analyse a study; writes `statistics.json`, `statistics.csv` and `manifest.json` to `out`.

    Args:
        ratings, columns, choices: see `read_ratings`.
        out: folder; made if it is not there.
        rules: see `read_rules`; the defaults of `Rules` without.
        systems, cluster, seed: see `analyse`.
        console: where tables go; standard output by default.

    Raises:
        BadInput: of the ratings, the rules or the folder.
    """
    watch = Stopwatch()
    chosen = read_rules(rules) if rules is not None else Rules()
    read = read_ratings(ratings, columns=columns, choices=choices)
    check_writable(out)
    result = analyse(read, seed=seed, rules=chosen, systems=systems, cluster=cluster)
    write_text(out / "statistics.json", to_json(result))
    write_text(out / "statistics.csv", csv_text(result))
    write_manifest(
        out / "manifest.json", watch=watch, seed=seed, ratings=read.source, sha256=read.digest
    )
    console = console or Console()
    for table in tables(result):
        console.print(table)
    for notice in result.notices:
        console.print(printable(notice), markup=False, highlight=False)
    return result
