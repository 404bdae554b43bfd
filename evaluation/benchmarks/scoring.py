"""What lm-eval found, as one value for a benchmark and one score for each item."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.benchmarks.choose import Leaf
from evaluation.benchmarks.profiles import TaskFile


def score(
    task: TaskFile, leaves: Sequence[Leaf], found: Mapping[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The figures of a benchmark and its items.

    Args:
        task: how it was asked.
        leaves: its tasks.
        found: what `lm_eval.evaluator.evaluate` returned for them.

    Returns:
        `metric`, `value`, `stderr`, `metrics`, `subsets`, `average` and `n` of a result file; and
        the items in their order.
    """
    items = [item for leaf in leaves for item in _items(task, leaf, found["samples"][leaf.name])]
    items.sort(key=lambda item: item["subset"] or "")  # stable: examples' leaves come home
    sizes: dict[str, int] = {}
    for leaf in leaves:
        sizes[leaf.subset] = sizes.get(leaf.subset, 0) + len(leaf.items)
    named = len(task.files) > 1
    keys = sorted({key for leaf in leaves for key in _values(found, leaf)})
    metrics = {key: _average(task, leaves, found, key) for key in keys}
    main = f"{task.metric},{task.filter}"
    value, stderr = metrics[main]
    figures = {
        "metric": task.metric,
        "value": value,
        "stderr": stderr,
        "metrics": {key: number for key, (number, _) in metrics.items() if key != main},
        "subsets": {
            leaf.subset: {"n": len(leaf.items), "value": _values(found, leaf)[main]}
            for leaf in leaves
        } if named else {},
        "average": task.average if named else None,
        "n": len(items),
    }  # fmt: skip
    return figures, items


def _values(found: Mapping[str, Any], leaf: Leaf) -> dict[str, float]:
    """Values by "metric,filter"; without the standard errors."""
    return {
        key: float(value)
        for key, value in found["results"][leaf.name].items()
        if "," in key and "_stderr," not in key and isinstance(value, int | float)
    }


def _average(
    task: TaskFile, leaves: Sequence[Leaf], found: Mapping[str, Any], key: str
) -> tuple[float, float | None]:
    """A metric over all leaves and its standard error, as lm-eval itself puts groups together."""
    from lm_eval.api.metrics import aggregate_subtask_metrics

    metric, _, reading = key.partition(",")
    values = [_values(found, leaf)[key] for leaf in leaves]
    errors = [found["results"][leaf.name].get(f"{metric}_stderr,{reading}") for leaf in leaves]
    sizes = [len(leaf.items) for leaf in leaves]
    if len(leaves) == 1:
        return values[0], _number(errors[0])
    by_size = task.average != "macro"
    value = float(aggregate_subtask_metrics(values, sizes, weight_by_size=by_size))
    return value, _pooled(values, sizes, errors, by_size)


def _pooled(
    values: Sequence[float], sizes: Sequence[int], errors: Sequence[Any], by_size: bool
) -> float | None:
    """The standard error of an average over subsets; None where a subset gives none.

    By size: that of all items' scores at once, which are 0 or 1, so that it follows from the share.
    lm-eval pools the variances within subsets, which leaves out that between them, and cannot be
    computed where a subset has one item. Otherwise the subsets are independent: the root of the
    sum of squares, divided by their number.
    """
    if by_size:
        n = sum(sizes)
        mean = sum(v * s for v, s in zip(values, sizes, strict=True)) / n
        return math.sqrt(max(0.0, mean * (1 - mean)) / (n - 1)) if n > 1 else None
    numbers = [_number(error) for error in errors]
    if any(number is None for number in numbers):
        return None
    return math.sqrt(sum(number**2 for number in numbers if number is not None)) / len(numbers)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _items(
    task: TaskFile, leaf: Leaf, samples: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    read = sorted(
        (sample for sample in samples if sample["filter"] == task.filter),
        key=lambda sample: sample["doc_id"],
    )
    return [
        {
            "id": name,
            "subset": leaf.subset or None,
            "score": float(sample[task.metric]),
            **_answer(task, sample),
        }
        for name, sample in zip(leaf.ids, read, strict=True)
    ]


def _answer(task: TaskFile, sample: Mapping[str, Any]) -> dict[str, Any]:
    """What the model answered, and what is right: letters for options, texts for the rest."""
    first = sample["filtered_resps"][0]
    if isinstance(first, list | tuple) and len(first) == 2 and isinstance(first[1], bool):
        likelihoods = [value for value, _ in sample["filtered_resps"]]
        if task.metric == "acc_norm":
            # lm-eval divides by the option alone, without the blank before it.
            lengths = [len(pair[1].removeprefix(" ")) or 1 for pair in sample["arguments"]]
            likelihoods = [v / n for v, n in zip(likelihoods, lengths, strict=True)]
        best = max(range(len(likelihoods)), key=likelihoods.__getitem__)
        return {"answer": _letter(best), "target": _letter(sample["target"])}
    answer = first[0] if isinstance(first, list) else first
    said = sample["resps"][0][0]
    raw = {} if said == answer else {"response": said}
    return {"answer": str(answer), "target": str(sample["target"]), **raw}


def _letter(target: Any) -> str:
    """The letter of an option's number."""
    try:
        return string.ascii_uppercase[int(target)]
    except (ValueError, IndexError):
        return str(target)
