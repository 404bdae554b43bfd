"""Draw the attention mask of a fork, as the paper's Figure 1 shows it.

Rows are queries, columns are keys; a filled square says that the query of its row sees the key of
its column, in the colour of the channel that the key belongs to. What a glance should tell: both
channels see the prefix, each sees itself up to its own token, neither sees the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from duo.table import clean
from duo.transcript import Transcript, TranscriptEvent
from reports.plots.chart import Chart, make_chart
from reports.plots.style import BODY, DESK, LABEL, LIGHT, house_style
from reports.plots.typeset import fit, width
from sessions.recorder import folder_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Slots of a mask that have room for their words in one column: of the prefix, and of each channel.
_PREFIX, _CHANNEL = 6, 10
_STATE = re.compile(r"<[12]>")

#: The channels' names, in the order in which a mask holds them, and their colours.
_COLORS = {"prefix": "faint", "output": "speech", "input": "query", "free": "rule"}

_SQUARE, _SMALLEST = 11.0, 7.0  # points; smaller squares have no room for a word beside them
_WORD_AT_MOST, _WORD_SHARE = 70.0, 0.2  # points, and of the picture's width
_BRACKET = 2.2 * LABEL  # room for the channels' names
_MARGIN = 6.0


@dataclass(frozen=True)
class Fork:
    """The slots of a fork when it was decided; texts as the transcript has them.

    Attributes:
        at: seconds, when it began.
        prefix, output, input: slots that both channels share, and of each channel.
    """

    at: float
    prefix: tuple[str, ...]
    output: tuple[str, ...]
    input: tuple[str, ...]


@dataclass(frozen=True)
class _Grid:
    """Measures of the picture in points."""

    rows: int
    columns: int
    square: float
    before: float  # left of and above the squares
    above: float

    @property
    def size(self) -> tuple[float, float]:
        return (
            self.before + self.columns * self.square + _MARGIN,
            self.above + self.rows * self.square + _MARGIN,
        )


def attention_mask(transcript: Transcript) -> Chart | None:
    """Draw the mask of the fork that shows most; None if nothing was heard while one spoke."""
    forks = [fork for fork in forks_of(transcript) if fork.output and fork.input]
    if not forks:
        return None
    fork = max(forks, key=_worth)
    prefix, output, heard = fork.prefix[-_PREFIX:], fork.output[:_CHANNEL], fork.input[:_CHANNEL]
    cut = [
        f"the {end} {len(kept)} of {len(every)} slots of the {name}"
        for end, name, kept, every in (
            ("last", "prefix", prefix, fork.prefix),
            ("first", "output channel", output, fork.output),
            ("first", "input channel", heard, fork.input),
        )
        if len(kept) < len(every)
    ]
    shown = f"Shown are {', '.join(cut)}." if cut else ""
    header = transcript.header
    channels = [("prefix", prefix), ("output", output), ("input", heard)]
    slots = [(channel, text) for channel, texts in channels for text in texts]
    return make_chart(
        f"mask-{folder_name(header.scenario)}-{folder_name(header.system)}",
        "Attention mask of a fork",
        [
            f"Attention mask of the fork at {fork.at:g} s of {header.scenario} with "
            f"{header.system} ({header.model}). Rows are queries, columns are keys; a filled "
            "square is seen. Slots are the transcript's: words as they were heard, pieces as they "
            "were spoken.",
            shown,
        ],
        ("slot", "channel", "position", "text", "sees"),
        _mask_rows(slots, len(prefix)),
        lambda width: draw_fork(prefix, output, heard, within=width),
    )


def forks_of(transcript: Transcript) -> Iterator[Fork]:
    """Yield every fork of a transcript, as it stood when it was decided or the recording ended."""
    words = list(transcript.of("word"))
    speech = list(transcript.of("speech"))
    forks = list(transcript.of("fork"))
    ends = list(transcript.of("respond", "ignore"))
    for number, fork in enumerate(forks):
        following = [end for end in ends if end.start > fork.start]
        following += forks[number + 1 : number + 2]
        last = min(following, key=lambda event: event.start, default=None)
        until = transcript.seconds + 1 if last is None else last.start
        # A fork is made in the cycle in which its first word is heard.
        before = [e for e in speech if e.start < fork.start]
        before += [e for e in words if e.cycle < fork.cycle]
        heard = [e.text for e in words if e.cycle >= fork.cycle and e.end <= until]
        yield Fork(
            fork.start,
            tuple(e.text for e in sorted(before, key=lambda e: e.start)),
            tuple(e.text for e in speech if fork.start <= e.start < until),
            (*heard, *_state(transcript, fork, until)),
        )


def _state(transcript: Transcript, fork: TranscriptEvent, until: float) -> list[str]:
    """The words that were predicted before a state token, and the token; nothing without one."""
    last: dict[int, str] = {}
    for event in transcript.of("predicted"):
        if fork.start <= event.start <= until:
            last[event.cycle] = last.get(event.cycle, "") + event.text
    text = list(last.values())[-1] if last else ""
    found = _STATE.search(text)
    if found is None:
        return []
    return [*re.findall(r"\s*\S+", text[: found.start()]), found.group()]


def _worth(fork: Fork) -> tuple[bool, bool, int, float]:
    """What makes a fork worth showing: all of it fits, a state decides it, it is not short."""
    fits = len(fork.output) <= _CHANNEL and len(fork.input) <= _CHANNEL
    decided = bool(_STATE.fullmatch(fork.input[-1]))
    return decided, fits, min(len(fork.output), len(fork.input), 6), -fork.at


def _mask_rows(slots: list[tuple[str, str]], prefix: int) -> Iterator[tuple[str | int, ...]]:
    """Each slot with the numbers of the slots that it sees."""
    from duo.decoding.mask import fork_mask

    counts = [sum(channel == name for channel, _ in slots) for name in ("output", "input")]
    matrix = fork_mask(prefix, *counts).tolist()
    for number, ((channel, text), seen) in enumerate(zip(slots, matrix, strict=True)):
        first = number < prefix or channel == "output"
        position = number if first else number - counts[0]
        sees = " ".join(str(key) for key, yes in enumerate(seen) if yes)
        yield number, channel, position, text, sees


def draw_fork(
    prefix: Sequence[str], output: Sequence[str], input: Sequence[str], *, within: float = DESK
) -> Figure:
    """The mask of a fork with these tokens, made by the rule that the decoder itself uses.

    Args:
        prefix, output, input: texts of the tokens that both channels share and of each channel.
        within: width in points that the picture must not exceed.
    """
    from duo.decoding.mask import fork_mask

    labels = [*prefix, *output, *input]
    channels = ["prefix"] * len(prefix) + ["output"] * len(output) + ["input"] * len(input)
    matrix = fork_mask(len(prefix), len(output), len(input))
    return draw_mask(matrix.tolist(), labels, labels, channels, channels, within=within)


def draw_mask(
    matrix: Sequence[Sequence[bool]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    column_channels: Sequence[str],
    row_channels: Sequence[str] = (),
    *,
    within: float = DESK,
) -> Figure:
    """Draw any mask.

    Args:
        matrix: `[queries][keys]`, True where the query sees the key.
        row_labels, column_labels: texts of the queries' and of the keys' tokens.
        column_channels: of each key "prefix", "output", "input" or "free".
        row_channels: the same of each query; empty if not to be shown.
        within: width in points that the picture must not exceed.

    Raises:
        ValueError: the numbers of rows, columns and labels do not go together.
    """
    from matplotlib.figure import Figure

    lengths = {len(row) for row in matrix}
    if len(matrix) != len(row_labels) or lengths - {len(column_labels)}:
        raise ValueError(f"a mask of {len(matrix)} rows of {lengths} needs as many labels")
    if len(column_channels) != len(column_labels):
        raise ValueError(f"{len(column_channels)} channels for {len(column_labels)} columns")
    limit = min(_WORD_AT_MOST, _WORD_SHARE * within)
    rows, columns = (
        [_shown(text, limit) for text in texts] for texts in (row_labels, column_labels)
    )
    grid = _measure(rows, columns, within)
    wide, high = grid.size
    with house_style():
        figure = Figure(figsize=(wide / 72, high / 72))
        place = grid.before / wide, _MARGIN / high
        axes = figure.add_axes(
            (*place, 1 - place[0] - _MARGIN / wide, 1 - place[1] - grid.above / high)
        )
        axes.set(xlim=(0, grid.columns), ylim=(grid.rows, 0))
        axes.pcolormesh(
            [[_fill(seen, channel) for seen, channel in zip(row, column_channels, strict=True)]
             for row in matrix],
            edgecolors=LIGHT["grid"], linewidth=0.5,
        )  # fmt: skip
        _label(axes, grid, rows, columns)
        _brackets(axes, grid, column_channels, upright=False)
        _brackets(axes, grid, row_channels, upright=True)
    return figure


def _shown(text: str, limit: float) -> str:
    """A token's text with its blanks visible."""
    text = clean(text.replace("\n", "↵")).replace(" ", "␣")
    return fit(text, limit, LABEL)


def _measure(rows: Sequence[str], columns: Sequence[str], within: float) -> _Grid:
    words = [max((width(text, LABEL) for text in texts), default=0.0) for texts in (rows, columns)]
    room = within - words[0] - 4 - _BRACKET - 2 * _MARGIN
    square = min(_SQUARE, room / max(len(columns), 1))
    beside = [word + 4 if square >= _SMALLEST else 4.0 for word in words]
    return _Grid(len(rows), len(columns), square, *(_MARGIN + _BRACKET + space for space in beside))


def _fill(seen: bool, channel: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(LIGHT[_COLORS[channel] if seen else "paper"])


def _label(axes: Any, grid: _Grid, rows: Sequence[str], columns: Sequence[str]) -> None:
    axes.tick_params(length=0, pad=2, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_color(LIGHT["rule"])
    legible = grid.square >= _SMALLEST
    axes.set_xticks([n + 0.5 for n in range(grid.columns)] if legible else [])
    axes.set_yticks([n + 0.5 for n in range(grid.rows)] if legible else [])
    if legible:
        axes.set_xticklabels(columns, rotation=90, color=LIGHT["ink"])
        axes.set_yticklabels(rows, color=LIGHT["ink"])


def _brackets(axes: Any, grid: _Grid, channels: Sequence[str], *, upright: bool) -> None:
    """A line and a name along each channel's stretch, and a rule between the channels."""
    first = 0
    for name, group in groupby(channels):
        last = first + len(list(group))
        color = LIGHT[_COLORS[name]]
        away = -((grid.before if upright else grid.above) - _MARGIN - 0.6 * _BRACKET) / grid.square
        ends, aside = [first + 0.1, last - 0.1], [away, away]
        room = (last - first) * grid.square
        size = BODY if width(name, BODY, "bold") <= room else LABEL
        name = fit(name, room, size, "bold")
        text = {"color": color, "fontsize": size, "fontweight": "bold"}
        if upright:
            axes.plot(aside, ends, color=color, linewidth=2, clip_on=False)
            spot = away - 4 / grid.square, (first + last) / 2
            axes.text(*spot, name, rotation=90, ha="right", va="center", **text)
        else:
            axes.plot(ends, aside, color=color, linewidth=2, clip_on=False)
            spot = (first + last) / 2, away - 3 / grid.square
            axes.text(*spot, name, ha="center", va="bottom", **text)
        if first:
            rule = axes.axhline if upright else axes.axvline
            rule(first, color=LIGHT["soft"], linewidth=0.9)
        first = last
