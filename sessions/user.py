"""Simulate the user of a scenario: say each utterance when its start rule lets it.

The user goes by the words that a listener would hear and their times, and by nothing else that a
system does or reports. So systems that say the same at the same times meet the same user, however
long their cycles are. What was asked for by the last query (an utterance labelled so) is found so:

- Its answer *began* with the first word after the query's end.
- It is *over* when nobody has spoken for a breath (`Defaults.breath`); the user speaks after that
  silence, or after a longer one if the scenario says so.
- A request to stop, or to hold, is answered by silence: after a breath without a word the user
  goes on.
- A user to whom no word comes gives up after some seconds in which nobody spoke.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from duo.transcript import WANT_SILENCE
from duo.words import DECIMALS, Piece, Word, words_of
from sessions.scenario import Hearing, Scenario, Utterance


@dataclass(frozen=True)
class Said:
    """An utterance on the conversation's clock."""

    utterance: Utterance
    hearings: tuple[Hearing, ...]

    @property
    def start(self) -> float:
        """The start of its first word."""
        return min(hearing.start for hearing in self.hearings)

    @property
    def spoken_until(self) -> float:
        """The end of its last word."""
        return max(hearing.end for hearing in self.hearings if not hearing.restates)

    @property
    def end(self) -> float:
        """The moment at which the last of it is heard, a late revision included."""
        return max(hearing.end for hearing in self.hearings)


@dataclass(frozen=True)
class HeardPart:
    """A part of what is heard.

    Attributes:
        stretch: names what is heard as one utterance; a hearing that restates replaces all of it.
        utterance: the id of the utterance that it is part of.
        restated: of a hearing that restates, the utterances that now read otherwise: id and text.
    """

    stretch: str
    utterance: str
    hearing: Hearing
    restated: tuple[tuple[str, str], ...] = ()


class ScriptedUser:
    """Say the scenario's utterances when their start rules let it.

    What is heard may be what a recogniser makes of it: `recognised`.
    """

    recognised = False

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._unsaid = deque(scenario.utterances)
        self._to_be_said: deque[tuple[Said, Hearing]] = deque()
        self._query: Said | None = None  # the last one
        self._spoken: list[Piece] = []  # by the system since that one began
        self._end = 0.0  # of the last utterance that was started
        self._known = 0.0  # until when it is known what the system says

    @property
    def unsaid(self) -> int:
        """The number of utterances that have not begun."""
        return len(self._unsaid)

    @property
    def speaking(self) -> bool:
        """Whether a recogniser hears somebody speak, whether or not it has words for it."""
        return False

    def hear(self, speech: Iterable[Piece]) -> None:
        """Take note of what the system says in a cycle."""
        self._spoken += speech

    def speak(self, until: float) -> None:
        """Start every utterance that falls due before `until`, the end of what was heard."""
        words = self._words()
        while self._unsaid:
            start = max(self._start_of(self._unsaid[0], words), self._known)
            if start >= until:
                break
            self._say(self._unsaid.popleft(), start)
        self._known = until

    def said_by(self, now: float) -> list[tuple[Said, Hearing]]:
        """Return what has been said by now and was not before."""
        said = []
        while self._to_be_said and self._to_be_said[0][1].end <= now:
            said.append(self._to_be_said.popleft())
        return said

    def heard_by(self, now: float, said: Sequence[tuple[Said, Hearing]]) -> list[HeardPart]:
        """Return what is heard in the cycle that begins now, if `said` was said since the last."""
        return [HeardPart(one.utterance.id, one.utterance.id, hearing) for one, hearing in said]

    def has_nothing_to_add(self, now: float, quiet: float) -> bool:
        """Tell whether all was said and answered, or given up, `quiet` seconds ago."""
        if self._unsaid or self._to_be_said:
            return False
        words = self._words()
        began = self._began(words)
        if self._waits_for_a_word and began is None:
            quiet = max(quiet, self._scenario.defaults.give_up)
        # An answer may have come later than `quiet`, as long as the user had not given up.
        since = self._end if began is None else max(self._end, began.start)
        return now >= _silence(words, since, quiet)

    def _say(self, utterance: Utterance, start: float) -> Said:
        start = round(start, DECIMALS)
        hearings = tuple(
            Hearing(
                text=hearing.text,
                start=round(start + hearing.start, DECIMALS),
                end=round(start + hearing.end, DECIMALS),
                restates=hearing.restates,
            )
            for hearing in self._hearings(utterance)
        )
        said = Said(utterance, hearings)
        self._to_be_said.extend((said, hearing) for hearing in hearings)
        self._end = said.end
        if utterance.label == "query":
            self._query = said
            self._spoken = [piece for piece in self._spoken if piece.end > start]
        return said

    def _hearings(self, utterance: Utterance) -> tuple[Hearing, ...]:
        """Time the words of an utterance, in seconds from its start."""
        return self._scenario.hearings(utterance)

    def _start_of(self, utterance: Utterance, words: list[Word]) -> float:
        """Find the utterance's start, if nothing is said beyond what is known."""
        rule, seconds = utterance.start_rule
        if rule == "at":
            return max(seconds, self._end)
        if rule == "after_previous":
            return self._end + seconds
        defaults = self._scenario.defaults
        wait = max(seconds, defaults.breath)
        give_up = defaults.give_up if utterance.give_up is None else utterance.give_up
        given_up = _silence(words, self._end, give_up if self._waits_for_a_word else wait)
        began = self._began(words)
        if began is None or began.start >= given_up:
            start = given_up
        elif rule == "into_answer":
            over = _silence(words, max(self._end, began.end), defaults.breath)
            start = min(began.start + seconds, over)
        else:
            start = _silence(words, max(self._end, began.end), wait)
        return max(self._end, min(start, self._end + defaults.longest_wait))

    @property
    def _waits_for_a_word(self) -> bool:
        """Whether the last query calls for an answer in words."""
        return self._query is not None and self._query.utterance.kind not in WANT_SILENCE

    def _words(self) -> list[Word]:
        """List the words that were heard since the last query began."""
        return list(words_of(sorted(self._spoken, key=lambda piece: piece.start)))

    def _began(self, words: list[Word]) -> Word | None:
        """Find the first word of the answer to the last query."""
        asked = self._query.spoken_until if self._query is not None else 0.0
        return next((word for word in words if word.start >= asked), None)


def _silence(words: Iterable[Word], since: float, seconds: float) -> float:
    """Find when silence has lasted so long: counted from `since`, or from a later word's end."""
    for word in words:
        if word.start >= since + seconds:
            break
        since = max(since, word.end)
    return since + seconds
