"""Every model on every benchmark with every seed: what is finished is not done again.

Each result is written as soon as it is there; of the one in work, the answers so far are kept. So a
run that was killed goes on where it was, and ends with the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duo.errors import BadInput
from duo.files import check_writable
from duo.runs import Stopwatch, versions
from evaluation.benchmarks.choose import Leaf, leaves
from evaluation.benchmarks.columns import Column
from evaluation.benchmarks.journal import Journal
from evaluation.benchmarks.profiles import TaskFile
from evaluation.benchmarks.results import Unit, read_finished, result_key, write_result
from evaluation.benchmarks.sources import Found


@dataclass(frozen=True)
class Settings:
    """How a matrix is run.

    Attributes:
        profile: its name.
        seeds: of sampling and of the choice of examples.
        limit: items of each benchmark; None for all.
        max_new_tokens: a cap on the length of generated answers; None for the task's own.
        chat_template: whether questions are turns in the chat format; None for the task's own.
        dtype, device, batch_size: as `duo.backbone.load` and lm-eval take them.
        ban_states: whether state tokens are kept out of generated answers.
        backend: "hf" or "vllm".
    """

    profile: str = "lm-eval"
    seeds: tuple[int, ...] = (0,)
    limit: int | None = None
    max_new_tokens: int | None = None
    chat_template: bool | None = None
    dtype: str = "auto"
    device: str = "auto"
    batch_size: str = "auto"
    ban_states: bool = True
    backend: str = "hf"


@dataclass(frozen=True)
class Work:
    """One unit of a matrix, with what it needs.

    Attributes:
        unit: what is to be found out.
        column, task, found: the model, the benchmark and its items.
        facts: what the result file says of how it came to be.
        cost: rough seconds that it takes, for the time that is left.
    """

    unit: Unit
    column: Column
    task: TaskFile
    found: Found
    facts: dict[str, Any]
    cost: float

    @property
    def items(self) -> int:
        return self.facts["asked"]


def plan(
    columns: Sequence[Column],
    tasks: Sequence[TaskFile],
    found: dict[str, Found],
    settings: Settings,
    hashes: dict[str, str],
) -> list[Work]:
    """All units, model by model.

    Args:
        columns: the models.
        tasks: the benchmarks.
        found: their items, by benchmark.
        settings: how they are run.
        hashes: of the models, by column.
    """
    return [
        _work(column, task, found[task.benchmark], settings, seed, hashes[column.name])
        for column in columns
        for seed in settings.seeds
        for task in tasks
    ]


def _work(
    column: Column, task: TaskFile, found: Found, settings: Settings, seed: int, model_hash: str
) -> Work:
    chat = task.chat_template if settings.chat_template is None else settings.chat_template
    asked = min(found.n, settings.limit or found.n)
    how: dict[str, Any] = {
        "shots": task.shots,
        "shots_from": "smoke" if found.spare else task.shots_from,
        "chat_template": chat,
        "dtype": settings.dtype,
        "batch_size": settings.batch_size,
        "max_new_tokens": settings.max_new_tokens,
        "limit": settings.limit if asked < found.n else None,
        "state_tokens": "banned" if settings.ban_states else "allowed",
        "backend": settings.backend,
        "generation": task.task.get("generation_kwargs", {}),
    }
    data = {"source": found.source, "sha256": found.data.sha256, "rows": found.n}
    spare = found.spare.sha256 if found.spare else None
    key = result_key(
        model=model_hash, task=task.version, settings=how, seed=seed, data=data["sha256"],
        spare=spare,
    )  # fmt: skip
    if found.source == "smoke":
        coverage = "smoke"
    else:
        coverage = "full" if asked == found.n_full else "limited"
    facts = {
        "model": column.model,
        "adapter": column.adapter,
        "model_sha256": model_hash,
        "benchmark": task.benchmark,
        "profile": settings.profile,
        "seed": seed,
        "n_full": found.n_full,
        "asked": asked,
        "shots": task.shots,
        "coverage": coverage,
        "data": data,
        "settings": {**how, "source": task.source, "task_version": task.version},
        "banned_state_tokens": settings.ban_states,
    }
    unit = Unit(column.name, task.benchmark, settings.profile, seed, key)
    return Work(unit, column, task, found, facts, asked * task.about.item_seconds)


def run(
    works: Sequence[Work],
    settings: Settings,
    out: Path,
    *,
    open_lm: Callable[[Column], Any],
    on_result: Callable[[Work, dict[str, Any], bool], None] = lambda work, result, fresh: None,
    on_begin: Callable[[Work], None] = lambda work: None,
) -> list[dict[str, Any]]:
    """Go through a matrix.

    Args:
        works: its units; those of a model stand together.
        settings: how they are run.
        out: folder of the results.
        open_lm: loads a model for lm-eval; called once a model, and not at all for a model whose
            results are all there.
        on_result: told of each result, and whether it is new.
        on_begin: told of each unit that is begun.

    Returns:
        The results, in the order of the units; in a data-parallel run, only those of the first
        process.

    Raises:
        BadInput: a model does not fit, the disk is full, ... Finished results are kept.
    """
    check_writable(out)
    results: list[dict[str, Any]] = []
    lm: Any = None
    opened: Column | None = None
    for work in works:
        result = read_finished(work.unit, out)
        fresh = result is None
        if fresh:
            if opened != work.column:
                lm = None  # let the last model go before the next one is loaded
                lm, opened = open_lm(work.column), work.column
            on_begin(work)
            result = _do(work, lm, out, settings)
        if result is not None:
            results.append(result)
            on_result(work, result, fresh)
    return results


def _do(work: Work, lm: Any, out: Path, settings: Settings) -> dict[str, Any] | None:
    """Run one unit and write its result."""
    from evaluation.benchmarks.scoring import score

    watch = Stopwatch()
    seed = work.unit.seed
    asked = leaves(
        work.task, work.found.data, seed=seed, limit=settings.limit, spare=work.found.spare
    )
    _check_processes(asked, lm)
    if work.facts["settings"]["chat_template"] and not lm.tokenizer.chat_template:
        raise BadInput("the model has no chat template", field=work.column.name)
    journal = Journal(work.unit.journal(out, lm.rank, lm.world_size))
    lm.begin(journal, seed)
    found = evaluate(work, asked, lm, settings)
    leaks, cut = lm.leak_rate(), lm.truncated()  # of all processes: they are together here
    if found is None:  # not the first of several processes
        journal.done()
        return None
    figures, items = score(work.task, asked, found)
    facts = {name: value for name, value in work.facts.items() if name != "asked"}
    result = {
        **facts,
        **figures,
        "leak_rate": leaks,
        "truncated": cut,
        "batch_sizes": dict(lm.batch_sizes),
        "versions": {**versions(), "lm_eval": _harness_version()},
        "wall_seconds": round(watch.seconds, 3),
    }
    result = write_result(work.unit, out, result, items)
    journal.done()
    return result


def evaluate(
    work: Work, asked: Sequence[Leaf], lm: Any, settings: Settings
) -> dict[str, Any] | None:
    """Have lm-eval ask and score; None in all but the first of several processes."""
    import random

    import numpy as np
    import torch
    from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
    from lm_eval.evaluator import evaluate as harness

    from duo.terminal import silence
    from evaluation.benchmarks.code_tasks import sandboxed
    from evaluation.benchmarks.overlay import overlay

    seed = work.unit.seed
    layout = overlay(
        work.task, asked, max_new_tokens=settings.max_new_tokens, logit_bias=lm.logit_bias
    )
    with silence(), sandboxed(work.task.about), layout as manager:
        # Seed 0 is what lm-eval itself begins with.
        random.seed(DEFAULT_RANDOM_SEED + seed)
        np.random.seed(DEFAULT_OTHER_SEED + seed)
        torch.manual_seed(DEFAULT_OTHER_SEED + seed)
        loaded = manager.load([leaf.name for leaf in asked])
        for task in loaded["tasks"].values():
            task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED + seed)
        return harness(
            lm=lm,
            task_dict=loaded,
            apply_chat_template=work.facts["settings"]["chat_template"],
            fewshot_as_multiturn=work.facts["settings"]["chat_template"],
            confirm_run_unsafe_code=True,  # it runs in our sandbox
        )


def _check_processes(asked: Sequence[Leaf], lm: Any) -> None:
    """lm-eval stumbles over a process that has nothing to do in a task."""
    for leaf in asked:
        if len(leaf.items) < lm.world_size:
            raise BadInput(
                f"{len(leaf.items)} items of {leaf.name} for {lm.world_size} processes: raise "
                "--limit, or start fewer",
                field="limit",
            )


def _harness_version() -> str:
    from importlib.metadata import version

    return version("lm_eval")
