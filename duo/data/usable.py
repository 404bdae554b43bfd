"""Which part of a dialogue can be trained on: spoken queries with their answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from duo.data.dialogue import Dialogue
from duo.data.drafts import has_wide, pieces
from duo.data.filters import HeldOut
from duo.data.recipe import Recipe
from duo.data.requests import asks


def usable(
    dialogue: Dialogue, recipe: Recipe, held_out: HeldOut, dropped: Counter[str]
) -> Dialogue | None:
    """The dialogue from its first usable query to the last before one that is not.

    Not usable are queries longer than anybody says, held-out utterances, and user turns that may
    or may not want an answer: those that neither ask for anything nor follow a question. (The
    other side did say something, but the label `<1>` would be a guess.) The last rule knows English
    only and passes over scripts without blanks, such as Chinese.

    Args:
        dialogue: as its source has it.
        recipe: limits.
        held_out: utterances never to be used.
        dropped: counts why dialogues were cut or left out, under `query_...`.

    Returns:
        None if no query is usable.
    """
    first: int | None = None
    last = 0
    exchanges = dialogue.exchanges
    for place, (query, answer) in enumerate(exchanges):
        before = exchanges[place - 1][1].text if place and first is not None else ""
        reason = ""
        if pieces(query) > recipe.max_query_words:
            reason = "query_too_long"
        elif query in held_out:
            reason = "query_held_out"
        elif not answer.text or not pieces(query):
            reason = "query_empty"
        elif not has_wide(query) and not asks(query) and not before.rstrip("\"') ").endswith("?"):
            reason = "query_doubtful"
        if reason:
            dropped[reason] += 1
            if first is not None:
                break
            continue
        first = place if first is None else first
        last = place
    if first is None:
        return None
    return replace(dialogue, turns=dialogue.turns[2 * first : 2 * last + 2])
