"""Make the scenario suites, short conversations, each for one event: 256, and 192 of other kinds.

Half of them (`dev`) are for tuning; the other half (`report`) is kept for figures that are
published. The halves share no topic, no wording and no name of a person. They are made, not stored,
and are the same on every machine and with every version of Python: `cells` says which there are,
`dev.yaml` and `report.yaml` hold topics and phrases, and draws with a fixed seed choose. They are
found as `suite:dev`, `suite:report`, `suite:dev-pause`, `suite:*-lower`, those of the other kinds
as `suite:more-dev`, `suite:more-report` (see `suite_scenarios`), and written out by `duo scenario
write`.

What is said. A topic gives an embedded question for each kind of event, some direct questions, a
setting and a remark. The symbols of the phrases put them together:

- `long`, `brief`: a first query that asks for an explanation, or for a short answer where the
  scenario waits until it is over. `{clause}` is the topic's.
- `turn_end`, `follow_up`: a question at the beginning, or after an answer.
- `pause`: a question with a pause where the words before it cannot be all; `|` is the pause.
- `interruption`: another question, often without any word of apology.
- `stop_request`: silence is wanted, not an answer.
- `backchannel`: at most three words that show one is listening.
- `third_party`: order, question or news for somebody else in the room.
- `background`: radio, announcements, shops; nobody in the room speaks.
- `statement`: something told that calls for no answer.

And of the other kinds, which are recorded and counted apart from these:

- `assent`: "yes, please" to a question of the assistant's, which ends a dialogue held before.
- `hold_request`: "bear with me"; when nobody has spoken for some seconds, the user comes back with
  a question, `resumed`.
- `correction`: no, not that, but another of the topic's clauses, `{other}`.
- `repetition_request`: what was just said is asked for again.
- `topic_change`: a question about another topic.
- `vocal_tic`: a cough, a sniff, an "um" and no more.

When. An event stands at the `opening` (about a second after the start), `during` the answer to a
first query (1.5 to 3 seconds after that answer began) or `after` it (a breath after its end).
These are start rules of a scenario, so they hold for any system and any length of answer. An answer
may be over before an event that is meant to fall into it; the event comes a breath after it then,
is what it is all the same, and the transcript shows that nobody was speaking. A system that has not
answered after ten seconds, or does not end its answer in thirty, gets the event too.

What is wanted. `LABELS` says which are queries; what is right after each is said in one place,
`wanted_after` in `evaluation/interaction/events.py`. In a transcript the event is the utterance
with the id `event`, and its category is the kind of event; a `turn_end` is of the category
`question` or `follow_up`, as is the first query, `first`, which ends a turn just as well.

So that nothing is confounded with anything, a half has one scenario for every kind of event,
speaking rate and recogniser (8 x 4 x 4 = 128). Where in a conversation the event stands, how long a
pause is and what is talked about follow by Latin squares over rate and recogniser: within a kind
every rate and every recogniser meets each of these equally often, and every topic comes once in
each kind, twice at each rate and twice with each recogniser (of the other six kinds: at three of
the rates).

The training data of this package have none of these sentences: a test compares the suite with the
phrases that they are drawn from (`duo/data/phrases.yaml`).
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import accumulate, product
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from duo.data.english import Style
from duo.data.phrases import Grammar, Phrases
from duo.errors import BadInput, misfit
from duo.transcript import Label
from duo.yaml_file import read_yaml
from sessions.scenario import Scenario

#: To be raised whenever a scenario changes, as figures from another suite are not comparable.
VERSION = 2
MORE_VERSION = 1

Half = Literal["dev", "report"]
EventKind = Literal[
    "pause", "backchannel", "third_party", "background",
    "turn_end", "interruption", "stop_request", "statement",
]  # fmt: skip
MoreKind = Literal[
    "assent", "hold_request", "correction", "repetition_request", "topic_change", "vocal_tic",
]  # fmt: skip
Position = Literal["opening", "during", "after"]
Places = tuple[Position, Position, Position, Position]
Recogniser = Literal["written", "unpunctuated", "lower", "revised"]

HALVES: tuple[Half, ...] = ("dev", "report")
RATES = (110, 140, 170, 200)  # words a minute
TOPICS = 16  # of a half
PAUSES = (1.2, 1.8, 2.4, 3.0)  # seconds
#: As people write; without marks; in lower case without marks; as people write, but with a word
#: that is first misheard and corrected while the user goes on.
RECOGNISERS: tuple[Recogniser, ...] = ("written", "unpunctuated", "lower", "revised")


class Event(NamedTuple):
    """A kind of event.

    Attributes:
        label: whether it wants an answer.
        text: what it is, in words.
        positions: where it stands, in a quarter of the kind's scenarios each: before anything else
            was said, while the answer to a first query is being given, or after it.
    """

    label: Label
    text: str
    positions: Places


_EVERYWHERE: Places = ("opening", "during", "during", "after")
_OUTSIDE: Places = ("opening", "after", "opening", "after")
_DURING: Places = ("during", "during", "during", "during")
_LATE: Places = ("during", "during", "during", "after")
_IN_OR_AFTER: Places = ("during", "after", "during", "after")
EVENTS: dict[EventKind, Event] = {
    "pause": Event("query", "A question with a pause", _OUTSIDE),
    "backchannel": Event("non_query", "A backchannel", _LATE),
    "third_party": Event("non_query", "Words to somebody else", _EVERYWHERE),
    "background": Event("non_query", "Background speech", _EVERYWHERE),
    "turn_end": Event("query", "A plain question", _OUTSIDE),
    "interruption": Event("query", "An interruption with another question", _DURING),
    "stop_request": Event("query", "A request to stop", _DURING),
    "statement": Event("non_query", "A statement", _EVERYWHERE),
}
MORE_EVENTS: dict[MoreKind, Event] = {
    "assent": Event("query", "An assent to an offer", ("opening", "opening", "opening", "opening")),
    "hold_request": Event("query", "A request to hold and a return", _LATE),
    "correction": Event("query", "A correction", _LATE),
    "repetition_request": Event("query", "A request to repeat", _IN_OR_AFTER),
    "topic_change": Event("query", "A change of topic", _IN_OR_AFTER),
    "vocal_tic": Event("non_query", "A vocal tic", _EVERYWHERE),
}
EVENT_KINDS: tuple[EventKind, ...] = tuple(EVENTS)
MORE_KINDS: tuple[MoreKind, ...] = tuple(MORE_EVENTS)
LABELS = {kind: event.label for kind, event in (EVENTS | MORE_EVENTS).items()}
#: What the names of the other kinds' scenarios begin with.
MORE = "more-"


@dataclass(frozen=True)
class Cell:
    """One scenario of the plan.

    Attributes:
        recogniser: who writes down what the user says.
        position: where the event stands.
        pause: how long a pause in the event's words is, if there is one, in seconds.
        topic: number of the half's topic.
    """

    half: Half
    event: EventKind | MoreKind
    words_per_minute: int
    recogniser: Recogniser
    position: Position
    pause: float
    topic: int

    @property
    def name(self) -> str:
        """The scenario's name, by which cells can be picked: `dev-pause-110-lower`."""
        more = MORE if self.event in MORE_EVENTS else ""
        return f"{more}{self.half}-{self.event}-{self.words_per_minute}-{self.recogniser}"


def cells(more: bool = False) -> Iterator[Cell]:
    """List all scenarios, half by half, kind by kind; or `more`, those of the other kinds."""
    kinds: Mapping[Any, Event] = MORE_EVENTS if more else EVENTS
    events = enumerate(kinds)
    for half, (number, event), rate, place in product(HALVES, events, range(4), range(4)):
        # Each kind shifts the topics by another step of a path on the 4 x 4 board that visits every
        # row and every column twice.
        row = (rate - number // 2) % 4
        column = (place - number // 2 - number % 2) % 4
        yield Cell(
            half=half,
            event=event,
            words_per_minute=RATES[rate],
            recogniser=RECOGNISERS[place],
            position=kinds[event].positions[(rate + place) % 4],
            pause=PAUSES[(rate - place) % 4],
            topic=4 * row + column,
        )


#: Kinds of event that ask a direct question.
Question = Literal["pause", "turn_end", "interruption"]

#: Topics have a clause for each of the first kinds. The other kinds take the same ones: that of the
#: first query, and another one to come to (what is offered, or is asked for in its place).
_CLAUSE_OF: dict[Any, EventKind] = dict(zip(MORE_KINDS, EVENT_KINDS, strict=False))
_OTHER_CLAUSE: EventKind = "statement"
_ASK_OF: dict[Any, Question] = {
    **dict(zip(get_args(Question), get_args(Question), strict=True)),
    "hold_request": "turn_end",
    "topic_change": "interruption",
}


class _Phrases(Phrases):
    given = ("about", "clause", "other", "ask", "ask_head", "ask_tail", "setting", "remark")
    drawn = ("long", "brief", "follow_up", *EVENT_KINDS, "wish", "offer", "resumed", *MORE_KINDS)


class Topic(BaseModel):
    """The subject of a scenario; `dev.yaml` says what each text is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    about: str
    clauses: dict[EventKind, str]
    asks: dict[Question, str]
    setting: str
    remark: str

    @model_validator(mode="after")
    def _has_a_text_for_each_kind(self) -> Topic:
        for field, kinds in (("clauses", EVENT_KINDS), ("asks", get_args(Question))):
            for kind in kinds:
                if kind not in getattr(self, field):
                    raise misfit(f"has no text for {kind}", field)
        return self


class Texts(BaseModel):
    """Topics and phrases of a half of the suite."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phrases: _Phrases
    topics: tuple[Topic, ...]

    @model_validator(mode="after")
    def _has_a_topic_for_each_number(self) -> Texts:
        if len(self.topics) != TOPICS:
            raise misfit(f"must be {TOPICS} topics, not {len(self.topics)}", "topics")
        return self


class _Misheard(BaseModel):
    """Words that common words are taken for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sounds_like: dict[str, str]


@cache
def _texts(half: Half) -> tuple[tuple[Topic, ...], Grammar]:
    texts = read_yaml(Path(__file__).with_name(f"{half}.yaml")).validated(Texts)
    return texts.topics, Grammar(texts.phrases.root)


@cache
def _sounds_like() -> dict[str, str]:
    return read_yaml(Path(__file__).with_name("misheard.yaml")).validated(_Misheard).sounds_like


#: Start rules and their seconds: no whole cycles of any usual length, so that words begin anywhere.
_STARTS = {
    "opening": ("at", (0.7, 0.95, 1.2, 1.45)),
    "during": ("into_answer", (1.5, 1.95, 2.4, 2.85)),
    "after": ("after_answer", (0.8, 1.05, 1.3, 1.55)),
}
#: Seconds of silence after a request to hold, after which the user comes back: long enough that
#: the request and the question are not taken for one (`duo.speech.GRACE`).
_HELD = (3.6, 4.1, 4.6, 5.1)
#: Seconds after which an event comes though an answer does not end.
_LONGEST_WAIT = 30
_PLACES = {
    "opening": "at the beginning",
    "during": "while an answer is being given",
    "after": "after an answer",
}


class Draws(Random):
    """Draws by `random()` alone, whose sequence for a text as seed Python guarantees."""

    def choices(  # type: ignore[override]
        self, population: Sequence[Any], weights: Sequence[int] | None = None, *, k: int = 1
    ) -> list[Any]:
        totals = list(accumulate(weights or [1] * len(population)))
        return [population[bisect(totals, self.random() * totals[-1])] for _ in range(k)]


def suite_scenarios(pattern: str = "") -> tuple[Scenario, ...]:
    """Find the scenarios whose names begin with a pattern.

    Args:
        pattern: the beginning of names, such as "dev" or "report-pause-110"; `*` and `?` stand for
            any characters and for one. Only one that begins with "more" finds the other kinds.

    Raises:
        BadInput: no name begins so.
    """
    among = _all(more=pattern.startswith(MORE[:-1]))
    found = tuple(scenario for scenario in among if fnmatchcase(scenario.name, f"{pattern}*"))
    if not found:
        examples = "suite:dev, suite:report, suite:dev-pause, suite:*-lower, suite:more-dev"
        raise BadInput(f"no scenario of the suite is called {pattern!r}: try {examples}")
    return found


@cache
def _all(more: bool) -> tuple[Scenario, ...]:
    said: set[str] = set()  # how the utterances of the scenarios before one end
    return tuple(_scenario(cell, said) for cell in cells(more))


def _scenario(cell: Cell, said: set[str]) -> Scenario:
    """Make the scenario of one cell; `said` is how the utterances of those before it end."""
    topic = _texts(cell.half)[0][cell.topic]
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
    made: dict[str, Any] = {}
    if cell.event == "hold_request":
        text = _draw("resumed", topic, cell, said)
        heard = heard_as([text], cell.recogniser, Draws(f"{cell.name}/resumed"))
        back = {"after_answer": _drawn(_HELD, f"{cell.name}/held")}
        utterances.append({"id": "resumed", **back, "label": "query", "kind": "follow_up", **heard})
    if cell.event == "assent":
        write, seed = _WRITINGS[cell.recogniser].apply, f"{cell.name}/wish"
        made["context"] = [
            {"user": write(_draw("wish", topic, cell, said), Draws(seed))},
            {"assistant": _draw("offer", topic, cell, said)},
        ]
    what = (EVENTS | MORE_EVENTS)[cell.event].text
    version = f"more {MORE_VERSION}" if cell.event in MORE_EVENTS else VERSION
    return Scenario.model_validate(
        {
            "name": cell.name,
            "language": "en",
            "description": f"{what} {_PLACES[cell.position]}: {topic.about} (suite {version}).",
            "defaults": {"words_per_minute": cell.words_per_minute, "longest_wait": _LONGEST_WAIT},
            **made,
            "utterances": utterances,
        }
    )


def _draw(symbol: str, topic: Topic, cell: Cell, said: set[str]) -> str:
    """Draw a text that does not end as another of this half, so that words vary."""
    topics, grammar = _texts(cell.half)
    asked = topics[(cell.topic + TOPICS // 2) % TOPICS] if symbol == "topic_change" else topic
    ask = asked.asks[_ASK_OF.get(cell.event, "pause")]
    head = ask.split()[:2]
    given = {
        "about": topic.about,
        "clause": topic.clauses[_CLAUSE_OF.get(cell.event, cell.event)],  # type: ignore[arg-type]
        "other": topic.clauses[_OTHER_CLAUSE],
        "ask": ask,
        "ask_head": " ".join(head),
        "ask_tail": " ".join(ask.split()[len(head) :]),
        "setting": topic.setting,
        "remark": topic.remark,
    }
    for attempt in range(1000):
        random = Draws(f"{cell.name}/{symbol}/{attempt}")
        text = grammar.draw(symbol, random, **given)
        key = f"{cell.half}/{' '.join(text.lower().split()[-3:])}"
        if key not in said:
            said.add(key)
            return text
    raise BadInput(
        "has too few alternatives for utterances that all end in other words",
        file=f"{cell.half}.yaml",
        field=f"phrases.{symbol}",
    )


def _start(cell: Cell, position: str, seed: str) -> dict[str, float]:
    rule, times = _STARTS[position]
    return {rule: _drawn(times, seed)}


def _drawn(times: Sequence[float], seed: str) -> float:
    return times[int(Draws(seed).random() * len(times))]


# How the recogniser of a scenario writes down what is said.

_WRITINGS: dict[Recogniser, Style] = {
    "written": Style(),
    "unpunctuated": Style("written", "none"),
    "lower": Style("lower", "none"),
    "revised": Style(),
}
#: Seconds after its end at which a misheard word is corrected.
_DELAY = 0.3
#: Words of a stretch that follow a misheard word where there is room, so that the correction comes
#: while the user is speaking and not into a silence.
_ROOM = 4

#: A word of five letters or more may be heard in part.
_LONG = 5
_LETTERS = re.compile(r"[^\W\d_][\w'’]*")


def heard_as(stretches: Sequence[str], recogniser: Recogniser, random: Random) -> dict[str, Any]:
    """Make the fields `say` and `revisions` of an utterance, all its stretches in one writing.

    Args:
        stretches: what is said, cut where the user pauses.
        recogniser: who writes it down.
    """
    writing = _WRITINGS[recogniser]
    texts = [writing.apply(stretch, random) for stretch in stretches]
    if recogniser != "revised":
        return {"say": texts}
    before, place = _misheard_word(texts, random)
    words = [text.split() for text in texts]
    corrected = " ".join([word for stretch in words for word in stretch][: place + 1])
    heard, inside = next(
        (stretch, place - first)
        for stretch, first in zip(words, before, strict=True)
        if place - first < len(stretch)
    )
    heard[inside] = misheard(heard[inside])
    return {
        "say": [" ".join(stretch) for stretch in words],
        "revisions": [{"after_words": place + 1, "text": corrected, "delay": _DELAY}],
    }


def misheard(word: str) -> str:
    """Mishear a word: as one that sounds like it, or else as its own beginning.

    >>> misheard("Which"), misheard("greenhouse,")
    ('Witch', 'green,')
    """
    found = _LETTERS.search(word)
    if found is None:
        return f"{word}-"
    plain = found[0]
    beginning = plain[: (len(plain) + 1) // 2]
    wrong = _sounds_like().get(plain.lower()) or (beginning if beginning != plain else "uh")
    if plain[:1].isupper():
        wrong = wrong[:1].upper() + wrong[1:]
    return word[: found.start()] + wrong + word[found.end() :]


def _misheard_word(texts: Sequence[str], random: Random) -> tuple[list[int], int]:
    """Count the words before each stretch, and draw which word of all is misheard."""
    words = [word for text in texts for word in text.split()]
    counts = [len(text.split()) for text in texts]
    before = [sum(counts[:place]) for place in range(len(counts))]
    roomy = [
        first + place
        for first, count in zip(before, counts, strict=True)
        for place in range(count - _ROOM)
    ]
    places = roomy or list(range(counts[0]))
    places = [place for place in places if _is_easily_misheard(words[place])] or places
    return before, places[int(random.random() * len(places))]


def _is_easily_misheard(word: str) -> bool:
    found = _LETTERS.search(word)
    return found is not None and (found[0].lower() in _sounds_like() or len(found[0]) >= _LONG)
