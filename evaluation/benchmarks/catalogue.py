"""List the nine benchmarks of the paper's Table 1: names, sizes, items, metrics, published cells.

Items lie in folders `<folder>/<subset>/<split>.jsonl.gz` (or `.jsonl`), one record a line with the
fields of the Hugging Face data set that lm-eval reads for the task. How a benchmark is asked and
scored under a profile stands in `evaluation/tasks/<profile>/<benchmark>.yaml` (see `tasks`).

The cells are those of Xu et al. 2024, "Enabling Real-Time Conversations with Minimal Training
Costs", Table 1: accuracy in percent, measured with UltraEval. Shots and averages are UltraEval's
task configurations'; items are the benchmarks' test sets (MBPP: all 974 problems, for every
published cell is a whole count over 974 and none over the 500 of the test split).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Average = Literal["macro", "micro"]

#: The columns of the published table, as the catalogue names them.
PAPER_COLUMNS = ("base", "duplex-5000k", "duplex-10k", "duo-10k")


@dataclass(frozen=True)
class Published:
    """A row of the paper's table.

    Attributes:
        average: "macro" where subjects count alike; None where there are none.
        cells: accuracy in percent by column, as text, with the digits that were printed.
        fault: what raised or lowered all of them, in one sentence; "" if nothing is known to.
    """

    n: int
    shots: int
    average: Average | None
    cells: Mapping[str, str]
    fault: str = ""

    def share(self, column: str) -> float:
        """Give a cell as a share, from 0 to 1."""
        return float(self.cells[column]) / 100

    def stderr(self, column: str) -> float:
        """Compute the binomial standard error of a cell, `sqrt(p (1 - p) / n)`."""
        p = self.share(column)
        return float((p * (1 - p) / self.n) ** 0.5)

    @property
    def impossible(self) -> dict[str, str]:
        """The cells, by column, that no count of right answers gives.

        Only where every item counts alike; an average over subjects can be any number.
        """
        if self.average == "macro":
            return {}
        return {name: cell for name, cell in self.cells.items() if not is_possible(cell, self.n)}


def is_possible(cell: str, n: int) -> bool:
    """Tell whether some count out of n, in percent and rounded, reads like the cell.

    Half a unit of the last digit may be rounded either way, and cut digits are allowed too: what
    is called impossible is so however it was rounded.
    """
    unit = 10.0 ** -len(cell.partition(".")[2])
    nearest = round(float(cell) / 100 * n)
    shares = (100 * count / n for count in (nearest - 1, nearest, nearest + 1))
    return any(-unit / 2 <= share - float(cell) < unit for share in shares)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, the form of its data, and what the paper reports of it.

    Attributes:
        name: in results and on the command line; also lm-eval's name of its task or group.
        subsets: names of the subsets' folders; empty if lm-eval's task files name them.
        sizes: published number of items of each split, all subsets together.
        fields: what every item has, and its JSON type.
        metrics: lm-eval's stock metric and filter; where it offers several, the preferred first.
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
    metrics: tuple[tuple[str, str], ...]
    paper: Published
    item_split: str = "test"
    tasks: str = ""
    also: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    code: bool = False
    item_seconds: float = 1.0


def _paper(n: int, shots: int, average: Average | None, *cells: str, fault: str = "") -> Published:
    return Published(n, shots, average, dict(zip(PAPER_COLUMNS, cells, strict=True)), fault)


_OPTIONS: dict[str, type | tuple[type, ...]] = {
    "question": str, "choices": dict, "answerKey": str,
}  # fmt: skip
_LIKELIHOOD = (("acc_norm", "none"), ("acc", "none"))

_ALL = (
    Benchmark(
        name="cmmlu", title="CMMLU", folder="cmmlu", subsets=(), hub="haonan-li/cmmlu",
        sizes={"test": 11_582, "dev": 335},  # what the authors' repository holds
        also={"test": (11_528,)},  # what is often quoted, the paper's table included
        fields=dict.fromkeys(("Question", "A", "B", "C", "D", "Answer"), str),
        tasks="cmmlu/cmmlu_*.yaml", item_seconds=0.6, metrics=(("acc", "none"),),
        paper=_paper(11_528, 5, "macro", "51.30", "48.53", "50.56", "50.66"),
    ),
    Benchmark(
        name="mmlu", title="MMLU", folder="mmlu", subsets=(), hub="cais/mmlu",
        sizes={"test": 14_042, "dev": 285, "validation": 1_531},
        fields={"question": str, "choices": list, "answer": int},
        tasks="mmlu/default/mmlu_*.yaml", item_seconds=0.5, metrics=(("acc", "none"),),
        paper=_paper(14_042, 5, "macro", "53.45", "53.76", "52.89", "53.13"),
    ),
    Benchmark(
        name="bbh", title="BBH", folder="bbh", subsets=(), hub="SaylorTwift/bbh",
        sizes={"test": 6_511}, fields={"input": str, "target": str},
        tasks="bbh/fewshot/[a-z]*.yaml", item_seconds=10,
        metrics=(("exact_match", "get-answer"), ("exact_match", "none")),
        paper=_paper(
            6_511, 3, "macro", "37.25", "36.35", "35.81", "36.51",
            fault="UltraEval's key of the task sports_understanding is (C) for all 250 items, "
            "which raises each number by up to 3.7 points, one task of 27",
        ),
    ),
    Benchmark(
        name="humaneval", title="HumanEval", folder="openai_humaneval",
        subsets=("openai_humaneval",), hub="openai/openai_humaneval", sizes={"test": 164},
        fields=dict.fromkeys(
            ("task_id", "prompt", "canonical_solution", "test", "entry_point"), str
        ),
        code=True, item_seconds=6, metrics=(("pass@1", "create_test"),),
        paper=_paper(164, 0, None, "50.00", "49.39", "51.81", "51.83"),
    ),
    Benchmark(
        name="mbpp", title="MBPP", folder="mbpp", subsets=("full",),
        hub="google-research-datasets/mbpp",
        sizes={"test": 500, "train": 374, "validation": 90, "prompt": 10},
        fields={
            "task_id": int, "text": str, "code": str, "test_list": list, "test_setup_code": str,
        },
        code=True, item_seconds=5, metrics=(("pass_at_1", "none"),),
        paper=_paper(974, 3, None, "38.09", "38.30", "34.70", "38.19"),
    ),
    Benchmark(
        name="gsm8k", title="GSM8K", folder="gsm8k", subsets=("main",), hub="openai/gsm8k",
        sizes={"test": 1_319, "train": 7_473}, fields={"question": str, "answer": str},
        item_seconds=10, metrics=(("exact_match", "strict-match"),),
        paper=_paper(1_319, 8, None, "42.30", "46.10", "40.26", "42.15"),
    ),
    Benchmark(
        name="arc_easy", title="ARC-e", folder="ai2_arc", subsets=("ARC-Easy",),
        hub="allenai/ai2_arc", sizes={"test": 2_376, "train": 2_251, "validation": 570},
        fields=_OPTIONS, item_seconds=0.8, metrics=_LIKELIHOOD,
        paper=_paper(2_376, 0, None, "84.60", "85.19", "83.12", "84.93"),
    ),
    Benchmark(
        name="arc_challenge", title="ARC-c", folder="ai2_arc", subsets=("ARC-Challenge",),
        hub="allenai/ai2_arc", sizes={"test": 1_172, "train": 1_119, "validation": 299},
        fields=_OPTIONS, item_seconds=1.2, metrics=_LIKELIHOOD,
        paper=_paper(1_172, 0, None, "69.80", "70.05", "69.43", "70.48"),
    ),
    Benchmark(
        name="hellaswag", title="HellaSwag", folder="hellaswag", subsets=("default",),
        hub="Rowan/hellaswag", sizes={"validation": 10_042}, item_split="validation",
        fields={
            "activity_label": str, "ctx_a": str, "ctx_b": str, "endings": list, "label": str,
        },
        item_seconds=1.9, metrics=_LIKELIHOOD,
        paper=_paper(10_042, 0, None, "61.40", "60.79", "50.85", "59.78"),
    ),
)  # fmt: skip

#: By name, in the order of the paper's table.
BENCHMARKS: Mapping[str, Benchmark] = {benchmark.name: benchmark for benchmark in _ALL}
