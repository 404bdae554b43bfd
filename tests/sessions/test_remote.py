"""Conversations over Gemini's and Moshi's protocols, with servers whose messages are known."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.decoding.conversant import Kind
from duo.errors import BadInput
from duo.reading import conversation_of
from duo.transcript import read_scorable
from sessions.voice.extras import lacking
from sessions.voice.gemini import GeminiSession, GeminiSettings
from sessions.voice.recogniser import RATE, Sound, from_int16, to_int16
from sessions.voice.remote import TICK
from tests.sessions.talk import utterance
from tests.sessions.test_realtime import (
    ASK,
    Event,
    listening,
    quick,  # noqa: F401 - a fixture
    said_aloud,
    talked,
)

MISSING = next(filter(None, map(lacking, ("whisper", "piper", "sound", "realtime"))), "")
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=MISSING or "all is there"),
    pytest.mark.usefixtures("quick"),
]

CUT_IN = {"into_answer": 1.5, **utterance("next", "And what about rice?")}
#: What Moshi's own writer of Opus (sphn 0.2) makes of 0.4 s of a tone of 440 Hz, as messages.
TONE = Path(__file__).with_name("moshi-sound.txt")


class Hears:
    """Tells when somebody begins to speak, and when they were silent for 0.4 s."""

    def __init__(self) -> None:
        self._speaking, self._silent = False, 0.0

    def __call__(self, sound: Sound, rate: int) -> str:
        loud = bool(np.abs(sound).max(initial=0) > 0.01)
        self._silent = 0.0 if loud else self._silent + len(sound) / rate
        if loud != self._speaking and (loud or self._silent > 0.4):
            self._speaking = loud
            return "begins" if loud else "ends"
        return ""


# -- Gemini -----------------------------------------------------------------------------------

SETUP = {"setupComplete": {}}


def content(**fields: Any) -> Event:
    return {"serverContent": fields}


def spoken(sound: Sound) -> list[Event]:
    """A turn of the model, as fast as it is made."""
    import soxr

    wire = to_int16(soxr.resample(sound, RATE, 24_000)).tobytes()
    parts = (base64.b64encode(wire[at : at + 9_600]).decode() for at in range(0, len(wire), 9_600))
    kind = "audio/pcm;rate=24000"
    return [
        *(content(modelTurn={"parts": [{"inlineData": {"data": one, "mimeType": kind}}]})
          for one in parts),
        content(outputTranscription={"text": "One two three."}),
        content(generationComplete=True),
    ]  # fmt: skip


def gemini(*answers: list[Event], got: list[Event] | None = None) -> Callable[[Any], None]:
    """A server that says so when the user breaks in, and answers when they are silent."""

    def hold(connection: Any) -> None:
        hears, left, answering = Hears(), list(answers), False

        def send(event: Event) -> None:
            connection.send(json.dumps(event).encode())  # it sends JSON as bytes

        for message in connection:
            event = json.loads(message)
            if got is not None:
                got.append(event)
            if "setup" in event:
                send(SETUP)
                continue
            blob = event["realtimeInput"]["audio"]
            assert blob["mimeType"] == "audio/pcm;rate=16000"
            heard = np.frombuffer(base64.b64decode(blob["data"]), np.int16)
            match hears(from_int16(heard), RATE):
                case "begins" if answering:
                    send(content(interrupted=True))
                    send(content(turnComplete=True) | {"usageMetadata": {"totalTokenCount": 7}})
                case "ends" if left:
                    answering = True
                    for one in left.pop(0):
                        send(one)

    return hold


def test_gemini_answers_and_lets_itself_be_interrupted(tmp_path: Path) -> None:
    got: list[Event] = []
    answers = spoken(said_aloud(6.0)), spoken(said_aloud(1.0))
    with listening(gemini(*answers, got=got)) as address:
        asked = {"model": "m", "voice": "Puck", "instructions": "Be brief."}
        path = talked(address, tmp_path, ASK, CUT_IN, protocol="gemini", **asked)
    assert got[0] == {
        "setup": {
            "model": "models/m",
            "generationConfig": {
                "responseModalities": ["AUDIO"],
                "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Puck"}}},
            },
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
        }
    }
    talk = conversation_of(read_scorable(path))
    (ask, cut_in), (first, second) = talk.utterances, talk.answers
    assert ask.end < first.start < cut_in.start < first.ended < second.start
    assert (first.ending, second.ending) == ("cut", "complete")


class Sends:
    """A connection by which messages have come already."""

    def __init__(self, *events: Event) -> None:
        self._left = [json.dumps(event) for event in events]

    def recv(self, timeout: float) -> str:
        if not self._left:
            raise TimeoutError
        return self._left.pop(0)


def test_an_answer_that_gemini_makes_while_another_is_played_comes_after_it() -> None:
    events = [*spoken(said_aloud(1.0)), *spoken(said_aloud(0.5))]
    session = GeminiSession(Sends(*events), GeminiSettings(model="m"), None)
    session.listen(0.0)
    ends = []
    for tick in range(1, 60):
        session.play()
        ends += [tick * TICK for _ in session.happened]
        assert set(session.happened) <= {Kind.ANSWER_END}
        session.happened.clear()
    assert ends == pytest.approx([1.0, 1.5], abs=2 * TICK)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"error": {"message": "no \x1b such model"}}, r"the server reports: no \\x1b such model"),
        ([1], "what is no message of the protocol"),
        (content(modelTurn={"parts": [{"inlineData": {"data": "%", "mimeType": "audio/pcm"}}]}),
         "sound that is none"),
        (content(modelTurn={"parts": [{"inlineData": {"data": "", "mimeType": "audio/mp3"}}]}),
         "the server sends audio/mp3, not PCM"),
        (content(modelTurn={"parts": [
            {"inlineData": {"data": "", "mimeType": "audio/pcm;rate=1"}}]}), "rate=1, not PCM"),
    ],
)  # fmt: skip
def test_what_is_not_of_geminis_protocol_is_said_in_a_line(
    tmp_path: Path, event: Any, message: str
) -> None:
    def hold(connection: Any) -> None:
        connection.recv()
        connection.send(json.dumps(event))
        connection.send(json.dumps(SETUP))
        for _ in connection:
            pass

    with listening(hold) as address, pytest.raises(BadInput, match=message):
        talked(address, tmp_path, ASK, protocol="gemini", model="m")
    assert not list(tmp_path.iterdir())


def test_gemini_may_send_what_is_not_known_yet(tmp_path: Path) -> None:
    odd = [
        content(modelTurn="x"), content(modelTurn={"parts": [1, {"inlineData": 2}, {"text": "x"}]}),
        {"goAway": {"timeLeft": "50s"}}, {"serverContent": 7}, content(interrupted="yes"), {},
    ]  # fmt: skip
    with listening(gemini([*odd, *spoken(said_aloud(0.5))])) as address:
        path = talked(address, tmp_path, ASK, protocol="gemini", model="m")
    [answer] = conversation_of(read_scorable(path)).answers
    assert answer.ending == "complete"


def test_keys_and_names_of_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str | None] = []

    def check(connection: Any, request: Any) -> Any:
        keys.append(request.headers.get("x-goog-api-key"))
        return connection.respond(HTTPStatus.FORBIDDEN, "no\n")

    for name in ("DUO_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadInput, match="GOOGLE_API_KEY or GEMINI_API_KEY is not set"):
        talked("gemini-live", tmp_path, ASK, protocol="gemini")
    monkeypatch.setenv("GEMINI_API_KEY", "of Google")
    with listening(lambda connection: None, check) as address:
        with pytest.raises(BadInput, match="none is set; DUO_KEY has it"):
            talked(address, tmp_path, ASK, protocol="gemini", model="m")
        monkeypatch.setenv("DUO_KEY", "of this one")
        with pytest.raises(BadInput, match="it was refused; DUO_KEY has it"):
            talked(address, tmp_path, ASK, protocol="gemini", model="m")
        with pytest.raises(BadInput, match="NAME"):
            talked(address, tmp_path, ASK, protocol="gemini")
    assert keys == [None, "of this one"]
    with pytest.raises(BadInput, match="moshi systems have no 'model'; they have none"):
        talked("ws://127.0.0.1:1", tmp_path, ASK, protocol="moshi", model="m")
    for name in ("127.0.0.1:8998", "http://x", "ws://[::1", "ws://x:70000", ""):
        with pytest.raises(BadInput, match="is no ws:// or wss:// address"):
            talked(name, tmp_path, ASK, protocol="moshi")


# -- Moshi ------------------------------------------------------------------------------------


def moshi(*answers: Sound, seen: set[str] | None = None) -> Callable[[Any], None]:
    """A server that sends as much sound as it gets, silence most of the time."""
    from sessions.voice.moshi import OpusReader, OpusWriter

    def hold(connection: Any) -> None:
        import soxr

        if seen is not None:
            seen.add(connection.request.path)
        reader, writer, hears = OpusReader(), OpusWriter(), Hears()
        down = soxr.ResampleStream(48_000, RATE, 1, dtype="float32")
        left, saying = list(answers), np.zeros(0, np.float32)
        connection.send(b"\0")
        for message in connection:
            assert message[0] == 1
            for sound in reader.read(message[1:]):
                match hears(sound, 48_000):
                    case "begins":
                        saying = saying[:0]
                    case "ends" if left:
                        saying = left.pop(0)
                        connection.send(b"\2" + b" One")
                count = len(down.resample_chunk(sound))
                part, saying = saying[:count], saying[count:]
                if opus := writer.write(np.pad(part, (0, count - len(part)))):
                    connection.send(b"\1" + opus)

    return hold


def test_moshi_speaks_and_is_silent_all_the_time(tmp_path: Path) -> None:
    seen: set[str] = set()
    with listening(moshi(said_aloud(6.0), said_aloud(1.0), seen=seen)) as address:
        path = talked(address, tmp_path, ASK, CUT_IN, protocol="moshi")
    assert seen == {"/api/chat"}
    talk = conversation_of(read_scorable(path))
    (ask, cut_in), (first, second) = talk.utterances, talk.answers
    assert ask.end < first.start < cut_in.start < first.ended < second.start
    assert first.ending == second.ending == "complete"  # what was cut is never known
    assert first.ended - first.start < 5.0


def test_recorded_sound_of_moshi_is_read() -> None:
    from sessions.voice.moshi import OpusReader

    messages = [base64.b64decode(line) for line in TONE.read_text().splitlines()]
    whole = b"".join(message[1:] for message in messages)
    for size in (1, 100, len(whole)):
        reader = OpusReader()
        parts = (whole[at : at + size] for at in range(0, len(whole), size))
        sound = np.concatenate([one for part in parts for one in reader.read(part)])
        assert 0.2 < len(sound) / 48_000 <= 0.4
        spectrum = np.abs(np.fft.rfft(sound[4_800:9_600]))
        assert spectrum.argmax() == 44  # in steps of 10 Hz


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_damaged_sound_is_refused_in_a_line_or_is_sound(data: st.DataObject) -> None:
    from sessions.voice.moshi import OpusReader

    whole = bytearray().join(base64.b64decode(line)[1:] for line in TONE.read_text().splitlines())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadInput):
        for sound in OpusReader().read(bytes(whole)):
            assert np.isfinite(sound).all()


@pytest.mark.parametrize("message", ["text", b"", b"\1no ogg" + bytes(40)])
def test_what_is_not_of_moshis_protocol_is_said_in_a_line(tmp_path: Path, message: Any) -> None:
    def hold(connection: Any) -> None:
        connection.send(message)
        connection.send(b"\0")
        for _ in connection:
            pass

    with listening(hold) as address, pytest.raises(BadInput, match="the server sends"):
        talked(address, tmp_path, ASK, protocol="moshi")
    assert not list(tmp_path.iterdir())
