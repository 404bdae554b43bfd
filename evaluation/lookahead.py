"""What a model expects after an utterance and after each of its words, many at a time.

The decoder predicts up to `lookahead` tokens greedily after what was heard, and stops at a state
token (a decision) or at the end of a turn. Here the same is done after every word of a dialogue at
once: the dialogue is encoded in one pass, and each word to look after gets a branch of its own,
which sees the dialogue up to that word and itself. So all branches advance in one pass a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from duo.backbone import Backbone
from duo.training.loss import logits_only_where


@dataclass(frozen=True)
class Row:
    """A dialogue and the places in it to look ahead from.

    Attributes:
        ids: its tokens.
        places: the last token that is seen, for each look; in order.
    """

    ids: tuple[int, ...]
    places: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Look:
    """What is expected at a place.

    Attributes:
        tokens: predicted greedily, up to and including a state token or an end of turn.
        p_respond, p_ignore: probabilities of the state tokens as the very next token.
    """

    tokens: tuple[int, ...]
    p_respond: float
    p_ignore: float


@torch.inference_mode()
def look_ahead(backbone: Backbone, rows: Sequence[Row], lookahead: int) -> list[list[Look]]:
    """The looks at all places of all rows.

    Args:
        backbone: the model.
        rows: encoded side by side, so best of about the same length.
        lookahead: tokens predicted at most, 1 or more.
    """
    from transformers import DynamicCache

    model, states = backbone.model, backbone.states
    device = model.device
    width, looks = max(len(row.ids) for row in rows), max(len(row.places) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    place = torch.zeros(len(rows), looks, dtype=torch.long)  # spare looks look after token 0
    for number, row in enumerate(rows):
        ids[number, : len(row.ids)] = torch.tensor(row.ids)
        place[number, : len(row.places)] = torch.tensor(row.places)
    ids, place = ids.to(device), place.to(device)
    cache = DynamicCache()
    seen = torch.arange(width, device=device)
    where = torch.zeros_like(ids, dtype=torch.bool)
    where[torch.arange(len(rows), device=device)[:, None], place] = True
    with logits_only_where(model, where):
        scores = model(
            input_ids=ids,
            position_ids=seen.expand(len(rows), width),
            attention_mask=_masks(model, seen.expand(len(rows), width), seen, None),
            past_key_values=cache,
            use_cache=True,
        ).logits[0]
    # Which of the chosen places is which look's.
    index = torch.zeros_like(ids)
    index[where] = torch.arange(len(scores), device=device)
    scores = scores[index.gather(1, place)].float()  # [rows, looks, vocabulary]
    chances = scores.softmax(-1)[..., [states.respond, states.ignore]].tolist()
    predicted = [scores.argmax(-1)]
    for step in range(1, lookahead):
        over = torch.zeros_like(place, dtype=torch.bool)
        for tokens in predicted:
            for end in (states.respond, states.ignore, *backbone.chat.stop):
                over |= tokens == end
        if bool(over.all()):
            break
        where_now = place + step
        own = torch.eye(looks, dtype=torch.bool, device=device).repeat(1, step)
        logits = model(
            input_ids=predicted[-1],
            position_ids=where_now,
            attention_mask=_masks(model, where_now, seen, (place, own)),
            past_key_values=cache,
            use_cache=True,
        ).logits
        predicted.append(logits.argmax(-1))
    told = torch.stack(predicted, -1).tolist()
    ends = {states.respond, states.ignore, *backbone.chat.stop}
    return [
        [
            Look(_until(told[number][look], ends), *chances[number][look])
            for look in range(len(row.places))
        ]
        for number, row in enumerate(rows)
    ]


def _masks(model: Any, query: Tensor, seen: Tensor, branches: tuple[Tensor, Tensor] | None) -> Any:
    """Additive masks `[rows, 1, queries, keys]`: one, or one for each kind of layer.

    Args:
        model: whose configuration says which layers see a window only.
        query: `[rows, queries]`, positions.
        seen: `[width]`, positions of the dialogue's tokens.
        branches: `[rows, looks]`, the last position of the dialogue that a branch sees; and
            `[looks, looks * steps]`, which of the branches' tokens are its own.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    if window and not getattr(config, "layer_types", None):
        kinds = {"sliding_attention"}
    masks = {}
    for kind in kinds:
        limit = query if branches is None else branches[0]
        allowed = seen <= limit[..., None]
        if kind == "sliding_attention" and window:
            allowed = allowed & (query[..., None] - seen < window)
        if branches is not None:
            own = branches[1].expand(len(query), *branches[1].shape)
            allowed = torch.cat([allowed, own], -1)
        mask = torch.zeros(allowed.shape, dtype=model.dtype, device=query.device)
        masks[kind] = mask.masked_fill(~allowed, torch.finfo(model.dtype).min)[:, None]
    return masks if len(masks) > 1 else next(iter(masks.values()))


def _until(tokens: Sequence[int], ends: set[int]) -> tuple[int, ...]:
    for place, token in enumerate(tokens):
        if token in ends:
            return tuple(tokens[: place + 1])
    return tuple(tokens)
