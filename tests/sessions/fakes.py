"""Dialogue systems without a model, for tests of the recorder: what they do can be foretold."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from duo.decoding.conversant import CycleResult, Event, Heard, Kind, Revision
from duo.errors import BadInput


class Scripted:
    """Does in each cycle what the script says, whatever it hears; else nothing."""

    name = "scripted"

    def __init__(self, script: Mapping[int, CycleResult], cycle_seconds: float = 1.0) -> None:
        self.cycle_seconds = cycle_seconds
        self._script = script
        self.reset()

    def reset(self) -> None:
        self.heard: list[Heard] = []

    def cycle(self, heard: Heard) -> CycleResult:
        self.heard.append(heard)
        return self._script.get(len(self.heard) - 1, CycleResult())


def acts(*events: Event | str, busy: bool = False) -> CycleResult:
    """A cycle in which these things happen; a string is speech over the whole cycle."""
    spoken = [Event(Kind.SPEECH, e, step=1) if isinstance(e, str) else e for e in events]
    return CycleResult(events=tuple(spoken), forward_passes=len(spoken), busy=busy)


def speaks(first: int, last: int, *, ends: bool = True) -> dict[int, CycleResult]:
    """Speech in the cycles from `first` to `last`, and the answer's end with it."""
    script = {cycle: acts(" word", busy=True) for cycle in range(first, last)}
    end = (Event(Kind.ANSWER_END, step=1),) if ends else ()
    return script | {last: acts(" word", *end)}


class Answerer:
    """Answers every utterance at the first silence after it with `words` words, four a cycle.

    What is heard while it speaks opens an input channel; at the next silence it responds to it,
    dropping the old answer, if it ends with a question mark, and ignores it otherwise. A cycle
    takes the machine `takes` seconds.
    """

    name = "answerer"

    def __init__(
        self,
        words: int = 40,
        cycle_seconds: float = 1.0,
        seed: int = 0,
        decides: bool = True,
        takes: float = 0.0,
    ) -> None:
        if not isinstance(words, int) or not isinstance(takes, int | float):
            raise BadInput("`words` and `takes` are numbers")  # as a careful system would
        self.cycle_seconds = cycle_seconds
        self._words, self._seed, self._decides, self._takes = words, seed, decides, takes
        self.reset()

    def reset(self) -> None:
        self._random = random.Random(self._seed)
        self._text = ""
        self._left = 0
        self._listening = False

    def cycle(self, heard: Heard) -> CycleResult:
        time.sleep(self._takes)
        events: list[Event] = []
        if heard:
            if not self._listening:
                self._listening, self._text = True, ""
                self._report(events, Event(Kind.FORK, steps=4))
            self._text = heard.text if isinstance(heard, Revision) else self._text + heard
        elif self._listening:
            self._decide(events)
        spoken = 0
        for step in range(1, 5):
            if not self._left:
                break
            word = self._random.choice([" bread", " soup", " rice"])
            events.append(Event(Kind.SPEECH, word, step=step, steps=4))
            self._left, spoken = self._left - 1, step
            if not self._left:
                events.append(Event(Kind.ANSWER_END, step=step, steps=4))
        return CycleResult(tuple(events), spoken, spoken, busy=self._left > 0)

    def _decide(self, events: list[Event]) -> None:
        self._listening = False
        if self._left and not self._text.endswith("?"):
            self._report(events, Event(Kind.IGNORE, steps=4, by="state"))
            return
        self._report(events, Event(Kind.RESPOND, steps=4, by="state"))
        if self._left:
            self._report(events, Event(Kind.CUT, steps=4))
        self._left = self._words

    def _report(self, events: list[Event], event: Event) -> None:
        if self._decides:
            events.append(event)


class Random:
    """Does anything at any time: no start rule may rely on a system's good behaviour."""

    name = "random"

    def __init__(self, seed: int, cycle_seconds: float, kinds: Sequence[Kind]) -> None:
        self.cycle_seconds = cycle_seconds
        self._seed, self._kinds = seed, kinds
        self.reset()

    def reset(self) -> None:
        self._random = random.Random(self._seed)
        self.heard: list[Heard] = []

    def cycle(self, heard: Heard) -> CycleResult:
        self.heard.append(heard)
        draw = self._random
        events = []
        for step in range(1, 5):
            if self._kinds and draw.random() < 0.4:
                kind = draw.choice(self._kinds)
                text = draw.choice([" word", "x", "。"]) if kind is Kind.SPEECH else ""
                events.append(Event(kind, text, step=step, steps=4))
        return CycleResult(tuple(events), 4, 4, busy=draw.random() < 0.5)


class Killer(Answerer):
    """Ends the whole process, as a power cut would, in the middle of its n-th conversation."""

    def __init__(self, conversation: int, **settings: Any) -> None:
        self._until = conversation
        self._resets = -1  # one comes with the beginning
        super().__init__(**settings)

    def reset(self) -> None:
        super().reset()
        self._resets += 1

    def cycle(self, heard: Heard) -> CycleResult:
        if self._resets == self._until and self._left == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().cycle(heard)


def factory(backbone: Any, *, seed: int = 0, **settings: Any) -> Answerer:
    """A foreign system; DUO_TEST_DIE_IN=n kills the process in its n-th conversation."""
    assert backbone is None
    die_in = int(os.environ.get("DUO_TEST_DIE_IN", "0"))
    return Killer(die_in, seed=seed, **settings) if die_in else Answerer(seed=seed, **settings)


def no_conversant(backbone: Any, *, seed: int = 0) -> object:
    """A foreign system that is none."""
    return object()
