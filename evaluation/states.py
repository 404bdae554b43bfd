"""Judge whether a model answers queries, ignores what is none, and waits for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from duo.backbone import Backbone
from duo.files import check_writable, sha256, write_result
from duo.runs import Stopwatch, versions
from duo.terminal import progress
from duo.training.encode import Encoder
from duo.training.loss import batches_of_area
from evaluation.cases import Case, Outcome, read_cases
from evaluation.lookahead import AREA, Look, Row, encoder_for, look_ahead, utterance_ids
from evaluation.scores import Data, Judged, States, score_states, state_tables

if TYPE_CHECKING:
    from rich.console import Console


def evaluate_states(
    *,
    model: str,
    data: Path,
    lookahead: int = 4,
    limit: int | None = None,
    out: Path | None = None,
    console: Console | None = None,
    chat: str = "template",
) -> States:
    """Judge a model on the utterances of a file, print tables and write the result.

    Args:
        model: see `duo.backbone.load`.
        data: see `evaluation.cases.read_cases`.
        lookahead: tokens that the decoder predicts at most.
        limit: how many utterances; None for all.
        out: JSON file for the result; None for none.
        console: where tables go; standard output by default.
        chat: chat format.

    Raises:
        BadInput: of the model or the data.
    """
    from duo.backbone import load

    if out is not None:
        check_writable(out.parent, wanted=out)
    watch = Stopwatch()
    cases = read_cases(data, limit=limit)
    backbone = load(model, chat=chat)
    with progress("judging", len(cases)) as bar:
        judged = judge(backbone, cases, lookahead, bar.advance)
    found = score_states(
        judged,
        model=model,
        data=Data(file=data.name, sha256=sha256(data)),
        lookahead=lookahead,
        versions=versions(),
        wall_seconds=round(watch.seconds, 1),
    )
    if out is not None:
        write_result(out, found)
    for table in state_tables(found):
        table.show(console)
    return found


def judge(
    backbone: Backbone,
    cases: Sequence[Case],
    lookahead: int,
    on_done: Callable[[int], None] = lambda done: None,
) -> list[Judged]:
    """Look ahead after each case, and after each word of those that want a response.

    Args:
        backbone: the model.
        cases: in any order.
        lookahead: see `look_ahead`.
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
    words = case.text.split()
    wanted = range(1, len(words)) if case.wanted == "respond" else ()
    whole = utterance_ids(encoder, case, case.text)
    rows, places = [], []
    for count in wanted:
        part = utterance_ids(encoder, case, " ".join(words[:count]))
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
