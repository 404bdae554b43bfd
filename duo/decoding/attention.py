"""Build the mask for each kind of attention, and attend to the slots that are needed alone.

Tokens of many sessions, and of both channels of each, go through the model as one sequence, over
one set of slots; the mask keeps them apart, so any attention gives the right result. But a session
needs only its own slots. `parts` says which, and on a CPU `slot_attention` then computes nothing
for the others, and shares keys and values among the query heads of a group instead of copying them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from duo.decoding.mask import visible
from duo.errors import BadInput

_OURS = "duo_slots"

#: What some models ask of attention besides the usual; the library's own form knows about it.
_SPECIAL = ("softcap", "position_bias", "s_aux")


@dataclass(frozen=True)
class Tokens:
    """Facts about tokens or slots, each `[tokens]` or `[slots]`; see `mask.visible`."""

    owner: Tensor
    position: Tensor
    row: Tensor


#: Tokens of the pass, and the slots that these see something of.
Part = tuple[slice, slice]


def attention_layers(model: PreTrainedModel) -> dict[str, int | None]:
    """List the kinds of attention layers and their windows (None: the layer sees everything).

    Raises:
        BadInput: a layer keeps no keys and values per token (linear attention, state spaces): such
            a model's past cannot be shared by two channels or rolled back.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    kinds = set(
        getattr(config, "layer_types", None)
        or ["sliding_attention" if window else "full_attention"]
    )
    if unknown := kinds - {"full_attention", "sliding_attention"}:
        raise BadInput(f"its layers of the kind {', '.join(sorted(unknown))} have no such mask")
    return {kind: window if kind == "sliding_attention" else None for kind in sorted(kinds)}


def masks(model: PreTrainedModel, layers: dict[str, int | None], query: Tokens, key: Tokens) -> Any:
    """Build the mask in the form that the model wants; one for each kind of layer it has."""
    form = _FORMS[model.config._attn_implementation]
    made = {kind: form(query, key, window, model.dtype) for kind, window in layers.items()}
    return made if len(made) > 1 else next(iter(made.values()))


def _seen(query: Tokens, key: Tokens, window: int | None) -> Tensor:
    """Apply the rule of `mask.visible` within each row."""
    seen = visible(query.owner, query.position, key.owner, key.position, window)
    return seen & (query.row == key.row)


def _boolean(query: Tokens, key: Tokens, window: int | None, dtype: torch.dtype) -> Tensor:
    """Build a mask `[1, 1, tokens, slots]`, True where attention is allowed (SDPA)."""
    column = Tokens(query.owner[:, None], query.position[:, None], query.row[:, None])
    return _seen(column, key, window)[None, None]


def _additive(query: Tokens, key: Tokens, window: int | None, dtype: torch.dtype) -> Tensor:
    """Build a mask `[1, 1, tokens, slots]`, 0 where allowed, else the least number (eager)."""
    seen = _boolean(query, key, window, dtype)
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(
        ~seen, torch.finfo(dtype).min
    )


def _block(query: Tokens, key: Tokens, window: int | None, dtype: torch.dtype) -> Any:
    """Build a FlexAttention block mask of the same rule."""
    from torch.nn.attention.flex_attention import create_block_mask

    def rule(batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return _seen(
            Tokens(query.owner[q], query.position[q], query.row[q]),
            Tokens(key.owner[k], key.position[k], key.row[k]),
            window,
        )

    tokens, slots = len(query.owner), len(key.owner)
    return create_block_mask(
        rule, B=None, H=None, Q_LEN=tokens, KV_LEN=slots, device=query.owner.device
    )


_FORMS = {"sdpa": _boolean, "eager": _additive, "flex_attention": _block}


@contextmanager
def in_parts(model: PreTrainedModel) -> Iterator[None]:
    """Make a model on the CPU that uses SDPA take `slot_attention` instead."""
    config = model.config.get_text_config()
    usual = config._attn_implementation
    if usual != "sdpa" or model.device.type != "cpu":
        yield
        return
    config._attn_implementation = _OURS
    try:
        yield
    finally:
        config._attn_implementation = usual


def slot_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    parts: tuple[Part, ...] = (),
    **special: Any,
) -> tuple[Tensor, None]:
    """Compute SDPA of each part with its own slots alone; `transformers` calls it in each layer.

    Args:
        module: the attention layer.
        query: `[1, heads, tokens, head size]`.
        key, value: `[1, heads of keys, slots, head size]`.
        attention_mask: `[1, 1, tokens, slots]`, True where attention is allowed.
        scaling: of the scores.
        parts: cover all tokens in order; none if the model did not hand them on.
        special: what else the model asks for.

    Returns:
        `[1, tokens, heads, head size]`.
    """
    if not parts or any(special.get(name) is not None for name in _SPECIAL):
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **special
        )
        return found
    made = [
        torch.nn.functional.scaled_dot_product_attention(
            query[:, :, tokens],
            key[:, :, slots],
            value[:, :, slots],
            attn_mask=attention_mask[:, :, tokens, slots],
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )
        for tokens, slots in parts
    ]
    whole = made[0] if len(made) == 1 else torch.cat(made, dim=2)
    return whole.transpose(1, 2).contiguous(), None


AttentionInterface.register(_OURS, slot_attention)
