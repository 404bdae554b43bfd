"""Attention part by part is attention over everything, where the mask keeps the parts separate."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duo.decoding.attention import in_parts, slot_attention
from tests.tiny import tiny_model

HEADS, GROUPS, SIZE = 4, 2, 8


def layer() -> Any:
    """What the library's own attention asks of a layer."""
    return SimpleNamespace(num_key_value_groups=HEADS // GROUPS, is_causal=True)


@given(
    lengths=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), min_size=1, max_size=4),
    gap=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_each_part_is_what_it_is_in_the_whole(
    lengths: list[tuple[int, int]], gap: int, seed: int
) -> None:
    """Any numbers of tokens and slots, and slots of nobody between the parts."""
    random = torch.Generator().manual_seed(seed)
    parts, token, slot = [], 0, 0
    for tokens, slots in lengths:
        parts.append((slice(token, token + tokens), slice(slot, slot + slots)))
        token, slot = token + tokens, slot + slots + gap
    mask = torch.zeros(1, 1, token, slot, dtype=torch.bool)
    for own, its in parts:
        seen = torch.rand(own.stop - own.start, its.stop - its.start, generator=random) < 0.6
        seen[:, 0] = True  # every token sees something
        mask[0, 0, own, its] = seen

    def some(heads: int, length: int) -> torch.Tensor:
        return torch.randn(1, heads, length, SIZE, dtype=torch.float64, generator=random)

    query, key, value = some(HEADS, token), some(GROUPS, slot), some(GROUPS, slot)
    whole, _ = slot_attention(layer(), query, key, value, mask, scaling=0.3)
    by_parts, _ = slot_attention(layer(), query, key, value, mask, scaling=0.3, parts=tuple(parts))
    torch.testing.assert_close(by_parts, whole)
    assert by_parts.shape == (1, token, HEADS, SIZE)


def test_what_the_library_refuses_is_refused() -> None:
    """A model that asks for more than plain attention gets the library's own, parts or not."""
    one = torch.ones(1, HEADS, 1, SIZE)
    part = (slice(0, 1), slice(0, 1))
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match="softcap"):
        slot_attention(
            layer(), one, one[:, :GROUPS], one[:, :GROUPS], mask, parts=(part,), softcap=30.0
        )


@pytest.mark.parametrize(("kind", "inside"), [("sdpa", "duo_slots"), ("eager", "eager")])
def test_a_model_is_left_as_it_was(kind: str, inside: str) -> None:
    model = tiny_model(attention=kind)
    found = []

    def fails() -> None:
        with in_parts(model):
            found.append(model.config._attn_implementation)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert [*found, model.config._attn_implementation] == [inside, kind]
