"""Conversations written by hand, for pictures and pages to be tested on."""

from __future__ import annotations

from collections import defaultdict

from duo.decoding.conversant import CycleResult, Event, Kind
from duo.transcript import Header, Label, Transcript
from sessions.play import TranscriptBuilder

STEPS = 4


class Story:
    """A conversation told in any order; `transcript()` writes it down cycle by cycle.

    A cycle lasts one second and has four steps. Words are heard at three a second, tokens (here:
    words) spoken at four a second.
    """

    def __init__(self, system: str = "duo", scenario: str = "story", language: str = "en") -> None:
        header = Header(
            system=system, model="hand", scenario=scenario, language=language, cycle_seconds=1.0
        )
        self.builder = TranscriptBuilder(header)
        self._events: dict[int, list[Event]] = defaultdict(list)
        self._said = 0

    def hears(
        self, text: str, at: float, label: Label | None = "query", category: str = "question"
    ) -> float:
        """The user says `text` from `at` on; when the last word ends."""
        self._said += 1
        name, end = f"u{self._said}", at
        for number, word in enumerate(text.split(" ")):
            start, end = at + number / 3, at + (number + 1) / 3
            heard = word if number == 0 else f" {word}"
            self.builder.word(heard, start=start, end=end, cycle=int(end), utterance=name)
        self.builder.utterance(
            name, text, start=at, end=end, cycle=int(end), label=label, category=category
        )
        return end

    def happens(self, kind: Kind, at: float, text: str = "", by: str = "") -> None:
        """Something happens in the system at `at`, to a quarter of a second."""
        step = round(at * STEPS)
        cycle, step = divmod(step, STEPS)
        self._events[cycle].append(Event(kind, text, step, STEPS, by))

    def says(self, text: str, at: float, ends: Kind | None = Kind.ANSWER_END) -> float:
        """The system says `text` from `at` on, then the answer ends; when."""
        first = round(at * STEPS)
        words = text.split(" ")
        for number, word in enumerate(words):
            cycle, step = divmod(first + number, STEPS)
            piece = word if number == 0 else f" {word}"
            self._events[cycle].append(Event(Kind.SPEECH, piece, step + 1, STEPS))
        end = (first + len(words)) / STEPS
        if ends:
            self.happens(ends, end)
        return end

    def transcript(self) -> Transcript:
        """The whole conversation."""
        for cycle, events in sorted(self._events.items()):
            result = CycleResult(tuple(events), forward_passes=STEPS, tokens_processed=6)
            self.builder.cycle(result, cycle=cycle, start=cycle, seconds=1.0, utterance="u1")
        self._events.clear()
        return self.builder.transcript()


def interrupted(system: str = "duo", by: str = "state") -> Transcript:
    """A question, a remark that is ignored, an interruption that is answered."""
    story = Story(system, "weekend")
    end = story.hears("Could you plan a quiet weekend in Lisbon for me?", 0.0)
    story.happens(Kind.FORK, 1.0)
    story.happens(Kind.PREDICTED, end + 0.7, "for me and" + ("<1>" if by == "state" else ""))
    story.happens(Kind.RESPOND, end + 0.75, by=by)
    answer = (
        "Gladly. On Saturday morning you could walk through Alfama while it is still cool, have "
        "coffee on the square by the cathedral and take the old tram up to the castle walls, where "
        "the whole town lies at"
    )
    story.says(answer, end + 0.75, ends=None)
    remark = story.hears("That sounds lovely.", 8.0, "non_query", "backchannel")
    story.happens(Kind.FORK, 9.0)
    story.happens(Kind.PREDICTED, remark + 0.5, " I really like that <2>")
    story.happens(Kind.IGNORE, remark + 0.75, by=by)
    asked = story.hears("Wait, what if it rains on Saturday?", 11.0, "query", "interruption")
    story.happens(Kind.FORK, 11.25)
    story.happens(Kind.PREDICTED, asked + 0.6, " all day long? <1>")
    story.happens(Kind.RESPOND, asked + 0.75, by=by)
    story.happens(Kind.CUT, asked + 0.75, " castle walls, where the whole town lies at")
    story.says("Then start with the tile museum, which is open till six.", asked + 1.0)
    return story.transcript()


def waiting(system: str = "turn-based") -> Transcript:
    """The same user, and a system that waits for silence and hears nothing while it speaks."""
    story = Story(system, "weekend")
    end = story.hears("Could you plan a quiet weekend in Lisbon for me?", 0.0)
    story.happens(Kind.RESPOND, end + 2.0, by="patience")
    end = story.says(
        "On Saturday walk through Alfama, on Sunday take the train to Sintra.", end + 2
    )
    story.hears("That sounds lovely.", 8.0, "non_query", "backchannel")
    end = story.hears("Wait, what if it rains on Saturday?", end + 1.0, "query", "interruption")
    story.happens(Kind.RESPOND, end + 2.0, by="patience")
    story.says("Then start with the tile museum.", end + 2.0)
    story.happens(Kind.NOTE, end + 4.0, "two old turns were dropped to stay within the limit")
    return story.transcript()


def chinese() -> Transcript:
    """A conversation without blanks, and with a revision by the recogniser."""
    story = Story("duo", "天气", language="zh")
    story.builder.word("今天北京的", start=0.0, end=1.0, cycle=1, utterance="u1")
    story.builder.word("天汽怎么样？", start=1.0, end=2.2, cycle=2, utterance="u1")
    story.builder.revision("今天北京的天气怎么样？", at=2.3, cycle=2, utterance="u1")
    story.builder.utterance(
        "u1",
        "今天北京的天气怎么样？",
        start=0,
        end=2.2,
        cycle=2,
        label="query",
        category="question",
    )
    story.happens(Kind.FORK, 1.0)
    story.happens(Kind.RESPOND, 3.0, by="state")
    for number, piece in enumerate(("今天", "北京", "晴，", "最高", "气温", "二十", "五度。")):
        cycle, step = divmod(12 + number, STEPS)
        story._events[cycle].append(Event(Kind.SPEECH, piece, step + 1, STEPS))
    story.happens(Kind.ANSWER_END, 4.75)
    return story.transcript()


def hostile() -> Transcript:
    """Words that would like to be markup, control characters, formulas or code."""
    evil = (
        "<script>alert('x')</script> </svg><img src=x onerror=alert(1)> $\\frac{1}{0}$ {{7*7}} "
        "\x1b[31mred\x00\x07 \u202ereversed &amp; ]]> --> \"' [bold]rich[/] javascript:alert(2)"
    )
    story = Story("<b onmouseover=alert(3)>duo</b>", "</title><script>alert(4)</script>")
    end = story.hears(evil, 0.0, "query", "</details><b>")
    story.happens(Kind.FORK, 1.0)
    story.happens(Kind.PREDICTED, end + 0.5, "<script>alert(6)</script> <1>")
    story.happens(Kind.RESPOND, end + 0.75, by="<i>state</i>")
    story.says(evil, end + 1)
    story.happens(Kind.NOTE, end + 2, "<style>*{display:none}</style>")
    return story.transcript()
