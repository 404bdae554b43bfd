"""`duo eval states`: does a model answer queries, ignore what is none, and wait for the rest?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from duo.backbone import Backbone
from duo.data.sample import Sample, UserTurn
from duo.errors import BadInput
from duo.files import check_writable, sha256, write_text
from duo.runs import Stopwatch, versions
from duo.training.encode import Encoder, TooLong
from evaluation.cases import Case, Outcome, read_cases
from evaluation.lookahead import Look, Row, look_ahead
from evaluation.scores import Judged, summary

#: Padded tokens that are encoded side by side.
_AREA = 2048
_Sized = TypeVar("_Sized", bound=Sized)
CONTEXT_TOKENS = 1024


def evaluate_states(
    *,
    model: str,
    data: Path,
    lookahead: int = 4,
    limit: int | None = None,
    out: Path | None = None,
    console: Console | None = None,
    chat: str = "template",
) -> dict[str, object]:
    """Judge a model on the utterances of a file, print a table and write the figures.

    Args:
        model: see `duo.backbone.load`.
        data: see `evaluation.cases.read_cases`.
        lookahead: tokens that the decoder predicts at most.
        limit: how many utterances; None for all.
        out: JSON file for the figures and the single outcomes; None for none.
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
    console = console or Console()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("judging", total=len(cases))
        judged = judge(backbone, cases, lookahead, lambda done: bar.advance(task, done))
    figures = {
        "schema": 1,
        "model": model,
        "data": {"file": data.name, "sha256": sha256(data)},
        "lookahead": lookahead,
        **summary(judged),
    }
    if out is not None:
        content = figures | {
            "cases": [
                {"id": case.id, "label": case.label, "wanted": case.wanted,
                 "outcome": case.outcome, "p_respond": round(case.p_respond, 6),
                 "p_ignore": round(case.p_ignore, 6), "made_up": case.made_up,
                 "early": list(case.early)}
                for case in judged
            ],
            "versions": versions(),
            "wall_seconds": round(watch.seconds, 1),
        }  # fmt: skip
        write_text(out, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    for table in tables(figures):
        console.print(table)
    return figures


def judge(
    backbone: Backbone,
    cases: Sequence[Case],
    lookahead: int,
    on_done: Callable[[int], None] = lambda done: None,
) -> list[Judged]:
    """What the model does after each case, and after each word of those that want a response.

    Args:
        backbone: the model.
        cases: in any order.
        lookahead: see `look_ahead`.
        on_done: told how many more cases are done.
    """
    longest = min(backbone.max_tokens - lookahead, CONTEXT_TOKENS)
    encoder = Encoder(backbone.tokenizer, max_tokens=longest, chat=backbone.chat.name)
    rows = [(number, row) for number, case in enumerate(cases) for row in _rows(encoder, case)]
    rows.sort(key=lambda numbered: (len(numbered[1]), numbered[0]))
    looks: dict[int, list[tuple[int, Look]]] = {number: [] for number in range(len(cases))}
    waiting = [0] * len(cases)
    for number, _ in rows:
        waiting[number] += 1
    for batch in batches(rows):
        found = look_ahead(backbone, [row for _, row in batch], lookahead)
        for (number, row), seen in zip(batch, found, strict=True):
            looks[number] += zip(row.places, seen, strict=True)
            waiting[number] -= 1
        on_done(sum(waiting[number] == 0 for number in {number for number, _ in batch}))
    return [_judged(backbone, case, looks[number]) for number, case in enumerate(cases)]


def _rows(encoder: Encoder, case: Case) -> list[Row]:
    """The case's dialogue with the places after its words; a word whose ids are not those of the
    whole utterance's beginning gets a row of its own."""
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


def utterance_ids(encoder: Encoder, case: Case, text: str) -> tuple[int, ...]:
    """The tokens of the case's dialogue with `text` as its last turn.

    Raises:
        BadInput: they are too many.
    """
    said = UserTurn(content=text, state=None)
    try:
        return encoder.sample(Sample(id=case.id, messages=(*case.context, said))).ids
    except TooLong:
        raise BadInput(f"{case.id}: the utterance is too long for the model") from None


def _judged(backbone: Backbone, case: Case, looks: list[tuple[int, Look]]) -> Judged:
    *early, (_, last) = sorted(looks, key=lambda look: look[0])
    return Judged(
        id=case.id,
        label=case.label,
        wanted=case.wanted,
        outcome=_outcome(backbone, last),
        p_respond=last.p_respond,
        p_ignore=last.p_ignore,
        early=tuple(_outcome(backbone, look) for _, look in early),
        made_up=len(last.tokens) - 1,
    )


def _outcome(backbone: Backbone, look: Look) -> Outcome:
    last = look.tokens[-1]
    if last == backbone.states.respond:
        return "respond"
    return "ignore" if last == backbone.states.ignore else "wait"


def batches(rows: Sequence[tuple[int, _Sized]]) -> list[list[tuple[int, _Sized]]]:
    """Numbered rows of tokens that are sorted by length, in batches of about equal area."""
    found: list[list[tuple[int, _Sized]]] = []
    for numbered in rows:
        length = len(numbered[1])
        if found and length * (len(found[-1]) + 1) <= _AREA:
            found[-1].append(numbered)
        else:
            found.append([numbered])
    return found


def tables(figures: dict) -> list[Table]:
    """The figures as tables for a terminal."""
    labels = Table(
        "label", "n", "respond", "ignore", "wait", "ignore in the end",
        title="What follows each label",
        caption="In the end: silence goes on, and the likelier state decides (on_silence=likelier)",
    )  # fmt: skip
    for name, outcomes in figures["labels"].items():
        end = figures["settled"][name]["ignore"]
        labels.add_row(
            _plain(name), str(outcomes["wait"]["n"]), *map(_share, outcomes.values()), _share(end)
        )
    states = Table("outcome", "precision", "recall", "F1", "n", title="States")
    for name, found in figures["states"].items():
        values = [found[key] for key in ("precision", "recall", "f1")]
        states.add_row(name, *(_percent(value) for value in values), str(found["n"]))
    mixed = Table("wanted", "respond", "ignore", "wait", title="Wanted and done")
    for name, done in figures["confusion"].items():
        mixed.add_row(name, *(str(done[outcome]) for outcome in done))
    early = Table("before the end of a query", "share", "n", title="Premature states")
    for name, shown in (
        ("words with any state ahead", "any"),
        ("words with <1> ahead", "respond"),
        ("queries with <1> ahead at some word", "utterances"),
    ):
        found = figures["premature"][shown]
        early.add_row(name, _share(found), str(found["n"]))
    error = figures["calibration"]["ece"]
    early.caption = "" if error is None else f"expected calibration error {error:.3f}"
    offsets = sorted({count for counts in figures["made_up"].values() for count in counts})
    title = "Decisions by tokens made up before them"
    made_up = Table("wanted", *map(str, offsets), title=title)
    for name, counts in figures["made_up"].items():
        made_up.add_row(name, *(str(counts.get(count, 0)) for count in offsets))
    return [labels, states, mixed, early, *([made_up] if offsets else [])]


def _plain(text: str) -> str:
    """A name from the data, harmless in a terminal."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() else "�" for c in text))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _share(found: dict) -> str:
    if found["share"] is None:
        return "-"
    return f"{100 * found['share']:.1f} % ({100 * found['low']:.0f}-{100 * found['high']:.0f})"
