"""The plan uses every sample equally often and splits batches into parts of about equal cost."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from duo.training.trainer import Plan


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
    made = Plan(lengths, batch=batch, parts=parts, steps=steps, seed=1, packing=packing)
    assert len(made) == steps
    for step in made:
        assert len(step) == parts
        assert all(step)
        assert sum(map(len, step)) == batch
    used = Counter(place for step in made for part in step for place in part)
    counts = [used[place] for place in range(len(lengths))]
    assert max(counts) - min(counts) <= 1


def test_the_plan_is_the_seeds() -> None:
    def made(seed: int, steps: int) -> list[list[list[int]]]:
        return list(Plan(range(1, 30), batch=6, parts=2, steps=steps, seed=seed, packing=False))

    assert made(1, 5) == made(1, 9)[:5]
    assert made(1, 5) != made(2, 5)


def test_parts_are_split_by_cost() -> None:
    lengths = [100, 100, 50, 50, 50, 50]
    [padded] = Plan(lengths, batch=6, parts=2, steps=1, seed=0, packing=False)
    assert [sorted(lengths[n] for n in part) for part in padded] == [[100, 100], [50] * 4]
    [packed] = Plan(lengths, batch=6, parts=2, steps=1, seed=0, packing=True)
    assert [sum(lengths[n] for n in part) for part in packed] == [200, 200]
