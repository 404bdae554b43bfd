"""Define `duo train`. Light: what it needs is imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from duo.options import Chat


def train(
    data: Annotated[
        Path,
        typer.Option(
            help="Folder with train.jsonl and, if wanted, validation.jsonl.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the adapter or model.", show_default=False)],
    preset: Annotated[
        str, typer.Option(help="paper, embedded, smoke, or a YAML file of settings.")
    ] = "embedded",
    recipe: Annotated[
        str | None,
        typer.Option(help="duo (state tokens) or duplex (time slices) [default: the preset's]."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(help="A hub id, a model or adapter folder, or the embedded model, smollm2."),
    ] = "smollm2",
    start: Annotated[
        Path | None,
        typer.Option(help="Folder of an adapter of this model to train further [default: none]."),
    ] = None,
    chat: Chat = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting; repeat for more."),
    ] = None,
) -> None:
    """Train a model to decide when to answer, from the samples of `duo data build`.

    A run that was stopped goes on from its last checkpoint when the command is given again. On
    several GPUs or nodes: accelerate launch -m duo.cli train and the same options.

    Example: duo train --preset embedded --data runs/data --out runs/adapter
    """
    from duo.backbone import keep_memory, share_cores
    from duo.training.settings import load_settings, parse_assignments

    share_cores()
    keep_memory()
    given = parse_assignments(set_ or ()) | ({} if chat is None else {"chat": chat})
    settings = load_settings(preset, recipe, given)

    from duo.training.train import train as run

    run(settings=settings, model=model, data=data, out=out, start=start)
    typer.echo(f"{settings.steps} steps done: {out}")
