"""Which items are asked: as many as wanted, the same for everybody, none as its own example."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.errors import BadInput
from evaluation.benchmarks.choose import leaves, shares
from evaluation.benchmarks.folders import Data, Place
from evaluation.benchmarks.profiles import TaskFile, read_profile

_PLACE = Place(Path("nowhere"), "data-dir")
_LIKELY = settings(deadline=None, derandomize=True, max_examples=60)


def mmlu_task() -> TaskFile:
    return read_profile("ultraeval")["mmlu"]


def mmlu_data(sizes: dict[str, int], shots: int = 5) -> Data:
    def rows(subject: str, split: str, count: int) -> list[dict]:
        return [
            {"question": f"{subject} {split} {n}?", "choices": list("wxyz"), "answer": n % 4}
            for n in range(count)
        ]

    return Data(
        _PLACE,
        {
            name: {"test": rows(name, "test", n), "dev": rows(name, "dev", shots)}
            for name, n in sizes.items()
        },
        "hash",
    )


@given(
    sizes=st.dictionaries(st.text("abc", min_size=1), st.integers(1, 400), min_size=1, max_size=60),
    total=st.integers(1, 5000),
)
@_LIKELY
def test_shares_add_up_and_are_in_proportion(sizes: dict[str, int], total: int) -> None:
    given_ = shares(sizes, total)
    everything = sum(sizes.values())
    assert given_.keys() == sizes.keys()
    assert sum(given_.values()) == min(total, everything)
    for name, size in sizes.items():
        assert 0 <= given_[name] <= size
        if total < everything:
            assert abs(given_[name] - total * size / everything) < 1


@given(
    sizes=st.dictionaries(
        st.sampled_from(["anatomy", "astronomy", "virology", "nutrition"]), st.integers(1, 30),
        min_size=1,
    ),
    limit=st.integers(1, 60),
    seeds=st.lists(st.integers(0, 9), min_size=2, max_size=2),
)  # fmt: skip
@_LIKELY
def test_a_limit_takes_the_same_items_for_every_seed(
    sizes: dict[str, int], limit: int, seeds: list[int]
) -> None:
    task, data = mmlu_task(), mmlu_data(sizes)
    one, other = (
        {(leaf.subset, name) for leaf in leaves(task, data, seed=seed, limit=limit)
         for name in leaf.ids}
        for seed in seeds
    )  # fmt: skip
    assert one == other
    assert len(one) == min(limit, sum(sizes.values()))
    for leaf in leaves(task, data, seed=0, limit=limit):
        for row, name in zip(leaf.items, leaf.ids, strict=True):
            assert row == data.rows[leaf.subset]["test"][int(name.removeprefix("test/"))]
        numbers = [int(name.removeprefix("test/")) for name in leaf.ids]
        assert numbers == sorted(numbers)


def mbpp_data(counts: dict[str, int]) -> Data:
    return Data(
        _PLACE,
        {"full": {split: [{"text": f"{split} {n}"} for n in range(count)]
                  for split, count in counts.items()}},
        "hash",
    )  # fmt: skip


@given(seed=st.integers(0, 1000), limit=st.none() | st.integers(1, 40))
@_LIKELY
def test_an_item_that_is_an_example_is_asked_after_others(seed: int, limit: int | None) -> None:
    task = read_profile("ultraeval")["mbpp"]
    data = mbpp_data({"prompt": 10, "test": 12, "validation": 3, "train": 5})
    found = leaves(task, data, seed=seed, limit=limit)
    names = [name for leaf in found for name in leaf.ids]
    assert len(names) == len(set(names)) == min(limit or 30, 30)
    for leaf in found:
        assert leaf.shots is not None
        assert len(leaf.shots) == 3
        assert not [row for row in leaf.items if row in leaf.shots]


def test_too_few_rows_for_examples_are_told() -> None:
    with pytest.raises(BadInput, match=r"dev: 2 rows, too few for 5 examples"):
        leaves(mmlu_task(), mmlu_data({"anatomy": 3}, shots=2), seed=0)
    task = read_profile("ultraeval")["mbpp"]
    with pytest.raises(BadInput, match="needs 6 rows"):
        leaves(task, mbpp_data({"prompt": 5}), seed=0)


def test_examples_come_from_elsewhere_where_there_are_none() -> None:
    data = mmlu_data({"anatomy": 3}, shots=0)
    spare = mmlu_data({"astronomy": 1})
    (leaf,) = leaves(mmlu_task(), data, seed=0, spare=spare)
    assert leaf.shots is not None
    assert {row["question"].split()[0] for row in leaf.shots} == {"astronomy"}
