"""Read how benchmarks are asked and scored, and build lm-eval's tasks from that.

A profile is a folder of small YAML files, `evaluation/tasks/<profile>/<benchmark>.yaml`. Each
builds on a task file of lm-eval, which it names and does not copy, and says what it changes of it.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from duo.errors import BadInput, check_choice
from duo.files import read_text, sha256, validate
from evaluation.benchmarks.catalogue import BENCHMARKS, Average, Benchmark
from evaluation.benchmarks.experiment import PROFILES, Settings

FOLDER = Path(__file__).parent.parent / "tasks"

Row = dict[str, Any]

#: Tokens of an answer where a task does not say: lm-eval's default.
_HARNESS_LENGTH = 256

ITEMS, SHOTS = "items", "shots"


class Function(str):
    """The dotted name behind the tag `!function` in a task file; nothing is imported yet."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    pass


_Loader.add_constructor("!function", lambda loader, node: Function(loader.construct_scalar(node)))


def harness_tasks() -> Path:
    """Find the folder of lm-eval's own task files."""
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("lm_eval", name="lm_eval")
    return Path(spec.origin).parent / "tasks"


@cache
def task_files(pattern: str) -> Mapping[str, Path]:
    """Find lm-eval's task files below its tasks folder that match, by the subset of each.

    A task without subsets is under the empty name.
    """
    return {
        str(read_task(path).get("dataset_name") or ""): path
        for path in sorted(harness_tasks().glob(pattern))
    }


def subset_names(benchmark: Benchmark) -> tuple[str, ...]:
    """List the folder names of all subsets, sorted, as lm-eval's task files name them."""
    return benchmark.subsets or tuple(sorted(task_files(benchmark.tasks)))


def read_task(path: Path) -> dict[str, Any]:
    """Read a task file as it stands, without what it includes."""
    return yaml.load(path.read_text("utf-8"), Loader=_Loader)


class TaskFile(BaseModel):
    """What a task file says.

    Attributes:
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
        rows: whether items are asked as they are, or with a letter for every option (`letters`).
        chat_template: whether questions are put as turns in the model's chat format by default.
        task: settings of lm-eval's task that are replaced.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmark: str
    source: str = Field(min_length=1)
    tasks: str
    metric: str
    filter: str = "none"
    average: Average | None = None
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

    @property
    def has_subsets(self) -> bool:
        """Whether there is a task of lm-eval for each subset."""
        return len(self.files) > 1

    def file(self, subset: str) -> Path:
        """Find lm-eval's task file for a subset."""
        return self.files[subset] if subset in self.files else next(iter(self.files.values()))

    def row(self, subset: str, row: Row) -> Row:
        """Put an item in the form in which it is asked."""
        return letters(subset, row) if self.rows == "letters" else row

    @property
    def sampled(self) -> bool:
        """Whether answers are drawn at random, so that seeds differ."""
        return bool(self.task.get("generation_kwargs", {}).get("do_sample"))

    @cached_property
    def version(self) -> str:
        """A hash of everything that makes the task what it is: this file, lm-eval's, their code."""
        parts = [metadata.version("lm_eval"), self.model_dump_json()]
        for folder in sorted({path.parent for path in self.files.values()}):
            parts += [f"{path.name} {sha256(path)}" for path in sorted(folder.glob("*.*"))]
            parts += [sha256(path) for path in sorted(folder.glob("_*_yaml"))]
        own = {name.rpartition(".")[0] for name in _functions(self.task)}
        own |= {__name__} if self.rows != "as-is" else set()
        parts += [sha256(_source(module)) for module in sorted(own)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _functions(setting: Any) -> Iterator[str]:
    """List the functions that are named anywhere in a task's settings."""
    if isinstance(setting, Function):
        yield str(setting)
    elif isinstance(setting, dict | list):
        for part in setting.values() if isinstance(setting, dict) else setting:
            yield from _functions(part)


def _source(module: str) -> Path:
    """Name the file of one of our modules, without importing it."""
    return FOLDER.parents[1] / Path(*module.split(".")).with_suffix(".py")


@cache
def read_profile(profile: str) -> Mapping[str, TaskFile]:
    """Read the task files of a profile, by benchmark in the order of the paper's table.

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
        task = validate(read_task(path), TaskFile, file=path)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BadInput("is not YAML", file=path, line=mark.line + 1 if mark else None) from None
    if task.benchmark not in BENCHMARKS:
        raise BadInput(f"unknown {task.benchmark!r}", file=path, field="benchmark")
    if not task.files:
        raise BadInput(
            f"no {task.tasks} in {harness_tasks()}: lm-eval 0.4.13 has it", file=path, field="tasks"
        )
    return task


@dataclass(frozen=True)
class Leaf:
    """One task for lm-eval: items that are asked in the same way.

    Attributes:
        subset: of the benchmark; empty if it has none.
        rows: all that could be asked.
        asked: numbers of those that are, in order; at least one.
        shots: rows that examples are taken from; None if the task brings its own, or needs none.
    """

    name: str
    subset: str
    file: Path
    rows: Sequence[Row]
    asked: tuple[int, ...]
    shots: tuple[Row, ...] | None


def harness_task(
    task: TaskFile, leaf: Leaf, settings: Settings, logit_bias: Mapping[int, float] | None = None
) -> Any:
    """Build lm-eval's task for a leaf: its own settings, our rows, what the profile replaces.

    lm-eval's modules for tasks of programs fetch a metric from the hub while they are imported, and
    it runs programs in this process. They are never imported: task files name functions of ours.
    Back ends that cannot suppress tokens ban them by `logit_bias`.
    """
    from datasets import Dataset  # type: ignore[import-untyped]
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    splits = {ITEMS: Dataset.from_list([leaf.rows[number] for number in leaf.asked])}
    if leaf.shots is not None:
        splits[SHOTS] = Dataset.from_list(list(leaf.shots))

    def rows(**_: Any) -> dict[str, Any]:
        return splits

    config = load_yaml(leaf.file, resolve_func=not task.about.code) | _resolved(task.task)
    config = {key: config[key] for key in config if key not in ("tag", "group", "task_list")}
    config |= {
        "task": leaf.name,
        "dataset_name": None,
        "dataset_kwargs": None,
        "custom_dataset": rows,
        "training_split": None,
        "validation_split": None,
        "test_split": ITEMS,
        "num_fewshot": task.shots,
    }
    examples = dict(config.get("fewshot_config") or {})
    if leaf.shots is not None:
        config["fewshot_split"] = SHOTS
        if task.draw == "seed" or task.shots_from is None:
            examples = {**task.task.get("fewshot_config", {}), "sampler": "first_n"}
    if isinstance(examples.get("samples"), str):
        examples["samples"] = _returned(examples["samples"])
    if examples:
        config["fewshot_config"] = examples
    if config.get("output_type") == "generate_until":
        generation = dict(config.get("generation_kwargs") or {})
        if generation and settings.max_new_tokens is not None:
            length = generation.get("max_gen_toks", _HARNESS_LENGTH)
            generation["max_gen_toks"] = min(length, settings.max_new_tokens)
        if generation and logit_bias:
            generation["logit_bias"] = dict(logit_bias)
        config["generation_kwargs"] = generation or None
    return ConfigurableTask(config=config)


def _resolved(setting: Any) -> Any:
    """Put functions in place of their names in settings."""
    if isinstance(setting, Function):
        module, _, name = setting.rpartition(".")
        return getattr(import_module(module), name)
    if isinstance(setting, dict):
        return {key: _resolved(value) for key, value in setting.items()}
    return [_resolved(value) for value in setting] if isinstance(setting, list) else setting


def _returned(reference: str) -> Any:
    """Read the literal that a function, `<folder>/<module>.<function>`, returns; it is not run."""
    module, _, name = reference.rpartition(".")
    path = Path(f"{module}.py")
    for node in ast.walk(ast.parse(read_text(path))):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            last = node.body[-1]
            if isinstance(last, ast.Return) and last.value is not None:
                return ast.literal_eval(last.value)
    raise BadInput(f"no {name} that returns a literal: lm-eval 0.4.13 has it", file=path)


#: Tasks of BIG-Bench Hard whose answers are no choice among options.
FREE = frozenset({"dyck_languages", "multistep_arithmetic_two", "object_counting", "word_sorting"})

#: The two answers of tasks whose options have no letters.
PAIRS: Mapping[str, tuple[str, str]] = {
    "boolean_expressions": ("True", "False"),
    "causal_judgement": ("Yes", "No"),
    "formal_fallacies": ("valid", "invalid"),
    "navigate": ("Yes", "No"),
    "sports_understanding": ("yes", "no"),
    "web_of_lies": ("Yes", "No"),
}

_OPTION = re.compile(r"(\([A-Z]\)) (.*)")
_OPTIONS = re.compile(r"\n*Options:\n.*\Z", re.DOTALL)


def letters(subset: str, row: Row) -> Row:
    """Rewrite an item of BIG-Bench Hard so that every option has a letter.

    UltraEval asks 23 of the tasks by letter, also the six that have two bare words to choose from,
    and only the four whose answers are free by the text.

    Returns:
        `question` (the whole text, as UltraEval puts it), `options` (empty where answers are free),
        and as `target` the letter in parentheses, or the free answer.
    """
    text, target = row["input"], row["target"].strip()
    if subset in FREE:
        return {"question": text, "options": "", "target": target}
    if subset in PAIRS:
        pair = PAIRS[subset]
        options = "\n".join(f"({letter}) {word}" for letter, word in zip("AB", pair, strict=True))
        target = f"({'AB'[pair.index(target)]})" if target in pair else target
    else:
        found = _OPTIONS.search(text)
        options = found.group().strip().removeprefix("Options:").strip() if found else ""
        # Three published targets are an option's text instead of its letter.
        by_text = {option: letter for letter, option in _OPTION.findall(options)}
        target = by_text.get(target, target)
    return {"question": text, "options": options, "target": target}
