"""The plan uses every sample equally often and splits batches into parts of about equal cost."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.errors import BadInput
from duo.training.trainer import plan


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=40),
    st.integers(1, 20),
    st.integers(1, 6),
    st.integers(1, 12),
    st.booleans(),
)
def test_batches_are_whole_and_samples_equally_used(
    lengths: list[int], batch: int, parts: int, steps: int, packing: bool
) -> None:
    batch = max(batch, parts)
    made = plan(lengths, batch=batch, parts=parts, steps=steps, seed=1, packing=packing)
    assert len(made) == steps * parts
    assert all(made)
    for step in range(steps):
        assert sum(map(len, made[step * parts : (step + 1) * parts])) == batch
    used = Counter(place for part in made for place in part)
    counts = [used[place] for place in range(len(lengths))]
    assert max(counts) - min(counts) <= 1


def test_the_plan_is_the_seeds() -> None:
    def made(seed: int, steps: int) -> list[list[int]]:
        return plan(range(1, 30), batch=6, parts=2, steps=steps, seed=seed, packing=False)

    assert made(1, 5) == made(1, 9)[:10]
    assert made(1, 5) != made(2, 5)


def test_parts_are_split_by_cost() -> None:
    lengths = [100, 100, 50, 50, 50, 50]
    padded = plan(lengths, batch=6, parts=2, steps=1, seed=0, packing=False)
    assert [sorted(lengths[n] for n in part) for part in padded] == [[100, 100], [50] * 4]
    packed = plan(lengths, batch=6, parts=2, steps=1, seed=0, packing=True)
    assert [sum(lengths[n] for n in part) for part in packed] == [200, 200]


def test_nothing_to_plan_is_refused() -> None:
    with pytest.raises(BadInput, match="no samples"):
        plan([], batch=2, parts=1, steps=1, seed=0, packing=False)
    with pytest.raises(BadInput, match="cannot be split"):
        plan([1], batch=2, parts=3, steps=1, seed=0, packing=False)
