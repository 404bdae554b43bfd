"""What happened in one conversation: its timeline (Figure 3) and the mask of a fork (Figure 1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from duo.speech import Conversation
from duo.table import clean
from duo.transcript import Transcript, TranscriptEvent
from reports.plots.chart import Chart, make_chart
from reports.plots.shown import read_shown
from sessions.recorder import folder_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Slots of a mask that have room for their words in one column: of the prefix, and of each channel.
_PREFIX, _CHANNEL = 6, 10
_STATE = re.compile(r"<[12]>")


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


def timeline(transcript: Transcript) -> Chart:
    """Both channels over time, predicted words in grey, states marked."""
    header, lanes = transcript.header, read_shown(transcript)
    labelled = sum(utterance.label is not None for utterance in lanes.utterances)
    caption = (
        f"Scenario {header.scenario} with {header.system} ({header.model}): the user above, the "
        f"system below, on a {header.clock} clock with cycles of {header.cycle_seconds:g} s. "
        f"{len(lanes.utterances)} utterances ({labelled} labelled), {len(lanes.answers)} answers, "
        f"{len(lanes.decisions)} decisions, {len(lanes.forks)} forks."
    )
    return make_chart(
        f"timeline-{_stem(transcript)}",
        f"{clean(header.scenario)}, {clean(header.system)}",
        [caption],
        ("channel", "what", "start (s)", "end (s)", "text", "of", "note"),
        _timeline_rows(lanes),
        lambda width: _draw_timeline(transcript, width),
    )


def attention_mask(transcript: Transcript) -> Chart | None:
    """The mask of the fork that shows most; None if nothing was heard while the system spoke."""
    forks = [fork for fork in forks_of(transcript) if fork.output and fork.input]
    if not forks:
        return None
    fork = max(forks, key=_worth)
    prefix, output, heard = fork.prefix[-_PREFIX:], fork.output[:_CHANNEL], fork.input[:_CHANNEL]
    cut = [
        f"the last {_PREFIX} of {len(fork.prefix)} slots of the prefix"
        if len(prefix) < len(fork.prefix)
        else "",
        f"the first {_CHANNEL} of {len(fork.output)} of the output channel"
        if len(output) < len(fork.output)
        else "",
        f"the first {_CHANNEL} of {len(fork.input)} of the input channel"
        if len(heard) < len(fork.input)
        else "",
    ]
    shown = f" Shown are {', '.join(part for part in cut if part)}." if any(cut) else ""
    header = transcript.header
    caption = (
        f"Attention mask of the fork at {fork.at:g} s of {header.scenario} with {header.system} "
        f"({header.model}). Rows are queries, columns are keys; a filled square is seen. Slots are "
        f"the transcript's: words as they were heard, pieces as they were spoken.{shown}"
    )
    channels = [("prefix", prefix), ("output", output), ("input", heard)]
    slots = [(channel, text) for channel, texts in channels for text in texts]
    return make_chart(
        f"mask-{_stem(transcript)}",
        "Attention mask of a fork",
        [caption],
        ("slot", "channel", "position", "text", "sees"),
        _mask_rows(slots, len(prefix)),
        lambda width: _draw_mask(prefix, output, heard, width),
    )


def forks_of(transcript: Transcript) -> Iterator[Fork]:
    """Every fork of a transcript, as it stood when it was decided or the recording ended."""
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


def _stem(transcript: Transcript) -> str:
    header = transcript.header
    return f"{folder_name(header.scenario)}-{folder_name(header.system)}"


def _timeline_rows(lanes: Conversation) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for utterance in lanes.utterances:
        note = " ".join(part for part in (utterance.label, utterance.category) if part)
        for word in utterance.words:
            rows.append(
                ("input", "word", word.start, word.end, word.text.strip(), utterance.name, note)
            )
    for number, answer in enumerate(lanes.answers, start=1):
        for word in answer.words:
            forgotten = answer.forgotten is not None and word.start >= answer.forgotten
            note = "forgotten" if forgotten else answer.ending
            rows.append(
                ("output", "word", word.start, word.end, word.text.strip(), f"answer {number}",
                 note)
            )  # fmt: skip
    rows += [
        ("input", one.action, one.at, one.at, one.expected, "", one.by) for one in lanes.decisions
    ]
    rows += [("input", "fork", at, at, "", "", "") for at in lanes.forks]
    rows += [("input", "revision", one.at, one.at, one.text, "", "") for one in lanes.revisions]
    return sorted(rows, key=lambda row: (row[2], row[0], row[3]))


def _mask_rows(slots: list[tuple[str, str]], prefix: int) -> Iterator[tuple[object, ...]]:
    """Each slot with the numbers of the slots that it sees."""
    from duo.decoding.mask import fork_mask

    counts = [sum(channel == name for channel, _ in slots) for name in ("output", "input")]
    matrix = fork_mask(prefix, *counts).tolist()
    for number, ((channel, text), seen) in enumerate(zip(slots, matrix, strict=True)):
        first = number < prefix or channel == "output"
        position = number if first else number - counts[0]
        sees = " ".join(str(key) for key, yes in enumerate(seen) if yes)
        yield number, channel, position, text, sees


def _draw_timeline(transcript: Transcript, width: float) -> Figure:
    from reports.plots.timeline import draw

    return draw(transcript, width=width)


def _draw_mask(
    prefix: tuple[str, ...], output: tuple[str, ...], heard: tuple[str, ...], width: float
) -> Figure:
    from reports.plots.mask import draw_fork

    return draw_fork(prefix, output, heard, within=width)
