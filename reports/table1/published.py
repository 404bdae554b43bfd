"""Table 1 as published, and what in it cannot be.

Source: Xu et al. 2024, "Enabling Real-Time Conversations with Minimal Training Costs", Table 1:
accuracy in percent, measured with UltraEval. The shots and averages are those of UltraEval's task
configurations; the items are those of the benchmarks' test sets (MBPP: all 974 tasks, for every
published cell is a whole count over 974 and none over the 500 test tasks).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from evaluation.comparison.results import Average


@dataclass(frozen=True)
class Model:
    """A column of the published table.

    Attributes:
        id: in files.
        name: as printed.
        role: what stands for the same kind of model in any table.
        aliases: what a column of ours may be called to stand beside it, as `simplified` gives it;
            the first that there is stands there.
    """

    id: str
    name: str
    role: str
    aliases: tuple[str, ...]


MODELS = (
    Model("base", "MiniCPM", "base", ("base", "minicpm")),
    Model("duplex-5000k", "+Duplex 5,000K", "+Duplex 5,000K", ("duplex5000k",)),
    Model("duplex-10k", "+Duplex 10K", "+Duplex 10K", ("duplex10k", "duplex")),
    Model("duo-10k", "+Duo 10K", "+Duo 10K", ("duo10k", "duo")),
)


@dataclass(frozen=True)
class Benchmark:
    """A row of the published table.

    Attributes:
        cells: accuracy in percent by `Model.id`, as text, with the digits that were printed.
        n: items.
        shots: examples before each question.
        average: "macro" where subjects count alike; None where there are none.
    """

    id: str
    name: str
    n: int
    shots: int
    average: Average | None
    cells: dict[str, str]


def _row(id: str, name: str, n: int, shots: int, average: Average | None, *cells: str) -> Benchmark:
    ids = [model.id for model in MODELS]
    return Benchmark(id, name, n, shots, average, dict(zip(ids, cells, strict=True)))


TABLE = (
    _row("cmmlu", "CMMLU", 11_528, 5, "macro", "51.30", "48.53", "50.56", "50.66"),
    _row("mmlu", "MMLU", 14_042, 5, "macro", "53.45", "53.76", "52.89", "53.13"),
    _row("bbh", "BBH", 6_511, 3, "macro", "37.25", "36.35", "35.81", "36.51"),
    _row("humaneval", "HumanEval", 164, 0, None, "50.00", "49.39", "51.81", "51.83"),
    _row("mbpp", "MBPP", 974, 3, None, "38.09", "38.30", "34.70", "38.19"),
    _row("gsm8k", "GSM8K", 1_319, 8, None, "42.30", "46.10", "40.26", "42.15"),
    _row("arc_easy", "ARC-e", 2_376, 0, None, "84.60", "85.19", "83.12", "84.93"),
    _row("arc_challenge", "ARC-c", 1_172, 0, None, "69.80", "70.05", "69.43", "70.48"),
    _row("hellaswag", "HellaSwag", 10_042, 0, None, "61.40", "60.79", "50.85", "59.78"),
)


def simplified(name: str) -> str:
    """A name without case and punctuation, so that `+Duo 10K` and `duo-10k` are the same."""
    return re.sub(r"[\W_]+", "", name.casefold())


def is_possible(cell: str, n: int) -> bool:
    """Whether some count of right answers out of n, in percent and rounded, reads like the cell.

    Half a unit of the last digit may be rounded either way, and cut digits are allowed too: what
    is called impossible is so however it was rounded.
    """
    digits = len(cell.partition(".")[2])
    unit = 10.0**-digits
    nearest = round(float(cell) / 100 * n)
    shares = (100 * count / n for count in (nearest - 1, nearest, nearest + 1))
    return any(-unit / 2 <= share - float(cell) < unit for share in shares)


def impossible(benchmark: Benchmark) -> dict[str, str]:
    """The cells, by model, that no count of right answers gives.

    Only where every item counts alike; an average over subjects can be any number.
    """
    if benchmark.average == "macro":
        return {}
    return {m: cell for m, cell in benchmark.cells.items() if not is_possible(cell, benchmark.n)}


def published_stderr(share: float, n: int) -> float:
    """Binomial standard error of a share, `sqrt(p (1 - p) / n)`: the paper states none."""
    return float((share * (1 - share) / n) ** 0.5)
