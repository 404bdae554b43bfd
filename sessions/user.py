"""Simulate the user of a scenario: say each utterance when its start rule lets it.

The user is causal: whether an utterance starts before the next cycle is settled by what was known
when this one began, and an utterance never starts in the past, nor before the one before has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from duo.transcript import TranscriptEvent
from duo.words import DECIMALS
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


class ScriptedUser:
    """Say the scenario's utterances when their start rules let it."""

    def __init__(self, scenario: Scenario) -> None:
        self.floor = Floor()
        self._scenario = scenario
        self._unsaid = deque(scenario.utterances)
        self._to_be_heard: deque[tuple[Said, Hearing]] = deque()
        self._end = 0.0  # of the last utterance that was started

    @property
    def finished(self) -> bool:
        """True once everything was said and heard."""
        return not self._unsaid and not self._to_be_heard

    @property
    def unsaid(self) -> int:
        """The number of utterances that have not begun."""
        return len(self._unsaid)

    def speak(self, now: float, window: float) -> None:
        """Start every utterance that falls due within `window` seconds from now."""
        while self._unsaid:
            start = self._start_of(self._unsaid[0], now)
            if start is None or start >= now + window:
                return
            self._say(self._unsaid.popleft(), max(start, now))

    def heard_by(self, now: float) -> list[tuple[Said, Hearing]]:
        """Return what has been heard by now and was not before."""
        heard = []
        while self._to_be_heard and self._to_be_heard[0][1].end <= now:
            heard.append(self._to_be_heard.popleft())
        return heard

    def _say(self, utterance: Utterance, start: float) -> None:
        hearings = tuple(
            Hearing(
                text=hearing.text,
                start=round(start + hearing.start, DECIMALS),
                end=round(start + hearing.end, DECIMALS),
                restates=hearing.restates,
            )
            for hearing in self._scenario.hearings(utterance)
        )
        said = Said(utterance, hearings)
        self._to_be_heard.extend((said, hearing) for hearing in hearings)
        self._end = said.end
        self.floor.user_speaks(said.end, query=utterance.label == "query")

    def _start_of(self, utterance: Utterance, now: float) -> float | None:
        """Find the utterance's start by what is known now; None if that is still open."""
        rule, seconds = utterance.start_rule
        if rule == "at":
            start = seconds
        elif rule == "after_previous":
            start = self._end + seconds
        elif self._end > now:
            return None
        else:
            start = min(
                self._by_the_answer(utterance, into_it=rule == "into_answer", seconds=seconds),
                self._end + self._scenario.defaults.longest_wait,
            )
        return round(max(start, self._end), DECIMALS)

    def _by_the_answer(self, utterance: Utterance, *, into_it: bool, seconds: float) -> float:
        """Find the start that the answer gives the utterance, or the user's giving up on it."""
        floor = self.floor
        moment = floor.began if into_it else floor.ended
        if moment is not None and (into_it or not floor.busy):
            return moment + seconds
        default = self._scenario.defaults.give_up
        return floor.quiet_since + (default if utterance.give_up is None else utterance.give_up)


_DECISIONS = ("respond", "ignore")


class Floor:
    """Follow who has the floor: when the answer to the last query began, and when it ended.

    Start rules hang on these two moments. They must mean the same for systems that listen while
    they speak, that are deaf while they speak, that answer in slices, and that never answer:

    - A query (an utterance labelled so) opens the wait for its answer when its first word is
      spoken.
    - What is spoken before the query's end is not its answer. Nor is what a system speaks after it
      that reports decisions (fork, respond, ignore) and has made none since: it may be the old
      answer, still going on while the new words are being weighed.
    - The answer *began* with the first speech after that. If the system then responds to something
      else that it heard, a backchannel say, what follows counts as the answer and begins again.
    - The answer *ended* when the system says so (`answer_end`, possibly without a word: a stop
      request is answered by silence). A system that never says so has ended when it is no longer
      busy, unless it was cut off: a user waits for the rest of an answer that broke off.

    If none of this comes, waiting ends after some seconds in which nobody spoke.

    Attributes:
        began: when that answer began, in seconds; None if it has not.
        ended: when it ended; None if it has not.
        quiet_since: when somebody was last heard speaking, or 0.
        busy: whether the system is still giving an answer.
        decides: whether the system has ever reported a decision or a fork.
    """

    def __init__(self) -> None:
        self.began: float | None = None
        self.ended: float | None = None
        self.quiet_since = 0.0
        self.busy = False
        self.decides = False
        self._last_speech = 0.0
        self._query_end = float("inf")  # nothing was asked yet
        self._decided = False
        self._cut = False
        self._heard_more = False  # words have come since the last decision

    def user_speaks(self, end: float, *, query: bool) -> None:
        """Take note that the user begins an utterance that will end at `end`."""
        self.quiet_since = max(self.quiet_since, end)
        if query:
            self._query_end = end
            self._decided = False
            self._expect_answer()

    def words_are_heard(self) -> None:
        """Take note that the system hears something in this cycle."""
        self._heard_more = True

    def system_acts(self, events: Iterable[TranscriptEvent], *, busy: bool) -> None:
        """Take note of what the system did in a cycle, in order."""
        self.busy = busy
        for event in events:
            if event.kind == "speech":
                self._speech(event)
            elif event.kind in _DECISIONS:
                self._decision(event)
            elif event.kind == "fork":
                self.decides = True
            elif event.kind == "cut":
                self._cut = True
            elif event.kind == "answer_end" and self._answers(event.start):
                self.ended = max(event.start, self._last_speech)
        if not busy and self.ended is None and self.began is not None and not self._cut:
            self.ended = self._last_speech

    def _answers(self, moment: float) -> bool:
        """Tell whether what the system says at this moment is about the last query."""
        return moment >= self._query_end and (self._decided or not self.decides)

    def _speech(self, event: TranscriptEvent) -> None:
        self.quiet_since = max(self.quiet_since, event.end)
        self._last_speech = event.end
        self._cut = False
        if self._answers(event.start):
            self.ended = None
            if self.began is None:
                self.began = event.start

    def _decision(self, event: TranscriptEvent) -> None:
        self.decides = True
        if event.start < self._query_end:
            return
        if event.kind == "respond" and self._heard_more:
            self._expect_answer()
        self._decided = True
        self._heard_more = False

    def _expect_answer(self) -> None:
        self.began = self.ended = None
        self._cut = False
