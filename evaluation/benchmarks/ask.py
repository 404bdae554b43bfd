"""From what the command line says to what is run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from duo.errors import BadInput
from evaluation.benchmarks.columns import Column, Experiment, columns_of, read_experiment
from evaluation.benchmarks.matrix import Settings
from evaluation.benchmarks.profiles import TaskFile, read_profile
from evaluation.benchmarks.sources import Finder, published
from evaluation.benchmarks.tables import data_table


def ask(
    *,
    out: Path,
    experiment: Path | None,
    models: list[str],
    columns: str | None,
    profile: str | None,
    tasks: str | None,
    seeds: str | None,
    limit: int | None,
    data_dir: Path | None,
    sources: str,
    partial: bool,
    allow_code: bool,
    ban_states: bool,
    chat_template: bool | None,
    max_new_tokens: int | None,
    batch_size: str,
    dtype: str | None,
    device: str,
    backend: str,
) -> None:
    """Run the benchmarks that a command line asks for; what it leaves out the experiment says.

    Raises:
        BadInput: see `evaluation.benchmarks.bench.run_benchmarks`.
    """
    from duo.backbone import share_cores
    from evaluation.benchmarks.bench import run_benchmarks

    share_cores()
    read = read_experiment(experiment) if experiment else None
    chosen = _columns(read, models, columns)
    finder = Finder(data_dir=data_dir, sources=_words(sources, "sources"), partial=partial)
    settings = Settings(
        limit=limit, max_new_tokens=max_new_tokens, batch_size=batch_size, device=device,
        backend=backend, ban_states=ban_states,
        chat_template=chat_template if read is None or chat_template is not None
        else read.chat_template,
        profile=profile or (read.profile if read else None) or "lm-eval",
        dtype=dtype or (read.dtype if read else None) or "auto",
    )  # fmt: skip
    if seeds is not None:
        settings = replace(settings, seeds=_seeds(seeds))
    elif read and read.seeds:
        settings = replace(settings, seeds=tuple(dict.fromkeys(read.seeds)))
    run_benchmarks(
        chosen, out=out, settings=settings, finder=finder, allow_code=allow_code,
        tasks=_words(tasks, "tasks") if tasks is not None else (read.tasks if read else None),
    )  # fmt: skip


def show_data(*, data_dir: Path | None, sources: str, profile: str) -> None:
    """Print where the items of each benchmark are.

    Raises:
        BadInput: an unknown source or profile, no such folder, or rows that cannot be used.
    """
    finder = Finder(data_dir=data_dir, sources=_words(sources, "sources"), partial=True)
    console = Console()
    rows = [_data_row(finder, task) for task in read_profile(profile).values()]
    console.print(data_table(rows))
    for source, reason in finder.reasons.items():
        console.print(f"{source}: {reason}", markup=False, highlight=False)


def _data_row(finder: Finder, task: TaskFile) -> tuple[str, str, str, str, str]:
    title = task.about.title
    try:
        found = finder.find(task)
    except BadInput as error:
        if error.file is not None:
            raise
        return title, "none", "-", f"{published(task):,}", "everything"
    missing = list(found.missing)
    if found.source == "smoke":
        missing = ["the benchmark's own items"]
    elif found.spare is not None:
        missing.append(f"examples ({task.shots_from}): ours are taken")
    size = published(task, found.data)
    return title, found.source, f"{found.n:,}", f"{size:,}", "; ".join(missing) or "nothing"


def _columns(read: Experiment | None, models: list[str], names: str | None) -> list[Column]:
    if bool(read) == bool(models):
        raise BadInput("name either an --experiment or one --model or more", field="model")
    found = read.models() if read else columns_of(models)
    if names is None:
        return found
    wanted = _words(names, "columns")
    known = {column.name: column for column in found}
    for name in wanted:
        if name not in known:
            raise BadInput(f"unknown {name!r}: use one of {', '.join(known)}", field="columns")
    return [known[name] for name in known if name in wanted]


def _words(text: str, field: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:  # such as an unset variable of the shell: not to be taken for "all"
        raise BadInput("names nothing: leave it out, or write a,b", field=field)
    return words


def _seeds(text: str) -> tuple[int, ...]:
    try:
        found = tuple(dict.fromkeys(int(word) for word in text.split(",") if word.strip()))
    except ValueError:
        found = ()
    if not found or min(found) < 0:
        raise BadInput(f"{text!r} is no list of whole numbers such as 0,1,2", field="seeds")
    return found
