"""Check what a system hears of speech, what counts as said of its own, and a conversation of both.

The conversation runs in simulated time, with a recogniser that knows what is said: the event loop
jumps to the next moment at which something is due, and computing takes no time.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from duo.decoding.conversant import Revision
from duo.transcript import Header, Transcript, TranscriptEvent
from duo.words import Piece
from sessions.chat.live import CycleStatus
from sessions.voice import live
from sessions.voice.bench import VoiceBench, bench
from sessions.voice.listening import SpokenWords
from sessions.voice.live import SpokenConversation
from sessions.voice.player import Player
from sessions.voice.recogniser import (
    RATE,
    Agreement,
    Edge,
    Recognised,
    Sound,
    SpeechInput,
    timed,
)
from sessions.voice.voices import Silent, Spoken
from tests.sessions.chat_fakes import Parrot

PIECE = RATE // 25
STORY = "You have just asked me this, and it is a long story: "


def pieces(text: str, start: float = 0.0) -> list[Piece]:
    return list(timed(text, start, start + len(text) / 10))


def test_what_is_heard_joined_is_what_was_recognised() -> None:
    line = ["How", "do", "I", "cook", "pasta", "tonight", "?"]
    for seed in range(300):
        random.seed(seed)
        words, told, agreement = SpokenWords(), "", Agreement()
        words.speaking = True
        lengths = sorted(random.sample(range(1, len(line)), 3))
        for length in [*lengths, len(line)]:
            now = [word if random.random() > 0.1 else "um" for word in line[:length]]
            words.add(
                agreement.update(pieces(" ".join(now)), final=length == len(line)), at=float(length)
            )
            words.speaking = length < len(line)
            if random.random() < 0.7:
                heard, parts = words.hear(float(length))
                if not isinstance(heard, Revision):
                    assert "".join(part.text for part in parts) == heard
                told = heard.text if isinstance(heard, Revision) else told + heard
        heard, _ = words.hear(9.0)
        told = heard.text if isinstance(heard, Revision) else told + heard
        assert told == agreement.text == words.heard
        assert words.hear(10.0) == ("", ())


def test_somebody_who_speaks_on_is_not_silent() -> None:
    words = SpokenWords()
    words.speaking = True
    assert words.hear(0.5) == ("", ())  # nothing to go by yet
    words.add(Recognised(tuple(pieces("How do"))), at=1.0)
    assert words.hear(1.0)[0] == "How do"
    assert words.hear(2.0) == (Revision("How do"), ())
    words.speaking = False
    assert words.hear(3.0) == ("", ())


def test_segments_are_one_utterance_until_it_is_decided() -> None:
    words = SpokenWords()
    words.add(Recognised(tuple(pieces("I would like")), final=True), at=1.0)
    words.hear(1.0)
    words.add(Recognised(tuple(pieces("Two", 2.0))), at=3.0)
    assert words.hear(3.0)[0] == " Two"
    words.add(Recognised(tuple(pieces("To eat", 2.0)), "To eat", final=True), at=4.0)
    assert words.hear(4.0)[0] == Revision("I would like To eat")
    words.decided()
    assert (words.heard, words.hear(5.0)) == ("", ("", ()))


def test_words_after_a_decision_open_the_next_utterance() -> None:
    words = SpokenWords()
    words.add(Recognised(tuple(pieces("Stop it"))), at=1.0)
    words.hear(1.0)
    words.add(Recognised(tuple(pieces(" and wait", 0.8))), at=2.0)
    words.decided()
    heard, parts = words.hear(2.0)
    assert heard == "and wait"
    assert [part.text for part in parts] == ["and", " wait"]
    words.add(
        Recognised(tuple(pieces("Stop it and weight")), "Stop it and weight", final=True), 3.0
    )
    assert words.hear(3.0)[0] == Revision("and weight")


def test_what_a_segment_had_to_the_end_is_not_lost_where_the_next_one_has_begun() -> None:
    words = SpokenWords()
    words.add(Recognised(tuple(pieces("Stop it"))), at=1.0)
    words.hear(1.0)
    words.add(Recognised(tuple(pieces(" and wait", 0.8)), final=True), at=2.0)
    words.add(Recognised(tuple(pieces("Now go", 3.0))), at=3.5)
    words.decided()  # about what was heard before both
    heard, parts = words.hear(4.0)
    assert heard == "and wait Now go"
    assert [part.text for part in parts] == ["and", " wait", " Now", " go"]


def test_words_that_are_only_divided_otherwise_were_heard() -> None:
    words = SpokenWords()
    words.add(Recognised((Piece(0, 1, "10,000"),)), at=1.0)
    words.hear(1.0)
    words.add(Recognised((Piece(0, 0.5, "10"), Piece(0.5, 1, ",000")), "10,000", final=True), 2.0)
    words.hear(2.0)
    words.decided()
    assert words.hear(3.0) == ("", ())


def test_what_was_played_is_what_counts_as_said() -> None:
    text = "Boil some water, then add the pasta to it"
    for seed in range(50):
        random.seed(seed)
        player, voice, now, said = Player(), Silent(), 0.0, list[Piece]()
        clauses = text.replace(",", ",|").split("|")
        for number, clause in enumerate(clauses):
            player.add(voice.say(clause), number)
        player.end()
        stop_at, ended = random.uniform(0, 4), False
        while now < stop_at and not ended:
            if random.random() < 0.2:
                player.hold()
                assert player.take(PIECE, now).sound is None
                player.go_on()
            taken = player.take(PIECE, now)
            assert taken.sound is not None
            assert len(taken.sound) == PIECE
            said += taken.words
            ended = taken.ended
            now += PIECE / RATE
        unheard = player.unheard
        player.stop()
        heard = "".join(word.text for word in said)
        assert heard + unheard == text
        assert ended == (not unheard)
        assert player.empty
        assert all(one.start <= one.end <= two.end for one, two in pairwise(said))
        assert all(word.end <= now + PIECE / RATE for word in said)


def test_a_voice_that_was_held_says_the_word_again() -> None:
    player = Player()
    player.add(Spoken("one two", RATE, np.ones(RATE, np.int16), tuple(pieces("one two"))), 0)
    player.take(RATE // 2, 0.0)  # "one" and a part of "two"
    left = player.seconds
    player.hold()
    player.go_on()
    assert player.seconds > left
    assert "".join(word.text for word in player.take(RATE, 5.0).words) == " two"


class Watcher:
    """Remembers what was shown."""

    def __init__(self) -> None:
        self.events: list[TranscriptEvent] = []
        self.held = False

    def show_event(self, event: TranscriptEvent) -> None:
        self.events.append(event)

    def show_status(self, status: CycleStatus) -> None: ...

    def show_tentative(self, text: str) -> None: ...

    def show_state(self, *, speaking: bool, held: bool) -> None:
        self.held |= held


class Script(SpeechInput):
    """Knows what is said: lines are said at their times and recognised after it."""

    step, now, speaking = 1.0, 0.0, False

    def __init__(self, lines: list[tuple[float, str]]) -> None:
        self._lines = [(at, at + len(text) / 15, text) for at, text in lines]
        self._over = list[tuple[float, str]]()

    @property
    def open(self) -> bool:
        return self.speaking or bool(self._over)

    @property
    def due(self) -> bool:
        return bool(self._over)

    def feed(self, sound: Sound) -> list[Edge]:
        before, self.now = self.now, self.now + len(sound) / RATE
        edges = []
        for start, end, text in self._lines:
            if before <= start < self.now:
                self.speaking = True
                edges.append(Edge("onset", start, self.now))
            if before <= end < self.now:
                self.speaking = False
                self._over.append((start, text))
                edges.append(Edge("end", end, self.now))
        return edges

    def decode(self) -> Recognised:
        start, text = self._over.pop(0)
        return Recognised(tuple(pieces(text, start)) if text else (), final=True)

    def slow_down(self, took: float) -> bool:
        return False


class Jumping(asyncio.SelectorEventLoop):
    """An event loop that jumps over the time in which nothing happens."""

    def __init__(self) -> None:
        self.moment = 0.0
        loop = self

        class Selector(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> Any:
                loop.moment += timeout or 0.0
                return super().select(0)

        super().__init__(Selector())

    def time(self) -> float:
        return self.moment


async def at_once(thread: Executor, work: Callable[..., Any], *arguments: Any) -> Any:
    return work(*arguments)


def hold(
    monkeypatch: pytest.MonkeyPatch, lines: list[tuple[float, str]], *seconds: float, **more: bool
) -> tuple[SpokenConversation, Transcript, Watcher]:
    """Hold a conversation with a parrot for so long; and again, as often as there are seconds."""
    monkeypatch.setattr(live, "_run", at_once)
    watcher = Watcher()
    header = Header(system="parrot", model="none", scenario="talk", cycle_seconds=0.5)
    with asyncio.Runner(loop_factory=Jumping) as runner:
        conversation = SpokenConversation(
            Parrot(0.5, answer=f"{STORY}{{}}"), header, Script(lines), Silent(), watcher,
            now=runner.get_loop().time, **more,
        )  # fmt: skip

        async def run(seconds: float) -> None:
            held = asyncio.ensure_future(conversation.run())
            end = conversation.now + seconds
            while conversation.now < end and not held.done():
                await asyncio.sleep(PIECE / RATE)
                conversation.feed(np.zeros(PIECE, np.float32))
                conversation.take(PIECE)
            held.cancel()
            with pytest.raises(asyncio.CancelledError):
                await held

        for part in seconds:
            runner.run(run(part))
    conversation.finish()
    return conversation, conversation.so_far(), watcher


def spoken(transcript: Transcript) -> str:
    return "".join(event.text for event in transcript.of("speech"))


def test_a_question_is_answered_aloud_and_the_latency_written_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conversation, transcript, _ = hold(monkeypatch, [(0.5, "who?")], 9.0, keeps_sound=True)
    assert spoken(transcript) == f"{STORY}who?"
    assert [event.text for event in transcript.of("utterance")] == ["who?"]
    stages = conversation.answered[0].stages
    assert stages["total"] == pytest.approx(sum(list(stages.values())[:-1]), abs=0.01)
    assert "first sound" in next(transcript.of("note")).text
    respond, first = next(transcript.of("respond")), next(transcript.of("speech"))
    assert respond.start <= first.start
    assert len(list(transcript.of("answer_end"))) == 1
    assert len(conversation.played.sound()) > RATE


def test_a_voice_that_was_held_goes_on_after_a_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    conversation, transcript, watcher = hold(monkeypatch, [(0.5, "who?"), (4.0, "I see.")], 12.0)
    assert watcher.held
    assert conversation.silenced
    assert spoken(transcript) == f"{STORY}who?"
    assert not list(transcript.of("cut"))


def test_a_sound_that_is_no_word_holds_the_voice_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, transcript, watcher = hold(monkeypatch, [(0.5, "who?"), (4.0, "")], 10.0)
    assert watcher.held
    assert spoken(transcript) == f"{STORY}who?"


@pytest.mark.parametrize("holds", [True, False])
def test_an_interruption_cuts_the_voice_and_only_what_was_heard_was_said(
    monkeypatch: pytest.MonkeyPatch, holds: bool
) -> None:
    _, transcript, _ = hold(monkeypatch, [(0.5, "who?"), (4.0, "why?")], 12.0, holds=holds)
    cut = next(transcript.of("cut"))
    before = "".join(e.text for e in transcript.of("speech") if e.start < cut.start)
    after = "".join(e.text for e in transcript.of("speech") if e.start >= cut.start)
    assert STORY.startswith(before)
    assert 0 < len(before) < len(STORY)
    assert before.endswith(cut.text)
    assert after == f"{STORY}why?"


def test_a_conversation_goes_on_when_it_is_held_again(monkeypatch: pytest.MonkeyPatch) -> None:
    conversation, transcript, _ = hold(monkeypatch, [(0.5, "who?"), (5.0, "why?")], 3.0, 9.0)
    assert conversation.now == pytest.approx(12.0, abs=0.1)
    assert [event.text for event in transcript.of("utterance")] == ["who?", "why?"]
    # What the voice had not said when the page went away was never said.
    assert spoken(transcript).endswith(f"{STORY}why?")
    assert 0 < spoken(transcript).count("story") < 3


def test_a_system_that_fails_ends_the_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Parrot, "cycle", lambda self, heard: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hold(monkeypatch, [], 1.0)


def benched(monkeypatch: pytest.MonkeyPatch, lines: list[tuple[float, str]]) -> VoiceBench:
    monkeypatch.setattr(live, "_run", at_once)
    header = Header(system="parrot", model="none", scenario="talk", cycle_seconds=0.5)
    with asyncio.Runner(loop_factory=Jumping) as runner:
        monkeypatch.setattr(asyncio, "run", runner.run)
        return bench(
            lambda shown: SpokenConversation(
                Parrot(0.5, answer=3 * STORY + "{}"), header, Script(lines), Silent(), shown,
                now=runner.get_loop().time,
            ),
            header, Silent(), [("who?", "why?")],
        )  # fmt: skip


def test_an_answer_to_a_remark_is_none_to_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    found = benched(monkeypatch, [(1.02, "who?"), (5.0, "Mm-hm?")])
    assert (found.asked, found.unanswered) == (2, 1)


def test_the_bench_times_answers_remarks_and_interruptions(monkeypatch: pytest.MonkeyPatch) -> None:
    found = benched(monkeypatch, [(1.02, "who?"), (5.0, "Mm-hm."), (9.5, "why?")])
    times = {one.name: one for one in found.waits}
    assert (found.asked, found.unanswered) == (2, 0)
    assert times["total"].count == 2
    assert times["onset to silence"].count == 2
    assert found.words == 4  # a hyphen parts words
    assert found.wrong == 0
    for table in found.tables():
        assert "parrot" in table.title
