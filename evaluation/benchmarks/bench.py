"""`duo eval benchmarks`: find the items, run the matrix, say what came out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from duo.backbone import DTYPES
from duo.errors import BadInput, check_choice
from duo.files import check_writable
from duo.runs import Stopwatch, write_manifest
from duo.terminal import printable
from evaluation.benchmarks.catalogue import BENCHMARKS
from evaluation.benchmarks.columns import Column
from evaluation.benchmarks.matrix import Settings, Work, plan, run
from evaluation.benchmarks.profiles import TaskFile, read_profile
from evaluation.benchmarks.progress import MatrixProgress
from evaluation.benchmarks.sources import Finder, Found
from evaluation.benchmarks.tables import results_table

BACKENDS = ("hf", "vllm")


def run_benchmarks(
    columns: Sequence[Column],
    *,
    out: Path,
    settings: Settings,
    finder: Finder,
    tasks: Sequence[str] | None = None,
    allow_code: bool = False,
    console: Console | None = None,
) -> list[dict[str, Any]]:
    """Run every model on every benchmark with every seed.

    Args:
        columns: the models.
        out: folder of the results; finished ones in it are not done again.
        settings: how they are run.
        finder: finds the items.
        tasks: names of benchmarks; None for all nine, those that run programs only if allowed.
        allow_code: whether programs that a model wrote may be run in the sandbox.
        console: where the table goes; standard output by default.

    Returns:
        The results, as they stand in the files.

    Raises:
        BadInput: unknown names, unusable data or models, a full disk; finished results are kept.
    """
    watch = Stopwatch()
    check_choice("backend", settings.backend, BACKENDS)
    check_choice("dtype", settings.dtype, DTYPES)
    _check_batch_size(settings.batch_size)
    chosen, skipped = choose_tasks(settings.profile, tasks, allow_code)
    first = int(os.environ.get("RANK", "0")) == 0
    check_writable(out)
    if any(task.about.code for task in chosen):
        _tell_protection(first)
    for column in columns:
        column.check()
    found = {task.benchmark: finder.find(task) for task in chosen}
    if settings.backend == "hf":
        from evaluation.benchmarks.models import resolved_dtype

        settings = replace(settings, dtype=resolved_dtype(settings.dtype, settings.device))
    works = plan(columns, chosen, found, settings, _hashes(columns))
    with MatrixProgress(works, None if first else Console(quiet=True)) as progress:
        results = run(
            works, settings, out,
            open_lm=lambda column: _open(column, settings, progress),
            on_result=progress.result, on_begin=progress.begin,
        )  # fmt: skip
    if first:
        _write_manifest(out, watch, columns, settings, works, found)
        _show(console or Console(), results, [*_remarks(skipped, found, finder, settings)])
    return results


def choose_tasks(
    profile: str, tasks: Sequence[str] | None, allow_code: bool
) -> tuple[list[TaskFile], list[str]]:
    """The task files that are run, and the names of those left out because they run programs.

    Raises:
        BadInput: an unknown name, or programs would be run without leave.
    """
    files = read_profile(profile)
    for name in tasks or ():
        check_choice("tasks", name, tuple(BENCHMARKS))
        if name not in files:
            raise BadInput(f"the profile {profile} has no {name}", field="tasks")
        if files[name].about.code and not allow_code:
            raise BadInput(
                f"{name} runs programs that the model writes: add --allow-code", field="tasks"
            )
    if tasks:
        return [files[name] for name in BENCHMARKS if name in tasks], []
    skipped = [name for name, task in files.items() if task.about.code and not allow_code]
    return [task for name, task in files.items() if name not in skipped], skipped


def _check_batch_size(text: str) -> None:
    if text != "auto" and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise BadInput(f"{text!r} is neither auto nor a whole number from 1", field="batch-size")


def _hashes(columns: Sequence[Column]) -> dict[str, str]:
    from evaluation.benchmarks.models import model_hash

    return {column.name: model_hash(column.loaded) for column in columns}


def _open(column: Column, settings: Settings, progress: MatrixProgress) -> Any:
    if settings.backend == "vllm":
        from evaluation.benchmarks.vllm_backend import open_vllm

        return open_vllm(column, settings)
    from duo.terminal import silence
    from evaluation.benchmarks.answering import Answering
    from evaluation.benchmarks.models import open_model

    loaded = open_model(column.loaded, device=settings.device, dtype=settings.dtype)
    with silence():
        return Answering(
            loaded,
            batch_size=settings.batch_size,
            ban_states=settings.ban_states,
            on_done=progress.answered,
        )


def _write_manifest(
    out: Path,
    watch: Stopwatch,
    columns: Sequence[Column],
    settings: Settings,
    works: Sequence[Work],
    found: dict[str, Found],
) -> None:
    write_manifest(
        out / "manifest.json",
        watch=watch,
        columns=[asdict(column) for column in columns],
        settings=asdict(settings),
        data={
            name: {
                "source": one.source,
                "sha256": one.data.sha256,
                "rows": one.n,
                "published": one.n_full,
                "missing": list(one.missing),
            }
            for name, one in found.items()
        },
        results=[str(work.unit.path(out).relative_to(out)) for work in works],
    )


def _tell_protection(first: bool) -> None:
    """Say what programs of models can and cannot do here, before any is run.

    Raises:
        BadInput: none can be run on this machine; better known now than after hours of answers.
    """
    from evaluation.sandbox.protection import protection

    told = protection().describe()
    if first:
        Console(stderr=True).print(told, markup=False, highlight=False, soft_wrap=True)


def _show(console: Console, results: Sequence[dict[str, Any]], remarks: Sequence[str]) -> None:
    console.print(results_table(results))
    for remark in remarks:
        console.print(printable(remark), markup=False, highlight=False, soft_wrap=True)


def _remarks(
    skipped: Sequence[str], found: dict[str, Found], finder: Finder, settings: Settings
) -> Iterator[str]:
    """What a reader of the table should know."""

    def titles(names: Iterable[str]) -> str:
        return ", ".join(BENCHMARKS[name].title for name in names)

    if skipped:
        yield f"left out: {titles(skipped)} (run programs: --allow-code)"
    smoke = [name for name, one in found.items() if one.source == "smoke"]
    if smoke:
        yield f"smoke items, which measure nothing: {titles(smoke)}"
        yield from (f"{source}: {reason}" for source, reason in finder.reasons.items())
    examples = [name for name, one in found.items() if one.spare]
    if examples:
        yield f"examples before each question are smoke items: {titles(examples)}"
    programs = [name for name in found if BENCHMARKS[name].code]
    if programs and settings.chat_template and settings.profile == "lm-eval":
        yield (
            f"{titles(programs)}: lm-eval's own reading of answers misses programs in the chat "
            "format, so that next to nothing passes; --profile ultraeval reads them"
        )
