"""Serve a system to programs that speak the OpenAI Realtime protocol, on a websocket.

What goes over the wire is built of, and checked against, the `openai` package's own types. The
system behind is held as in `duo talk`: it is cycled in real time, decides itself when to speak and
whether to go on, and its sound is sent as it is heard, not ahead of it. So the protocol says:

- `turn_detection` is `semantic_vad` that creates responses and does not interrupt them: where
  speech is noticed (`input_audio_buffer.speech_started`) the answer may well go on. An answer that
  is given up ends with `output_audio_buffer.cleared` and a response that is `cancelled`.
- A text item is heard as if it had been said. `response.create` asks for nothing that the system
  does not do anyway; if it finds that no answer is wanted, what was asked for is an empty response.

What a client asks for and cannot have is said by an `error` event, and the session goes on.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from openai import BaseModel
from openai.types import realtime as wire
from openai.types.realtime import (
    conversation_item_input_audio_transcription_completed_event as heard,
)
from openai.types.realtime.realtime_client_event import RealtimeClientEvent
from pydantic import ValidationError
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from duo.keys import KEY
from duo.transcript import TranscriptEvent
from sessions.chat.live import CycleStatus
from sessions.voice.live import SpokenConversation, together
from sessions.voice.realtime import WIRE_RATE
from sessions.voice.recogniser import RATE, from_int16, to_int16

#: Seconds of sound in a message.
_FRAME = 0.04
#: The most bytes in a message: the protocol's own limit of sound.
_LARGEST = 15 * 2**20
#: The most messages that wait for a client to read on: half a minute of sound.
_UNREAD = 1000
#: What a session may be told that is not ours to change.
_FIXED = ("instructions", "tools", "prompt", "max_output_tokens")

Modality = Literal["text", "audio"]
Sent = TypeVar("Sent", bound=BaseModel)
#: Makes a conversation that reports to what it is given.
Begin = Callable[["Session"], SpokenConversation]


def _by_type(union: Any) -> dict[str, Any]:
    """List the models of a union of events by their types."""
    models = get_args(get_args(union)[0])
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in models}


_CLIENT_EVENTS = _by_type(RealtimeClientEvent)


class _Refused(Exception):
    """A client's event that is not followed; `field` says what of it."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


async def serve_realtime(
    begin: Begin,
    *,
    model: str,
    host: str,
    port: int,
    silent: bool = False,
    origins: Sequence[str] = (),
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve until cancelled, one conversation at a time.

    If `DUO_KEY` is set, a client must bring it. Pages of other origins than `origins` are
    refused: any page that a browser shows could connect to this machine.

    Args:
        model: what the sessions say that they talk with.
        silent: the voice makes no sound, so that only text can be had.
        ready: called with the address.

    Raises:
        OSError: the port cannot be used.
    """
    busy = asyncio.Lock()

    async def handle(connection: ServerConnection) -> None:
        if busy.locked():
            await connection.close(1013, "somebody else is talking to it")
            return
        async with busy:
            await Session(connection, model, silent=silent).run(begin)

    def check(connection: ServerConnection, request: Any) -> Any:
        key = os.environ.get(KEY, "")
        given = request.headers.get("Authorization", "")
        if key and not hmac.compare_digest(given.encode(), f"Bearer {key}".encode()):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "the key is missing or wrong\n")
        return None

    allowed: list[Any] = [None, *origins]
    async with serve(
        handle, host, port, process_request=check, max_size=_LARGEST, origins=allowed
    ) as server:
        ready(f"ws://{host}:{server.sockets[0].getsockname()[1]}/v1/realtime")
        await server.serve_forever()


class Session:
    """One session: what a client sends goes to the conversation, what happens there comes back."""

    def __init__(self, connection: ServerConnection, model: str, *, silent: bool) -> None:
        import soxr

        self._connection, self._model, self._silent = connection, model, silent
        self._outbox: asyncio.Queue[str] = asyncio.Queue(_UNREAD)
        self._full = asyncio.Event()
        self._modality: Modality = "text" if silent else "audio"
        self._given_in = self._modality  # the answer that is being given
        self._count = 0
        self._last_item: str | None = None
        self._response = self._item = ""  # of the answer that is being given
        self._said = ""
        self._asked = False  # a response was asked for, and none has begun
        self._muted = False  # the client has cancelled the answer that is being given
        self._user_item = ""  # of what the user is saying, or said last
        self._items: dict[str, str] = {}  # of utterances that are not over
        self._speaking = False
        self._incoming = soxr.ResampleStream(WIRE_RATE, RATE, 1, dtype="float32")
        self._outgoing = soxr.ResampleStream(RATE, WIRE_RATE, 1, dtype="float32")

    async def run(self, begin: Begin) -> None:
        """Run a conversation until the client goes, or reads no more."""
        self._conversation = begin(self)
        self._send(wire.SessionCreatedEvent, session=self._session())
        parts = (self._conversation.run(), self._play(), self._write(), self._read())
        try:
            with suppress(ConnectionClosed):
                await together(*parts, self._full.wait())
        finally:
            self._conversation.finish()
        if self._full.is_set():
            await self._connection.close(1008, "what is sent is not read")

    # -- what comes in -----------------------------------------------------------------------

    async def _read(self) -> None:
        async for message in self._connection:
            named: str | None = None
            try:
                event = self._parsed(message)
                named = event.event_id
                self._follow(event)
            except _Refused as error:
                about = wire.RealtimeError(
                    message=str(error),
                    type="invalid_request_error",
                    param=error.field,
                    event_id=named,
                )
                self._send(wire.RealtimeErrorEvent, error=about)

    def _parsed(self, message: str | bytes) -> Any:
        try:
            content = json.loads(message)
        except (ValueError, RecursionError):
            raise _Refused("a message is a JSON object") from None
        kind = content.get("type") if isinstance(content, dict) else None
        if not isinstance(kind, str) or kind not in _CLIENT_EVENTS:
            raise _Refused(f"unknown event {str(kind)[:80]!r}", "type")
        try:
            return _CLIENT_EVENTS[kind].model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise _Refused(first["msg"], ".".join(map(str, first["loc"]))) from None

    def _follow(self, event: Any) -> None:
        match event.type:
            case "session.update":
                self._update(event.session)
            case "input_audio_buffer.append":
                try:
                    sound = np.frombuffer(base64.b64decode(event.audio, validate=True), "<i2")
                except (binascii.Error, ValueError):
                    raise _Refused("is not 16-bit sound in base64", "audio") from None
                self._conversation.feed(self._incoming.resample_chunk(from_int16(sound)))
            case "input_audio_buffer.commit" | "input_audio_buffer.clear":
                raise _Refused("the system itself finds where speech begins and ends", "type")
            case "conversation.item.create":
                self._hear(event.item)
            case "response.create":
                self._asked = not self._response
            case "response.cancel":
                if not self._response:
                    raise _Refused("there is no response to be cancelled", "response_id")
                self._end("cancelled", "client_cancelled")
                self._muted = True
            case "conversation.item.truncate":
                self._send(
                    wire.ConversationItemTruncatedEvent,
                    item_id=event.item_id,
                    content_index=event.content_index,
                    audio_end_ms=event.audio_end_ms,
                )
            case _:
                raise _Refused("is not supported here", "type")

    def _update(self, session: Any) -> None:
        """Take what can be changed of a session; refuse the rest when that is done."""
        modalities = getattr(session, "output_modalities", None)
        refused: str | None = None
        if modalities:
            if modalities == ["audio"] and self._silent:
                refused = "output_modalities"
            else:
                self._modality = "text" if modalities == ["text"] else "audio"
        for side in ("input", "output"):
            audio = getattr(getattr(session, "audio", None), side, None)
            form = getattr(audio, "format", None)
            if form is not None and form.type != "audio/pcm":
                refused = f"audio.{side}.format"
        for name in _FIXED:
            if getattr(session, name, None):
                refused = name
        self._send(wire.SessionUpdatedEvent, session=self._session())
        if refused:
            raise _Refused("cannot be changed: the system keeps its own", f"session.{refused}")

    def _session(self) -> wire.RealtimeSessionCreateRequest:
        form = wire.realtime_audio_formats.AudioPCM(type="audio/pcm", rate=24_000)
        detection = wire.realtime_audio_input_turn_detection.SemanticVad(
            type="semantic_vad", create_response=True, interrupt_response=False
        )
        audio = wire.RealtimeAudioConfig(
            input=wire.RealtimeAudioConfigInput(format=form, turn_detection=detection),
            output=wire.RealtimeAudioConfigOutput(format=form),
        )
        about = {"id": "sess_1", "object": "realtime.session", "type": "realtime"}
        return wire.RealtimeSessionCreateRequest.model_validate(
            about | {"model": self._model, "output_modalities": [self._modality], "audio": audio}
        )

    def _hear(self, item: Any) -> None:
        texts = [part.text for part in getattr(item, "content", ()) if part.type == "input_text"]
        if getattr(item, "role", None) != "user" or not any(texts):
            raise _Refused("only a user's text is heard", "item")
        item = item.model_copy(update={"id": item.id or self._new("item"), "status": "completed"})
        self._add(item)
        self._send(wire.ConversationItemDone, item=item)
        if not self._speaking:
            self._user_item = ""
        self._conversation.hear_text(" ".join(text for text in texts if text))

    # -- what goes out -----------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._connection.send(await self._outbox.get())

    async def _play(self) -> None:
        """Send what is heard, in real time."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + _FRAME, loop.time() - 1.0)
            await asyncio.sleep(max(due - loop.time(), 0.0))
            sound = self._conversation.take(round(_FRAME * RATE))
            if sound is not None and self._begin() and self._given_in == "audio":
                pcm = to_int16(self._outgoing.resample_chunk(sound)).tobytes()
                self._tell(wire.ResponseAudioDeltaEvent, delta=base64.b64encode(pcm).decode())

    def show_event(self, event: TranscriptEvent) -> None:
        match event.kind:
            case "word":
                item = self._items.setdefault(event.utterance, self._user_item)
                if item:
                    self._send(
                        wire.ConversationItemInputAudioTranscriptionDeltaEvent,
                        item_id=item, content_index=0, delta=event.text,
                    )  # fmt: skip
            case "utterance" if item := self._items.pop(event.utterance, ""):
                usage = heard.UsageTranscriptTextUsageDuration(
                    type="duration", seconds=event.end - event.start
                )
                self._send(
                    wire.ConversationItemInputAudioTranscriptionCompletedEvent,
                    item_id=item, content_index=0, transcript=event.text, usage=usage,
                )  # fmt: skip
            case "speech" if self._begin():
                self._said += event.text
                kind: Any = wire.ResponseAudioTranscriptDeltaEvent
                if self._given_in == "text":
                    kind = wire.ResponseTextDeltaEvent
                self._tell(kind, delta=event.text)
            case "answer_end":
                self._end("completed")
                self._muted = False
            case "cut":
                if self._response:
                    self._send(
                        wire.realtime_server_event.OutputAudioBufferCleared,
                        response_id=self._response,
                    )
                self._end("cancelled", "turn_detected")
                self._muted = False
            case "ignore" if self._asked and self._begin():
                self._end("completed")

    def show_state(self, *, speaking: bool, held: bool) -> None:
        """Send that speech was noticed, or is over."""
        if speaking == self._speaking:
            return
        self._speaking = speaking
        moment = round(1000 * self._conversation.now)
        if speaking:
            self._user_item = self._new("item")
            kind: Any = wire.InputAudioBufferSpeechStartedEvent
            self._send(kind, item_id=self._user_item, audio_start_ms=moment)
            return
        kind = wire.InputAudioBufferSpeechStoppedEvent
        self._send(kind, item_id=self._user_item, audio_end_ms=moment)
        before = self._last_item
        self._send(
            wire.InputAudioBufferCommittedEvent, item_id=self._user_item, previous_item_id=before
        )
        part = wire.realtime_conversation_item_user_message.Content(type="input_audio")
        self._add(
            wire.RealtimeConversationItemUserMessage(
                type="message", role="user", id=self._user_item, content=[part], status="completed"
            )
        )

    def show_status(self, status: CycleStatus) -> None:
        """Say nothing: the protocol has no cycles."""

    def show_tentative(self, text: str) -> None:
        """Say nothing: only words that are committed are sent."""

    def _begin(self) -> bool:
        """Begin a response if none goes on; tell whether the client wants it."""
        if not self._response and not self._muted:
            self._response, self._item, self._said = self._new("resp"), self._new("item"), ""
            self._asked, self._given_in = False, self._modality
            self._send(wire.ResponseCreatedEvent, response=self._described("in_progress"))
            self._tell(wire.ResponseOutputItemAddedEvent, item=self._message("in_progress"))
            self._add(self._message("in_progress"))
            self._tell(wire.ResponseContentPartAddedEvent, part=self._part())
        return not self._muted

    def _end(self, status: str, reason: str | None = None) -> None:
        """End the response that goes on, if one does."""
        if not self._response:
            return
        if self._given_in == "text":
            self._tell(wire.ResponseTextDoneEvent, text=self._said)
        else:
            self._tell(wire.ResponseAudioDoneEvent)
            self._tell(wire.ResponseAudioTranscriptDoneEvent, transcript=self._said)
        self._tell(wire.ResponseContentPartDoneEvent, part=self._part())
        whole = self._message("completed" if status == "completed" else "incomplete")
        self._tell(wire.ResponseOutputItemDoneEvent, item=whole)
        self._send(wire.ConversationItemDone, item=whole)
        self._send(wire.ResponseDoneEvent, response=self._described(status, reason))
        self._response = self._item = ""

    def _described(self, status: Any, reason: Any = None) -> wire.RealtimeResponse:
        details: Any = None
        output = list[Any]()
        if status != "in_progress":
            details = wire.RealtimeResponseStatus(type=status, reason=reason)
            output = [self._message("completed" if status == "completed" else "incomplete")]
        return wire.RealtimeResponse(
            id=self._response, object="realtime.response", status=status, status_details=details,
            output=output, output_modalities=[self._given_in],
        )  # fmt: skip

    def _message(self, status: Any) -> wire.RealtimeConversationItemAssistantMessage:
        content = []
        if status != "in_progress":
            said: Mapping[str, Any] = {"type": "output_audio", "transcript": self._said}
            if self._given_in == "text":
                said = {"type": "output_text", "text": self._said}
            content = [wire.realtime_conversation_item_assistant_message.Content(**said)]
        return wire.RealtimeConversationItemAssistantMessage(
            type="message", role="assistant", id=self._item, content=content, status=status
        )

    def _part(self) -> dict[str, str]:
        if self._given_in == "text":
            return {"type": "text", "text": self._said}
        return {"type": "audio", "transcript": self._said}

    def _add(self, item: Any) -> None:
        self._send(wire.ConversationItemAdded, item=item, previous_item_id=self._last_item)
        self._last_item = item.id

    def _tell(self, kind: type[Sent], **fields: Any) -> None:
        """Send an event about the response that goes on; of its one item and part, if it says."""
        about = {"response_id": self._response, "item_id": self._item, "output_index": 0,
                 "content_index": 0}  # fmt: skip
        own = {name: value for name, value in about.items() if name in kind.model_fields}
        self._send(kind, **own, **fields)

    def _send(self, kind: type[Sent], **fields: Any) -> None:
        known = get_args(kind.model_fields["type"].annotation)[0]
        event = kind.model_validate({"event_id": self._new("event"), "type": known, **fields})
        try:
            self._outbox.put_nowait(event.model_dump_json(exclude_none=True))
        except asyncio.QueueFull:
            self._full.set()

    def _new(self, what: str) -> str:
        self._count += 1
        return f"{what}_{self._count}"
