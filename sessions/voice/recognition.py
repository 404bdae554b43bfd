"""Compare what a recogniser made of speech with what was said: word errors, and how late it was.

Words are compared without case and marks; a hyphen parts words, and in Chinese and Japanese each
character is one. Numbers in digits and in words are not the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, JsonValue

from duo.files import Record, Result
from duo.table import Column, Table
from duo.transcript import Transcript
from duo.words import Piece, cut


@dataclass(frozen=True)
class WordErrors:
    """What became of the words of an utterance, or of many.

    Attributes:
        words: that were said.
        wrong: substituted, left out and put in; so there may be more than `words`.
        delays: seconds from the end of each word that was understood to when it was handed on.
    """

    words: int = 0
    wrong: int = 0
    delays: tuple[float, ...] = ()

    @classmethod
    def together(cls, parts: Iterable[WordErrors]) -> WordErrors:
        """Unite those of several utterances."""
        found = list(parts)
        return cls(
            sum(part.words for part in found),
            sum(part.wrong for part in found),
            tuple(one for part in found for one in part.delays),
        )


def p50_p90(seconds: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the median and the 90th percentile; None without any."""
    if not seconds:
        return None, None
    median, p90 = np.quantile(seconds, [0.5, 0.9])
    return float(median), float(p90)


def word_errors(said: Iterable[Piece], heard: Iterable[Piece]) -> WordErrors:
    """Count the errors of words, and find the delays from `said` to `heard` (their ends)."""
    one, other = list(_bare(said)), list(_bare(heard))
    wrong, pairs = _aligned([word for word, _ in one], [word for word, _ in other])
    delays = tuple(round(other[b][1] - one[a][1], 3) for a, b in pairs)
    return WordErrors(len(one), wrong, delays)


def errors_of(transcript: Transcript) -> Iterator[tuple[str, WordErrors]]:
    """Yield the category of each utterance that a recogniser listened to, and its errors.

    Words that the recogniser took back count as heard until then and not at all in the end, so that
    words of a revision have no delay.
    """
    said: dict[str, list[Piece]] = {}
    heard: dict[str, list[Piece]] = {}
    for event in transcript.of("word"):
        said.setdefault(event.utterance, []).append(Piece(event.start, event.end, event.text))
    told = sorted(transcript.of("recognised", "revision"), key=lambda event: event.end)
    for event in told:
        piece = Piece(event.start, event.end, event.text)
        if event.kind == "revision":
            heard[event.utterance] = _kept(heard.get(event.utterance, ()), piece)
        else:
            heard.setdefault(event.utterance, []).append(piece)
    for event in transcript.of("utterance"):
        name = event.utterance
        yield event.category, word_errors(said.get(name, ()), heard.get(name, ()))


def _kept(before: Sequence[Piece], revision: Piece) -> list[Piece]:
    """Give the words of a revision that were heard before the times that they had."""
    words = [Piece(revision.start, revision.end, word) for word in cut(revision.text)]
    one, other = [list(_bare(pieces)) for pieces in (before, words)]
    _, pairs = _aligned([word for word, _ in one], [word for word, _ in other])
    ends = {b: one[a][1] for a, b in pairs}
    return [Piece(0.0, ends.get(place, end), word) for place, (word, end) in enumerate(other)]


def _bare(pieces: Iterable[Piece]) -> Iterator[tuple[str, float]]:
    """List the words that are compared, with the ends of their pieces."""
    for piece in pieces:
        text = unicodedata.normalize("NFKC", piece.text).casefold().replace("’", "'")
        for word in re.findall(r"\w+(?:'\w+)*", text):
            for part in cut(word):
                yield part, piece.end


def _aligned(one: Sequence[str], other: Sequence[str]) -> tuple[int, list[tuple[int, int]]]:
    """Find the Levenshtein distance, and which words are the same in the cheapest way."""
    costs = [list(range(len(other) + 1))]
    for a, word in enumerate(one, 1):
        row = [a]
        for b, heard in enumerate(other, 1):
            diagonal = costs[-1][b - 1] + (word != heard)
            row.append(min(diagonal, costs[-1][b] + 1, row[-1] + 1))
        costs.append(row)
    pairs = []
    a, b = len(one), len(other)
    while a and b:
        if costs[a][b] == costs[a - 1][b - 1] + (one[a - 1] != other[b - 1]):
            a, b = a - 1, b - 1
            if one[a] == other[b]:
                pairs.append((a, b))
        elif costs[a][b] == costs[a - 1][b] + 1:
            a -= 1
        else:
            b -= 1
    return costs[-1][-1], pairs[::-1]


class Group(Record):
    """The errors in utterances of one scenario, or of one category; delays are in seconds."""

    scenario: str = ""
    category: str = ""
    utterances: int
    words: int
    wrong: int
    delay_p50: float | None = None
    delay_p90: float | None = None


class Recognition(Result):
    """The JSON of `duo bench recogniser`: word errors of each scenario, each category, and all."""

    kind: Literal["recognition"] = "recognition"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    settings: dict[str, JsonValue] = Field(default={})
    groups: tuple[Group, ...] = ()

    def tables(self) -> list[Table]:
        categories = [one for one in self.groups if not one.scenario]
        scenarios = [one for one in self.groups if one.scenario]
        shown = {name: value for name, value in self.settings.items() if value}
        said = ", ".join(f"{name} {_plain(value)}" for name, value in shown.items())
        columns = (
            "utterances",
            "words",
            Column("errors %", "number", ".1f"),
            Column("delay p50 s", "number", ".2f"),
            Column("delay p90 s", "number", ".2f"),
        )
        return [
            Table(
                f"What the recogniser makes of speech ({said}), by {name}",
                (name, *columns),
                [
                    [
                        getattr(one, name) or "all", one.utterances, one.words,
                        100 * one.wrong / max(one.words, 1), one.delay_p50, one.delay_p90,
                    ]
                    for one in group
                ],
            )
            for name, group in (("category", categories), ("scenario", scenarios))
        ]  # fmt: skip


def _plain(value: JsonValue) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def recognition_of(
    transcripts: Iterable[Transcript], settings: dict[str, JsonValue]
) -> Recognition:
    """Gather the errors in conversations in which a recogniser listened."""
    by_scenario: dict[str, list[WordErrors]] = {}
    by_category: dict[str, list[WordErrors]] = {"": []}
    for transcript in transcripts:
        for category, errors in errors_of(transcript):
            by_scenario.setdefault(transcript.header.scenario, []).append(errors)
            by_category.setdefault(category, []).append(errors)
            by_category[""].append(errors)
    groups = [_group(found, category=name) for name, found in sorted(by_category.items())]
    groups += [_group(found, scenario=name) for name, found in by_scenario.items()]
    return Recognition(settings=settings, groups=tuple(groups))


def _group(found: Sequence[WordErrors], **of: str) -> Group:
    both = WordErrors.together(found)
    p50, p90 = p50_p90(both.delays)
    return Group(
        **of, utterances=len(found), words=both.words, wrong=both.wrong,
        delay_p50=p50, delay_p90=p90,
    )  # fmt: skip
