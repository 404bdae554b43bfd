"""Draw the attention mask of a fork, as the paper's Figure 1 shows it.

Rows are queries, columns are keys; a filled square says that the query of its row sees the key of
its column, in the colour of the channel that the key belongs to. What a glance should tell: both
channels see the prefix, each sees itself up to its own token, neither sees the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from duo.escape import clean
from duo.transcript import Transcript, TranscriptEvent
from reports.plots.chart import Chart, make_chart
from reports.plots.style import BODY, DESK, LABEL, LIGHT, house_style
from reports.plots.typeset import fit, width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Slots of a mask that have room for their words in one column: of the prefix, and of each channel.
_PREFIX, _CHANNEL = 6, 10
_STATE = re.compile(r"<[12]>")

#: The channels' names, in the order in which a mask holds them, and their colours.
_COLORS = {"prefix": "faint", "output": "speech", "input": "query"}

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


def mask(transcript: Transcript) -> Chart | None:
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
        f"mask-{header.stem}",
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
        lambda _, width: draw_fork(prefix, output, heard, within=width),
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
    """Find the words predicted before a state token, and the token; nothing without one."""
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
    """Say what makes a fork worth showing: it fits, a state decides it, it is not short."""
    fits = len(fork.output) <= _CHANNEL and len(fork.input) <= _CHANNEL
    decided = bool(_STATE.fullmatch(fork.input[-1]))
    return decided, fits, min(len(fork.output), len(fork.input), 6), -fork.at


def _mask_rows(slots: list[tuple[str, str]], prefix: int) -> Iterator[tuple[str | int, ...]]:
    """Yield each slot with the numbers of the slots that it sees."""
    from duo.decoding.mask import fork_mask

    counts = [sum(channel == name for channel, _ in slots) for name in ("output", "input")]
    matrix = fork_mask(prefix, *counts).tolist()
    for number, ((channel, text), seen) in enumerate(zip(slots, matrix, strict=True)):
        first = number < prefix or channel == "output"
        position = number if first else number - counts[0]
        sees = " ".join(str(key) for key, yes in enumerate(seen) if yes)
        yield number, channel, position, text, sees


def draw_fork(
    prefix: Sequence[str], output: Sequence[str], heard: Sequence[str], *, within: float = DESK
) -> Figure:
    """Draw the mask of a fork with these tokens, made by the rule that the decoder itself uses.

    The picture is no wider than `within` points.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure

    from duo.decoding.mask import fork_mask

    matrix = fork_mask(len(prefix), len(output), len(heard)).tolist()
    sizes = {"prefix": len(prefix), "output": len(output), "input": len(heard)}
    colors = [LIGHT[_COLORS[name]] for name, size in sizes.items() for _ in range(size)]
    limit = min(_WORD_AT_MOST, _WORD_SHARE * within)
    labels = [_shown(text, limit) for text in (*prefix, *output, *heard)]
    words = max((width(label, LABEL) for label in labels), default=0.0) + 4
    square = min(_SQUARE, (within - words - _BRACKET - 2 * _MARGIN) / max(len(labels), 1))
    before = _MARGIN + _BRACKET + (words if square >= _SMALLEST else 4.0)
    inner = len(labels) * square
    side = before + inner + _MARGIN
    with house_style():
        figure = Figure(figsize=(side / 72, side / 72))
        axes = figure.add_axes(
            (before / side, _MARGIN / side, inner / side, inner / side),
            xlim=(0, len(labels)), ylim=(len(labels), 0), xticks=[], yticks=[],
        )  # fmt: skip
        axes.pcolormesh(
            [[to_rgb(color if seen else LIGHT["paper"])
              for seen, color in zip(row, colors, strict=True)]
             for row in matrix],
            edgecolors=LIGHT["grid"], linewidth=0.5,
        )  # fmt: skip
        axes.spines[:].set(visible=True, color=LIGHT["rule"])
        axes.tick_params(length=0, labeltop=True, labelbottom=False, labelcolor=LIGHT["ink"])
        if square >= _SMALLEST:
            places = [number + 0.5 for number in range(len(labels))]
            axes.set_xticks(places, labels, rotation=90)
            axes.set_yticks(places, labels)
        _brackets(axes, sizes, square, away=-(before - _MARGIN - 0.6 * _BRACKET) / square)
    return figure


def _shown(text: str, limit: float) -> str:
    """Return a token's text with its blanks visible."""
    text = clean(text.replace("\n", "↵")).replace(" ", "␣")
    return fit(text, limit, LABEL)


def _brackets(axes: Any, sizes: dict[str, int], square: float, away: float) -> None:
    """Draw a line and a name along each channel's rows and columns, and rules between them."""
    first = 0
    for name, size in sizes.items():
        if not size:
            continue
        ends, aside = [first + 0.1, first + size - 0.1], [away, away]
        middle = first + size / 2
        type_size = BODY if width(name, BODY, "bold") <= size * square else LABEL
        text = fit(name, size * square, type_size, "bold")
        how = {"color": LIGHT[_COLORS[name]], "fontsize": type_size, "fontweight": "bold"}
        axes.plot(aside, ends, color=how["color"], linewidth=2, clip_on=False)
        axes.plot(ends, aside, color=how["color"], linewidth=2, clip_on=False)
        axes.text(away - 4 / square, middle, text, rotation=90, ha="right", va="center", **how)
        axes.text(middle, away - 3 / square, text, ha="center", va="bottom", **how)
        if first:
            axes.axhline(first, color=LIGHT["soft"], linewidth=0.9)
            axes.axvline(first, color=LIGHT["soft"], linewidth=0.9)
        first += size
