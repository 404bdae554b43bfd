"""Check the server of the OpenAI Realtime protocol with two clients: `openai`'s and our own."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest

from duo.decoding.conversant import Conversant, CycleResult, Event, Heard, Kind
from duo.reading import conversation_of
from duo.transcript import Header, read_scorable
from duo.words import Piece
from sessions.recorder import Job, record_all
from sessions.voice.extras import lacking
from sessions.voice.recogniser import RATE, Sound, SpeechInput, to_int16
from tests.sessions.fakes import Answerer, acts
from tests.sessions.talk import scenario, utterance

NEEDED = ("session", "whisper", "piper", "sound", "realtime")
MISSING = next(filter(None, map(lacking, NEEDED)), "")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "all is there")

HEADER = Header(
    system="answerer", model="none", scenario="talk", clock="real-time", cycle_seconds=0.5
)
Events = list[dict[str, Any]]
Send = Callable[[Any], Awaitable[None]]


def hears_words(sound: Sound, before: str) -> list[Piece]:
    """A recogniser that hears a word in each half second, and a question."""
    count = max(len(sound) * 2 // RATE, 1)
    texts = [*[" word"] * (count - 1), " word?"]
    return [Piece(n / 2, n / 2 + 0.4, text[n == 0 :]) for n, text in enumerate(texts)]


@contextmanager
def serving(
    words: int = 12, *, silent: bool = False, system: Conversant | None = None
) -> Iterator[str]:
    from sessions.voice.live import SpokenConversation
    from sessions.voice.realtime_server import serve_realtime
    from sessions.voice.voices import load_voice

    voice = load_voice("none" if silent else "piper")
    address: list[str] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()

    def begin(session: Any) -> SpokenConversation:
        talks = system or Answerer(words=words, cycle_seconds=0.5)
        return SpokenConversation(talks, HEADER, SpeechInput(hears_words), voice, session)

    def is_ready(at: str) -> None:
        address.append(at)
        ready.set()

    serving = serve_realtime(
        begin, model="answerer", host="127.0.0.1", port=0, silent=silent, ready=is_ready
    )
    task = loop.create_task(serving)
    thread = threading.Thread(target=run, args=(loop, task))
    thread.start()
    assert ready.wait(30)
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


def run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


def talk(address: str, send: Send, until: Callable[[Events], bool]) -> Events:
    """Let the `openai` client send and listen; return what it received, checked."""
    from openai import AsyncOpenAI
    from openai.types.realtime import realtime_server_event

    kinds = {
        get_args(kind.model_fields["type"].annotation)[0]: kind
        for kind in get_args(get_args(realtime_server_event.RealtimeServerEvent)[0])
    }
    received: Events = []

    async def hold() -> None:
        client = AsyncOpenAI(api_key="any", websocket_base_url=address.removesuffix("/realtime"))
        async with client.realtime.connect(model="answerer") as connection:
            sender = asyncio.ensure_future(send(connection))
            async with asyncio.timeout(30):
                while not until(received):
                    event = (await connection.recv()).model_dump(exclude_none=True)
                    kinds[event["type"]].model_validate(event)
                    received.append(event)
            sender.cancel()

    asyncio.run(hold())
    return received


def of(events: Events, *kinds: str) -> Events:
    return [event for event in events if event["type"] in kinds]


def done(events: Events) -> bool:
    return bool(of(events, "response.done"))


async def speak(connection: Any, sound: Sound) -> None:
    import soxr

    wire = to_int16(soxr.resample(sound, RATE, 24_000)).tobytes()
    for at in range(0, len(wire), 4_800):
        audio = base64.b64encode(wire[at : at + 4_800]).decode()
        await connection.input_audio_buffer.append(audio=audio)
        await asyncio.sleep(0.1)


async def says(connection: Any, text: str) -> None:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    await connection.conversation.item.create(item=item)


def question() -> Sound:
    from sessions.voice.voices import load_voice

    said = load_voice("piper").say("How do I cook pasta?").sound()
    return np.concatenate([said, np.zeros(8 * RATE, np.float32)])


def test_a_spoken_question_is_answered_in_sound() -> None:
    with serving() as address:
        sound = question()
        events = talk(address, lambda connection: speak(connection, sound), done)
    order = [event["type"] for event in events]
    told = [
        "session.created", "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed", "response.created", "response.output_item.added",
        "response.content_part.added", "response.output_audio.done",
        "response.output_audio_transcript.done", "response.content_part.done",
        "response.output_item.done", "conversation.item.done", "response.done",
    ]  # fmt: skip
    places = [order.index(kind) for kind in told]
    assert places == sorted(places)
    session = events[0]["session"]
    assert session["audio"]["input"]["turn_detection"]["interrupt_response"] is False
    [heard] = of(events, "conversation.item.input_audio_transcription.completed")
    assert heard["transcript"].endswith("word?")
    [started] = of(events, "input_audio_buffer.speech_started")
    assert heard["item_id"] == started["item_id"]
    sounds = of(events, "response.output_audio.delta")
    wire = b"".join(base64.b64decode(event["delta"]) for event in sounds)
    assert 1.0 < len(wire) / 2 / 24_000 < 12.0
    assert np.abs(np.frombuffer(wire, np.int16).astype(int)).max() > 3000
    said = "".join(event["delta"] for event in of(events, "response.output_audio_transcript.delta"))
    [whole] = of(events, "response.output_audio_transcript.done")
    assert whole["transcript"] == said
    assert len(said.split()) == 12
    response = of(events, "response.done")[0]["response"]
    assert response["status"] == "completed"
    assert response["output"][0]["content"][0]["transcript"] == said
    assert len({event["event_id"] for event in events}) == len(events)


def test_text_is_answered_in_text() -> None:
    async def send(connection: Any) -> None:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await says(connection, "How are you?")
        await connection.response.create()

    with serving(words=6, silent=True) as address:
        events = talk(address, send, done)
    assert of(events, "session.updated")[0]["session"]["output_modalities"] == ["text"]
    assert not of(events, "response.output_audio.delta", "error")
    texts = [event["delta"] for event in of(events, "response.output_text.delta")]
    assert len("".join(texts).split()) == 6
    assert of(events, "response.output_text.done")[0]["text"] == "".join(texts)


def test_a_client_may_cancel_an_answer() -> None:
    async def send(connection: Any) -> None:
        await says(connection, "How are you?")
        await asyncio.sleep(1.5)
        await connection.response.cancel()

    with serving(words=40, silent=True) as address:
        events = talk(address, send, done)
    [response] = [event["response"] for event in of(events, "response.done")]
    assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert [item["status"] for item in response["output"]] == ["incomplete"]


def test_text_that_is_typed_while_the_user_speaks_leaves_the_speech_its_item() -> None:
    from sessions.voice.realtime_server import Session

    session: Any = Session(None, "answerer", silent=True)  # type: ignore[arg-type]
    session._conversation = SimpleNamespace(now=1.0, hear_text=lambda text: None)
    session.show_state(speaking=True, held=False)
    content = [{"type": "input_text", "text": "Fine."}]
    item = {"type": "message", "role": "user", "content": content}
    session._follow(session._parsed(json.dumps({"type": "conversation.item.create", "item": item})))
    session.show_state(speaking=False, held=False)
    events = [json.loads(session._outbox.get_nowait()) for _ in range(session._outbox.qsize())]
    [began], [ended] = (
        of(events, f"input_audio_buffer.speech_{it}") for it in ("started", "stopped")
    )
    assert ended["item_id"] == began["item_id"]


class Ignores:
    """A system that wants no answer to anything."""

    name, cycle_seconds = "ignores", 0.2

    def reset(self) -> None: ...

    def cycle(self, heard: Heard) -> CycleResult:
        return acts(Event(Kind.IGNORE)) if heard else CycleResult()


def test_where_no_answer_is_wanted_the_response_asked_for_is_empty() -> None:
    async def send(connection: Any) -> None:
        await says(connection, "Fine.")
        await connection.response.create()

    with serving(silent=True, system=Ignores()) as address:
        events = talk(address, send, done)
    [response] = [event["response"] for event in of(events, "response.done")]
    assert response["status"] == "completed"
    assert response["output"][0]["content"] == [{"type": "output_text", "text": ""}]


def test_what_cannot_be_had_is_an_error_and_the_session_goes_on() -> None:
    message = {"type": "message", "role": "system", "content": []}
    sent: list[Any] = [
        {"type": "session.update", "session": {"type": "realtime", "instructions": "Be rude."}},
        {"type": "session.update", "session": {"type": "realtime", "output_modalities": ["audio"]}},
        {"type": "input_audio_buffer.append", "audio": "not base64!"},
        {"type": "input_audio_buffer.append"},
        {"type": "input_audio_buffer.commit", "event_id": "mine"},
        {"type": "response.cancel"},
        {"type": "conversation.item.create", "item": message},
        {"type": "no.such.event"},
        [1, 2],
    ]

    async def send(connection: Any) -> None:
        for event in sent:
            await connection.send_raw(json.dumps(event))

    with serving(silent=True) as address:
        events = talk(address, send, lambda got: len(of(got, "error")) == len(sent))
    fields = [event["error"].get("param") for event in of(events, "error")]
    assert fields == [
        "session.instructions", "session.output_modalities", "audio", "audio", "type",
        "response_id", "item", "type", "type",
    ]  # fmt: skip
    assert of(events, "error")[4]["error"]["event_id"] == "mine"


def test_our_own_client_records_our_own_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions.voice.remote.QUIET_SECONDS", 1.0)
    monkeypatch.setattr("sessions.voice.studio.whisper", lambda: hears_words)
    monkeypatch.setenv("DUO_KEY", "secret")  # of the server and the client
    one = scenario(
        {"at": 0.3, **utterance("ask", "How do I cook pasta?")},
        {"into_answer": 1.5, **utterance("next", "And what about rice?")},
        breath=0.7,
        give_up=15.0,
    )
    with serving(words=24) as address:
        [path] = record_all(Job([f"realtime:{address}"], [one], tmp_path, max_seconds=40.0))
    found = conversation_of(read_scorable(path))
    first, *others = found.answers
    ask, cut_in = found.utterances
    assert ask.end < first.start < ask.end + 4.0
    assert first.ending == "cut"
    assert cut_in.start < first.ended < cut_in.end + 4.0
    assert others
    assert others[0].start > cut_in.end


def test_strangers_are_kept_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import connect

    def status(address: str, **more: Any) -> int:
        with pytest.raises(InvalidStatus) as caught, connect(address, **more):
            pass
        return caught.value.response.status_code

    monkeypatch.setenv("DUO_KEY", "secret")
    with serving(silent=True) as address:
        assert status(address) == 401
        key = {"Authorization": "Bearer secret"}
        assert status(address, additional_headers=key, origin="https://evil.example") == 403
        with connect(address, additional_headers=key) as one:
            assert "session.created" in str(one.recv(10))
            other = connect(address, additional_headers=key)
            with other, pytest.raises(ConnectionClosed, match="somebody else"):
                other.recv(10)


def test_a_client_that_reads_nothing_is_sent_away() -> None:
    from sessions.voice.live import SpokenConversation
    from sessions.voice.realtime_server import Session
    from sessions.voice.voices import load_voice

    class Deaf:
        """A client that sends on and on, and reads nothing."""

        sent, closed = 0, None  # type: int, tuple[int, str] | None

        async def send(self, message: str) -> None:
            await asyncio.Event().wait()

        async def close(self, code: int, reason: str) -> None:
            self.closed = code, reason

        async def __aiter__(self) -> Any:
            while True:
                self.sent += 1
                yield "junk"
                await asyncio.sleep(0)

    header = Header(system="fake", model="none", scenario="talk", cycle_seconds=0.2)
    client, held = Deaf(), list[SpokenConversation]()

    def begin(session: Any) -> SpokenConversation:
        held.append(
            SpokenConversation(
                Answerer(words=4, cycle_seconds=0.2),
                header,
                SpeechInput(hears_words),
                load_voice("none"),
                session,
            )
        )
        return held[0]

    async def run() -> None:
        session = Session(client, "fake", silent=True)  # type: ignore[arg-type]
        async with asyncio.timeout(60):
            await session.run(begin)

    asyncio.run(run())
    assert client.closed == (1008, "what is sent is not read")
    assert client.sent < 2000
    held[0].wait()
