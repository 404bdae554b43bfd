"""The mask is a pure function of owners and positions; a naive statement of the rule agrees."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duo.decoding.mask import Owner, draw, fork_mask, visible


def test_the_mask_of_a_small_fork_is_the_one_of_figure_1() -> None:
    drawn = draw(fork_mask(prefix=2, output=2, input=2), ["p0", "p1", "o2", "o3", "i2", "i3"])
    assert drawn.splitlines() == [
        "p0  # · · · · ·",
        "p1  # # · · · ·",
        "o2  # # # · · ·",
        "o3  # # # # · ·",
        "i2  # # · · # ·",
        "i3  # # · · # #",
    ]


@given(
    prefix=st.integers(0, 6),
    output=st.integers(0, 6),
    input=st.integers(0, 6),
    window=st.none() | st.integers(1, 8),
)
def test_each_channel_sees_what_it_would_see_alone(
    prefix: int, output: int, input: int, window: int | None
) -> None:
    """Rows and columns of one channel are the causal mask of the dialogue without the other."""
    mask = fork_mask(prefix, output, input, window)
    for own, other, first in ((output, input, prefix), (input, output, prefix + output)):
        keep = torch.tensor([*range(prefix), *range(first, first + own)], dtype=torch.long)
        alone = torch.ones(prefix + own, prefix + own, dtype=torch.bool).tril()
        if window is not None:
            alone = alone.triu(1 - window)
        assert torch.equal(mask[keep][:, keep], alone)
        strangers = [n for n in range(prefix, prefix + output + input) if n not in keep.tolist()]
        assert not mask[first : first + own][:, strangers].any()
        assert len(strangers) == other


@given(st.data())
def test_free_slots_are_never_seen(data: st.DataObject) -> None:
    owners = data.draw(st.lists(st.sampled_from(list(Owner)), min_size=1, max_size=12))
    positions = data.draw(st.lists(st.integers(0, 9), min_size=len(owners), max_size=len(owners)))
    key = torch.tensor(owners), torch.tensor(positions)
    for owner in (Owner.PREFIX, Owner.OUTPUT, Owner.INPUT):
        seen = visible(torch.tensor([owner])[:, None], torch.tensor([[9]]), *key)[0]
        for slot, slot_owner in enumerate(owners):
            assert bool(seen[slot]) == (slot_owner in (Owner.PREFIX, owner))


def test_labels_must_fit_the_mask() -> None:
    with pytest.raises(ValueError, match="zip"):
        draw(fork_mask(1, 1, 1), ["only one"])


def test_the_module_draws_its_mask() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "duo.decoding.mask"], capture_output=True, text=True, check=True
    )
    rows = done.stdout.splitlines()
    assert len(rows) == 12
    assert rows[-1].endswith("# # # # · · · # # # # #")
