"""Build the mask for each kind of attention of `transformers`.

Tokens of many sessions, and of both channels of each, go through the model as one sequence, over
one set of slots; the mask keeps them apart, so any attention gives the right result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from duo.decoding.mask import visible
from duo.errors import BadInput


@dataclass(frozen=True)
class Tokens:
    """Facts about tokens or slots, each `[tokens]` or `[slots]`; see `mask.visible`."""

    owner: Tensor
    position: Tensor
    row: Tensor


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
