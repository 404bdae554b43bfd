"""Check how words are committed, and that a spoken line comes back as words at its times."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from duo.errors import BadInput
from duo.words import Piece
from sessions.voice.extras import lacking
from sessions.voice.recogniser import (
    RATE,
    Agreement,
    Recognised,
    RemoteSpeech,
    SpeechInput,
    whisper,
)
from sessions.voice.voices import Clauses, Silent, load_voice, speakable

MISSING = lacking("whisper") or lacking("piper")
WORDS = ["How", "do", "I", "cook", "pasta", "for", "two", "people", "tonight"]


def pieces(words: list[str]) -> list[Piece]:
    return [Piece(n, n + 1, f" {word}" if n else word) for n, word in enumerate(words)]


def heard(all_of_it: list[Recognised]) -> str:
    """What a system that takes words and revisions has heard in the end."""
    text = ""
    for one in all_of_it:
        joined = "".join(word.text for word in one.words)
        text = text + joined if one.revision is None else one.revision
    return text


def test_the_words_heard_are_those_of_the_last_hypothesis() -> None:
    for seed in range(200):
        random.seed(seed)
        agreement, results = Agreement(), list[Recognised]()
        for length in sorted(random.sample(range(1, len(WORDS)), 4)):
            words = [w if random.random() > 0.15 else random.choice("abc") for w in WORDS[:length]]
            results.append(agreement.update(pieces(words)))
            assert not results[-1].final
            assert len(agreement.committed) < length  # the last word may still grow
        last = [w if random.random() > 0.1 else "d" for w in WORDS]
        results.append(agreement.update(pieces(last), final=True))
        assert heard(results) == " ".join(last)
        assert agreement.text == " ".join(last)


def test_a_word_is_committed_when_two_hypotheses_agree_on_it() -> None:
    agreement = Agreement()
    first = agreement.update(pieces(["How", "do", "eye."]))
    assert (first.words, first.tentative) == ((), "How do eye.")
    second = agreement.update(pieces(["how,", "do", "I", "cook..."]))
    assert "".join(word.text for word in second.words) == "how, do"
    assert second.tentative == "I cook..."


def test_the_last_hypothesis_corrects_what_was_committed() -> None:
    agreement = Agreement()
    for _ in range(2):
        agreement.update(pieces(["Stop", "it", "now"]))
    last = agreement.update(pieces(["Top", "it", "up."]), final=True)
    assert last.revision == "Top it up."
    assert "".join(word.text for word in last.words) == last.revision


def test_clauses_joined_are_the_text() -> None:
    text = (
        "Hello there, boil 3.5 litres of water. Add salt;\nthen (slowly) the pasta! 你好，世界。 So"
    )
    for seed in range(50):
        random.seed(seed)
        clauses, found, rest = Clauses(), list[str](), text
        while rest:
            piece, rest = rest[: (size := random.randint(1, 9))], rest[size:]
            found += clauses.add(piece)
            if random.random() < 0.2:
                found.append(clauses.words())
        found.append(clauses.rest())
        assert "".join(found) == text
        assert all("3.5" in clause or "3" not in clause for clause in found)


@pytest.mark.skipif(bool(lacking("piper")), reason="the extra voice is missing")
def test_a_damaged_voice_is_named(tmp_path: Path) -> None:
    file = tmp_path / "v.onnx"
    file.write_bytes(b"junk")
    for settings in ("junk", "{}"):
        file.with_name("v.onnx.json").write_text(settings)
        with pytest.raises(BadInput, match=r"v\.onnx: voice: cannot be read"):
            load_voice(str(file))


def test_a_silent_voice_takes_the_time_of_its_words() -> None:
    spoken = Silent().say("Boil **some** water.")
    assert "".join(word.text for word in spoken.words) == spoken.text
    assert spoken.words[0].end < spoken.seconds / 2 < spoken.words[1].end
    assert spoken.words[-1].end == pytest.approx(spoken.seconds, abs=1e-3)
    assert speakable(spoken.text) == "Boil some water."


@pytest.mark.skipif(
    bool(lacking("whisper") or lacking("piper")), reason="the extra voice is missing"
)
def test_spoken_lines_come_back_as_words_at_their_times() -> None:
    voice, quiet = load_voice("piper"), np.zeros(RATE, np.float32)
    question, hum = voice.say("How do I cook pasta for six people?"), voice.say("Mm-hm.")
    sound = np.concatenate([quiet, question.sound(), quiet, hum.sound(), quiet])
    speech, results, edges = SpeechInput(whisper()), list[Recognised](), []
    for start in range(0, len(sound), 1600):
        edges += speech.feed(sound[start : start + 1600])
        while speech.due:
            results.append(speech.decode())
    assert [edge.kind for edge in edges] == ["onset", "end"] * 2
    assert edges[0].at == pytest.approx(1.0, abs=0.3)
    assert edges[1].at == pytest.approx(1 + question.seconds, abs=0.4)
    first = next(n for n, one in enumerate(results) if one.final)
    assert heard(results[: first + 1]).casefold() == "how do i cook pasta for six people?"
    words = [word for one in results[: first + 1] for word in one.words]
    assert 0.8 <= words[0].start < words[-1].end <= 1.4 + question.seconds
    assert "m" in heard(results[first + 1 :]).casefold()


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_words_of_a_service_are_committed_as_its_texts_agree() -> None:
    speech, results = RemoteSpeech(), list[Recognised]()
    speech.feed(np.zeros(RATE, np.float32))
    assert not speech.due
    assert not speech.open
    texts = ("how", "how do eye", "how do I cook", "How do I cook pasta?")
    for number, text in enumerate(texts):
        speech.recognised(text, final=number == len(texts) - 1)
        assert speech.open
        speech.feed(np.zeros(RATE // 2, np.float32))
        while speech.due:
            results.append(speech.decode())
    assert not speech.open
    assert [len(one.words) for one in results] == [0, 1, 1, 3]
    assert heard(results) == "how do I cook pasta?"
    times = [time for one in results for word in one.words for time in (word.start, word.end)]
    assert 1.0 <= times[0] <= times[-1] <= 3.0
