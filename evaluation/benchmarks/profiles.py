"""How benchmarks are asked and scored: one small YAML each, `evaluation/tasks/<profile>/`.

A file builds on a task of lm-eval, which it names, and says what it changes of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from duo.errors import BadInput, check_choice
from duo.files import sha256
from evaluation.benchmarks.catalogue import (
    BENCHMARKS,
    Benchmark,
    Function,
    harness_tasks,
    read_task,
    task_files,
)

FOLDER = Path(__file__).parent.parent / "tasks"
PROFILES = ("lm-eval", "ultraeval")


class TaskFile(BaseModel):
    """What a task file says.

    Attributes:
        benchmark: its name.
        source: where the settings come from.
        tasks: the task files of lm-eval that it builds on, below lm-eval's tasks folder; a pattern
            where there is one for each subset.
        metric: the one that is the benchmark's value, as lm-eval calls it.
        filter: the reading of the answer that is scored.
        average: over subsets: of their values, or of all items; None where there are none.
        items: splits that are asked; the benchmark's published one by default.
        shots: examples before each question.
        shots_from: the split that examples come from; None for the task's own ones, or for none.
        draw: which rows of that split: "task" leaves it to lm-eval's task, "seed" draws the same
            ones for all items, by the seed.
        rows: how items are rewritten before they are asked, see `evaluation.benchmarks.rewrite`.
        chat_template: whether questions are put as turns in the model's chat format by default.
        task: settings of lm-eval's task that are replaced.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmark: str
    source: str = Field(min_length=1)
    tasks: str
    metric: str
    filter: str = "none"
    average: Literal["macro", "micro"] | None = None
    items: tuple[str, ...] = ()
    shots: int = Field(ge=0)
    shots_from: str | None = None
    draw: Literal["task", "seed"] = "task"
    rows: Literal["as-is", "letters"] = "as-is"
    chat_template: bool = False
    task: dict[str, Any] = {}

    @property
    def about(self) -> Benchmark:
        """The benchmark that it asks."""
        return BENCHMARKS[self.benchmark]

    @property
    def item_splits(self) -> tuple[str, ...]:
        """The splits that are asked."""
        return self.items or (self.about.item_split,)

    @property
    def splits(self) -> tuple[str, ...]:
        """All splits that are read."""
        return tuple(dict.fromkeys((*self.item_splits, *filter(None, (self.shots_from,)))))

    @cached_property
    def files(self) -> Mapping[str, Path]:
        """lm-eval's task files by subset."""
        return task_files(self.tasks)

    def file(self, subset: str) -> Path:
        """The task file of lm-eval for a subset."""
        return self.files[subset] if subset in self.files else next(iter(self.files.values()))

    @property
    def sampled(self) -> bool:
        """Whether answers are drawn at random, so that seeds differ."""
        return bool(self.task.get("generation_kwargs", {}).get("do_sample"))

    @cached_property
    def version(self) -> str:
        """A hash of everything that makes the task what it is: this file, lm-eval's, their code."""
        parts = [metadata.version("lm_eval"), self.model_dump_json()]
        for name, path in sorted(self.files.items()):
            parts.append(f"{name} {path.name} {sha256(path)}")
        for folder in sorted({path.parent for path in self.files.values()}):
            parts += [sha256(code) for code in sorted(folder.glob("*.py"))]
            parts += [sha256(base) for base in sorted(folder.glob("_*_yaml"))]
        for path in self.files.values():
            included = read_task(path).get("include")
            if isinstance(included, str):
                parts.append(sha256(path.parent / included))
        own = {name.rpartition(".")[0] for name in _functions(self.task)}
        own |= {"evaluation.benchmarks.rewrite"} if self.rows != "as-is" else set()
        parts += [sha256(_source(module)) for module in sorted(own)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _functions(setting: Any) -> Iterator[str]:
    """The functions that are named anywhere in a task's settings."""
    if isinstance(setting, Function):
        yield str(setting)
    elif isinstance(setting, dict | list):
        for part in setting.values() if isinstance(setting, dict) else setting:
            yield from _functions(part)


def _source(module: str) -> Path:
    """The file of one of our modules; nothing is imported."""
    return FOLDER.parents[1] / Path(*module.split(".")).with_suffix(".py")


@cache
def read_profile(profile: str) -> Mapping[str, TaskFile]:
    """The task files of a profile by benchmark, in the order of the paper's table.

    Raises:
        BadInput: no such profile.
    """
    check_choice("profile", profile, PROFILES)
    found = {path.stem: read_task_file(path) for path in sorted((FOLDER / profile).glob("*.yaml"))}
    return {name: found[name] for name in BENCHMARKS if name in found}


def read_task_file(path: Path) -> TaskFile:
    """Read one task file.

    Raises:
        BadInput: it is not of this form, or lm-eval has no such task; the error names the field.
    """
    try:
        task = TaskFile.model_validate(read_task(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        raise BadInput("is not YAML", file=path, line=line) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or None
        raise BadInput(first["msg"], file=path, field=field) from None
    if task.benchmark not in BENCHMARKS:
        raise BadInput(f"unknown {task.benchmark!r}", file=path, field="benchmark")
    if not task.files:
        raise BadInput(
            f"no {task.tasks} in {harness_tasks()}: lm-eval 0.4.13 has it", file=path, field="tasks"
        )
    return task
