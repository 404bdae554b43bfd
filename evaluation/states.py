"""Judge whether a model answers queries, ignores what is none, and waits for the rest.

The decoder predicts up to `lookahead` tokens greedily after what was heard, and stops at a state
token (a decision) or at the end of a turn. Here the same is done after every word of a dialogue at
once: the dialogue is encoded in one pass, and each word to look after gets a branch of its own,
which sees the dialogue up to that word and itself. So all branches advance in one pass a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.special import softmax
from torch import Tensor

from duo.backbone import Backbone
from duo.data.sample import Sample, UserTurn
from duo.decoding.reading import AREA, LlamaReader, Row, batches_of_area, logits_only_where
from duo.errors import BadInput
from duo.files import sha256
from duo.runs import versions
from duo.spelling import Spelling
from duo.terminal import progress
from duo.training.encode import Encoder, TooLong
from duo.words import cut
from evaluation.cases import Case, Outcome, read_cases
from evaluation.scores import Data, Judged, States, score_states

#: Tokens of an utterance with its context at most.
_CONTEXT_TOKENS = 1024

#: Places of a text that llama.cpp looks ahead from at once: it has 256 sequences at most.
_BRANCHES = 128


def evaluate_states(
    model: str,
    data: Path,
    *,
    lookahead: int = 4,
    decide_at: float | None = None,
    limit: int | None = None,
    spelling: Spelling = "written",
    **load_settings: Any,
) -> States:
    """Judge a model on the utterances of a file; see `evaluation.cases.read_cases`.

    Args:
        lookahead: tokens that the decoder predicts at most.
        decide_at: see `evaluation.scores.decided_at`; None for the decoder's.

    Raises:
        BadInput: of the model or the data.
    """
    from duo.backbone import load
    from duo.decoding.duo import usual_decide_at

    cases = read_cases(data, limit=limit, spelling=spelling)
    backbone = load(model, **load_settings)
    with progress("judging", len(cases)) as bar:
        judged = judge(backbone, cases, lookahead, bar.advance)
    return score_states(
        judged,
        model=model,
        data=Data(file=data.name, sha256=sha256(data), spelling=spelling),
        lookahead=lookahead,
        decide_at=usual_decide_at(backbone) if decide_at is None else decide_at,
        number_format=backbone.number_format,
        versions=versions(),
    )


def judge(
    backbone: Backbone,
    cases: Sequence[Case],
    lookahead: int,
    on_done: Callable[[int], None] = lambda done: None,
) -> list[Judged]:
    """Look ahead after each case, and after each word of those that want a response.

    Args:
        on_done: called with the number of cases that are newly done.
    """
    encoder = encoder_for(backbone, room=lookahead)
    rows = [(number, row) for number, case in enumerate(cases) for row in _rows(encoder, case)]
    looks: dict[int, list[tuple[int, Look]]] = {number: [] for number in range(len(cases))}
    waiting = [0] * len(cases)
    for number, _ in rows:
        waiting[number] += 1
    for places in batches_of_area([len(row) for _, row in rows], AREA):
        batch = [rows[place] for place in places]
        found = look_ahead(backbone, [row for _, row in batch], lookahead)
        for (number, row), seen in zip(batch, found, strict=True):
            looks[number] += zip(row.places, seen, strict=True)
            waiting[number] -= 1
        on_done(sum(waiting[number] == 0 for number in {number for number, _ in batch}))
    return [_judged(backbone, case, looks[number]) for number, case in enumerate(cases)]


def _rows(encoder: Encoder, case: Case) -> list[Row]:
    """Encode the case's dialogue, with the places after its words.

    A word whose ids are not those of the whole utterance's beginning gets a row of its own.
    """
    words = cut(case.text)
    wanted = range(1, len(words)) if case.wanted == "respond" else ()
    whole = utterance_ids(encoder, case, case.text)
    rows, places = [], []
    for count in wanted:
        part = utterance_ids(encoder, case, "".join(words[:count]))
        if whole[: len(part)] == part:
            places.append(len(part) - 1)
        else:
            rows.append(Row(part, (len(part) - 1,)))
    return [*rows, Row(whole, (*dict.fromkeys(places), len(whole) - 1))]


def _judged(backbone: Backbone, case: Case, looks: list[tuple[int, Look]]) -> Judged:
    *early, (_, last) = sorted(looks, key=lambda look: look[0])
    return Judged(
        id=case.id,
        label=case.label,
        wanted=case.wanted,
        over_answer=case.over_answer,
        outcome=_outcome(backbone, last),
        p_respond=min(1.0, last.p_respond),
        p_ignore=min(1.0, last.p_ignore),
        early=tuple(_outcome(backbone, look) for _, look in early),
        made_up=len(last.tokens) - 1,
    )


def _outcome(backbone: Backbone, look: Look) -> Outcome:
    last = look.tokens[-1]
    if last == backbone.states.respond:
        return "respond"
    return "ignore" if last == backbone.states.ignore else "wait"


# Utterances in their dialogues, and what is expected after their words.


def encoder_for(backbone: Backbone, *, room: int = 0) -> Encoder:
    """Make an encoder of dialogues that leaves `room` tokens of the model's context free."""
    longest = min(backbone.max_tokens - room, _CONTEXT_TOKENS)
    return Encoder(backbone.tokenizer, max_tokens=longest, chat=backbone.chat.name)


def utterance_ids(encoder: Encoder, case: Case, text: str) -> tuple[int, ...]:
    """Encode the case's dialogue with `text` as its last turn, which is not over.

    Raises:
        BadInput: it is too long.
    """
    said = UserTurn(content=text, state=None)
    try:
        return encoder.sample(Sample(id=case.id, messages=(*case.context, said))).ids
    except TooLong:
        raise BadInput(f"{case.id}: the utterance is too long for the model") from None


def side_by_side(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Put rows of numbers into a tensor `[rows, longest]`, padded with 0 at the end.

    Padding comes last, where no token before it sees it.
    """
    made = [torch.tensor(row, dtype=torch.long) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(made, batch_first=True).to(device)


@dataclass(frozen=True)
class Look:
    """The tokens that are expected at a place.

    Attributes:
        tokens: predicted greedily, up to and including a state token or an end of turn.
        p_respond, p_ignore: probabilities of the state tokens as the very next token.
    """

    tokens: tuple[int, ...]
    p_respond: float
    p_ignore: float


def look_ahead(backbone: Backbone, rows: Sequence[Row], lookahead: int) -> list[list[Look]]:
    """Look ahead from all places of all rows, which in torch are best of about the same length.

    Raises:
        BadInput: the model takes no masks of ours.
    """
    if backbone.engine == "llama":
        parts = [
            [Row(row.ids, row.places[at : at + _BRANCHES])
             for at in range(0, len(row.places), _BRANCHES)]
            for row in rows
        ]  # fmt: skip
        reader = LlamaReader(backbone.model, [one for of in parts for one in of],
                             lookahead=lookahead)  # fmt: skip
        return [
            [look for one in of for look in _look_in_llama(backbone, reader, one, lookahead)]
            for of in parts
        ]
    return _look_in_torch(backbone, rows, lookahead)


def _look_in_llama(backbone: Backbone, reader: LlamaReader, row: Row, lookahead: int) -> list[Look]:
    """Look ahead from all places of a row, in a branch of its own from each."""
    states, ends = backbone.states, _ends(backbone)
    scores = reader.read(row).scores
    chances = softmax(scores, axis=-1)[:, [states.respond, states.ignore]].tolist()
    predicted = [[int(token)] for token in scores.argmax(-1)]
    reader.branch(row.places)
    for step in range(1, lookahead):
        going = [number for number, tokens in enumerate(predicted) if tokens[-1] not in ends]
        if not going:
            break
        tokens = [(predicted[number][-1], row.places[number] + step, number) for number in going]
        for number, found in zip(going, reader.extend(tokens), strict=True):
            predicted[number].append(int(found.argmax()))
    return [Look(tuple(tokens), *each) for tokens, each in zip(predicted, chances, strict=True)]


def _ends(backbone: Backbone) -> set[int]:
    """List the tokens that looking ahead stops at."""
    return {backbone.states.respond, backbone.states.ignore, *backbone.chat.stop}


@torch.inference_mode()
def _look_in_torch(backbone: Backbone, rows: Sequence[Row], lookahead: int) -> list[list[Look]]:
    """Look ahead from all places of all rows at once, by a mask."""
    from transformers import DynamicCache

    from duo.decoding.check import check

    model, states = backbone.model, backbone.states
    check(model)
    device = model.device
    ids = side_by_side([row.ids for row in rows], device)
    place = side_by_side([row.places for row in rows], device)  # spare looks look after token 0
    width, looks = ids.shape[1], place.shape[1]
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
    ends = _ends(backbone)
    last = torch.tensor(sorted(ends), device=device)
    for step in range(1, lookahead):
        if bool(torch.isin(torch.stack(predicted), last).any(0).all()):
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
    made = torch.stack(predicted, -1).tolist()
    return [
        [
            Look(_until(made[number][look], ends), *chances[number][look])
            for look in range(len(row.places))
        ]
        for number, row in enumerate(rows)
    ]


def _masks(model: Any, query: Tensor, seen: Tensor, branches: tuple[Tensor, Tensor] | None) -> Any:
    """Make additive masks `[rows, 1, queries, keys]`: one, or one for each kind of layer.

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
    """Cut tokens off after the first that is an end."""
    end = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
    return tuple(tokens[: end + 1])
