"""What a model decides: confusion, kinds, premature states, calibration (`duo eval states`)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from evaluation.scores import wilson
from reports.charts.board import Axis, Bar, stacked
from reports.charts.chart import Chart
from reports.charts.forms import Act, Calibration, States, checked
from reports.charts.looks import Fill
from reports.charts.panels import curve, panelled, percent, spot
from reports.figures.style import BODY, LABEL, LIGHT, house_style
from reports.figures.typeset import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACTS: tuple[Act, ...] = ("respond", "ignore", "wait")
_FILLS = (
    Fill("respond", "", "respond", "on-mark"),
    Fill("paper", "/////", "ignore"),
    Fill("grid", "", "faint"),
)
#: Words still to come that are shown one by one; what is farther from the end is one point.
_FAR = 12


def confusion(states_result: Any) -> Chart | None:
    """What was right against what was done, as counts and shares of each row.

    Args:
        states_result: the JSON of `duo eval states`.

    Returns:
        None if there are no cases.

    Raises:
        BadInput: it is something else.
    """
    found = checked(States, states_result)
    table = {wanted: _counts(found.confusion.get(wanted, {})) for wanted in _ACTS}
    if not any(map(sum, table.values())):
        return None
    scores = [
        f"{act}: precision {_share(one.precision)}, recall {_share(one.recall)}"
        for act in _ACTS
        if (one := found.states.get(act)) is not None
    ]
    caption = " ".join(
        [
            "Decisions at the end of an utterance: rows say what is right, columns what the model "
            "does; shares are of the row.",
            _about(found),
            f"In percent, {'; '.join(scores)}." if scores else "",
        ]
    ).strip()
    rows = [
        (wanted, done, count, count / sum(counts) if sum(counts) else None)
        for wanted, counts in table.items()
        for done, count in zip(_ACTS, counts, strict=True)
    ]
    return Chart(
        name="confusion",
        title="Decisions, right and wrong",
        caption=clean(caption),
        columns=("right", "done", "utterances", "share of row"),
        rows=tuple(rows),
        draw=lambda width: _draw_confusion(table, width),
    )


def decisions_by_kind(states_result: Any) -> Chart | None:
    """The shares of the three decisions for each kind of utterance; as for `confusion`."""
    found = checked(States, states_result)
    labels = {name: one for name, one in found.labels.items() if _size(one)}
    if not labels:
        return None
    wanted = _wanted(found)
    order = sorted(labels, key=lambda name: _ACTS.index(wanted[name]) if name in wanted else 3)
    rows = [
        (name, wanted.get(name), act, part.hits, part.n, part.share, part.low, part.high)
        for name in order
        for act in _ACTS
        if (part := labels[name].get(act)) is not None
    ]
    return Chart(
        name="decisions",
        title="Decisions by kind of utterance",
        caption=clean(
            "What the model does at the end of an utterance, by its kind. "
            "Lines below the bars: 95 % intervals (Wilson) of the share that is answered. "
            + _about(found)
        ),
        columns=("kind", "right", "done", "hits", "n", "share", "low", "high"),
        rows=tuple(rows),
        draw=lambda width: _draw_kinds(labels, order, wanted, width),
    )


def premature(states_result: Any) -> Chart | None:
    """How often a state is predicted before a query is over, by the words still to come.

    None without single cases that were looked at word by word; else as for `confusion`.
    """
    found = checked(States, states_result)
    cases = [case.early for case in found.cases if case.wanted == "respond" and case.early]
    words, states, responds = Counter[int](), Counter[int](), Counter[int]()
    for early in cases:
        for place, outcome in enumerate(early):
            left = min(len(early) - place, _FAR)
            words[left] += 1
            states[left] += outcome != "wait"
            responds[left] += outcome == "respond"
    if not words:
        return None
    rows = [
        (
            left, what, counts[left], n, counts[left] / n, *wilson(counts[left], n),
        )
        for what, counts in (("any state", states), ("respond", responds))
        for left, n in sorted(words.items())
    ]  # fmt: skip
    return Chart(
        name="premature",
        title="States before a query is over",
        caption=clean(
            f"Share of {len(cases)} queries at which the model predicts a state within its "
            "look-ahead although words are still to come, by their number "
            f"({_FAR} stands for {_FAR} and more). Intervals: 95 % (Wilson). " + _about(found)
        ),
        columns=("words to come", "predicted", "hits", "n", "share", "low", "high"),
        rows=tuple(rows),
        draw=lambda width: _draw_premature(rows, width),
    )


def calibration(states_result: Any) -> Chart | None:
    """How often an answer was right where the model gave it a certain probability.

    None without probabilities; else as for `confusion`.
    """
    found = checked(States, states_result)
    table = found.calibration
    if table is None or not table.bins:
        return None
    rows = [
        (one.n, one.probability, one.share, *wilson(round(one.share * one.n), one.n))
        for one in table.bins
    ]
    error = "" if table.ece is None else f"Expected calibration error: {table.ece:.3f}. "
    return Chart(
        name="calibration",
        title="Calibration of the decision",
        caption=clean(
            f"Of {table.n} utterances, the share that wants an answer against the probability of "
            "the respond token (that and the ignore token adding up to one), in ten bins; numbers "
            "are utterances, intervals 95 % (Wilson). On the diagonal the model says how sure it "
            f"is. {error}" + _about(found)
        ),
        columns=("n", "probability", "share", "low", "high"),
        rows=tuple(rows),
        draw=lambda width: _draw_calibration(table, rows, width),
    )


def _counts(row: dict[Act, int]) -> list[int]:
    return [row.get(done, 0) for done in _ACTS]


def _size(label: dict[Act, Any]) -> int:
    return sum(part.hits for part in label.values())


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _wanted(found: States) -> dict[str, Act]:
    """What is right for each label, where all its cases agree."""
    every: dict[str, set[Act]] = {}
    for case in found.cases:
        every.setdefault(case.label, set()).add(case.wanted)
    return {label: next(iter(acts)) for label, acts in every.items() if len(acts) == 1}


def _about(found: States) -> str:
    return f"{found.about}, look-ahead of {found.lookahead} tokens."


def _draw_confusion(table: dict[Act, list[int]], width: float) -> Figure:
    """Squares of grey with their counts; the right ones have a frame."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    cell = min(0.24 * width, 84.0), 30.0
    left, top = 54.0, 30.0
    wide = left + 3 * cell[0] + 8
    height = top + 3 * cell[1] + 6
    start = max(0.0, (width - wide) / 2)
    tint = LinearSegmentedColormap.from_list("tint", [LIGHT["paper"], LIGHT["query"]])
    with house_style():
        figure = Figure(figsize=(width / 72, height / 72))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        for row, (wanted, counts) in enumerate(table.items()):
            y = top + row * cell[1]
            axes.text(start + left - 5, y + cell[1] / 2, wanted, ha="right", va="center",
                      fontsize=BODY)  # fmt: skip
            axes.text(start + left + (row + 0.5) * cell[0], top - 5, wanted, ha="center",
                      va="baseline", fontsize=BODY)  # fmt: skip
            for column, count in enumerate(counts):
                x = start + left + column * cell[0]
                share = count / sum(counts) if sum(counts) else 0.0
                axes.add_patch(Rectangle((x, y), *cell, facecolor=tint(share),
                                         edgecolor=LIGHT["rule"], linewidth=0.6))  # fmt: skip
                ink = LIGHT["on-mark" if share > 0.75 else "ink"]
                middle = x + cell[0] / 2
                axes.text(middle, y + 0.45 * cell[1], f"{100 * share:.0f} %", ha="center",
                          va="baseline", color=ink, fontsize=BODY,
                          fontweight="bold" if row == column else "normal")  # fmt: skip
                axes.text(middle, y + 0.78 * cell[1], f"{count}", ha="center", va="baseline",
                          color=ink, fontsize=LABEL)  # fmt: skip
        for row in range(3):
            corner = start + left + row * cell[0], top + row * cell[1]
            axes.add_patch(Rectangle(corner, *cell, fill=False, edgecolor=LIGHT["ink"],
                                     linewidth=1.2, zorder=3))  # fmt: skip
        axes.text(start + left + 1.5 * cell[0], 9, "done", ha="center", va="baseline",
                  color=LIGHT["soft"], fontsize=LABEL)  # fmt: skip
        axes.text(start + 7, top + 1.5 * cell[1], "right", ha="center", va="center", rotation=90,
                  color=LIGHT["soft"], fontsize=LABEL)  # fmt: skip
    return figure


def _draw_kinds(
    labels: dict[str, Any], order: list[str], wanted: dict[str, Act], width: float
) -> Figure:
    bars = []
    before: Act | None = None
    for name in order:
        act = wanted.get(name)
        size = _size(labels[name])
        parts = {a: labels[name].get(a) for a in _ACTS}
        first = parts["respond"]
        heading = f"right: {act}" if act and act != before else ""
        bars.append(
            Bar(
                name.replace("_", " "),
                [part.hits / size if part else 0.0 for part in parts.values()],
                (first.low, first.high) if first else None,
                str(size),
                heading,
            )
        )
        before = act
    fills = list(zip(_FILLS, ("answers", "ignores", "waits"), strict=True))
    axis = Axis("share of utterances", percent=True)
    return stacked(bars, fills, axis, width, whisker="answers, 95 % interval", right="n")


def _draw_premature(rows: list[tuple[Any, ...]], width: float) -> Figure:
    names = list(dict.fromkeys(row[1] for row in rows))
    top = max(row[6] for row in rows)

    def panel(axes: Any) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        for number, name in enumerate(names):
            own = [row for row in rows if row[1] == name]
            # Side by side, so that neither's intervals hide the other's.
            at = [row[0] + 0.16 * (number - 0.5) for row in own]
            curve(axes, number, at, [row[4] for row in own])
            for x, row in zip(at, own, strict=True):
                spot(axes, number, x, row[4], up=(row[5], row[6]))
        axes.set_xlabel("words still to come")
        axes.set_ylabel("state predicted")
        axes.set_ylim(-0.04 * top, min(1.04, 1.08 * top))
        axes.invert_xaxis()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda n, _: f"{n:g}+" if n == _FAR else f"{n:g}")
        )
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))

    return panelled(width, [panel], names)


def _draw_calibration(table: Calibration, rows: list[tuple[Any, ...]], width: float) -> Figure:
    def panel(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=LIGHT["rule"], linewidth=0.9, zorder=0.9)
        curve(axes, 0, [row[1] for row in rows], [row[2] for row in rows])
        for n, x, y, low, high in rows:
            spot(axes, 0, x, y, up=(low, high))
            axes.annotate(
                str(n), (x, -0.02), fontsize=LABEL - 1, color=LIGHT["soft"], ha="center", va="top"
            )
        percent(axes)
        percent(axes, "x")
        axes.set_ylim(-0.13, 1.04)
        axes.set_xlabel("probability of <1>")
        axes.set_ylabel("share that wants an answer")

    return panelled(width, [panel])
