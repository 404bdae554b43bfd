"""From the plan to scenarios: the same on every machine and with every version of Python."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import Any

from duo.data.phrases import Grammar
from duo.transcript import Label
from sessions.scenario import Scenario
from sessions.suite import dev_phrases, dev_topics, report_phrases, report_topics
from sessions.suite.plan import EVENT_KINDS, Cell, EventKind, Half, cells
from sessions.suite.recogniser import heard_as
from sessions.suite.topic import Topic

_TOPICS: dict[Half, tuple[Topic, ...]] = {
    "dev": dev_topics.TOPICS,
    "report": report_topics.TOPICS,
}
_GRAMMARS: dict[Half, Grammar] = {"dev": dev_phrases.GRAMMAR, "report": report_phrases.GRAMMAR}

LABELS: dict[EventKind, Label] = {
    kind: "query" if kind in ("pause", "turn_end", "interruption", "stop_request") else "non_query"
    for kind in EVENT_KINDS
}
#: Which of a topic's direct questions a kind of event asks.
_ASKS: dict[EventKind, int] = {"pause": 0, "turn_end": 1, "interruption": 2}
_RULES = {"opening": "at", "during": "into_answer", "after": "after_answer"}
#: Seconds of the start rules: no whole cycles of any usual length, so that words begin anywhere.
_STARTS = {
    "opening": (0.7, 0.95, 1.2, 1.45),
    "during": (1.5, 1.95, 2.4, 2.85),
    "after": (0.8, 1.05, 1.3, 1.55),
}
#: Seconds after which an event comes though an answer does not end.
_LONGEST_WAIT = 30
_SPOKEN = {
    "pause": "A question with a pause",
    "backchannel": "A backchannel",
    "third_party": "Words to somebody else",
    "background": "Background speech",
    "turn_end": "A plain question",
    "interruption": "An interruption with another question",
    "stop_request": "A request to stop",
    "statement": "A statement",
}
_PLACES = {
    "opening": "at the beginning",
    "during": "while an answer is being given",
    "after": "after an answer",
}


class Draws(Random):
    """Random numbers by a text as seed; uses `random()` alone, whose sequence Python guarantees."""

    def choices(  # type: ignore[override]
        self, population: Sequence[Any], weights: Sequence[int] | None = None, *, k: int = 1
    ) -> list[Any]:
        totals = list(accumulate(weights or [1] * len(population)))
        return [population[bisect(totals, self.random() * totals[-1])] for _ in range(k)]


def generate(version: int) -> Iterator[Scenario]:
    """All scenarios of the suite, whose descriptions say its version."""
    said: set[str] = set()
    for cell in cells():
        yield _scenario(cell, version, said)


def _scenario(cell: Cell, version: int, said: set[str]) -> Scenario:
    """The scenario of one cell; `said` is how the utterances of those before it end."""
    topic = _TOPICS[cell.half][cell.topic]
    utterances = []
    if cell.position != "opening":
        symbol = "long" if cell.position == "during" else "brief"
        text = _draw(symbol, topic, cell, said)
        heard = heard_as([text], cell.recogniser, Draws(f"{cell.name}/first"))
        start = _start(cell, "opening", f"{cell.name}/opening")
        utterances.append({"id": "first", **start, "label": "query", "kind": "question", **heard})
    symbol, kind = str(cell.event), str(cell.event)
    if cell.event == "turn_end":
        kind = "question" if cell.position == "opening" else "follow_up"
        symbol = "turn_end" if cell.position == "opening" else "follow_up"
    text = _draw(symbol, topic, cell, said)
    stretches = text.split(" | ")
    heard = heard_as(stretches, cell.recogniser, Draws(f"{cell.name}/event"))
    if len(stretches) > 1:
        before, after = heard["say"]
        heard["say"] = [before, {"pause": cell.pause}, after]
    start = _start(cell, cell.position, f"{cell.name}/{cell.position}")
    utterances.append({"id": "event", **start, "label": LABELS[cell.event], "kind": kind, **heard})
    return Scenario.model_validate(
        {
            "name": cell.name,
            "language": "en",
            "description": f"{_SPOKEN[cell.event]} {_PLACES[cell.position]}: {topic.about} "
            f"(suite {version}).",
            "defaults": {
                "words_per_minute": cell.words_per_minute,
                "longest_wait": _LONGEST_WAIT,
            },
            "utterances": utterances,
        }
    )


def _draw(symbol: str, topic: Topic, cell: Cell, said: set[str]) -> str:
    """A text for a symbol that does not end as another of this half, so that words vary."""
    ask = topic.asks[_ASKS.get(cell.event, 0)]
    head = ask.split()[:2]
    given = {
        "about": topic.about,
        "clause": topic.clauses[EVENT_KINDS.index(cell.event)],
        "ask": ask,
        "ask_head": " ".join(head),
        "ask_tail": " ".join(ask.split()[len(head) :]),
        "setting": topic.setting,
        "remark": topic.remark,
    }
    for attempt in range(1000):
        random = Draws(f"{cell.name}/{symbol}/{attempt}")
        text = _GRAMMARS[cell.half].draw(symbol, random, **given)
        key = f"{cell.half}/{' '.join(text.lower().split()[-3:])}"
        if key not in said:
            said.add(key)
            return text
    raise RuntimeError(f"{symbol} has too few forms")


def _start(cell: Cell, position: str, seed: str) -> dict[str, float]:
    times = _STARTS[position]
    return {_RULES[position]: times[int(Draws(seed).random() * len(times))]}
