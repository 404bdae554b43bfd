"""What the nine benchmarks are: names, published sizes, fields of an item, where the hub has them.

The layout of a data folder is `<folder>/<subset>/<split>.jsonl.gz` (or `.jsonl`), one record a
line with the fields of the Hugging Face data set that lm-eval reads for the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Benchmark:
    """A benchmark and the form of its data.

    Attributes:
        name: in results and on the command line.
        title: in tables.
        folder: of its data.
        subsets: names of the subsets' folders; empty if lm-eval's task files name them.
        hub: name of the data set on the Hugging Face hub.
        sizes: published number of items of each split, all subsets together.
        fields: what every item has, and its JSON type.
        item_split: the split that is published as the benchmark's test items.
        tasks: lm-eval's task files that name the subsets, as a pattern below its tasks folder.
        also: other sizes that are published for a split.
        code: whether answering means running programs.
        item_seconds: rough time of an item with a model of 135M parameters on two processor cores;
            only to tell how much of a run is left.
    """

    name: str
    title: str
    folder: str
    subsets: tuple[str, ...]
    hub: str
    sizes: Mapping[str, int]
    fields: Mapping[str, type | tuple[type, ...]]
    item_split: str = "test"
    tasks: str = ""
    also: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    code: bool = False
    item_seconds: float = 1.0


_OPTIONS: dict[str, type | tuple[type, ...]] = {
    "question": str, "choices": dict, "answerKey": str,
}  # fmt: skip

_ALL = (
    Benchmark(
        name="cmmlu", title="CMMLU", folder="cmmlu", subsets=(), hub="haonan-li/cmmlu",
        sizes={"test": 11_582, "dev": 335},  # what the authors' repository holds
        also={"test": (11_528,)},  # what is often quoted, the paper's table included
        fields=dict.fromkeys(("Question", "A", "B", "C", "D", "Answer"), str),
        tasks="cmmlu/cmmlu_*.yaml", item_seconds=0.6,
    ),
    Benchmark(
        name="mmlu", title="MMLU", folder="mmlu", subsets=(), hub="cais/mmlu",
        sizes={"test": 14_042, "dev": 285, "validation": 1_531},
        fields={"question": str, "choices": list, "answer": int},
        tasks="mmlu/default/mmlu_*.yaml", item_seconds=0.5,
    ),
    Benchmark(
        name="bbh", title="BBH", folder="bbh", subsets=(), hub="SaylorTwift/bbh",
        sizes={"test": 6_511}, fields={"input": str, "target": str},
        tasks="bbh/fewshot/[a-z]*.yaml", item_seconds=10,
    ),
    Benchmark(
        name="humaneval", title="HumanEval", folder="openai_humaneval",
        subsets=("openai_humaneval",), hub="openai/openai_humaneval", sizes={"test": 164},
        fields=dict.fromkeys(
            ("task_id", "prompt", "canonical_solution", "test", "entry_point"), str
        ),
        code=True, item_seconds=6,
    ),
    Benchmark(
        name="mbpp", title="MBPP", folder="mbpp", subsets=("full",),
        hub="google-research-datasets/mbpp",
        sizes={"test": 500, "train": 374, "validation": 90, "prompt": 10},
        fields={
            "task_id": int, "text": str, "code": str, "test_list": list, "test_setup_code": str,
        },
        code=True, item_seconds=5,
    ),
    Benchmark(
        name="gsm8k", title="GSM8K", folder="gsm8k", subsets=("main",), hub="openai/gsm8k",
        sizes={"test": 1_319, "train": 7_473}, fields={"question": str, "answer": str},
        item_seconds=10,
    ),
    Benchmark(
        name="arc_easy", title="ARC-e", folder="ai2_arc", subsets=("ARC-Easy",),
        hub="allenai/ai2_arc", sizes={"test": 2_376, "train": 2_251, "validation": 570},
        fields=_OPTIONS, item_seconds=0.8,
    ),
    Benchmark(
        name="arc_challenge", title="ARC-c", folder="ai2_arc", subsets=("ARC-Challenge",),
        hub="allenai/ai2_arc", sizes={"test": 1_172, "train": 1_119, "validation": 299},
        fields=_OPTIONS, item_seconds=1.2,
    ),
    Benchmark(
        name="hellaswag", title="HellaSwag", folder="hellaswag", subsets=("default",),
        hub="Rowan/hellaswag", sizes={"validation": 10_042}, item_split="validation",
        fields={
            "activity_label": str, "ctx_a": str, "ctx_b": str, "endings": list, "label": str,
        },
        item_seconds=1.9,
    ),
)  # fmt: skip

#: By name, in the order of the paper's table.
BENCHMARKS: Mapping[str, Benchmark] = {benchmark.name: benchmark for benchmark in _ALL}


def harness_tasks() -> Path:
    """The folder of lm-eval's own task files."""
    from importlib.util import find_spec

    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("lm_eval", name="lm_eval")
    return Path(spec.origin).parent / "tasks"


def subset_names(benchmark: Benchmark) -> tuple[str, ...]:
    """Folder names of all subsets, sorted: as lm-eval's task files name them."""
    if benchmark.subsets:
        return benchmark.subsets
    return tuple(sorted(task_files(benchmark.tasks)))


@cache
def task_files(pattern: str) -> Mapping[str, Path]:
    """lm-eval's task files below its tasks folder that match, by the subset that each is for.

    A task without subsets is under the empty name.
    """
    return {
        str(read_task(path).get("dataset_name") or ""): path
        for path in sorted(harness_tasks().glob(pattern))
    }


class Function(str):
    """What stands behind lm-eval's tag `!function` in a task file: a dotted name."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    pass


class _Dumper(yaml.SafeDumper):
    pass


_Loader.add_constructor("!function", lambda loader, node: Function(loader.construct_scalar(node)))
_Dumper.add_representer(
    Function, lambda dumper, name: dumper.represent_scalar("!function", str(name))
)


def read_task(path: Path) -> dict[str, Any]:
    """A task file as it stands, without what it includes; no function in it is imported."""
    return yaml.load(path.read_text("utf-8"), Loader=_Loader)


def dump_task(task: Mapping[str, Any]) -> str:
    """The text of a task file."""
    return yaml.dump(dict(task), Dumper=_Dumper, allow_unicode=True, sort_keys=False)
