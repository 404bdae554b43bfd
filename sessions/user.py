"""The user of a scenario: says each utterance when its start rule lets it.

The user is causal: whether an utterance starts before the next cycle is settled by what was known
when this one began, and an utterance never starts in the past, nor before the one before has ended.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sessions.clock import DECIMALS
from sessions.floor import Floor
from sessions.scenario import Scenario
from sessions.timing import Hearing
from sessions.utterance import Utterance


@dataclass(frozen=True)
class Said:
    """An utterance on the conversation's clock."""

    utterance: Utterance
    hearings: tuple[Hearing, ...]

    @property
    def start(self) -> float:
        """When its first word begins."""
        return min(hearing.start for hearing in self.hearings)

    @property
    def spoken_until(self) -> float:
        """When its last word ends."""
        return max(hearing.end for hearing in self.hearings if not hearing.restates)

    @property
    def end(self) -> float:
        """When the last of it is heard, a late revision included."""
        return max(hearing.end for hearing in self.hearings)


class ScriptedUser:
    """Says the scenario's utterances when their start rules let it."""

    def __init__(self, scenario: Scenario) -> None:
        self.floor = Floor()
        self._scenario = scenario
        self._unsaid = deque(scenario.utterances)
        self._to_be_heard: deque[tuple[Said, Hearing]] = deque()
        self._end = 0.0  # of the last utterance that was started

    @property
    def finished(self) -> bool:
        """Whether everything was said and heard."""
        return not self._unsaid and not self._to_be_heard

    @property
    def unsaid(self) -> int:
        """How many utterances have not begun."""
        return len(self._unsaid)

    def speak(self, now: float, window: float) -> None:
        """Start every utterance that falls due within `window` seconds from now."""
        while self._unsaid:
            start = self._start_of(self._unsaid[0], now)
            if start is None or start >= now + window:
                return
            self._say(self._unsaid.popleft(), max(start, now))

    def heard_by(self, now: float) -> list[tuple[Said, Hearing]]:
        """What has been heard by now and was not before."""
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
        """When the utterance starts, by what is known now; None if that is still open."""
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
        """Where the answer puts the utterance, or the user's giving up on it."""
        floor = self.floor
        moment = floor.began if into_it else floor.ended
        if moment is not None and (into_it or not floor.busy):
            return moment + seconds
        default = self._scenario.defaults.give_up
        return floor.quiet_since + (default if utterance.give_up is None else utterance.give_up)
