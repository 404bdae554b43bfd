"""Systems for the tests of the chat: they follow simple rules, so what they do can be foretold."""

from __future__ import annotations

import time
from typing import Any

from duo.decoding.conversant import CycleResult, Event, Heard, Kind, Revision

STEPS = 4


class Parrot:
    """Answers a question by repeating it and ignores a statement, at the first silence after it.

    What ends neither with a question mark nor with a full stop is answered after `patience` silent
    cycles. A question that comes during an answer cuts it. Speaks a word a step. `delay` is how
    long it computes in each cycle, in seconds of the machine; `fails_at` is a cycle that raises.
    """

    name = "parrot"

    def __init__(
        self,
        cycle_seconds: float = 1.0,
        delay: float = 0.0,
        fails_at: int | None = None,
        answer: str = "You said: {}",
        patience: int = 2,
    ) -> None:
        self.cycle_seconds = cycle_seconds
        self._patience = patience
        self._delay, self._fails_at, self._answer = delay, fails_at, answer
        self.reset()

    def reset(self) -> None:
        self.heard: list[Heard] = []
        self._text = ""
        self._open = False
        self._silent = 0
        self._words: list[str] = []
        self._since_fork = ""

    def cycle(self, heard: Heard) -> CycleResult:
        if len(self.heard) == self._fails_at:
            raise RuntimeError("the parrot has flown")
        self.heard.append(heard)
        time.sleep(self._delay)
        events: list[Event] = []
        if heard == "":
            self._decide(events)
        else:
            if not self._open:
                self._open, self._text, self._since_fork = True, "", ""
                events.append(Event(Kind.FORK, steps=STEPS))
            self._text = heard.text if isinstance(heard, Revision) else self._text + heard
            self._silent = 0
        for step in range(1, STEPS + 1):
            if not self._words:
                break
            word = self._words.pop(0)
            self._since_fork += word
            events.append(Event(Kind.SPEECH, word, step=step, steps=STEPS))
            if not self._words:
                events.append(Event(Kind.ANSWER_END, step=step, steps=STEPS))
        if self._open:
            state = {"?": "<1>", ".": "<2>"}.get(self._text[-1:], " or so")
            events.append(Event(Kind.PREDICTED, state, step=STEPS, steps=STEPS))
        return CycleResult(tuple(events), len(events), 2 * len(events), busy=bool(self._words))

    def _decide(self, events: list[Event]) -> None:
        self._silent += 1
        ending = self._text[-1:] if self._open else ""
        if ending == ".":
            events.append(Event(Kind.IGNORE, steps=STEPS, by="state"))
            self._open = False
        elif ending == "?" or (self._open and self._silent >= self._patience):
            by = "state" if ending == "?" else "patience"
            events.append(Event(Kind.RESPOND, steps=STEPS, by=by))
            if self._words:
                events.append(Event(Kind.CUT, self._since_fork, steps=STEPS))
            said = self._answer.format(self._text).split(" ")
            self._words = [word if not n else f" {word}" for n, word in enumerate(said)]
            self._open = False


class Mute:
    """Never says anything and never decides."""

    name = "mute"
    cycle_seconds = 1.0

    def reset(self) -> None:
        pass

    def cycle(self, heard: Heard) -> CycleResult:
        return CycleResult()


def parrot(backbone: Any, *, seed: int, **settings: Any) -> Parrot:
    """A factory for `duo.decoding.systems.build`; it refuses what it does not need."""
    assert backbone is None
    return Parrot(**settings)


def patient_parrot(backbone: Any, *, seed: int, **settings: Any) -> Parrot:
    """A parrot that a slow typist cannot tire: only a state token decides."""
    return Parrot(patience=1000, **settings)


def mute(backbone: Any, *, seed: int) -> Mute:
    return Mute()
