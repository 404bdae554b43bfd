"""Run every model on every benchmark with every seed: what is finished is not done again.

Each result is written as soon as it is there; of the one in work, the answers so far are kept. So a
run that was killed goes on where it was, and ends with the same numbers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duo.errors import BadInput
from duo.files import check_writable
from duo.runs import MANIFEST, Stopwatch, fingerprint, versions, write_manifest
from duo.table import Column as TableColumn
from duo.table import Table, Value
from duo.terminal import Bar, printable, progress
from evaluation.benchmarks.averages import standard_error, stratify
from evaluation.benchmarks.catalogue import BENCHMARKS
from evaluation.benchmarks.experiment import Column, Settings
from evaluation.benchmarks.items import Finder, Found, leaves, published
from evaluation.benchmarks.results import BenchmarkResult, Coverage, Data, Run, finished, write_run
from evaluation.benchmarks.showing import remarks, result_line, results_table
from evaluation.benchmarks.tasks import Leaf, TaskFile, harness_task, read_profile

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Work:
    """One model on one benchmark with one seed: what is to be found out, and what it needs.

    Attributes:
        column, task, found, settings: the model, the benchmark, its items, how it is asked.
        facts: what the manifest says before there is a value; `n` are the items to ask.
    """

    column: Column
    task: TaskFile
    found: Found
    settings: Settings
    facts: BenchmarkResult

    def folder(self, out: Path) -> Path:
        """Name the folder of its result."""
        return out / self.column.name / self.task.benchmark

    def unfinished(self, out: Path, rank: int = 0, world: int = 1) -> Path:
        """Name the file in which its answers are kept while it runs."""
        return out / ".unfinished" / f"{self.facts.key}.{rank}-of-{world}.jsonl"

    @property
    def chat_template(self) -> bool:
        """Whether questions are turns in the chat format."""
        return bool(self.facts.settings["chat_template"])

    @property
    def cost(self) -> float:
        """Rough seconds that it takes, for the time that is left."""
        return self.facts.n * self.task.about.item_seconds


def plan(
    settings: Settings,
    tasks: Sequence[TaskFile],
    found: Mapping[str, Found],
    hashes: Mapping[str, str],
) -> list[Work]:
    """Plan all work, model by model; `found` by benchmark, `hashes` of the models by column."""
    return [
        _work(settings, column, task, found[task.benchmark], seed, hashes[column.name])
        for column in settings.columns
        for seed in settings.seeds
        for task in tasks
    ]


def _work(
    settings: Settings, column: Column, task: TaskFile, found: Found, seed: int, model_hash: str
) -> Work:
    backend = column.backend(settings)
    settings = replace(
        settings, backend=backend, dtype="gguf" if backend == "llama" else settings.dtype
    )
    asked = min(found.n, settings.limit or found.n)
    chat = task.chat_template if settings.chat_template is None else settings.chat_template
    chat = chat and not column.slices  # which are turns by themselves
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
    } | ({"slices": "4 to 6 words"} if column.slices else {})
    if settings.chat is not None:  # else the model itself says it, and its hash is in the key
        how["chat"] = settings.chat
    key = fingerprint(
        model=model_hash, task=task.version, settings=how, seed=seed, data=found.data.sha256,
        spare=found.spare.sha256 if found.spare else None,
    )  # fmt: skip
    whole: Coverage = "full" if asked == found.n_full else "limited"
    facts = BenchmarkResult(
        key=key,
        column=column.name,
        model=column.model,
        adapter=column.adapter,
        model_sha256=model_hash,
        benchmark=task.benchmark,
        profile=settings.profile,
        seed=seed,
        metric=task.metric,
        filter=task.filter,
        value=0.0,
        average=task.average if task.has_subsets else None,
        n=asked,
        n_full=found.n_full,
        shots=task.shots,
        coverage="smoke" if found.source == "smoke" else whole,
        data=Data(source=found.source, sha256=found.data.sha256, rows=found.n),
        settings={**how, "source": task.source, "task_version": task.version},
        banned_state_tokens=settings.ban_states,
    )
    return Work(column, task, found, settings, facts)


def run(
    works: Sequence[Work],
    out: Path,
    *,
    open_lm: Callable[[Column], Any],
    on_begin: Callable[[Work], None] = lambda work: None,
    on_result: Callable[[Work, Run, bool], None] = lambda work, result, fresh: None,
) -> list[Run]:
    """Go through the work, in which that of a model stands together.

    Args:
        open_lm: loads a model for lm-eval; called once a model, and not at all for a model whose
            results are all there.
        on_begin: told of each work that is begun.
        on_result: told of each result, and whether it is new.

    Returns:
        The results, in order; in a data-parallel run, only those of the first process.

    Raises:
        BadInput: a model does not fit, the disk is full, ... Finished results are kept.
    """
    check_writable(out)
    results: list[Run] = []
    lm: Any = None
    opened: Column | None = None
    for work in works:
        result = finished(work.folder(out), work.facts.key)
        fresh = result is None
        if fresh:
            if opened != work.column:
                lm = None  # let the last model go before the next one is loaded
                lm, opened = open_lm(work.column), work.column
            on_begin(work)
            result = _do(work, lm, out)
        if result is not None:
            results.append(result)
            on_result(work, result, fresh)
    return results


def _do(work: Work, lm: Any, out: Path) -> Run | None:
    """Find out one result and write it; None in all but the first of several processes."""
    from evaluation.benchmarks.model import KeptAnswers

    watch, facts = Stopwatch(), work.facts
    found = work.found
    asked = leaves(
        work.task, found.data, seed=facts.seed, limit=work.settings.limit, spare=found.spare
    )
    for leaf in asked:
        if len(leaf.asked) < lm.world_size:  # lm-eval stumbles over a process with nothing to do
            raise BadInput(
                f"{len(leaf.asked)} items of {leaf.name} for {lm.world_size} processes: raise "
                "--limit, or start fewer",
                field="limit",
            )
    if work.chat_template and not lm.tokenizer.chat_template:
        raise BadInput("the model has no chat template", field=work.column.name)
    kept = KeptAnswers(work.unfinished(out, lm.rank, lm.world_size))
    lm.begin(kept, facts.seed)
    answers = evaluate(work, asked, lm)
    leaks, cut = lm.leak_rate(), lm.truncated()  # of all processes: they are together here
    if answers is None:
        kept.remove()
        return None
    group = work.task.benchmark if _is_group(work.task, asked) else asked[0].name
    subsets = {leaf.name: leaf.name if leaf.subset else "" for leaf in asked}
    scores = {
        (subsets[name], str(sample["doc_id"])): float(sample[facts.metric])
        for name in subsets
        for sample in answers["samples"][name]
        if sample["filter"] == facts.filter
    }
    result = facts.model_copy(
        update={
            "value": float(answers["results"][group][f"{facts.metric},{facts.filter}"]),
            "stderr": standard_error(stratify(scores, macro=facts.average == "macro")),
            "n": len(scores),
            "leak_rate": leaks,
            "truncated": cut,
            "batch_sizes": dict(lm.batch_sizes),
            "versions": {**versions(), "lm_eval": version("lm_eval")},
            "wall_seconds": round(watch.seconds, 3),
        }
    )
    written = write_run(work.folder(out), answers, result, subsets)
    kept.remove()
    return written


def _is_group(task: TaskFile, asked: Sequence[Leaf]) -> bool:
    return task.has_subsets or len(asked) > 1


def evaluate(work: Work, asked: Sequence[Leaf], lm: Any) -> dict[str, Any] | None:
    """Have lm-eval ask and score; None in all but the first of several processes."""
    import random

    import numpy as np
    import torch
    from lm_eval.api.group import Group
    from lm_eval.config.group import AggMetricConfig
    from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
    from lm_eval.evaluator import evaluate as harness

    from duo.terminal import silence

    facts = work.facts
    # Seed 0 is what lm-eval itself begins with.
    seeds = {"random_seed": DEFAULT_RANDOM_SEED + facts.seed} | dict.fromkeys(
        ("numpy_seed", "torch_seed", "fewshot_seed"), DEFAULT_OTHER_SEED + facts.seed
    )
    with silence():
        random.seed(seeds["random_seed"])
        np.random.seed(seeds["numpy_seed"])
        torch.manual_seed(seeds["torch_seed"])
        tasks = {
            leaf.name: harness_task(work.task, leaf, work.settings, lm.logit_bias) for leaf in asked
        }
        for task in tasks.values():
            task.set_fewshot_seed(seed=seeds["fewshot_seed"])
        groups = {}
        if _is_group(work.task, asked):
            names = dict.fromkeys((facts.metric, *next(iter(tasks.values())).aggregation()))
            by_size = facts.average != "macro"
            metrics = [AggMetricConfig(metric=name, weight_by_size=by_size) for name in names]
            group = Group(work.task.benchmark, aggregate_metric_list=metrics)
            for task in tasks.values():
                group.add(task)
            groups[group.name] = group
        found = harness(
            lm=lm,
            task_dict={"tasks": tasks, "groups": groups},
            apply_chat_template=work.chat_template,
            fewshot_as_multiturn=work.chat_template,
            confirm_run_unsafe_code=True,  # it runs in our sandbox
        )
    if found is None:
        return None
    for leaf in asked:  # lm-eval was given the chosen items only: as if it had chosen them itself
        found["n-samples"][leaf.name]["original"] = len(leaf.rows)
        for sample in found["samples"][leaf.name]:
            sample["doc_id"] = leaf.asked[sample["doc_id"]]
    return {**found, **_circumstances(work, lm, seeds)}


def _circumstances(work: Work, lm: Any, seeds: Mapping[str, int]) -> dict[str, Any]:
    """Collect what else stands in lm-eval's results files: the model, settings, versions."""
    from lm_eval.loggers.evaluation_tracker import GeneralConfigTracker
    from lm_eval.loggers.utils import add_tokenizer_info

    settings = work.settings
    chat = work.chat_template
    tracker = GeneralConfigTracker()
    tracker.log_experiment_args(
        model_source=settings.backend,
        model_args={"pretrained": work.column.loaded},
        system_instruction=None,
        chat_template=lm.chat_template(chat) if chat else None,
        fewshot_as_multiturn=chat,
    )
    tracker.log_end_time()
    content: dict[str, Any] = {
        "config": {
            "model": settings.backend,
            "model_args": {"pretrained": work.column.loaded, "dtype": settings.dtype},
            "batch_size": settings.batch_size,
            "batch_sizes": list(lm.batch_sizes.values()),
            "device": str(lm.device),
            "use_cache": None,
            "limit": settings.limit,
            "gen_kwargs": None,
            **seeds,
        },
        "lm_eval_version": version("lm_eval"),
        "transformers_version": version("transformers"),
        **asdict(tracker),
    }
    add_tokenizer_info(content, lm)
    return content


def run_benchmarks(settings: Settings, out: Path, *, console: Console | None = None) -> list[Run]:
    """Run what the settings say, and print a table: `duo eval benchmarks`.

    Raises:
        BadInput: unusable data or models, a full disk; finished results are kept.
    """
    from rich.console import Console

    watch = Stopwatch()
    settings.check()
    chosen, skipped = choose_tasks(settings)
    first = int(os.environ.get("RANK", "0")) == 0
    check_writable(out)
    if any(task.about.code for task in chosen):  # that they can be run is better known now
        from evaluation.sandbox.run import strongest_protection

        protection = strongest_protection().describe()
        if first:
            print(printable(protection), file=sys.stderr)
    for column in settings.columns:
        column.check(settings.chat, column.backend(settings))
    finder = Finder(
        data_dir=settings.data_dir, sources=settings.sources, partial=settings.partial_data
    )
    found = {task.benchmark: finder.find(task) for task in chosen}
    from evaluation.benchmarks.model import model_hash, open_lm, resolved_dtype

    if settings.backend == "hf":
        settings = replace(settings, dtype=resolved_dtype(settings.dtype, settings.device))
    hashes = {
        column.name: model_hash(column.loaded, column.backend(settings))
        for column in settings.columns
    }
    works = plan(settings, chosen, found, hashes)
    with progress(
        total=sum(work.cost for work in works), unit="share",
        console=None if first else Console(quiet=True),
    ) as bar:  # fmt: skip
        shown = _Progress(works, bar)
        results = run(
            works, out,
            open_lm=lambda column: open_lm(column, settings, shown.answered),
            on_begin=shown.begin, on_result=shown.result,
        )  # fmt: skip
    if first:
        data = {
            name: {
                "source": one.source,
                "sha256": one.data.sha256,
                "rows": one.n,
                "published": one.n_full,
                "missing": one.missing,
            }
            for name, one in found.items()
        }
        how = asdict(settings)
        write_manifest(
            out / MANIFEST, watch=watch, columns=how.pop("columns"), settings=how, data=data,
            results=[result.file.relative_to(out) for result in results],
        )  # fmt: skip
        results_table(results).show(console)
        console = console or Console()
        for remark in remarks(skipped, found, finder, settings):
            console.print(printable(remark), markup=False, highlight=False, soft_wrap=True)
    return results


def choose_tasks(settings: Settings) -> tuple[list[TaskFile], list[str]]:
    """Choose the task files that are run, and name those left out because they run programs.

    Programs that are asked for without leave are refused.

    Raises:
        BadInput: programs would be run without leave.
    """
    files = read_profile(settings.profile)
    for name in settings.tasks or ():
        if name not in files:
            raise BadInput(f"the profile {settings.profile} has no {name}", field="tasks")
        if files[name].about.code and not settings.allow_code:
            raise BadInput(
                f"{name} runs programs that the model writes: add --allow-code", field="tasks"
            )
    if settings.tasks:
        return [files[name] for name in BENCHMARKS if name in settings.tasks], []
    skipped = [name for name, task in files.items() if task.about.code and not settings.allow_code]
    return [task for name, task in files.items() if name not in skipped], skipped


class _Progress:
    """Show how far a run is: a bar weighted by rough costs, and a line for each result."""

    def __init__(self, works: Sequence[Work], bar: Bar) -> None:
        self._bar, self._count, self._number = bar, len(works), 0
        self._done = self._part = 0.0
        self._now: Work | None = None

    def begin(self, work: Work) -> None:
        """Show what is in work."""
        self._now, self._part = work, 0.0
        self._bar.update(what=f"{work.column.name} {work.task.about.title}")

    def answered(self, done: int, total: int) -> None:
        """Count `done` more of the `total` requests of what is in work."""
        if self._now is not None:
            self._part = min(1.0, self._part + done / max(1, total))
            self._bar.update(done=self._done + self._now.cost * self._part)

    def result(self, work: Work, result: Run, fresh: bool) -> None:
        """Print a line for a result."""
        self._number += 1
        self._done += work.cost
        self._bar.update(done=self._done)
        self._bar.print(f"{self._number}/{self._count} {result_line(result, fresh)}")


def show_data(settings: Settings) -> None:
    """Print where the items of each benchmark are, and what is missing: `duo eval data`.

    Raises:
        BadInput: rows that cannot be used.
    """
    settings.check()
    finder = Finder(data_dir=settings.data_dir, sources=settings.sources, partial=True)
    rows = [_data_row(finder, task) for task in read_profile(settings.profile).values()]
    sizes = [TableColumn("items", "number", ","), TableColumn("published", "number", ",")]
    Table("Items", ["benchmark", "source", *sizes, "missing"], rows).show()
    for source, reason in finder.reasons.items():
        print(printable(f"{source}: {reason}"))


def _data_row(finder: Finder, task: TaskFile) -> tuple[Value, ...]:
    title = task.about.title
    try:
        found = finder.find(task)
    except BadInput as error:
        if error.file is not None:
            raise
        return title, "none", None, published(task), "everything"
    missing = list(found.missing)
    if found.source == "smoke":
        missing = ["the benchmark's own items"]
    elif found.spare is not None:
        missing.append(f"examples ({task.shots_from}): ours are taken")
    lacks = "; ".join(missing) or "nothing"
    return title, found.source, found.n, published(task, found.data), lacks
