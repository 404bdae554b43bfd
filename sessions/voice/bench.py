"""Measure spoken conversations in real time: how long people wait, and how soon the voice yields.

A voice asks questions, hums over the answers and interrupts them; `SpokenConversation` answers as
it does behind the page of `duo talk`, without browser and network, whose time comes on top.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import Field, JsonValue

from duo.files import Record, Result
from duo.table import Column, Table
from duo.transcript import Header, TranscriptEvent
from duo.words import Piece
from sessions.chat.live import CycleStatus
from sessions.voice.live import SpokenConversation
from sessions.voice.recogniser import RATE
from sessions.voice.recognition import p50_p90, word_errors
from sessions.voice.voices import Spoken, Voice

#: Questions, each with what interrupts its answer.
EXCHANGES = (
    ("How do I cook pasta?", "Wait, what about the sauce?"),
    ("What is the capital of France?", "And how many people live there?"),
    ("Can you tell me why the sky is blue?", "Sorry, why is it red in the evening?"),
    ("How does a bicycle stay upright?", "Hold on, who invented it?"),
    ("What should I see in Rome?", "No, I meant what should I eat there?"),
    ("Why do cats purr?", "Do dogs do that too?"),
    ("How is bread made?", "How long does that take?"),
    ("What is a good book for children?", "Who wrote it?"),
)
_REMARK = "Mm-hm."
_PIECE = 0.02
#: Seconds to wait for an answer before the next exchange, and of an answer before a remark.
_PATIENCE, _INTO = 20.0, 2.0


class Quantiles(Record):
    """Seconds: median and 90th percentile of `count` times."""

    name: str
    count: int
    p50: float | None = None
    p90: float | None = None


class VoiceBench(Result):
    """The JSON of `duo bench voice`.

    Attributes:
        of: what was measured: system, model, voice, recogniser.
        waits: from the end of the user's speech to the first sound, by stages; from the onset of
            speech over the voice to its silence; of each decoding.
        unanswered: questions and interruptions without an answer in time.
        words, wrong: said to the recogniser, and misheard; and how late the others were handed on.
        load: processor seconds a second, of all cores together.
    """

    kind: Literal["voice-bench"] = "voice-bench"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    of: dict[str, JsonValue] = Field(default={})
    waits: tuple[Quantiles, ...] = ()
    asked: int = 0
    unanswered: int = 0
    words: int = 0
    wrong: int = 0
    load: float = 0.0

    def tables(self) -> list[Table]:
        said = ", ".join(str(value) for value in self.of.values())
        seconds = [Column("p50 s", "number", ".2f"), Column("p90 s", "number", ".2f")]
        times = [[one.name, one.count, one.p50, one.p90] for one in self.waits]
        facts: list[list[str | float]] = [
            ["asked", self.asked],
            ["not answered", self.unanswered],
            ["word errors %", round(100 * self.wrong / max(self.words, 1), 1)],
            ["processor load", round(self.load, 2)],
        ]
        return [
            Table(f"Talking to {said}", ("seconds of", "count", *seconds), times),
            Table(f"Talking to {said}: circumstances", ("fact", "value"), facts),
        ]


class _Unseen:
    """Nobody watches."""

    def show_event(self, event: TranscriptEvent) -> None: ...

    def show_status(self, status: CycleStatus) -> None: ...

    def show_tentative(self, text: str) -> None: ...

    def show_state(self, *, speaking: bool, held: bool) -> None: ...


def bench(
    make: Callable[[_Unseen], SpokenConversation],
    header: Header,
    voice: Voice,
    exchanges: Sequence[tuple[str, str]] = EXCHANGES,
) -> VoiceBench:
    """Hold a conversation of these exchanges in real time.

    Args:
        make: makes it, for somebody who watches.
        header: of its transcript.
        voice: the user's.
    """
    conversation = make(_Unseen())
    # Before the clock runs: the user's voice is no part of what is measured.
    clips = {text: voice.say(text) for pair in exchanges for text in (*pair, _REMARK)}
    caller = _Caller(conversation, clips)
    wall, processor = time.monotonic(), time.process_time()
    asyncio.run(caller.call(exchanges))
    wall, processor = time.monotonic() - wall, time.process_time() - processor
    conversation.finish()
    transcript = conversation.so_far()
    handed_on = {event.cycle: event.start for event in transcript.of("cycle")}
    heard = [
        Piece(event.start, handed_on.get(event.cycle, event.end), event.text)
        for event in transcript.of("word")
    ]
    errors = word_errors(caller.said, heard)
    stages = [answered.stages for answered in conversation.answered]
    waits = [_quantiles(name, [one[name] for one in stages]) for name in (stages or [{}])[0]]
    waits += [
        _quantiles("onset to silence", conversation.silenced),
        _quantiles("a decoding", conversation.decodings),
        _quantiles("word to system", errors.delays),
    ]
    return VoiceBench(
        of={"system": header.system, "model": header.model, "voice": voice.name},
        waits=tuple(waits),
        asked=caller.asked,
        unanswered=caller.unanswered,
        words=errors.words,
        wrong=errors.wrong,
        load=processor / wall,
    )


class _Caller:
    """Speaks to a conversation, and hears it, in real time."""

    def __init__(self, conversation: SpokenConversation, clips: dict[str, Spoken]) -> None:
        self._conversation, self._clips = conversation, clips
        self.said: list[Piece] = []
        self.asked = self.unanswered = 0
        self._waiting = np.zeros(0, np.float32)
        self._heard = 0.0  # when sound was last heard

    async def call(self, exchanges: Sequence[tuple[str, str]]) -> None:
        work = [asyncio.ensure_future(one) for one in (self._conversation.run(), self._line())]
        talk = asyncio.ensure_future(self._talk(exchanges))
        done, _ = await asyncio.wait([*work, talk], return_when=asyncio.FIRST_COMPLETED)
        for task in (*work, talk):
            task.cancel()
        await asyncio.gather(*work, talk, return_exceptions=True)
        for task in done:
            task.result()

    async def _talk(self, exchanges: Sequence[tuple[str, str]]) -> None:
        await asyncio.sleep(1)
        for question, interruption in exchanges:
            await self._ask(question)
            await asyncio.sleep(_INTO)
            await self._say(_REMARK)
            await asyncio.sleep(2 * _INTO)
            await self._ask(interruption)
            await self._until(lambda: self._conversation.now - self._heard > _INTO)

    async def _ask(self, text: str) -> None:
        self.asked += 1
        answered = len(self._conversation.answered)
        await self._say(text)
        so = await self._until(lambda: len(self._conversation.answered) > answered)
        self.unanswered += not so

    async def _say(self, text: str) -> None:
        clip, at = self._clips[text], self._conversation.now
        self._waiting = clip.sound()
        self.said += [Piece(at + word.start, at + word.end, word.text) for word in clip.words]
        await self._until(lambda: not len(self._waiting))

    async def _until(self, so: Callable[[], bool]) -> bool:
        end = self._conversation.now + _PATIENCE
        while not (found := so()) and self._conversation.now < end:
            await asyncio.sleep(_PIECE)
        return found

    async def _line(self) -> None:
        """Feed what is said, and a room's noise, and hear the voice."""
        count = round(_PIECE * RATE)
        now = asyncio.get_running_loop().time
        noise, due = np.random.default_rng(0), now()
        while True:
            said, self._waiting = self._waiting[:count], self._waiting[count:]
            room = noise.normal(0, 5e-4, count).astype(np.float32)
            room[: len(said)] += said
            self._conversation.feed(room)
            if self._conversation.take(count) is not None:
                self._heard = self._conversation.now
            due += _PIECE
            await asyncio.sleep(max(due - now(), 0.0))


def _quantiles(name: str, times: Sequence[float]) -> Quantiles:
    p50, p90 = p50_p90(times)
    return Quantiles(name=name, count=len(times), p50=p50, p90=p90)
