"""Draw what a model decides at the end of each kind of utterance (`duo eval states`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.cases import OUTCOMES, Outcome
from evaluation.scores import States
from reports.plots.chart import Chart, make_chart, typed
from reports.plots.confusion import about
from reports.plots.panels import Fill, stacked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILLS = {
    "respond": Fill("respond", "", "respond", "on-mark"),
    "ignore": Fill("paper", "/////", "ignore"),
    "wait": Fill("grid", "", "faint"),
}
_COLUMNS = ("kind", "right", "done", "hits", "n", "share", "low", "high")


def decisions(states_result: Any) -> Chart | None:
    """Draw the shares of the three decisions for each kind of utterance; None without cases."""
    found = typed(states_result, States)
    right = _right(found)
    labels = [name for name, acts in found.labels.items() if sum(a.hits for a in acts.values())]
    labels.sort(key=lambda name: OUTCOMES.index(right[name]) if name in right else len(OUTCOMES))
    rows = [
        (name, right.get(name), act, part.hits, part.n, part.share, part.low, part.high)
        for name in labels
        for act in OUTCOMES
        if (part := found.labels[name].get(act)) is not None
    ]
    if not rows:
        return None
    return make_chart(
        "decisions",
        "Decisions by kind of utterance",
        [
            "What the model does at the end of an utterance, by its kind.",
            "Lines below the bars: 95 % intervals (Wilson) of the share that is answered.",
            about(found),
        ],
        _COLUMNS,
        rows,
        lambda width: _draw(rows, width),
        counts="n",
    )


def _right(found: States) -> dict[str, Outcome]:
    """Return what is right for each label, where all its cases agree."""
    every: dict[str, set[Outcome]] = {}
    for case in found.cases:
        every.setdefault(case.label, set()).add(case.wanted)
    return {label: next(iter(acts)) for label, acts in every.items() if len(acts) == 1}


def _draw(rows: list[tuple[Any, ...]], width: float) -> Figure:
    import pandas as pd

    found = pd.DataFrame(rows, columns=_COLUMNS)
    hits = found.pivot(index="kind", columns="done", values="hits").reindex(
        index=found["kind"].unique(), columns=list(OUTCOMES), fill_value=0
    )
    size = hits.sum(axis="columns")
    answered = found[found["done"] == "respond"].set_index("kind")
    right = found.drop_duplicates("kind").set_index("kind")["right"]
    bars = hits.div(size, axis="index").assign(
        low=answered["low"],
        high=answered["high"],
        label=[name.replace("_", " ") for name in hits.index],
        heading=right.map(lambda act: f"right: {act}" if isinstance(act, str) else ""),
        right=size.map("{:.0f}".format),
    )
    names = ("answers", "ignores", "waits")
    return stacked(
        bars,
        {act: (FILLS[act], name) for act, name in zip(OUTCOMES, names, strict=True)},
        width,
        label="share of utterances",
        interval="answers, 95 % interval",
        right="n",
    )
