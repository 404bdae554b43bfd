"""Draw what a model decides at the end of an utterance (`duo eval states`), and could (`probe`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.cases import OUTCOMES, Outcome
from evaluation.probe import Probe
from evaluation.scores import (
    States,
    answers,
    area,
    finished,
    threshold_answering,
    wilson,
)
from reports.plots.chart import Chart, make_chart
from reports.plots.panels import Fill, curve, look, panels, percent, stacked
from reports.plots.style import BODY, LABEL, LIGHT, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

#: How parts of bars that stand for a decision are painted.
DECISIONS = {
    "respond": Fill("respond", "", "respond", "on-mark"),
    "ignore": Fill("paper", "/////", "ignore"),
    "wait": Fill("grid", "", "faint"),
}
#: Words still to come that are shown one by one; what is farther from the end is one point.
_FAR = 12
#: Shares of the queries that are answered at the thresholds which are looked at, in percent.
_ANSWERED = (*range(0, 100, 5), 98, 100)
#: The caption says what is ignored where this percentage of the queries is answered.
_NAMED = 95
#: Kinds of fewer utterances show little but chance.
_FEWEST = 10


def _about(found: States) -> str:
    return f"{found.about}, look-ahead of {found.lookahead} tokens."


def confusion(found: States) -> Chart | None:
    """Draw what was right against what was done, in shares of each row; None without cases."""
    counts = {
        right: [found.confusion.get(right, {}).get(a, 0) for a in OUTCOMES] for right in OUTCOMES
    }
    if not any(map(sum, counts.values())):
        return None
    scores = "; ".join(
        f"{act}: precision {_percent(one.precision)}, recall {_percent(one.recall)}"
        for act in OUTCOMES
        if (one := found.states.get(act)) is not None
    )
    return make_chart(
        "confusion",
        "Decisions, right and wrong",
        [
            "Decisions at the end of an utterance: rows say what is right, columns what the model "
            "does; shares are of the row.",
            _about(found),
            f"In percent, {scores}." if scores else "",
        ],
        ("right", "done", "utterances", "share of row"),
        [
            (right, done, count, count / sum(row) if sum(row) else None)
            for right, row in counts.items()
            for done, count in zip(OUTCOMES, row, strict=True)
        ],
        _draw_confusion,
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _draw_confusion(numbers: DataFrame, width: float) -> Figure:
    """Draw squares of blue with shares and counts; the right ones have a frame."""
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    side = len(OUTCOMES)
    counts = numbers["utterances"].to_numpy().reshape(side, side)
    shares = numbers["share of row"].fillna(0.0).to_numpy(float).reshape(side, side)
    tint = LinearSegmentedColormap.from_list("tint", [LIGHT["paper"], LIGHT["query"]])
    with house_style():
        figure = Figure(figsize=(width / 72, 132 / 72), layout="constrained")
        axes = figure.subplots()
        axes.set_box_aspect(90 / min(0.72 * width, 252))
        axes.pcolormesh(shares, cmap=tint, vmin=0, vmax=1, edgecolors=LIGHT["rule"], linewidth=0.6)
        axes.set(ylim=(side, 0), xlim=(0, side), xlabel="done", ylabel="right")
        middles = [n + 0.5 for n in range(side)]
        axes.set_xticks(middles, OUTCOMES)
        axes.set_yticks(middles, OUTCOMES)
        axes.xaxis.set_label_position("top")
        axes.tick_params(length=0, labelsize=BODY, labelcolor=LIGHT["ink"], top=False, bottom=False,
                         labeltop=True, labelbottom=False)  # fmt: skip
        axes.spines[:].set_visible(False)
        for (row, column), share in np.ndenumerate(shares):
            ink = LIGHT["on-mark" if share > 0.75 else "ink"]
            right = row == column
            axes.annotate(f"{100 * share:.0f} %", (column + 0.5, row + 0.45), ha="center",
                          color=ink, fontsize=BODY, weight="bold" if right else "normal",
                          va="baseline")  # fmt: skip
            axes.annotate(str(counts[row, column]), (column + 0.5, row + 0.8), ha="center",
                          color=ink, fontsize=LABEL, va="baseline")  # fmt: skip
            if right:
                axes.plot(
                    [column, column + 1, column + 1, column, column],
                    [row, row, row + 1, row + 1, row],
                    color=LIGHT["ink"], linewidth=1.2, clip_on=False, zorder=3,
                )  # fmt: skip
    return figure


def decisions(found: States) -> Chart | None:
    """Draw the shares of the three decisions for each kind of utterance; None without cases."""
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
            _about(found),
        ],
        ("kind", "right", "done", "hits", "n", "share", "low", "high"),
        rows,
        _draw_decisions,
        counts="n",
    )


def _right(found: States) -> dict[str, Outcome]:
    """Return what is right for each label, where all its cases agree."""
    every: dict[str, set[Outcome]] = {}
    for case in found.cases:
        every.setdefault(case.label, set()).add(case.wanted)
    return {label: next(iter(acts)) for label, acts in every.items() if len(acts) == 1}


def _draw_decisions(numbers: DataFrame, width: float) -> Figure:
    hits = numbers.pivot(index="kind", columns="done", values="hits").reindex(
        index=numbers["kind"].unique(), columns=list(OUTCOMES), fill_value=0
    )
    size = hits.sum(axis="columns")
    answered = numbers[numbers["done"] == "respond"].set_index("kind")
    right = numbers.drop_duplicates("kind").set_index("kind")["right"]
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
        {act: (DECISIONS[act], name) for act, name in zip(OUTCOMES, names, strict=True)},
        width,
        label="share of utterances",
        interval="answers, 95 % interval",
        right="n",
    )


def premature(found: States) -> Chart | None:
    """Draw how often a state is predicted before the end, by the number of words still to come.

    None without single cases that were looked at word by word.
    """
    cases = [case.early for case in found.cases if case.wanted == "respond" and case.early]
    if not cases:
        return None
    words = [
        (min(len(early) - place, _FAR), outcome)
        for early in cases
        for place, outcome in enumerate(early)
    ]
    rows = []
    for what, wanted in (("any state", ("respond", "ignore")), ("respond", ("respond",))):
        for left in sorted({left for left, _ in words}):
            outcomes = [outcome in wanted for at, outcome in words if at == left]
            hits, n = sum(outcomes), len(outcomes)
            rows.append((left, what, hits, n, hits / n, *wilson(hits, n)))
    return make_chart(
        "premature",
        "States before a query is over",
        [
            f"Share of {len(cases)} queries at which the model predicts a state within its "
            "look-ahead although words are still to come, by their number "
            f"({_FAR} stands for {_FAR} and more). Intervals: 95 % (Wilson).",
            _about(found),
        ],
        ("words to come", "predicted", "hits", "n", "share", "low", "high"),
        rows,
        _draw_premature,
        counts="n",
    )


def _draw_premature(numbers: DataFrame, width: float) -> Figure:
    from matplotlib.ticker import MaxNLocator

    names = list(numbers["predicted"].unique())
    with panels(width, 1, names) as (figure, [axes]):
        for number, name in enumerate(names):
            own = numbers[numbers["predicted"] == name]
            # Side by side, so that neither's intervals hide the other's.
            at = own["words to come"] + 0.16 * (number - 0.5)
            curve(axes, number, at, own["share"], zip(own["low"], own["high"], strict=True))
        top = numbers["high"].max()
        axes.set_ylim(-0.04 * top, min(1.04, 1.08 * top))
        axes.invert_xaxis()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.set_major_formatter(lambda n, _: f"{n:g}+" if n == _FAR else f"{n:g}")
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        axes.set(xlabel="words still to come", ylabel="state predicted")
    return figure


def calibration(found: States) -> Chart | None:
    """Draw the share that wants an answer against its probability; None without probabilities."""
    both = {"wants an answer": found.calibration, "is over": found.calibration_finished}
    tables = [(name, table) for name, table in both.items() if table is not None and table.bins]
    if not tables:
        return None
    rows = [
        (name, one.n, one.probability, one.share, *wilson(round(one.share * one.n), one.n))
        for name, table in tables
        for one in table.bins
    ]
    errors = ", ".join(
        f"{table.ece:.3f} ({name}, n = {table.n})"
        for name, table in tables
        if table.ece is not None
    )
    return make_chart(
        "calibration",
        "Calibration of the decision",
        [
            "The share that wants an answer against the probability of the respond token (that and "
            "the ignore token adding up to one); and the share that is over, so that either is "
            "right, against the probability of the two together, of all utterances. In ten bins; "
            "intervals 95 % (Wilson). On the diagonal the model says how sure it is.",
            f"Expected calibration error: {errors}." if errors else "",
            _about(found),
        ],
        ("of", "n", "probability", "share", "low", "high"),
        rows,
        _draw_calibration,
        counts="n",
    )


def _draw_calibration(numbers: DataFrame, width: float) -> Figure:
    names = list(numbers["of"].unique())
    with panels(width, 1, names) as (figure, [axes]):
        axes.plot([0, 1], [0, 1], color=LIGHT["rule"], linewidth=0.9, zorder=0.9)
        for number, name in enumerate(names):
            own = numbers[numbers["of"] == name]
            ends = zip(own["low"], own["high"], strict=True)
            curve(axes, number, own["probability"], own["share"], ends)
            for n, x in zip(own["n"], own["probability"], strict=True):
                axes.annotate(
                    str(n), (x, 0), (0, -4 - 8 * number), textcoords="offset points",
                    fontsize=LABEL - 1, color=look(number).ink, ha="center", va="top",
                )  # fmt: skip
        percent(axes)
        percent(axes, "x")
        axes.set_ylim(-0.26, 1.04)
        axes.set(xlabel="probability", ylabel="share that is so")
    return figure


def separation(found: States) -> Chart | None:
    """Draw what is ignored of each kind that is to be, against the share of queries answered.

    And what is held of what is unfinished, against what is finished and decided about at once. The
    threshold on p(<1>) / (p(<1>) + p(<2>)), or on their sum, is moved along each line. None without
    single cases of both sorts.
    """
    queries = [answers(case) for case in found.cases if case.wanted == "respond"]
    kinds: dict[str, list[float]] = {}
    for case in found.cases:
        if case.wanted == "ignore":
            kinds.setdefault(case.label, []).append(answers(case))
    kinds = {name: scores for name, scores in sorted(kinds.items()) if len(scores) >= _FEWEST}
    if not queries or not kinds:
        return None
    over = [finished(case) for case in found.cases if case.wanted != "wait"]
    open_ones = [finished(case) for case in found.cases if case.wanted == "wait"]
    rows = [row for name, scores in kinds.items() for row in _moved(name, scores, "query", queries)]
    if len(open_ones) >= _FEWEST:
        rows = _moved("unfinished", open_ones, "finished", over) + rows
    said = ", ".join(
        f"{100 * ignored:.0f} % of {name.replace('_', ' ')} ({n})"
        for name, n, _, _, answered, ignored in rows
        if answered == _NAMED / 100
    )
    return make_chart(
        "separation",
        "What can be told apart",
        [
            "Each kind that is to be ignored: the share that is, against the share of all "
            f"{len(queries)} utterances that want an answer and get it, as the threshold on "
            "p(<1>) / (p(<1>) + p(<2>)) is moved. Unfinished: the share that is held, against the "
            f"share of all {len(over)} finished ones that are decided about at once, as that on "
            "p(<1>) + p(<2>) is moved. Towards the upper right is better, on the falling diagonal "
            f"nothing is told apart. Where {_NAMED} % are answered or decided about, held or "
            f"ignored are: {said}. {found.about}."
        ],
        ("kind", "n", "area under the curve", "told from", "at once", "held or ignored"),
        rows,
        _draw_separation,
        counts="n",
    )


def _moved(
    kind: str, scores: list[float], told_from: str, others: list[float]
) -> list[tuple[Any, ...]]:
    """Move the threshold along the scores of what has the higher ones, `others`."""
    return [
        (kind, len(scores), area(others, scores), told_from, acted / 100,
         sum(score < threshold_answering(others, acted) for score in scores) / len(scores))
        for acted in _ANSWERED
    ]  # fmt: skip


def _draw_separation(numbers: DataFrame, width: float) -> Figure:
    kinds = numbers.groupby("kind", sort=False)
    names = [str(name).replace("_", " ") for name in kinds.groups]
    with panels(width, 1, names) as (figure, [axes]):
        for number, (_, own) in enumerate(kinds):
            curve(axes, number, own["at once"], own["held or ignored"], markevery=4)
        percent(axes)
        percent(axes, "x")
        axes.set(xlabel="answered, or decided about", ylabel="ignored, or held")
    return figure


def probe(found: Probe) -> Chart | None:
    """Draw what is ignored of each kind that is to be, where most queries are answered.

    None without such a kind, or without a probe.
    """
    own = found.curve[0].labels if len(found.curve) > 1 else {}
    kinds = [
        name
        for name, told in own.items()
        if told.wanted == "ignore" and all(name in point.labels for point in found.curve)
    ]
    if not kinds:
        return None
    first, last = found.curve[0].labels, found.curve[-1].labels
    said = ", ".join(
        f"{name.replace('_', ' ')} ({own[name].n}) {100 * first[name].right:.0f} -> "
        f"{100 * last[name].right:.0f} %"
        for name in kinds
    )
    return make_chart(
        "probe",
        "What the model could tell from a query",
        [
            "Each kind that is to be ignored: the share that is, at the threshold where "
            f"{found.answered} % of what wants an answer get one. First by the model's own score, "
            "then by linear probes of its layers, trained on so many labelled utterances of the "
            f"same data and tested on those of other dialogues ({found.folds} folds). From the "
            f"model's own to the probe of {found.curve[-1].labelled:,}: {said}. {found.about}."
        ],
        ("kind", "n", "labelled utterances", "ignored", "area under the curve"),
        [
            (name, own[name].n, point.labelled, point.labels[name].right, point.labels[name].area)
            for name in kinds
            for point in found.curve
        ],
        _draw_probe,
        counts="n",
    )


def _draw_probe(numbers: DataFrame, width: float) -> Figure:
    kinds = numbers.groupby("kind", sort=False)
    with panels(width, 1, [str(name).replace("_", " ") for name in kinds.groups]) as (
        figure,
        [axes],
    ):
        for number, (_, own) in enumerate(kinds):
            places, shares = range(len(own)), list(own["ignored"])
            curve(axes, number, places[1:], shares[1:])
            curve(axes, number, places[:1], shares[:1])
        labelled = own["labelled utterances"].tolist()
        axes.axvline(0.5, color=LIGHT["faint"], linewidth=0.6, linestyle=":")
        axes.set_xticks(places, ["its own", *(f"{count:,}" for count in labelled[1:])])
        axes.set(xlabel="labelled utterances that a probe was trained on", ylabel="ignored")
        percent(axes)
    return figure
