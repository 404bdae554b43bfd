"""Measure what a model knows of an utterance that it hears as frames, beside one that it reads.

The same utterances are given to it in several ways, each in a conversation that begins with it, and
the next token's probabilities are read after the last frame or word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from duo.files import Record, Result
from duo.table import Cell, Column, Table
from duo.tokens import decision
from evaluation.cases import WANTED
from evaluation.scores import Count, Judged, Proportion, Share, answers, area, finished, share

if TYPE_CHECKING:
    from duo.frames import Utterance

#: Resamples of an interval, and utterances of a pass.
_RESAMPLES, _BATCH = 2000, 16
#: Decibels of speech over noise from which on it is quiet.
_QUIET = 15.0


class Area(Record):
    """An area under the curve with its 95 % interval (percentile bootstrap over utterances)."""

    area: Share
    low: Share
    high: Share

    @property
    def cell(self) -> Cell:
        """The area for a table."""
        return Cell(self.area, f"{self.area:.3f} ({self.low:.2f}-{self.high:.2f})")


class Way(Record):
    """What the model knows of utterances that are given in one way.

    Attributes:
        n: utterances that are over.
        right, respond, ignore: of all, of those to answer and of those to ignore: for how many the
            likelier of `<1>` and `<2>` is the right one.
        as_words: for how many it is the one after the true words.
        area: of p(<1>) / (p(<1>) + p(<2>)), what is to be answered against what is to be ignored.
        over: of p(<1>) + p(<2>), what is over against what breaks off; None without both.
        sum_over, sum_broken: medians of that sum.
    """

    way: str
    n: Count
    right: Proportion
    respond: Proportion
    ignore: Proportion
    as_words: Proportion
    area: Area
    over: Area | None
    sum_over: Share
    sum_broken: Share | None


class FramesResult(Result):
    """The JSON of `duo eval frames`.

    Attributes:
        learned: utterances that the projector was trained on.
        broken: utterances that break off, beside those that are over.
    """

    kind: Literal["frames"] = "frames"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    model: str = ""
    learned: Count = 0
    broken: Count = 0
    ways: tuple[Way, ...]
    versions: dict[str, str] = Field(default={})

    def tables(self) -> list[Table]:
        """Show a row for each way."""
        columns = ("heard as", "n", Column("state right", "number"), Column("<1> right", "number"),
                   Column("<2> right", "number"), Column("as after the words", "number"),
                   Column("area", "number"), Column("area, over", "number"),
                   Column("p(<1>)+p(<2>)", "number", ".2f"),
                   Column("... broken off", "number", ".2f"))  # fmt: skip
        rows = [
            [way.way, way.n, way.right.cell, way.respond.cell, way.ignore.cell, way.as_words.cell,
             way.area.cell, way.over.cell if way.over else None, way.sum_over, way.sum_broken]
            for way in self.ways
        ]  # fmt: skip
        caption = (
            f"Utterances heard by {self.model} (projector trained on {self.learned}), and "
            f"{self.broken} that break off; in brackets 95 % intervals."
        )
        return [Table(caption, columns, rows)]


def evaluate_frames(projector: Path, data: Path) -> FramesResult:
    """Measure a projector (see `duo.frames.read_projector`) on a folder of utterances.

    Raises:
        BadInput: either cannot be read, or the utterances lack those to answer or to ignore.
    """
    import random

    import torch

    from duo.backbone import load
    from duo.errors import BadInput
    from duo.frames import read_projector, read_utterances
    from duo.runs import versions
    from duo.training.frames import Listener, directions_of
    from duo.training.train import in_half

    learned, facts = read_projector(projector)
    utterances = list(read_utterances(data))
    if not {"<1>", "<2>"} <= {one.state for one in utterances}:
        raise BadInput("needs utterances to answer and utterances to ignore", file=data)
    half = in_half(facts["settings"]["precision"])  # as it was trained
    backbone = load(facts["model"], device="cpu", dtype="bfloat16" if half else "float32")
    listener, states = Listener(backbone), backbone.states

    def judged(given: Sequence[torch.Tensor]) -> list[Judged]:
        found = []
        with torch.no_grad():
            for start in range(0, len(given), _BATCH):
                chances = listener.expected(given[start : start + _BATCH]).exp()
                found += chances[:, [states.respond, states.ignore]].tolist()
        return [_judged(one, *chances) for one, chances in zip(utterances, found, strict=True)]

    def words(texts: Iterable[str]) -> list[Judged]:
        ids = [listener.ids(text) or [*backbone.chat.text(" ")] for text in texts]
        return judged([listener.embed(torch.tensor(row)) for row in ids])

    with torch.no_grad():
        frames = [
            learned.place(row)
            for start in range(0, len(utterances), _BATCH)
            for row in directions_of(learned, utterances[start : start + _BATCH])
        ]
    true, heard = words(one.text for one in utterances), judged(frames)
    quiet = [one.noise is None or one.noise >= _QUIET for one in utterances]
    others = judged(random.Random(0).sample(frames, len(frames)))
    ways = [_way("the words", true, true)]
    if all(one.recognised is not None for one in utterances):
        ways.append(
            _way("words, as recognised", words(one.recognised or "" for one in utterances), true)
        )
    ways.append(_way("frames", heard, true))
    for name, chosen in (
        (f"frames, noise {_QUIET:g} dB lower or more", quiet),
        ("frames, more noise", [not so for so in quiet]),
    ):
        if {"<1>", "<2>"} <= {one.state for one, so in zip(utterances, chosen, strict=True) if so}:
            ways.append(_way(name, heard, true, chosen))
    ways.append(_way("frames of another utterance", others, true))
    return FramesResult(
        model=facts["model"], learned=facts["utterances"],
        broken=sum(one.state is None for one in utterances), ways=tuple(ways), versions=versions(),
    )  # fmt: skip


def _judged(one: Utterance, respond: float, ignore: float) -> Judged:
    return Judged(label=one.kind, wanted=WANTED[one.state], outcome=decision(respond, ignore),
                  p_respond=min(1.0, respond), p_ignore=min(1.0, ignore))  # fmt: skip


def _way(
    name: str, heard: Sequence[Judged], true: Sequence[Judged], chosen: Sequence[bool] | None = None
) -> Way:
    pairs = [
        pair for place, pair in enumerate(zip(heard, true, strict=True))
        if chosen is None or chosen[place]
    ]  # fmt: skip
    over = [pair for pair in pairs if pair[0].wanted != "wait"]
    of = {wanted: [one for one, _ in pairs if one.wanted == wanted]
          for wanted in ("respond", "ignore", "wait")}  # fmt: skip

    def right(cases: Sequence[Judged]) -> Proportion:
        return share(sum(case.outcome == case.wanted for case in cases), len(cases))

    done = [one for one, _ in over]
    return Way(
        way=name,
        n=len(over),
        right=right(done),
        respond=right(of["respond"]),
        ignore=right(of["ignore"]),
        as_words=share(sum(one.outcome == other.outcome for one, other in over), len(over)),
        area=_area(of["respond"], of["ignore"], answers),
        over=_area(done, of["wait"], finished) if of["wait"] else None,
        sum_over=float(np.median([finished(one) for one in done])),
        sum_broken=float(np.median([finished(one) for one in of["wait"]])) if of["wait"] else None,
    )


def _area(
    ones: Sequence[Judged], others: Sequence[Judged], score: Callable[[Judged], float]
) -> Area:
    draw = np.random.default_rng(0)
    above, below = ([score(case) for case in cases] for cases in (ones, others))
    drawn = [
        area(draw.choice(above, len(above)).tolist(), draw.choice(below, len(below)).tolist())
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Area(area=area(above, below), low=float(low), high=float(high))
