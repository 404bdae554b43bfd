"""`duo bench`: what it costs. Light: what a command needs is imported inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from duo.errors import BadInput

bench_app = typer.Typer(help="Measure this package itself.", no_args_is_help=True)


@bench_app.callback()
def _group() -> None:
    """A group even while it has one command."""


@bench_app.command()
def decode(
    model: Annotated[
        str,
        typer.Option(
            help="The model of all systems: a hub id, a model or adapter folder, or the embedded "
            "model's alias, smollm2."
        ),
    ] = "smollm2",
    systems: Annotated[
        str, typer.Option(help="Systems, separated by commas.")
    ] = "duo,duo-sequential,duplex,turn-based",
    rounds: Annotated[int, typer.Option(min=1, help="How often each system runs, in turns.")] = 5,
    tokens: Annotated[
        int,
        typer.Option(
            min=8, help="Tokens of the answer before the user speaks over it, and while he does."
        ),
    ] = 48,
    sessions: Annotated[
        str,
        typer.Option(help="Numbers of conversations held at once, by commas; empty for none."),
    ] = "1,2,4,8",
    device: Annotated[str, typer.Option(help="Where the model runs, such as cpu or cuda:0.")] = (
        "auto"
    ),
    dtype: Annotated[
        str, typer.Option(help="Number format of the weights, such as float32.")
    ] = "auto",
    attention: Annotated[
        str, typer.Option(help="Attention of the model: sdpa, eager or flex_attention.")
    ] = "sdpa",
    graphs: Annotated[
        bool,
        typer.Option("--graphs", help="Conversations held at once run CUDA graphs, on a GPU."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="JSON file for all figures.", show_default=False)
    ] = None,
) -> None:
    """What does decoding cost? Passes, speed, memory and response times of every system.

    All systems hear the same scripted user, who also speaks while the answer is given; the script
    decides what is a query, so any model will do. Rounds are interleaved and compared one by one,
    with transformers' generate() and the machine's memory bandwidth beside them.

    Example: duo bench decode --rounds 5 --out runs/bench/decode.json
    """
    from evaluation.decode_bench.bench import Plan, decode_bench

    names = [name.strip() for name in systems.split(",") if name.strip()]
    decode_bench(
        model,
        Plan(names, rounds, tokens, _numbers(sessions), graphs),
        out=out,
        device=device,
        dtype=dtype,
        attention=attention,
    )


def _numbers(text: str) -> list[int]:
    """Whole numbers between commas."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise BadInput(f"{text!r} is not whole numbers by commas", field="sessions") from None
