"""Serve the page of `duo talk` on this machine: one conversation at a time, at `/`.

The page asks what there is (`/api/choices`), has a system made ready (`/api/prepare`), and then
offers a connection (`/api/offer` for WebRTC, `/api/sound` for a socket). When it goes away, the
conversation is saved and waits: it goes on if the page asks for it, until another one is begun.

DIR/<system>/<session>.jsonl   its transcript
DIR/<system>/<session>.flac    left: the microphone; right: the system's voice
DIR/manifest.json              latencies of every session, by stage
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket
from pipecat.transports.base_transport import BaseTransport
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from starlette.middleware.trustedhost import TrustedHostMiddleware

from duo.decoding.conversant import Conversant
from duo.errors import BadInput
from duo.files import read_json_object
from duo.runs import MANIFEST, Stopwatch, safe_name, write_manifest
from duo.transcript import Header, Transcript, write_transcript
from sessions.chat.live import free_path
from sessions.voice.live import SpokenConversation
from sessions.voice.mix import write_sound
from sessions.voice.recogniser import SpeechInput
from sessions.voice.transport import Messages, carry, over_webrtc, over_websocket
from sessions.voice.voices import Voice

_PAGE = {"/": "text/html", "/talk.js": "text/javascript", "/microphone.js": "text/javascript"}
_PAGE |= {"/talk.css": "text/css"}
_FILES = {"/": "index.html"}
#: Nothing but what this server sends, and no inline script.
_POLICY = "default-src 'self'; img-src data:; media-src 'self' blob:; frame-ancestors "
LOCAL = ("127.0.0.1", "localhost", "[::1]")


class Busy(BadInput):
    """Others are talking: the page asks again."""


@dataclass(frozen=True)
class Offer:
    """What the page may ask for.

    Attributes:
        choices: systems, each with its model.
        build: loads the system of a choice; slow.
        speech: makes what hears a user.
        holds: the voice pauses at the onset of the user's speech.
        folder: where conversations are recorded that may be.
        name: of the recordings; "" for date and time.
        messages: makes what tells the page what happens.
        about: what the page says of all this.
    """

    choices: list[tuple[str, str]]
    build: Callable[[str, str], tuple[Conversant, Header]]
    speech: Callable[[], SpeechInput]
    voice: Voice
    holds: bool
    folder: Path
    name: str = ""
    messages: Callable[[], Messages] = Messages
    about: dict[str, Any] = field(default_factory=dict)


class SessionFiles:
    """The files of one session; each `save` replaces what was saved before."""

    def __init__(self, folder: Path, system: str, name: str = "") -> None:
        """Choose a name that no session in the folder has; see `free_path`."""
        self._folder, self._watch = folder, Stopwatch()
        self.path = free_path(folder / safe_name(system), name)

    def save(self, conversation: SpokenConversation, transcript: Transcript) -> None:
        """Write everything.

        Raises:
            BadInput: it cannot be written.
        """
        write_transcript(self.path, transcript)
        channels = conversation.microphone.sound(), conversation.played.sound()
        write_sound(self.path.with_suffix(".flac"), channels)
        sessions: dict[str, Any] = {}
        with suppress(BadInput):
            there = read_json_object(self._folder / MANIFEST).get("sessions")
            sessions = there if isinstance(there, dict) else {}
        sessions[self.path.relative_to(self._folder).as_posix()] = conversation.costs()
        write_manifest(
            self._folder / MANIFEST, watch=self._watch, sessions=dict(sorted(sessions.items()))
        )


@dataclass
class _Session:
    choice: tuple[str, str]
    conversation: SpokenConversation
    messages: Messages
    recording: SessionFiles | None
    stop: asyncio.Event | None = None  # set ends the connection; None while there is none

    async def save(self) -> None:
        if self.recording is not None:
            await asyncio.to_thread(
                self.recording.save, self.conversation, self.conversation.so_far()
            )


class Talks:
    """The conversations of a server: the one that goes on, or went on last."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._session: _Session | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._preparing = asyncio.Lock()
        self.problem = ""

    def choices(self) -> dict[str, Any]:
        """Say what there is, and whether a conversation waits to go on."""
        session = self._session
        waits = session is not None and session.stop is None and not self.problem
        return {
            **self._offer.about,
            "choices": self._offer.choices,
            "waits": self._offer.choices.index(session.choice) if session and waits else None,
            "problem": self.problem,
        }

    async def prepare(self, choice: int, *, record: bool, resume: bool) -> dict[str, Any]:
        """Make a conversation ready.

        Raises:
            BadInput: there is no such choice, its system cannot be loaded, or somebody is talking.
            Busy: as many as there may be are talking.
        """
        async with self._preparing:
            if self._session is not None and self._session.stop is not None:
                if self._session.stop.is_set():
                    await self.settled()
                else:
                    raise BadInput("a conversation is going on already, in another tab or window")
            if not resume or self._session is None or self.problem:
                if not 0 <= choice < len(self._offer.choices):
                    raise BadInput(f"there is no choice {choice}")
                await self.finish()
                await self._begin(self._offer.choices[choice], record)
        assert self._session is not None
        recording = self._session.recording
        return {"recorded": str(recording.path) if recording else ""}

    def connect(self, transport: BaseTransport) -> asyncio.Task[None]:
        """Hold the conversation that is ready over a transport, in a task.

        Raises:
            BadInput: none is ready, or it is being held already.
        """
        session = self._session
        if session is None or session.stop is not None:
            raise BadInput("no conversation is ready")
        session.stop = asyncio.Event()
        return self._start(self._run(session, transport, session.stop))

    def leave(self, *, ended: bool = False) -> None:
        """Let the connection end, if there is one, as the user (`ended`) or the page has gone.

        The conversation is saved then, and waits.
        """
        if self._session is not None and self._session.stop is not None:
            self._session.stop.set()

    async def settled(self) -> None:
        """Wait until every conversation that ends is saved."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """End everything."""
        self.leave()
        await self.settled()
        await self.finish()

    async def finish(self) -> None:
        """End the conversation that waits."""
        session, self._session = self._session, None
        if session is not None:
            session.conversation.finish()
            await session.save()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something in a task of its own, whatever becomes of the request that began it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _begin(self, choice: tuple[str, str], record: bool) -> None:
        self.problem = ""
        system, header = await asyncio.to_thread(self._offer.build, *choice)
        recording = (
            SessionFiles(self._offer.folder, choice[0], self._offer.name) if record else None
        )
        if recording is not None:
            header = header.model_copy(update={"scenario": recording.path.stem})
        messages = self._offer.messages()
        conversation = SpokenConversation(
            system, header, self._offer.speech(), self._offer.voice, messages,
            holds=self._offer.holds, keeps_sound=record,
        )  # fmt: skip
        self._session = _Session(choice, conversation, messages, recording)

    async def _run(self, session: _Session, transport: BaseTransport, stop: asyncio.Event) -> None:
        try:
            await carry(session.conversation, session.messages, transport, stop)
        except Exception as error:
            if not isinstance(error, BadInput):
                traceback.print_exception(error)  # for whoever wrote the system
            self.problem = f"the conversation has ended: {str(error) or type(error).__name__}"
        finally:
            stop.set()
            try:
                await session.save()
            except BadInput as error:
                self.problem = f"the conversation is not saved: {error}"
            session.stop = None


def make_app(talks: Talks, *, framed_by: str = "'none'", hosts: Sequence[str] = LOCAL) -> FastAPI:
    """Make the web application.

    Args:
        framed_by: the origin of pages that may show this one in a frame.
        hosts: names by which browsers may reach it.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await talks.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    # Other sites cannot reach this one through a name of theirs, nor post to it.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))

    def page(path: str) -> Response:
        name = _FILES.get(path, path.lstrip("/"))
        content = files(__package__).joinpath("page", name).read_bytes()
        headers = {"Content-Security-Policy": _POLICY + framed_by, "Cache-Control": "no-store"}
        return Response(content, media_type=_PAGE[path], headers=headers)

    for path in _PAGE:
        app.add_api_route(path, partial(page, path), methods=["GET"])

    @app.get("/api/choices")
    async def choices() -> dict[str, Any]:
        return talks.choices()

    @app.post("/api/prepare")
    async def prepare(request: Request) -> dict[str, Any]:
        content = await _content(request)
        with_ = {name: content.get(name) is True for name in ("record", "resume")}
        if not isinstance(choice := content.get("choice"), int):
            raise HTTPException(400, "no such choice")
        try:
            return await talks.prepare(choice, **with_)
        except Busy as error:
            raise HTTPException(503, str(error)) from error
        except BadInput as error:
            raise HTTPException(409, str(error)) from error

    @app.post("/api/offer")
    async def connect(request: Request) -> dict[str, Any]:
        content = await _content(request)
        connection = SmallWebRTCConnection()
        try:
            await connection.initialize(content["sdp"], "offer")
        except Exception:  # each mistake in it is of a class of its own
            await connection.disconnect()
            raise HTTPException(400, "no such offer") from None
        try:
            talks.connect(over_webrtc(connection))
        except BadInput as error:
            await connection.disconnect()
            raise HTTPException(409, str(error)) from error
        answer = connection.get_answer()
        assert answer is not None
        return answer

    @app.websocket("/api/sound")
    async def sound(socket: WebSocket) -> None:
        if not _is_own(socket):
            await socket.close(1008)
            return
        await socket.accept()
        try:
            task = talks.connect(over_websocket(socket))
        except BadInput:
            await socket.close(1008)
            return
        await asyncio.wait([task])  # which goes on to its end if this request is cancelled

    @app.post("/api/leave")
    async def leave(request: Request) -> None:
        _check_own(request)
        talks.leave(ended=await request.body() == b"ended")
        await talks.settled()

    return app


def _is_own(request: Request | WebSocket) -> bool:
    """Tell whether a request comes from our page, and not from another site's."""
    origin = request.headers.get("origin", "")
    return urlsplit(origin).netloc == request.headers.get("host", "")


def _check_own(request: Request) -> None:
    if not _is_own(request):
        raise HTTPException(403, "this is not for other sites")


async def _content(request: Request) -> dict[str, Any]:
    _check_own(request)
    try:
        content = await request.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise HTTPException(400, "this is no JSON object")
    return content
