"""What becomes of a conversation when the page that holds it goes away: no browser is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from duo.decoding.conversant import Conversant, CycleResult, Event, Heard, Kind
from duo.transcript import Header, read_transcript
from sessions.voice.extras import lacking

if TYPE_CHECKING:
    from sessions.voice.server import Talks

pytestmark = pytest.mark.skipif(bool(lacking("session")), reason=lacking("session"))


class Counting:
    """Says how often it was cycled; fails at a cycle, if it is to."""

    name, cycle_seconds = "counting", 0.05

    def __init__(self, fails: int = 0) -> None:
        self.cycles, self._fails = 0, fails

    def reset(self) -> None: ...

    def cycle(self, heard: Heard) -> CycleResult:
        self.cycles += 1
        if self.cycles == self._fails:
            raise RuntimeError("out of memory")
        return CycleResult((Event(Kind.SPEECH, f" {self.cycles}"),))


class Client:
    """A page's socket: sends silence until it is told to go."""

    def __init__(self, app: Callable[..., object]) -> None:
        self._app = app
        self.gone = asyncio.Event()
        self.on_close: Callable[[], object] = lambda: None

    async def hold(self) -> None:
        """Be connected until the server is done with it."""
        headers = [(b"host", b"localhost"), (b"origin", b"http://localhost")]
        scope = {"type": "websocket", "path": "/api/sound", "headers": headers,
                 "query_string": b"", "subprotocols": []}  # fmt: skip
        await self._app(scope, self._receive, self._send)  # type: ignore[misc]

    async def _receive(self) -> dict[str, object]:
        if not hasattr(self, "_connected"):
            self._connected = True
            return {"type": "websocket.connect"}
        try:
            async with asyncio.timeout(0.02):
                await self.gone.wait()
        except TimeoutError:
            return {"type": "websocket.receive", "bytes": bytes(640)}
        return {"type": "websocket.disconnect", "code": 1001}

    async def _send(self, message: dict[str, object]) -> None:
        if message["type"] == "websocket.close":
            self.on_close()


def talks_with(system: Conversant, folder: Path) -> Talks:
    from sessions.voice.recogniser import SpeechInput
    from sessions.voice.server import Offer, Talks
    from sessions.voice.voices import load_voice

    header = Header(system="counting", model="none", scenario="talk", cycle_seconds=0.05)
    return Talks(
        Offer(
            choices=[("counting", "none")],
            build=lambda *_: (system, header),
            speech=lambda: SpeechInput(lambda *_, **__: []),
            voice=load_voice("none"),
            holds=True,
            folder=folder,
        )
    )


def test_a_conversation_whose_page_has_gone_stands_still_until_it_goes_on(tmp_path: Path) -> None:
    from sessions.voice.server import make_app

    system = Counting()
    talks = talks_with(system, tmp_path)
    app = make_app(talks)

    async def hold_until(cycles: int) -> None:
        client = Client(app)
        held = asyncio.ensure_future(client.hold())
        while system.cycles < cycles:
            await asyncio.sleep(0.01)
        client.gone.set()
        await held

    async def run() -> None:
        await talks.prepare(0, record=True, resume=False)
        await hold_until(3)
        before = system.cycles
        assert talks.choices()["waits"] == 0
        [path] = tmp_path.glob("*/*.jsonl")
        assert read_transcript(path).events
        await asyncio.sleep(0.3)
        assert system.cycles <= before + 1  # the one that was being computed
        await talks.prepare(0, record=True, resume=True)
        await hold_until(before + 3)
        await talks.close()
        last = max(event.cycle for event in read_transcript(path).events)
        assert before < last <= system.cycles

    asyncio.run(run())


def test_a_failure_is_known_though_the_page_goes_as_it_is_told(tmp_path: Path) -> None:
    from sessions.voice.server import make_app

    talks = talks_with(Counting(fails=3), tmp_path)

    async def run() -> None:
        await talks.prepare(0, record=False, resume=False)
        client = Client(make_app(talks))
        request = asyncio.ensure_future(client.hold())
        client.on_close = request.cancel
        with pytest.raises(asyncio.CancelledError):
            await request
        await talks.settled()
        assert "out of memory" in talks.problem
        await talks.close()

    asyncio.run(run())


def test_what_is_no_choice_or_no_offer_is_refused_in_a_line(tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    from sessions.voice.server import make_app

    own = {"origin": "http://localhost"}
    client = TestClient(make_app(talks_with(Counting(), tmp_path)), base_url="http://localhost")
    for choice in ("Infinity", '"x"', "null", "{}"):
        told = client.post("/api/prepare", content=f'{{"choice": {choice}}}', headers=own)
        assert (told.status_code, told.json()) == (400, {"detail": "no such choice"})
    for offer in ({}, {"sdp": 5}, {"sdp": "v=0\r\nm=audio 9 X\r\n"}):
        told = client.post("/api/offer", json=offer, headers=own)
        assert (told.status_code, told.json()) == (400, {"detail": "no such offer"})
