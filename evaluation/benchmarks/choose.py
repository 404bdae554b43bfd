"""Which items are asked, and with which examples before them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from duo.errors import BadInput
from evaluation.benchmarks.catalogue import read_task
from evaluation.benchmarks.folders import Data, Row
from evaluation.benchmarks.profiles import TaskFile
from evaluation.benchmarks.rewrite import letters

#: Of the choice of items: the same for every model and seed, so that all answer the same ones.
_ITEM_SEED = 0


@dataclass(frozen=True)
class Leaf:
    """One task for lm-eval: items that are asked in the same way.

    Attributes:
        name: of the task.
        subset: of the benchmark; empty if it has none.
        file: lm-eval's task file.
        items: what is asked.
        ids: of the items, unique within the subset: split and number of the row in it.
        shots: rows that examples are taken from; None if the task brings its own, or needs none.
    """

    name: str
    subset: str
    file: Path
    items: tuple[Row, ...]
    ids: tuple[str, ...]
    shots: tuple[Row, ...] | None


def leaves(
    task: TaskFile, data: Data, *, seed: int, limit: int | None = None, spare: Data | None = None
) -> list[Leaf]:
    """The tasks that make up a benchmark.

    Args:
        task: how the benchmark is asked.
        data: its rows.
        seed: of the examples, where they are drawn.
        limit: how many items in all; None for all. They are drawn uniformly within each subset, as
            many of each as its share of all items says, and do not depend on `seed`.
        spare: rows to take examples from where `data` has none.

    Raises:
        BadInput: too few rows to take examples from.
    """
    chosen = _chosen(task, data, limit)
    found: list[Leaf] = []
    for subset, places in chosen.items():
        if places:
            found += _of_subset(task, data, spare, subset, places, seed)
    return found


def _chosen(task: TaskFile, data: Data, limit: int | None) -> dict[str, list[tuple[str, int]]]:
    """By subset, the splits and row numbers of the items that are asked, in order."""
    everything = {
        subset: [
            (split, number)
            for split in task.item_splits
            for number in range(len(rows.get(split, ())))
        ]
        for subset, rows in data.rows.items()
    }
    if limit is None:
        return everything
    wanted = shares({subset: len(places) for subset, places in everything.items()}, limit)
    kept = {}
    for subset, places in everything.items():
        draw = random.Random(f"{_ITEM_SEED} {task.benchmark} {subset}")
        numbers = sorted(draw.sample(range(len(places)), wanted[subset]))
        kept[subset] = [places[number] for number in numbers]
    return kept


def shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """How many of each subset make `total` in all, in proportion to the sizes.

    Each gets the whole part of its exact share; what is left goes to the largest remainders, ties
    in the order of the names. Never more than there are.
    """
    everything = sum(sizes.values())
    if total >= everything:
        return dict(sizes)
    exact = {name: total * size / everything for name, size in sizes.items()}
    given = {name: int(share) for name, share in exact.items()}
    left = total - sum(given.values())
    for name in sorted(sizes, key=lambda name: (given[name] - exact[name], name))[:left]:
        given[name] += 1
    return given


def _of_subset(
    task: TaskFile,
    data: Data,
    spare: Data | None,
    subset: str,
    places: Sequence[tuple[str, int]],
    seed: int,
) -> list[Leaf]:
    file = task.file(subset)
    named = len(task.files) > 1  # a benchmark with subsets
    whole = Leaf(
        name=read_task(file)["task"],
        subset=subset if named else "",
        file=file,
        items=tuple(_row(task, subset, data.rows[subset][split][n]) for split, n in places),
        ids=tuple(f"{split}/{n}" for split, n in places),
        shots=None,
    )
    if not task.shots:
        return [whole]
    if task.shots_from is None:
        if task.rows == "as-is":
            return [whole]
        own = read_task(file)["fewshot_config"]["samples"]
        return [replace(whole, shots=tuple(_row(task, subset, row) for row in own[: task.shots]))]
    pool = data.rows[subset].get(task.shots_from) or _spare(task, spare, subset)
    if len(pool) < task.shots:
        raise BadInput(
            f"{len(pool)} rows, too few for {task.shots} examples",
            file=data.place.root / task.about.folder / subset,
            field=task.shots_from,
        )
    if task.draw == "task":
        return [replace(whole, shots=tuple(_row(task, subset, row) for row in pool))]
    return _drawn(task, whole, pool, subset, seed)


def _drawn(task: TaskFile, whole: Leaf, pool: Sequence[Row], subset: str, seed: int) -> list[Leaf]:
    """The task with its drawn examples; items that are among these get other ones."""
    numbers = list(range(len(pool)))
    random.Random(f"{seed} {task.benchmark} {subset} shots").shuffle(numbers)
    first, others = numbers[: task.shots], numbers[task.shots : 2 * task.shots]

    def shots(rows: Sequence[int]) -> tuple[Row, ...]:
        return tuple(_row(task, subset, pool[number]) for number in rows)

    taken = {f"{task.shots_from}/{number}" for number in first}
    if taken.isdisjoint(whole.ids):
        return [replace(whole, shots=shots(first))]
    if len(others) < task.shots:
        raise BadInput(
            f"needs {2 * task.shots} rows, so that no item is its own example",
            field=f"{task.benchmark} {task.shots_from}",
        )
    return [
        replace(
            whole,
            name=f"{whole.name}{ending}",
            items=tuple(
                row for row, name in zip(whole.items, whole.ids, strict=True)
                if (name in taken) == inside
            ),
            ids=tuple(name for name in whole.ids if (name in taken) == inside),
            shots=shots(rows),
        )
        for ending, rows, inside in (("", first, False), ("_examples", others, True))
    ]  # fmt: skip


def _row(task: TaskFile, subset: str, row: Row) -> Row:
    return letters(subset, row) if task.rows == "letters" else row


def _spare(task: TaskFile, spare: Data | None, subset: str) -> Sequence[Row]:
    if spare is None or task.shots_from is None:
        return ()
    rows = spare.rows.get(subset) or next(iter(spare.rows.values()), {})
    return rows.get(task.shots_from, ())
