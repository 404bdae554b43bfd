"""The command `bench sweep`. Light: what it needs is imported inside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer


def sweep(
    file: Annotated[
        Path,
        typer.Argument(
            help="YAML: systems, scenarios, model, base settings, and under sweep lists of values.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the points' recordings.", show_default=False)
    ],
    device: Annotated[
        str | None, typer.Option(help="Where the models run, such as cpu or cuda:0.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Number format of the weights, such as float32.")
    ] = None,
    attention: Annotated[
        str | None,
        typer.Option(help="Attention of the models: sdpa, eager or flex_attention."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Record again transcripts that do not match.")
    ] = False,
    batch: Annotated[
        int, typer.Option(min=1, help="Conversations held at once, as in `duo record`.")
    ] = 1,
    graphs: Annotated[
        bool, typer.Option("--graphs", help="Forward passes as CUDA graphs, as in `duo record`.")
    ] = False,
) -> None:
    """Record the same scenarios under many settings, to see what each setting does.

    The file's `sweep` is a list of grids, such as `lookahead: [1, 2, 4, 8]`; each point is recorded
    as by `duo record` into OUT/POINT/SYSTEM, and OUT/sweep.json lists the points. A sweep that was
    stopped goes on where it was when the command is given again; `duo report build OUT` draws what
    was found.

    Example: duo bench sweep evaluation/experiments/sweep.yaml --out runs/sweep --batch 4
    """
    from sessions.sweep import read_sweep, record_sweep

    given = {"device": device, "dtype": dtype, "attention": attention}
    loading = {name: value for name, value in given.items() if value is not None}
    found = read_sweep(file, out)
    job = replace(found.job, load_settings=loading, force=force, batch=batch, graphs=graphs)
    found = replace(found, job=job)
    folders = record_sweep(found)
    typer.echo(f"{len(folders)} point{'s' * (len(folders) != 1)} in {out}")
