"""Check conversations over the OpenAI Realtime protocol, with servers whose messages are known."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from duo.errors import BadInput
from duo.reading import conversation_of
from duo.transcript import read_scorable
from duo.words import Piece
from sessions.recorder import Job, record_all
from sessions.suite import suite_scenarios
from sessions.voice.extras import lacking
from sessions.voice.realtime import RealtimeSession, RealtimeSettings
from sessions.voice.recogniser import RATE, Sound, to_int16
from sessions.voice.remote import TICK
from tests.sessions.talk import scenario, utterance

MISSING = next(filter(None, map(lacking, ("whisper", "piper", "sound", "realtime"))), "")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "all is there")

Event = dict[str, Any]
Answer = Callable[[Event], list[Event]]


@contextmanager
def listening(
    hold: Callable[[Any], None], check: Callable[[Any, Any], Any] | None = None
) -> Iterator[str]:
    """A server that holds each connection as a function does; its address."""
    from websockets.sync.server import serve

    with serve(hold, "127.0.0.1", 0, process_request=check) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def served(answer: Callable[[], Answer], *, key: str = "") -> Iterator[tuple[str, list[Event]]]:
    """A server that answers each event of a client as a function says; None closes."""
    got: list[Event] = []

    def hold(connection: Any) -> None:
        respond = answer()
        session = {
            "type": "realtime",
            "audio": {"input": {"turn_detection": {"type": "server_vad"}}},
        }
        connection.send(json.dumps({"type": "session.created", "session": session}))
        for message in connection:
            event = json.loads(message)
            got.append(event)
            for reply in respond(event):
                if reply["type"] == "close":
                    connection.close(1011, "out of credit")
                    return
                connection.send(json.dumps(reply))

    def check(connection: Any, request: Any) -> Any:
        if key and request.headers.get("Authorization") != f"Bearer {key}":
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no\n")
        return None

    with listening(hold, check) as address:
        yield f"{address}/v1/realtime", got


def said_aloud(seconds: float) -> Sound:
    """Something that sounds like speech, for so long."""
    from sessions.voice.voices import load_voice

    sound = load_voice("piper").say("One two three four five six seven eight nine ten.").sound()
    return np.resize(sound, round(seconds * RATE))


def audio(sound: Sound, response: str) -> list[Event]:
    import soxr

    wire = to_int16(soxr.resample(sound, RATE, 24_000)).tobytes()
    about = {"response_id": response, "item_id": f"item of {response}"}
    return [
        {"type": "response.output_audio.delta", "delta": base64.b64encode(part).decode(), **about}
        for part in (wire[at : at + 9_600] for at in range(0, len(wire), 9_600))
    ]


def done(response: str, status: str = "completed") -> Event:
    return {"type": "response.done", "response": {"id": response, "status": status, "output": [{}]}}


def hears_words(sound: Sound, before: str) -> list[Piece]:
    """A recogniser that hears a word in each half second."""
    count = max(len(sound) * 2 // RATE, 1)
    return [Piece(n / 2, n / 2 + 0.4, " word"[n == 0 :]) for n in range(count)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions.voice.remote.QUIET_SECONDS", 1.0)
    monkeypatch.setattr("sessions.voice.studio.whisper", lambda: hears_words)
    monkeypatch.delenv("DUO_KEY", raising=False)


def talked(
    address: str, out: Path, *said: Event, protocol: str = "realtime", **settings: str
) -> Path:
    system = f"{protocol}:{address}"
    given = {system: settings} if settings else {}
    one = scenario(*said, breath=0.5, give_up=2.0)
    [path] = record_all(Job([system], [one], out, settings=given, max_seconds=30.0))
    return path


ASK = {"at": 0.3, **utterance("ask", "How are you?")}


class Vad:
    """Answers when there is silence for 0.4 s after speech; says when speech begins."""

    def __init__(self, *answers: list[Event]) -> None:
        self._answers = list(answers)
        self._speaking, self._silent = False, 0.0

    def __call__(self, event: Event) -> list[Event]:
        if event["type"] == "session.update":
            return [{"type": "session.updated", "session": event["session"]}]
        if event["type"] != "input_audio_buffer.append":
            return []
        wire = np.frombuffer(base64.b64decode(event["audio"]), np.int16)
        loud = bool(np.abs(wire.astype(float)).max(initial=0) > 300)
        self._silent = 0.0 if loud else self._silent + len(wire) / 24_000
        if loud and not self._speaking:
            self._speaking = True
            return [{"type": "input_audio_buffer.speech_started", "audio_start_ms": 0}]
        if self._speaking and self._silent > 0.4:
            self._speaking = False
            return self._answers.pop(0) if self._answers else []
        return []


def test_a_server_that_stops_when_the_user_speaks(tmp_path: Path, quick: None) -> None:
    long, short = said_aloud(20.0), said_aloud(1.5)
    answers = [*audio(long, "r1"), done("r1")], [*audio(short, "r2"), done("r2")]
    stop = {"into_answer": 1.0, **utterance("stop", "And what is that?")}
    with served(lambda: Vad(*answers)) as (address, got):
        path = talked(address, tmp_path, ASK, stop)
    talk = conversation_of(read_scorable(path))
    first, second = talk.answers
    ask, cut_in = talk.utterances
    assert ask.end + 0.2 < first.start < ask.end + 1.0
    assert (first.ending, second.ending) == ("cut", "complete")
    assert cut_in.start - 0.1 < first.ended < cut_in.start + 0.6  # as soon as it is noticed
    assert cut_in.end + 0.2 < second.start < cut_in.end + 1.0
    [cut] = [event for event in got if event["type"] == "conversation.item.truncate"]
    assert cut["item_id"] == "item of r1"
    assert cut["audio_end_ms"] / 1000 == pytest.approx(first.ended - first.start, abs=0.6)

    import soundfile

    sound, rate = soundfile.read(path.with_suffix(".flac"))
    silent = sound[round((first.ended + 0.1) * rate) : round((second.start - 0.5) * rate), 1]
    assert np.abs(silent).max(initial=0) < 0.001 < np.abs(sound[:, 1]).max()


def test_an_answer_that_comes_while_another_is_played_leaves_that_its_end() -> None:
    class Connection:
        def send(self, message: str) -> None:
            sent.append(json.loads(message))

    def messages(*events: Event) -> None:
        for event in events:
            session._take(json.dumps(event))

    def ends(ticks: int) -> list[tuple[int, str]]:
        """In which tick something happened."""
        for tick in range(ticks):
            session.play()
            found.extend((tick, kind.value) for kind in session.happened)
            session.happened.clear()
        return found

    sent, found = list[Event](), list[tuple[int, str]]()
    session = RealtimeSession(Connection(), RealtimeSettings(), None)
    tick = np.ones(round(TICK * RATE), np.float32)
    one, other = np.tile(tick, 20), np.tile(tick, 10)
    messages(*audio(one, "r1"), done("r1"), *audio(other, "r2"), done("r2"))
    (first, end), (second, again) = ends(40)
    assert (end, again) == ("answer_end", "answer_end")
    assert 17 <= first <= 20 < 26 <= second <= 30  # a stream keeps its last samples back
    found.clear()
    messages(*audio(other, "r3"), *audio(one, "r4"))
    [(third, end)] = ends(15)
    messages({"type": "input_audio_buffer.speech_started"})
    assert (end, ends(1)[-1]) == ("answer_end", (0, "cut"))
    assert sent[-1]["item_id"] == "item of r4"
    assert sent[-1]["audio_end_ms"] == pytest.approx((15 - third) * TICK * 1000, abs=1.1 * 50)


def test_all_that_is_sent_is_of_the_protocol(tmp_path: Path, quick: None) -> None:
    from openai.types.realtime import realtime_client_event
    from pydantic import TypeAdapter

    union = get_args(realtime_client_event.RealtimeClientEvent)[0]
    known = {kind.model_fields["type"].annotation.__args__[0]: kind for kind in get_args(union)}
    with served(lambda: Vad([*audio(said_aloud(0.5), "r"), done("r")])) as (address, got):
        talked(address, tmp_path / "audio", ASK, voice="ash", instructions="Be brief.")
    for event in got:
        TypeAdapter(known[event["type"]]).validate_python(event)
    assert got[0]["session"]["audio"]["output"]["voice"] == "ash"
    assert {event["type"] for event in got} == {"session.update", "input_audio_buffer.append"}


def test_a_server_of_text_is_given_a_voice(tmp_path: Path, quick: None) -> None:
    def answer(event: Event) -> list[Event]:
        about = {"response_id": "r", "item_id": "i"}
        match event["type"]:
            case "session.update":
                return [{"type": "session.updated", "session": {}}]
            case "response.create":
                texts = [{"type": "response.text.delta", "delta": text, **about}
                         for text in ("I am", " fine, thank", " you.")]  # fmt: skip
                return [*texts, {"type": "response.text.done", **about}, done("r")]
        return []

    with served(lambda: answer) as (address, got):
        path = talked(address, tmp_path, ASK, modality="text")
    assert [event["type"] for event in got] == [
        "session.update", "conversation.item.create", "response.create",
    ]  # fmt: skip
    assert got[1]["item"]["content"] == [{"type": "input_text", "text": "How are you?"}]
    talk = conversation_of(read_scorable(path))
    [one] = talk.answers
    assert one.ending == "complete"
    assert talk.utterances[0].end < one.start < talk.utterances[0].end + 1.5


def test_what_goes_wrong_is_said_in_a_line_and_leaves_nothing_half_written(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(address: str) -> str:
        with pytest.raises(BadInput) as caught:
            talked(address, tmp_path, ASK)
        assert not list(tmp_path.rglob("*.jsonl")) + list(tmp_path.rglob("*.flac"))
        return str(caught.value)

    def refuses(event: Event) -> list[Event]:
        return [{"type": "error", "error": {"message": "no such model"}}]

    def leaves(event: Event) -> list[Event]:
        if event["type"] == "session.update":
            return [{"type": "session.updated", "session": {}}]
        return [{"type": "close"}]

    assert "cannot be reached" in fails("ws://127.0.0.1:1/v1")
    assert "is no ws:// or wss:// address" in fails("http://127.0.0.1/v1")
    assert "keys are taken from DUO_KEY" in fails("ws://127.0.0.1/?api-key=secret")
    with served(lambda: Vad(), key="secret") as (address, _):
        assert "wants a key (401): none is set" in fails(address)
        monkeypatch.setenv("DUO_KEY", "wrong")
        assert "wants a key (401): it was refused" in fails(address)
    with served(lambda: refuses) as (address, _):
        assert "no such model" in fails(address)
    with served(lambda: leaves) as (address, _):
        assert "half way (out of credit)" in fails(address)


def test_a_server_cannot_go_on_from_a_dialogue(tmp_path: Path, quick: None) -> None:
    before = suite_scenarios("more-dev-assent-110-written")
    with pytest.raises(BadInput, match="cannot go on from a dialogue held before"):
        record_all(Job(["realtime:ws://127.0.0.1:1/v1"], before, tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_server_may_send_anything(tmp_path: Path, quick: None) -> None:
    odd: list[Any] = [
        {"type": "response.done", "response": [1]},
        {"type": "response.done"},
        {"type": "response.output_text.delta", "delta": 7},
        {"type": "response.output_text.done", "response_id": {}},
        {"type": "session.updated", "session": {"audio": {"input": "x"}, "turn_detection": []}},
        {"type": "error", "error": "<b>\x1b[31m"},
        {"type": ["list"]},
        {"type": "input_audio_buffer.speech_started"},
    ]
    noise = {"type": "response.output_audio.delta", "response_id": "r", "delta": "%%"}
    with served(lambda: Vad([*odd, *audio(said_aloud(0.5), "r"), done("r")])) as (address, _):
        path = talked(address, tmp_path, ASK)
    [answer] = conversation_of(read_scorable(path)).answers
    assert answer.ending == "complete"
    with (
        served(lambda: Vad([noise])) as (address, _),
        pytest.raises(BadInput, match="sound that is none"),
    ):
        talked(address, tmp_path, ASK)
