"""Converse with two instances of a model that swap roles: the text-level form of VITA.

It is the duplex scheme of Fu et al. 2024, "VITA: Towards Open-Source Interactive Omni Multimodal
LLM", section 2.3.

One instance speaks. The other one, the monitor, holds the same conversation on a cache of its own
and hears the words. When the user falls silent, it closes the user's turn, opens an answer and
chooses the first token of it, which is VITA's state token: `<1>`, a query, or `<2>`, none. After
`<2>` it forgets the words, and the answer under way goes on. After `<1>` the roles swap: the
monitor speaks, and the old speaker drops what it said since the words began and catches up.

What it is not: there is no audio, and no state token for typed queries (VITA's `<3>`). The monitor
does not look ahead and cannot say that the user is not done: silence alone is the end.

Cost: one pass a token, where both are rows of one pool, one more for each decision while no answer
is under way, and one for words heard then; two caches. What was answered so far is encoded once
more when words come, by the monitor, and the query at each swap, by the old speaker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import PositiveFloat, PositiveInt
from transformers import PreTrainedModel

from duo.backbone import Backbone
from duo.decoding.channels import Channels, Scores, Together
from duo.decoding.context import Context
from duo.decoding.conversant import (
    CycleLog,
    Heard,
    Kind,
    Revision,
    Steps,
    System,
    Turn,
    heard_so_far,
)
from duo.decoding.fused import FusedChannels, make_pool
from duo.decoding.settings import Settings
from duo.decoding.speaker import Speaker


@dataclass(frozen=True, kw_only=True)
class VitaSettings(Settings):
    """Settings of a conversation with two instances.

    Attributes:
        lookahead: tokens spoken a cycle; as many as the other systems' pace of speech.
        patience: seconds of silence, in whole cycles, after which the monitor decides.
    """

    lookahead: PositiveInt = 4
    patience: PositiveFloat = 1.0


class Vita(System):
    """A conversation held by two instances."""

    name = "vita"

    def __init__(
        self,
        backbone: Backbone,
        settings: VitaSettings | None = None,
        *,
        channels: Callable[[PreTrainedModel], Channels] | None = None,
    ) -> None:
        self.settings = settings = settings or VitaSettings()
        super().__init__(settings)
        self._chat, self._states = backbone.chat, backbone.states
        self._tokenizer = backbone.tokenizer
        make = channels or partial(FusedChannels, pool=make_pool(backbone.model, 2))
        self._pairs = []
        for _ in range(2):
            context = Context(backbone, make(backbone.model), settings, settings.lookahead)
            speaker = Speaker(backbone, context, settings, settings.lookahead)
            self._pairs.append((context, speaker))
        self.channels = Together(*(context.channels for context, _ in self._pairs))
        self.reset()

    def reset(self) -> None:
        """Forget the conversation; the next one draws the same random numbers."""
        for context, speaker in self._pairs:
            context.reset()
            speaker.reset()
        self.silent_cycles = 0

    @property
    def context(self) -> Context:
        """The speaker's."""
        return self._pairs[0][0]

    @property
    def monitor(self) -> Context:
        """The monitor's; up to the words that it hears, a part of the speaker's."""
        return self._pairs[1][0]

    def recall(self, turns: Sequence[Turn]) -> None:
        """Go on from a dialogue held before; see `duo.decoding.conversant.Recalling`."""
        self.context.recall(turns, states=False, opening=[self._states.respond])

    def steps(self, heard: Heard) -> Steps:
        log = CycleLog(self.channels, self.settings.lookahead)
        if self.context.refused or self.monitor.refused:
            return log.result(busy=False)
        self._hear(heard, log)
        self._pairs[0][1].make_room(log)
        for note in self.monitor.make_room():
            log.add(Kind.NOTE, f"(monitor) {note}")
        self.context.channels.speaking &= not self.monitor.refused
        decides = self.monitor.listening and self.silence >= self.settings.patience
        if decides:
            for token in (*self._chat.user_close, *self._chat.assistant_open):
                self.monitor.expect(token)
        for _ in range(self.settings.lookahead):
            speaks, hears = self.context.channels.speaking, self.monitor.channels.input
            if not (speaks or (hears is not None and hears.pending)):
                break
            scores: Scores = yield self.channels
            log.step += 1
            wanted = []
            if scores.output is not None:
                wanted.append(self._pairs[0][1].choose(scores.output))
            if decided := decides and scores.input is not None:
                states = self._states
                wanted.append(scores.input[states.respond] >= scores.input[states.ignore])
            numbers = yield wanted
            if scores.output is not None:
                self._pairs[0][1].speak(int(numbers[0][0]), log)
            if decided:
                decides = False
                self._decide(bool(numbers[-1][0]), log)
        return log.result(busy=self.context.channels.speaking)

    def _hear(self, heard: Heard, log: CycleLog) -> None:
        """Let the monitor take in what was heard."""
        text = heard_so_far(self.monitor.text, heard)
        if isinstance(heard, Revision) and not text.strip() and self.monitor.listening:
            log.add(Kind.IGNORE, by="revision")
            self.monitor.ignore()
        elif self.monitor.listening:
            self.monitor.text = text  # a blank belongs to the utterance, yet is silence
        if self.note_silence(heard) or not text.strip():
            return
        if not self.monitor.listening:
            log.add(Kind.FORK)
            self.context.channels.settle()  # what is said from here on can be dropped
            self.monitor.follow(self.context)
        self.monitor.hear(text)

    def _decide(self, query: bool, log: CycleLog) -> None:
        """Act on the first token of the monitor's answer."""
        if query:
            self._swap(log)
        else:
            log.add(Kind.IGNORE, by="state")
            self.monitor.ignore()

    def _swap(self, log: CycleLog) -> None:
        """Let the monitor answer, and the speaker listen."""
        since = self.context.channels.output.ids
        forgotten = self._tokenizer.decode(since, skip_special_tokens=True)
        log.respond("state", self.context.channels.speaking, forgotten)
        self.context.channels.speaking = False
        self.monitor.respond(state=None, opened=True)
        self.monitor.channels.extend_prefix([self._states.respond])
        self.context.follow(self.monitor)
        self._pairs.reverse()
        self._pairs[0][1].begin()
