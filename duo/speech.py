"""Say what a conversation consists of: words, utterances, answers, decisions and whose they are.

Metrics, pictures, cost tables, captions, players and the terminal take the `Conversation` that
`duo.reading` makes of a transcript and choose only what to show of it. The rule:

- **Whose answer** one is (`exchanges_of`): that of the last utterance that began before it. If that
  one is a non-query while a query before it is still waiting (not answered, and not ignored by a
  decision that the system reports), it belongs to the query. What an answer was given up for is
  found the same way.
- **Speech** lasts from a word's start to its end: silence between words, however short, is not
  speech, and both speak where words of both sides overlap. Pictures bridge breaths
  (`duo.words.bridge_breaths`), which changes no number.
- **Waits** are the seconds from a query's end to the first answer of its own that begins after it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

from duo.transcript import WANT_SILENCE, Label
from duo.waits import Waits
from duo.words import BREATH, Interval, Piece, Word, common, joined

#: Silence inside an utterance counts as a pause from this length on (seconds), and so does silence
#: of a system around a query's end, if its cycles are not longer.
SHORTEST_PAUSE = 0.5

#: A query that another follows within this many seconds is answered together with that.
GRACE = 3.0

#: How an answer ended: the system said so ("complete"), gave it up for something that the user said
#: ("cut"), or did not say ("open").
Ending = Literal["complete", "cut", "open"]

#: What a sentence ends with.
_SENTENCE_ENDS = (*".!?:…。！？：”\"')）」』", "—", "–")


@dataclass(frozen=True)
class Utterance:
    """One utterance of the user, in seconds on the conversation's clock.

    Attributes:
        label: None where nobody said what it is, or the recording ends in it.
        signs: its text if there is no word in it.
    """

    name: str
    start: float
    end: float
    text: str
    label: Label | None
    category: str
    words: tuple[Word, ...]
    signs: tuple[Word, ...] = ()

    @property
    def shown(self) -> tuple[Word, ...]:
        """All of its text."""
        return self.words or self.signs

    @property
    def is_query(self) -> bool:
        """True unless it is known that no answer is wanted."""
        return self.label != "non_query"

    @property
    def pauses(self) -> list[Interval]:
        """Silences between its words that are `SHORTEST_PAUSE` or longer."""
        gaps = [(a.end, b.start) for a, b in pairwise(self.words)]
        return [(a, b) for a, b in gaps if round(b - a, 6) >= SHORTEST_PAUSE]


@dataclass(frozen=True)
class Answer:
    """Words of the system that belong together.

    Attributes:
        words: what was said; at least one word, but in `Conversation.wordless`.
        pieces: the pieces of it as they were said; the recorder writes one for each token.
        ending: see `Ending`.
        ended: when it ended: its last word's end, or the moment at which it was cut.
        forgotten: the words from this moment on were dropped from the system's memory; None for
            none.
        seamless: it is told apart from the words before it only because a query ended there, while
            a system that reports no decisions spoke on.
        signs: its text if there is no word in it.
        limited: it was ended by the limit on answers with which the system was recorded, as that
            says itself; it is complete as far as the system goes.
    """

    words: tuple[Word, ...]
    pieces: tuple[Piece, ...]
    ending: Ending
    ended: float
    forgotten: float | None = None
    seamless: bool = False
    signs: tuple[Word, ...] = ()
    limited: bool = False

    @property
    def shown(self) -> tuple[Word, ...]:
        """All of its text."""
        return self.words or self.signs

    @property
    def start(self) -> float:
        return self.shown[0].start if self.shown else self.ended

    @property
    def end(self) -> float:
        """The end of its last word."""
        return self.shown[-1].end if self.shown else self.ended

    @property
    def text(self) -> str:
        """The words that were said, as one text."""
        return joined(self.shown)

    def words_from(self, moment: float) -> tuple[Word, ...]:
        """Select the words that begin at this moment or later."""
        return tuple(word for word in self.words if word.start >= moment)


@dataclass(frozen=True)
class Decision:
    """The system's decision about an utterance.

    Attributes:
        by: "state" (a state token), "patience" (silence alone), "revision", or "" if not said.
        expected: the last look-ahead before the decision, state tokens left out.
        utterance: the name of the utterance that was being heard.
    """

    at: float
    action: Literal["respond", "ignore"]
    by: str
    expected: str = ""
    utterance: str = ""


@dataclass(frozen=True)
class Remark:
    """Words about the conversation that belong to a moment of it."""

    at: float
    text: str


@dataclass(frozen=True)
class Cycle:
    """The cost of one cycle; cycles without a forward pass are not written down."""

    start: float
    end: float
    forward_passes: int
    tokens_processed: int


@dataclass(frozen=True)
class Exchange:
    """An utterance and what the system made of it.

    Attributes:
        answers: the answers that belong to it, in order.
        old: the answer that was being given when it began; None if there was silence.
        given_up: whether that answer was given up for it.
        overtaken: whether it is a query that was not answered before the next, which followed
            within `GRACE` seconds.
        before: the last query before it; "" if there is none.
    """

    utterance: Utterance
    answers: tuple[Answer, ...]
    old: Answer | None
    given_up: bool
    overtaken: bool
    before: str = ""

    @property
    def reply(self) -> Answer | None:
        """The first answer of its own that begins after its end."""
        return next((a for a in self.answers if a.start >= self.utterance.end), None)

    @property
    def wait(self) -> Interval | None:
        """From a query's end to its reply; None without one, or if the system only spoke on.

        A request for silence waits for no reply, and an overtaken query has none of its own.
        """
        said, reply = self.utterance, self.reply
        waits = said.is_query and said.category not in WANT_SILENCE and not self.overtaken
        if not waits or reply is None or reply.seamless:
            return None
        return said.end, reply.start


@dataclass(frozen=True)
class Conversation:
    """What was said and decided in one transcript.

    Attributes:
        system, model, scenario, control_of, settings, cycle_seconds: of its header.
        seconds: when its last event ends.
        utterances: by their start.
        answers: by their start.
        wordless: answers in which no word was spoken: only signs, or nothing at all (a stop request
            is answered by silence).
        decisions, forks, revisions, notes: by their time.
        cycles: by their start; empty for a system whose costs nobody counted.
        decides: whether the system reports decisions (forks, responses, ignored utterances).
        dropped_words: words that the system expected to hear and then threw away; None if it
            expects nothing.
        seconds_per_pass: machine time of a forward pass on average, if a manifest says it.
    """

    system: str
    model: str
    scenario: str
    cycle_seconds: float
    utterances: tuple[Utterance, ...]
    answers: tuple[Answer, ...]
    seconds: float = 0.0
    control_of: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    wordless: tuple[Answer, ...] = ()
    decisions: tuple[Decision, ...] = ()
    forks: tuple[float, ...] = ()
    revisions: tuple[Remark, ...] = ()
    notes: tuple[Remark, ...] = ()
    cycles: tuple[Cycle, ...] = ()
    decides: bool = False
    dropped_words: int | None = None
    file: str = ""
    seconds_per_pass: float | None = None

    @property
    def breath(self) -> float:
        """Silence of this length or longer breaks an answer; see `BREATH`."""
        return max(self.cycle_seconds, BREATH)

    @property
    def forward_passes(self) -> int:
        """Forward passes of all cycles."""
        return sum(cycle.forward_passes for cycle in self.cycles)

    @property
    def tokens_processed(self) -> int:
        """Tokens that went through the model, of all channels."""
        return sum(cycle.tokens_processed for cycle in self.cycles)

    @property
    def words_spoken(self) -> int:
        """Words of all answers."""
        return sum(len(answer.words) for answer in self.answers)

    @property
    def pieces_spoken(self) -> int:
        """Pieces of all answers: tokens, in the recorder's transcripts."""
        return sum(len(answer.pieces) for answer in self.answers)

    @property
    def user_speech(self) -> list[Interval]:
        """The user's words, as intervals."""
        return [(word.start, word.end) for u in self.utterances for word in u.words]

    @property
    def system_speech(self) -> list[Interval]:
        """The system's words, as intervals."""
        return [(word.start, word.end) for answer in self.answers for word in answer.words]

    @property
    def user_waits(self) -> Waits:
        """How long the user waited before speaking again."""
        return Waits.of([(one.start, one.end) for one in self.utterances], self.system_speech)

    @cached_property
    def overlaps(self) -> list[Interval]:
        """The intervals in which both speak at once."""
        return common(self.user_speech, self.system_speech)

    @cached_property
    def exchanges(self) -> list[Exchange]:
        """Every utterance with the answers that belong to it."""
        return exchanges_of(self)

    def written(self, answer: Answer) -> tuple[Word, ...]:
        """Return an answer's text for readers: with a dash if it breaks off in a sentence."""
        breaks = (
            answer.limited
            or answer.ending == "cut"
            or any(one.given_up and one.old is answer for one in self.exchanges)
        )
        if not breaks or not answer.words or answer.words[-1].text.endswith(_SENTENCE_ENDS):
            return answer.shown
        *before, last = answer.words
        return (*before, replace(last, text=f"{last.text}—"))

    @property
    def interruptions(self) -> list[Utterance]:
        """The utterances that began while an answer was being given."""
        return [exchange.utterance for exchange in self.exchanges if exchange.old is not None]

    @property
    def waits(self) -> list[Interval]:
        """From the end of each query that was replied to until the reply began."""
        return [exchange.wait for exchange in self.exchanges if exchange.wait is not None]

    def passes_between(self, start: float, end: float) -> float | None:
        """Count forward passes from one moment to another; None if nobody counted them.

        The passes of a cycle are spread evenly over it.
        """
        if not self.cycles:
            return None
        return round(self._passes_by(end) - self._passes_by(start), 6)

    def _passes_by(self, moment: float) -> float:
        number = bisect_right(self._starts, moment)
        if not number:
            return 0.0
        cycle = self.cycles[number - 1]
        length = cycle.end - cycle.start
        share = min((moment - cycle.start) / length, 1.0) if length > 0 else 1.0
        return self._passes_before[number - 1] + share * cycle.forward_passes

    @cached_property
    def _starts(self) -> list[float]:
        return [cycle.start for cycle in self.cycles]

    @cached_property
    def _passes_before(self) -> list[int]:
        totals = [0]
        for cycle in self.cycles:
            totals.append(totals[-1] + cycle.forward_passes)
        return totals


def exchanges_of(conversation: Conversation) -> list[Exchange]:
    """Pair every utterance with the answers that belong to it; the module says by what rule."""
    utterances = conversation.utterances
    owned: list[list[Answer]] = [[] for _ in utterances]
    given_up_for: dict[int, int | None] = {}
    replied: set[int] = set()
    moments = [(answer.start, 1, answer) for answer in conversation.answers]
    moments += [
        (answer.ended, 0, answer) for answer in conversation.answers if answer.ending != "complete"
    ]
    owner_of = _owners(conversation, replied)
    for moment, starts, answer in sorted(moments, key=lambda item: item[:2]):
        if not starts:
            given_up_for[id(answer)] = owner_of(moment, answer)
            continue
        owner = owner_of(moment, None)
        if owner is not None:
            owned[owner].append(answer)
            if answer.words_from(utterances[owner].end):
                replied.add(owner)
    found = []
    before = ""
    for number, utterance in enumerate(utterances):
        old = next((a for a in conversation.answers if a.start < utterance.start < a.end), None)
        found.append(
            Exchange(
                utterance=utterance,
                answers=tuple(owned[number]),
                old=old,
                given_up=old is not None
                and given_up_for.get(id(old)) == number
                and _gave_up(old, utterance, owned[number]),
                overtaken=utterance.is_query
                and number not in replied
                and _is_followed(utterances, number),
                before=before,
            )
        )
        before = utterance.text if utterance.is_query else before
    return found


def _owners(
    conversation: Conversation, replied: set[int]
) -> Callable[[float, Answer | None], int | None]:
    """Make a function that says whose an answer is that begins at a moment.

    If it is given an answer, it says for whom that was stopped then.
    """
    utterances = conversation.utterances
    ignored = [decision.at for decision in conversation.decisions if decision.action == "ignore"]

    def owner_of(moment: float, stopped: Answer | None) -> int | None:
        begun = [
            number
            for number, utterance in enumerate(utterances)
            if utterance.start < moment or utterance.start == 0
        ]
        if not begun:
            return None
        queries = [number for number in begun if utterances[number].is_query]
        last = begun[-1]
        if not queries or queries[-1] == last:
            return last
        query = utterances[queries[-1]]
        if query.category in WANT_SILENCE:  # it waits for no answer, only for the old one's end
            waiting = stopped is not None and stopped.start < query.start < stopped.end
        else:
            waiting = queries[-1] not in replied
        decided = any(query.end <= at <= moment for at in ignored)
        return queries[-1] if waiting and not decided else last

    return owner_of


def _gave_up(old: Answer, utterance: Utterance, new: Sequence[Answer]) -> bool:
    """Tell whether an answer that broke off for this utterance was given up, or simply ended.

    Where the system does not say that an answer is cut, it was given up if it stopped before the
    utterance was over (for a query: if it began no word after that), or if another answer took its
    place.
    """
    if old.ending != "open":
        return old.ending == "cut"
    if any(answer.seamless and answer.start >= old.end for answer in new[:1]):
        return False
    stopped = old.words[-1].start if utterance.is_query else old.end
    return stopped < utterance.end or bool(new)


def _is_followed(utterances: Sequence[Utterance], number: int) -> bool:
    """Tell whether another query follows within `GRACE` seconds."""
    return any(
        later.is_query and later.start < utterances[number].end + GRACE
        for later in utterances[number + 1 :]
    )
