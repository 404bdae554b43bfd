"""Tabulate scores of decisions and answers, for the terminal and the page."""

from __future__ import annotations

from duo.table import Column, Table
from evaluation.cases import OUTCOMES
from evaluation.scores import Answers, Probe, States, needs_saying


def state_tables(found: States) -> list[Table]:
    """Tabulate what a model did after utterances."""
    labels = Table(
        "What follows each label",
        ["label", "n", *OUTCOMES, "ignore in the end"],
        [
            (label, own["wait"].n, *(own[done].cell for done in OUTCOMES),
             found.settled[label]["ignore"].cell)
            for label, own in found.labels.items()
        ],
        ["In the end: silence goes on, and the likelier state decides (on_silence=likelier)."],
    )  # fmt: skip
    look = Table(
        f"Decided in silence by one look (decide_at={found.decide_at})",
        ["label", "n", *OUTCOMES],
        [
            (label, own["wait"].n, *(own[done].cell for done in OUTCOMES))
            for label, own in found.decided.items()
        ],
        ["What is to be ignored while nothing is said is waited on, unless <2> is the likeliest."],
    )
    percent = [Column(name, "number", _percent) for name in ("precision", "recall", "F1")]
    states = Table(
        "States",
        ["outcome", *percent, "n"],
        [(name, one.precision, one.recall, one.f1, one.n) for name, one in found.states.items()],
    )
    mixed = Table(
        "Wanted and done",
        ["wanted", *OUTCOMES],
        [(wanted, *done.values()) for wanted, done in found.confusion.items()],
    )
    shown = (
        ("words with any state ahead", found.premature.any),
        ("words with <1> ahead", found.premature.respond),
        ("queries with <1> ahead at some word", found.premature.utterances),
    )
    error = found.calibration.ece
    early = Table(
        "Premature states",
        ["before the end of a query", "share", "n"],
        [(name, one.cell, one.n) for name, one in shown],
        [] if error is None else [f"Expected calibration error {error:.3f}."],
    )
    decided = Table(
        "Decided at once, from p(<1>) + p(<2>) on",
        ["decide_at", "finished", "unfinished", "answered", "ignored"],
        [
            (one.decide_at, one.finished.cell, one.unfinished.cell, one.respond.cell,
             one.ignore.cell)
            for one in found.thresholds
        ],
        []
        if found.area_finished is None
        else [f"Finished against unfinished: area under the curve {found.area_finished:.3f}."],
    )  # fmt: skip
    offsets = sorted({count for counts in found.made_up.values() for count in counts})
    made_up = Table(
        "Decisions by tokens made up before them",
        ["wanted", *map(str, offsets)],
        [
            (wanted, *(counts.get(count, 0) for count in offsets))
            for wanted, counts in found.made_up.items()
        ],
    )
    looks = [look] if found.decided else []  # not in older files
    return [labels, *looks, states, mixed, decided, early, *([made_up] if offsets else [])]


def probe_table(found: Probe) -> Table:
    """Tabulate what probes of ever more utterances tell apart."""
    names = ["its own", *(f"{point.labelled:,}" for point in found.curve[1:])]
    rows = []
    for label, own in found.curve[0].labels.items():
        scores = [point.labels.get(label) for point in found.curve]
        shares = [None if one is None else one.right for one in scores]
        rows.append((label, own.wanted, own.n, *shares))
    return Table(
        f"Right where {found.answered} % of what wants an answer get one",
        ["label", "wanted", "n", *(Column(name, "number", _whole_percent) for name in names)],
        rows,
        ["By the model itself, and by probes of as many labelled utterances as the heading says."],
    )


def answers_table(found: Answers) -> Table:
    """Tabulate the losses of models, with the change from the first."""
    first = next(iter(found.models.values()), None)
    rows = []
    for model, loss in found.models.items():
        change = None
        if loss is not first and first and loss.nats is not None and first.nats is not None:
            change = loss.nats - first.nats
        rows.append((model, loss.nats, loss.perplexity, change, loss.tokens))
    columns: list[Column | str] = [
        "model", Column("loss (nats)", "number", ".3f"), Column("perplexity", "number", ".2f"),
        Column("change of loss", "number", "+.3f"), "tokens",
    ]  # fmt: skip
    formats = sorted({loss.number_format for loss in found.models.values()})
    said = ", ".join(filter(needs_saying, formats))
    return Table("Loss of plain answers" + (f" ({said})" if said else ""), columns, rows)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _whole_percent(value: float) -> str:
    return f"{100 * value:.0f} %"
