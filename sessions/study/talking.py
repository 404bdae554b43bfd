"""Serve the conversations of a live study: the page of `duo talk`, by ticket, telling no system.

Each ticket is a path of its own: `/TICKET/` is the page, and what it asks for lies below. All that
a browser is told is the same for all systems: their names, models, settings, decisions and problems
stay here. All systems are loaded before the first conversation, and built anew for each.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from pipecat.transports.base_transport import BaseTransport
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from duo.decoding.conversant import Conversant, Kind
from duo.decoding.systems import with_prompt
from duo.errors import BadInput
from duo.terminal import printable
from duo.transcript import Header, TranscriptEvent
from sessions.chat.live import CycleStatus
from sessions.study.blinding import blinded, harmless
from sessions.study.people import Refused
from sessions.study.study import TALK_ADDRESS, Study, set_address
from sessions.study.talks import Outcome, Talk, begin, end, language_of, tidy
from sessions.study.wording import words_of_design
from sessions.voice.commands import builder
from sessions.voice.recogniser import SpeechInput, whisper
from sessions.voice.server import LOCAL, Busy, Offer, Talks, make_app
from sessions.voice.transport import Messages
from sessions.voice.voices import Voice, load_voice

#: Seconds in which a browser must connect once its conversation is ready.
_CONNECT = 30.0

_log = logging.getLogger(__name__)

#: Builds a system by its name, and the header of its transcript.
Seat = Callable[[str], tuple[Conversant, Header]]


class BlindMessages(Messages):
    """Tells the page what a listener hears, and nothing of how it came about."""

    def __init__(self, *, captions: bool) -> None:
        super().__init__()
        self._captions, self._said = captions, ""

    def show_event(self, event: TranscriptEvent) -> None:
        if not self._captions or event.kind not in (Kind.SPEECH, Kind.ANSWER_END, Kind.CUT):
            return
        self._said = self._said + event.text if event.kind == Kind.SPEECH else ""
        if self._said:
            self._put("caption", text=harmless(self._said))

    def show_status(self, status: CycleStatus) -> None:
        """Tell nothing: systems differ in how they are cycled."""

    def show_tentative(self, text: str) -> None:
        """Tell nothing: participants see no words of theirs."""

    def show_state(self, *, speaking: bool, held: bool) -> None:
        super().show_state(speaking=speaking, held=False)


class BlindTalk(Talks):
    """The one conversation of a ticket."""

    def __init__(self, live: LiveTalks, token: str, language: str) -> None:
        settings = live.settings
        super().__init__(
            Offer(
                choices=[],
                build=self._build,
                speech=live.speech,
                voice=live.voice,
                holds=True,
                folder=live.study.folder,
                messages=partial(BlindMessages, captions=settings.captions),
            )
        )
        self._live, self._token = live, token
        self._words = words_of_design(live.study.design, language).group("talking")
        self.talk: Talk | None = None
        self._seat: Seat | None = None
        self._outcome: Outcome | None = None
        self._ending = False
        self._connecting: asyncio.TimerHandle | None = None

    def choices(self) -> dict[str, Any]:
        """Say what is the same for all systems."""
        study = {"seconds": self._live.settings.seconds, "words": self._words}
        none = {"waits": None, "problem": "", "text": "", "consent": ""}
        return {"choices": [("", "")], "socket": True, "study": study, **none}

    async def prepare(self, choice: int, *, record: bool, resume: bool) -> dict[str, Any]:
        """Begin the conversation of the ticket; what is asked for makes no difference.

        Raises:
            BadInput: it is over, or its system fails.
            Busy: as many as there may be are talking.
        """
        began = time.monotonic()
        if self.talk is not None:
            raise BadInput(self._words["over"])
        if not self._live.seats:
            raise Busy(self._words["busy"])
        seat = self._live.seats.pop()
        try:
            self.talk = talk = await asyncio.to_thread(begin, self._live.study, self._token)
        except Refused:
            self._live.seats.append(seat)
            raise BadInput(self._words["over"]) from None
        self._seat = seat
        self._live.leave_others(self)
        folder = self._live.study.folder / talk.folder
        self._offer = replace(
            self._offer, choices=[(folder.name, talk.system)], folder=folder.parent, name=talk.topic
        )
        try:
            await super().prepare(0, record=True, resume=False)
        except Exception as error:
            self.problem = str(error)
            await self._over()
            raise BadInput(self._words["over"]) from None
        # A system that is ready sooner would be known by it.
        await asyncio.sleep(self._live.slowest - (time.monotonic() - began))
        self._connecting = asyncio.get_running_loop().call_later(_CONNECT, self.leave)
        return {"recorded": ""}

    def leave(self, *, ended: bool = False) -> None:
        """End the conversation."""
        self._end_by("stopped" if ended else "lost")

    async def close(self) -> None:
        """End everything."""
        self.leave()
        await super().close()
        await self._over()

    def _end_by(self, outcome: Outcome) -> None:
        self._outcome = self._outcome or outcome
        super().leave()
        if self._session is not None and self._session.stop is None:  # nobody has connected
            self._start(self._over())

    async def _run(self, session: Any, transport: BaseTransport, stop: asyncio.Event) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        seconds = self._live.settings.seconds
        limit = asyncio.get_running_loop().call_later(seconds, self._end_by, "time")
        try:
            await super()._run(session, transport, stop)
        finally:
            limit.cancel()
            await self._over()

    async def _over(self) -> None:
        """Store what became of the conversation, and let others talk; once."""
        if self.talk is None or self._seat is None or self._ending:
            return
        self._ending = True
        session, seconds, words = self._session, 0.0, 0
        try:
            await self.finish()
        except BadInput as error:
            self.problem = str(error)
        if session is not None:
            await asyncio.to_thread(session.conversation.wait)
            seconds = round(session.conversation.now, 3)
            said = blinded(session.conversation.so_far()).words
            words = sum(word.who == "assistant" for word in said)
        if self.problem:
            _log.error("%s: %s", self.talk.folder, printable(self.problem))
        outcome: Outcome = "failed" if self.problem else self._outcome or "lost"
        study = self._live.study
        await asyncio.to_thread(end, study, self.talk, outcome, seconds=seconds, words=words)
        self._live.seats.append(self._seat)
        self._live.forget(self._token)

    def _build(self, _: str, system: str) -> tuple[Conversant, Header]:
        assert self._seat is not None
        return self._seat(system)


class LiveTalks:
    """All conversations of a live study.

    Attributes:
        seats: those who may talk now, as many as conversations may be held at once: what builds a
            system by its name, with models of its own.
        slowest: seconds that the slowest system takes to be built.
    """

    def __init__(
        self, study: Study, seats: Sequence[Seat], speech: Callable[[], SpeechInput], voice: Voice
    ) -> None:
        assert study.design.live is not None
        self.study, self.settings = study, study.design.live
        self.seats, self.speech, self.voice = list(seats), speech, voice
        self.slowest = 0.0
        self._pages: dict[str, tuple[BlindTalk, ASGIApp]] = {}

    def warm_up(self) -> None:
        """Load all models, so that no conversation is the first one of its system."""
        for seat in self.seats:
            for system in self.study.systems:
                seat(system)[0].cycle("")
            for system in self.study.systems:
                began = time.monotonic()
                seat(system)
                self.slowest = max(self.slowest, time.monotonic() - began)

    def app(self, *, framed_by: str, hosts: Sequence[str]) -> Starlette:
        """Make the web application; see `sessions.voice.server.make_app`."""

        async def page(scope: Scope, receive: Receive, send: Send) -> None:
            token = scope["path_params"]["token"]
            if token not in self._pages:
                try:
                    language = await asyncio.to_thread(language_of, self.study, token)
                except Refused:
                    gone = WebSocketClose() if scope["type"] == "websocket" else Response("", 404)
                    await gone(scope, receive, send)
                    return
                talk = BlindTalk(self, token, language)
                self._pages[token] = talk, make_app(talk, framed_by=framed_by, hosts=hosts)
            await self._pages[token][1](scope, receive, send)

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            await asyncio.gather(*(talk.close() for talk, _ in self._pages.values()))

        return Starlette(routes=[Mount("/{token}", page)], lifespan=lifespan)

    def leave_others(self, talk: BlindTalk) -> None:
        """End what the participant of a conversation left open in another tab."""
        assert talk.talk is not None
        for other, _ in self._pages.values():
            if other is not talk and other.talk and other.talk.rater == talk.talk.rater:
                other.leave()

    def forget(self, token: str) -> None:
        """Let a conversation's page go: its ticket opens nothing any more."""
        self._pages.pop(token, None)


def seats_of(study: Study) -> list[Seat]:
    """Return what builds the systems of a study: as often as conversations may be held at once."""
    live = study.design.live
    assert live is not None
    settings = {name: one.settings for name, one in live.systems.items()}
    models = {name: one.model for name, one in live.systems.items()}
    loading = with_prompt({"chat": live.chat} if live.chat else {}, models.values())
    spoken: dict[str, str] = {"voice": live.voice, "recogniser": "whisper"}

    def seat() -> Seat:
        builders = {
            model: builder(settings, loading, study.design.seed, spoken)
            for model in models.values()
        }
        return lambda system: builders[models[system]](system, models[system])

    return [seat() for _ in range(live.at_once)]


@contextmanager
def serving(
    study: Study, *, host: str, port: int, public: str, framed_by: Sequence[str]
) -> Iterator[None]:
    """Serve the conversations of a study meanwhile, to be framed by pages of these origins.

    Raises:
        BadInput: a model cannot be loaded, or the port cannot be used.
    """
    assert study.design.live is not None
    tidy(study)
    talks = LiveTalks(
        study, seats_of(study), partial(SpeechInput, whisper()), load_voice(study.design.live.voice)
    )
    talks.warm_up()
    app = talks.app(
        framed_by=" ".join(framed_by), hosts=(*LOCAL, urlsplit(public).hostname or "localhost")
    )
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise BadInput(f"{port} cannot be used on {host}", field="--talk-port")
        time.sleep(0.05)
    try:
        set_address(study, public, TALK_ADDRESS)
        yield
    finally:
        server.should_exit = True
        thread.join()
