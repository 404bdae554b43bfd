"""Tasks laid out for lm-eval: a folder of task files that include lm-eval's own by path.

Each has its rows beside it, as JSON Lines, so that nothing is fetched while a model runs.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from duo.errors import BadInput
from evaluation.benchmarks.catalogue import Function, dump_task
from evaluation.benchmarks.choose import Leaf
from evaluation.benchmarks.profiles import TaskFile

ITEMS, SHOTS = "items", "shots"

#: Tokens of an answer where a task does not say: lm-eval's default.
_HARNESS_LENGTH = 256


@contextmanager
def overlay(
    task: TaskFile,
    leaves: Sequence[Leaf],
    *,
    max_new_tokens: int | None = None,
    logit_bias: dict[int, float] | None = None,
) -> Iterator[Any]:
    """A `TaskManager` that knows these tasks and no others.

    Args:
        task: how the benchmark is asked.
        leaves: its tasks.
        max_new_tokens: a cap on the length of generated answers.
        logit_bias: for back ends that ban tokens by it.

    Raises:
        BadInput: the folder for temporary files cannot be written.
    """
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory(prefix="duo-tasks-") as name:
        folder = Path(name)
        try:
            for leaf in leaves:
                _write(folder / leaf.name, leaf)
                text = dump_task(
                    task_settings(task, leaf, folder / leaf.name, max_new_tokens, logit_bias)
                )
                (folder / f"{leaf.name}.yaml").write_text(text, "utf-8")
        except OSError as error:
            raise BadInput(f"cannot write: {error.strerror or error}", file=folder) from error
        yield TaskManager(include_defaults=False, include_path=[folder])


def task_settings(
    task: TaskFile,
    leaf: Leaf,
    folder: Path,
    max_new_tokens: int | None = None,
    logit_bias: dict[int, float] | None = None,
) -> dict[str, Any]:
    """The task file: lm-eval's own, with our rows, and what the profile replaces."""
    settings: dict[str, Any] = {
        "include": str(leaf.file),
        "task": leaf.name,
        "dataset_name": None,
        "custom_dataset": Function("evaluation.benchmarks.overlay.rows"),
        "dataset_kwargs": {"folder": str(folder)},
        "training_split": None,
        "validation_split": None,
        "test_split": ITEMS,
        "num_fewshot": task.shots,
        **task.task,
    }
    if leaf.shots is not None:
        settings["fewshot_split"] = SHOTS
        if task.draw == "seed" or task.shots_from is None:
            own = task.task.get("fewshot_config", {})
            settings["fewshot_config"] = {**own, "sampler": "first_n"}
    if max_new_tokens is not None or logit_bias:
        generation = _generation(leaf.file, task)
        if generation:
            if max_new_tokens is not None:
                asked = generation.get("max_gen_toks", _HARNESS_LENGTH)
                generation["max_gen_toks"] = min(asked, max_new_tokens)
            if logit_bias:
                generation["logit_bias"] = logit_bias
            settings["generation_kwargs"] = generation
    return settings


def _generation(file: Path, task: TaskFile) -> dict[str, Any]:
    """How answers are generated; empty where none are."""
    from lm_eval.tasks._yaml_loader import load_yaml

    settings = {**load_yaml(file, resolve_func=False), **task.task}
    if settings.get("output_type") != "generate_until":
        return {}
    return dict(settings.get("generation_kwargs") or {})


def _write(folder: Path, leaf: Leaf) -> None:
    folder.mkdir()
    for name, rows in ((ITEMS, leaf.items), (SHOTS, leaf.shots)):
        if rows is not None:
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (folder / f"{name}.jsonl").write_text(lines, "utf-8", newline="\n")


def rows(*, folder: str, **_: Any) -> dict[str, Any]:
    """The data set of a task, as lm-eval asks for it while it builds the task."""
    from datasets import Dataset  # type: ignore[import-untyped]

    found = {}
    for path in sorted(Path(folder).glob("*.jsonl")):
        with path.open(encoding="utf-8", newline="\n") as lines:
            found[path.stem] = Dataset.from_list([json.loads(line) for line in lines])
    return found
