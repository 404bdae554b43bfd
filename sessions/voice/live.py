"""Hold a spoken conversation: sound comes in, a system is cycled, its words go out as sound.

`SpokenConversation` knows no transport: whoever has the microphone calls `feed`, whoever plays
calls `take`, a few hundredths of a second at a time, both in the event loop that runs `run`. The
recogniser, the system and the voice each compute in a thread of their own, so that sound never
waits for them.

There is one clock, in seconds since the conversation began, and what stands on it is what could be
heard: a `word` when it was said, `speech` when it was played. When the system heard and made them
is the time of their `cycle`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from duo.decoding.conversant import Conversant, CycleResult, Event, Kind, Voiced
from duo.transcript import Header, Transcript, TranscriptEvent
from duo.words import DECIMALS
from sessions.chat.live import Conversation, Display
from sessions.voice.listening import SpokenWords
from sessions.voice.mix import placed
from sessions.voice.player import Player
from sessions.voice.recogniser import RATE, Recognised, Sound, SpeechInput
from sessions.voice.voices import Clauses, Voice, timed

#: Seconds of speech that the voice may lag behind the system's words before the system waits.
_AHEAD = 2.0
#: Seconds before the voice runs dry at which it is given words without the end of their clause.
_HUNGRY = 0.3
#: Seconds after which a microphone that sends nothing is taken for a silent one.
_LOST = 1.0
#: Seconds of silence after which a voice that was held for nothing goes on.
_HELD = 2.0

T = TypeVar("T")


class Shown(Display, Protocol):
    """A display of a spoken conversation."""

    def show_tentative(self, text: str) -> None:
        """Show words that are not committed yet, in place of those shown before."""

    def show_state(self, *, speaking: bool, held: bool) -> None:
        """Show whether the user is heard to speak, and whether the voice is held for it."""


@dataclass
class Answered:
    """When what happened between the end of the user's speech and the first sound of an answer.

    In seconds on the clock. The stages in between: `noticed` (silence), `recognised` (recogniser),
    `worded` (model), `sounded` (voice).
    """

    end: float
    noticed: float
    recognised: float = 0.0
    worded: float = 0.0
    sounded: float = 0.0

    @property
    def stages(self) -> dict[str, float]:
        """How long each took, and all of them."""
        times = (self.end, self.noticed, self.recognised, self.worded, self.sounded)
        names = ("silence", "recogniser", "model", "voice")
        stages = {
            name: round(end - start, DECIMALS)
            for name, start, end in zip(names, times, times[1:], strict=False)
        }
        return {**stages, "total": round(self.sounded - self.end, DECIMALS)}


class SpokenConversation:
    """One person who speaks and one system that answers aloud.

    Attributes:
        speech: what hears the user.
        answered: of every answer so far, how long the user waited for it, by stages.
        silenced: seconds from the onset of the user's speech until the voice was silent, of every
            time that it was held or stopped.
        decodings: how long each decoding of the recogniser took, in seconds.
        microphone, played: what was heard and said so far, if it is kept.
    """

    def __init__(
        self,
        system: Conversant,
        header: Header,
        speech: SpeechInput,
        voice: Voice,
        shown: Shown,
        *,
        holds: bool = True,
        keeps_sound: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make one; `holds`: the voice pauses at the onset of the user's speech."""
        self.speech = speech
        self.conversation = Conversation(system, header, words := SpokenWords())
        self.answered: list[Answered] = []
        self.silenced: list[float] = []
        self.decodings: list[float] = []
        self.microphone, self.played = _Track(keeps_sound), _Track(keeps_sound)
        self._system, self._words, self._voice, self._shown = system, words, voice, shown
        self._clauses, self._player = Clauses(), Player()
        self._holds, self._clock = holds, now
        self._elapsed, self._since = 0.0, None  # type: float, float | None
        self._texts: deque[tuple[str, int, bool]] = deque()  # text, cycle, whether the answer ends
        self._saying = ""
        self._answer = 0  # number of the present one, so that what belongs to others is dropped
        self._ended_by = ""
        self._onset: float | None = None  # of speech over the voice
        self._pending: Answered | None = None  # the end of speech about which nothing is decided
        self._awaited: Answered | None = None  # the one that is answered, until that is heard
        self._quiet_since = 0.0
        self._hears, self._fed = False, now()
        self._sounds = asyncio.Event()  # something is to be decoded
        self._wakes = asyncio.Event()  # something is to be heard at once
        self._to_say = asyncio.Event()
        self._threads = [ThreadPoolExecutor(1, name) for name in ("recogniser", "system", "voice")]
        self._recogniser, self._thinker, self._speaker = self._threads

    @property
    def now(self) -> float:
        """Seconds that the conversation has gone on; it stands still unless it runs."""
        since = self._since
        return self._elapsed + (0.0 if since is None else self._clock() - since)

    async def run(self) -> None:
        """Converse until cancelled; it can be run again and goes on then.

        Raises:
            Exception: whatever the system, the recogniser or the voice raised.
        """
        self._since = self._fed = self._clock()
        self._hears = False
        try:
            await together(self._recognise(), self._converse(), self._speak())
        finally:
            self._elapsed, self._since = self.now, None
            self._silence()

    def so_far(self) -> Transcript:
        """Return the transcript as it is; it may go on."""
        return self.conversation.so_far()

    def finish(self) -> None:
        channels = getattr(self._system, "channels", None)  # of ours
        if (cancel := getattr(channels, "cancel", None)) is not None:
            cancel()
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)
        self.conversation.finish()

    def wait(self) -> None:
        """Wait, once it is finished, until nothing is computed for it any more."""
        for thread in self._threads:
            thread.shutdown()

    # -- sound -------------------------------------------------------------------------------

    def feed(self, sound: Sound) -> None:
        """Hear some sound of the microphone."""
        if not self._hears:  # the first sound comes when the connection stands
            self._hears = True
            self._fill(self.now - len(sound) / RATE)
        self._fed = self._clock()
        self.microphone.put(sound, self.speech.now)
        for edge in self.speech.feed(sound):
            if edge.kind == "onset":
                if not self._player.empty and not self._player.held:
                    self._onset = edge.at
                    if self._holds:
                        self._hold_voice()
            else:
                self._pending = Answered(edge.at, edge.noticed)
                self._quiet_since = self.now
            self._show_state()
        self._words.speaking = self.speech.open
        self.listen()

    def listen(self) -> None:
        """Let the recogniser go to work if there is something for it."""
        if self.speech.due:
            self._sounds.set()

    def hear_text(self, text: str) -> None:
        """Hear a text as if it had been said just now."""
        now = self.now
        self._words.add(Recognised(timed(text, now, now), final=True), now)
        self._pending = Answered(now, now, recognised=now)
        self._wakes.set()

    def _fill(self, until: float) -> None:
        """Take it that there was silence where no sound came from the microphone."""
        if (missing := round((until - self.speech.now) * RATE)) > 0:
            self.feed(np.zeros(missing, np.float32))

    def take(self, count: int) -> Sound | None:
        """Return the next `count` samples to be played; None while there is nothing to say."""
        now = self.now
        if self._clock() - self._fed > _LOST:
            self._fill(now)
        self._go_on_if_held_for_nothing(now)
        taken = self._player.take(count, now)
        if taken.sound is not None:
            self.played.put(taken.sound, now)
            if self._awaited is not None and self._awaited.worded:
                self._awaited.sounded = now
                self._report(self._awaited)
                self._awaited = None
        self._settle(self.conversation.said(taken.words))
        if taken.ended:
            end = Event(Kind.ANSWER_END, by=self._ended_by)
            self._settle(self.conversation.happened([end], now + count / RATE))
        return taken.sound

    # -- the recogniser ----------------------------------------------------------------------

    async def _recognise(self) -> None:
        while True:
            await self._sounds.wait()
            self._sounds.clear()
            while self.speech.due:
                began = time.perf_counter()
                found = await _run(self._recogniser, self.speech.decode)
                took = time.perf_counter() - began
                self.decodings.append(took)
                if self.speech.slow_down(took):
                    step = self.speech.step
                    self._note(f"the recogniser took {took:.1f} s: it runs every {step:g} s now")
                self._words.add(found, self.now)
                self._words.speaking = self.speech.open
                self._shown.show_tentative(found.tentative)
                if found.final:
                    if self._pending is not None:
                        self._pending.recognised = self.now
                    self._show_state()
                    self._wakes.set()

    # -- the system --------------------------------------------------------------------------

    async def _converse(self) -> None:
        length = self._system.cycle_seconds
        due = self.now
        while True:
            await self._until(due)
            start = self.now
            heard, events = self.conversation.hear(start)
            self._show(events)
            # Words at the end of speech: the silence that decides about them has passed already.
            at_once = bool(heard) and not self._words.speaking
            if isinstance(self._system, Voiced):
                self._system.unheard(self._unheard)
            result = await _run(self._thinker, self._system.cycle, heard)
            took = self.now - start
            self._shown.show_status(self.conversation.status(result, took))
            events_now = self._act(result)
            self._show(self.conversation.record(replace(result, events=()), start, took))
            self._settle(self.conversation.happened(events_now, self.now))
            due = self.now if at_once else max(start + length, self.now)

    async def _until(self, due: float) -> None:
        """Wait until a cycle is due; or words are, or the voice has caught up."""
        while True:
            nothing_heard = not (self._words.waiting or self.conversation.utterance)
            ahead = nothing_heard and self._player.seconds > _AHEAD
            left = due - self.now
            if left <= 0 and not ahead:
                return
            try:
                async with asyncio.timeout(max(left, 0.05)):
                    await self._wakes.wait()
                self._wakes.clear()
                return
            except TimeoutError:
                pass

    def _act(self, result: CycleResult) -> list[Event]:
        """Do what the system decided and say what it says; return what is to be written down.

        Its speech and the end of its answer are written down when they are heard.
        """
        kept, unheard = list[Event](), ""
        for event in result.events:
            match event.kind:
                case Kind.SPEECH:
                    if not self.conversation.decides and self._pending is not None:
                        self._awaited, self._pending = self._pending, None
                    if self._awaited is not None and not self._awaited.worded:
                        self._awaited.worded = self.now
                    self._say(self._clauses.add(event.text))
                case Kind.ANSWER_END:
                    self._ended_by = event.by
                    self._say([self._clauses.rest()], ends=True)
                case Kind.RESPOND:
                    unheard = self._silence()
                    self._awaited, self._pending = self._pending, None
                    kept.append(event)
                    if unheard.strip() and all(one.kind is not Kind.CUT for one in result.events):
                        # The system had made its words already.
                        kept.append(replace(event, kind=Kind.CUT, by=""))
                case Kind.CUT:
                    unheard += self._silence()
                    kept.append(replace(event, text=_without_end(event.text, unheard)))
                case Kind.IGNORE:
                    self._pending = None
                    self._go_on()
                    kept.append(event)
                case Kind.HOLD:
                    self._hold_voice()
                    kept.append(event)
                case _:
                    kept.append(event)
        return kept

    # -- the voice ---------------------------------------------------------------------------

    def _say(self, clauses: Iterable[str], *, ends: bool = False) -> None:
        texts = [(text, self.conversation.cycle, False) for text in clauses if text]
        self._texts += [*texts, ("", self.conversation.cycle, True)] if ends else texts
        self._to_say.set()

    async def _speak(self) -> None:
        while True:
            if not self._texts and self._player.seconds < _HUNGRY:
                self._say([self._clauses.words()])
            if not self._texts:
                self._to_say.clear()
                try:
                    async with asyncio.timeout(0.1):
                        await self._to_say.wait()
                except TimeoutError:
                    pass
                continue
            text, cycle, ends = self._texts.popleft()
            if ends:
                self._player.end()
                continue
            answer, self._saying = self._answer, text
            spoken = await _run(self._speaker, self._voice.say, text)
            self._saying = ""
            if answer == self._answer:
                self._player.add(spoken, cycle)

    @property
    def _unheard(self) -> str:
        """What the system has said and the voice has not."""
        waiting = "".join(text for text, _, _ in self._texts)
        return self._player.unheard + self._saying + waiting + self._clauses.waiting

    def _silence(self) -> str:
        """Stop the voice; return the text that was not heard, as far as the voice had it."""
        if self._onset is not None and not self._player.held:
            self._note_silence()
        self._onset = None
        unheard = self._unheard
        self._player.stop()
        self._clauses.rest()
        self._texts.clear()
        self._saying = ""
        self._answer += 1
        return unheard

    def _hold_voice(self) -> None:
        if not self._player.held and not self._player.empty:
            self._player.hold()
            self._note_silence()

    def _go_on(self) -> None:
        self._player.go_on()
        self._onset = None
        self._show_state()

    def _go_on_if_held_for_nothing(self, now: float) -> None:
        """Go on after a sound that was no word, or words about which nothing is decided."""
        if not self._player.held or self._words.speaking:
            return
        if not (self._words.waiting or self.conversation.utterance) or (
            now - self._quiet_since > _HELD
        ):
            self._go_on()

    def _note_silence(self) -> None:
        if self._onset is not None:
            self.silenced.append(round(self.speech.now - self._onset, DECIMALS))

    # -- what is shown and written down ------------------------------------------------------

    def _settle(self, events: Iterable[TranscriptEvent]) -> None:
        for event in events:
            self._show(self.conversation.settle(event))

    def _show(self, events: Iterable[TranscriptEvent]) -> None:
        for event in events:
            self._shown.show_event(event)

    def _show_state(self) -> None:
        self._shown.show_state(speaking=self.speech.speaking, held=self._player.held)

    def _note(self, text: str) -> None:
        self._show(self.conversation.note(text, self.now))

    def _report(self, answered: Answered) -> None:
        self.answered.append(answered)
        stages = ", ".join(f"{name} {seconds:.3f}" for name, seconds in answered.stages.items())
        self._note(f"seconds from the user's last word to the first sound: {stages}")

    def costs(self) -> dict[str, Any]:
        return {
            "answered": [asdict(one) for one in self.answered],
            "silenced": self.silenced,
            "decodings": [round(seconds, DECIMALS) for seconds in self.decodings],
        }


class _Track:
    """One channel of the recording: sound at its place on the clock."""

    def __init__(self, keeps: bool) -> None:
        self._keeps = keeps
        self._parts: list[tuple[int, Sound]] = []
        self._end = 0

    def put(self, sound: Sound, at: float) -> None:
        """Keep sound that begins at a time; what follows closely on other sound follows at once."""
        if not self._keeps:
            return
        start = round(at * RATE)
        if start < self._end + RATE // 5:
            start = self._end
        self._parts.append((start, sound))
        self._end = start + len(sound)

    def sound(self) -> Sound:
        """All of it."""
        return placed(self._parts)


async def _run(thread: Executor, work: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, work, *arguments)


async def together(*parts: Coroutine[Any, Any, object]) -> None:
    """Run all parts until one ends, or this is cancelled; raise what it failed of."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _without_end(text: str, end: str) -> str:
    """Remove as many characters from the end of a text as another has, blanks not counted."""
    left = len("".join(text.split())) - len("".join(end.split()))
    for place, character in enumerate(text):
        if left <= 0:
            return text[:place]
        left -= not character.isspace()
    return text
