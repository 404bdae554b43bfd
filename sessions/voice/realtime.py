"""The OpenAI Realtime protocol, as a client of it speaks: see `sessions.voice.remote`.

Playing stops when a response is cancelled, the buffer cleared, or speech was noticed by a server
that lets itself be interrupted. A server that gives text alone is given a voice here, as are the
user's words as text.

Both generations of event names are understood (`response.audio.delta` of the beta,
`response.output_audio.delta` since), as other makers' servers have either.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from duo.errors import BadInput
from duo.terminal import printable
from sessions.voice.recogniser import RATE, Sound, to_int16
from sessions.voice.remote import Session, inside, json_in, sound_in
from sessions.voice.voices import Clauses

#: Samples a second of the protocol's sound.
WIRE_RATE = 24_000


@dataclass(frozen=True)
class RealtimeSettings:
    """What a server is asked for.

    Attributes:
        model: in the address, where the server has several.
        modality: "audio", or "text" for servers that neither hear nor speak.
        voice, instructions: of the session; "" for the server's own.
    """

    model: str = ""
    modality: Literal["audio", "text"] = "audio"
    voice: str = ""
    instructions: str = ""

    def __post_init__(self) -> None:
        if self.modality not in ("audio", "text"):
            raise BadInput(f"{self.modality!r} is neither audio nor text", field="modality")


class RealtimeSession(Session):
    """A session of the OpenAI Realtime protocol."""

    Settings = RealtimeSettings

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._seen = set[str]()  # types of events
        self._response = self._item = ""  # what the sound is of
        self._over: set[str] = set()  # responses of which nothing more is played
        self._clauses = Clauses()
        self._interrupts = True
        self._outgoing = self._stream(RATE, WIRE_RATE)
        self._incoming = self._stream(WIRE_RATE, RATE)

    @staticmethod
    def found(name: str, settings: RealtimeSettings) -> tuple[str, RealtimeSettings]:
        """See `Session.found`: the model stands in the address."""
        if settings.model:
            name += ("&" if "?" in name else "?") + f"model={quote(settings.model)}"
        return name, settings

    def open(self) -> None:
        self._await("session.created", lambda: "session.created" in self._seen)
        text = self._settings.modality == "text"
        pcm = {"type": "audio/pcm", "rate": WIRE_RATE}
        output = {"format": pcm} | ({"voice": self._settings.voice} if self._settings.voice else {})
        session: dict[str, Any] = {
            "type": "realtime",
            "output_modalities": ["text" if text else "audio"],
        }
        if not text:
            session["audio"] = {"input": {"format": pcm}, "output": output}
        if self._settings.instructions:
            session["instructions"] = self._settings.instructions
        self._send("session.update", session=session)
        self._await("session.updated", lambda: "session.updated" in self._seen)

    def send_sound(self, sound: Sound) -> None:
        if self._settings.modality == "audio":
            wire = to_int16(self._outgoing.resample_chunk(sound))
            self._send("input_audio_buffer.append", audio=base64.b64encode(wire.tobytes()).decode())

    def send_text(self, text: str) -> None:
        """Send what the user has said, and ask for the answer, where there is no sound."""
        if self._settings.modality != "text":
            return
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        self._send("conversation.item.create", item=item)
        self._send("response.create")

    def _take(self, message: str | bytes) -> None:
        event = json_in(message)
        match event.get("type"):
            case "response.output_audio.delta" | "response.audio.delta":
                if self._settings.modality == "audio" and self._belongs(event):
                    self._put(self._incoming.resample_chunk(sound_in(event.get("delta", ""))))
            case "response.output_text.delta" | "response.text.delta":
                if self._belongs(event):
                    for clause in self._clauses.add(str(event.get("delta", ""))):
                        self._put(self._voice.say(clause).sound())
            case "response.output_text.done" | "response.text.done":
                if self._belongs(event):
                    self._put(self._voice.say(self._clauses.rest()).sound())
            case "response.done":
                response = inside(event, "response")
                if str(response.get("id", "")) == self._response != "":
                    self._whole = True
                    if response.get("status") == "cancelled":
                        self._stop()
            case "input_audio_buffer.speech_started" if self._interrupts:
                self._stop()
            case "output_audio_buffer.cleared":
                self._stop()
            case "session.created" | "session.updated" as kind:
                self._seen.add(kind)
                session = inside(event, "session")
                audio = inside(inside(session, "audio"), "input")
                where = audio if "turn_detection" in audio else session  # of the beta
                detection = inside(where, "turn_detection")
                self._interrupts = bool(detection.get("interrupt_response", True))
            case "error":
                said = inside(event, "error").get("message", "no reason given")
                self.notes.append(f"the server reports: {printable(str(said))[:300]}")

    def _belongs(self, event: dict[str, Any]) -> bool:
        """Tell whether something is of a response that is still wanted; begin that if it is new."""
        response = str(event.get("response_id", ""))
        if response != self._response and response not in self._over:
            if self._response:  # the one before was whole, or its end was never said
                self._over.add(self._response)
            self._begin()
            self._response = response
            self._clauses, self._incoming = Clauses(), self._stream(WIRE_RATE, RATE)
        self._item = str(event.get("item_id", ""))
        return response == self._response

    def _stop(self) -> None:
        """Stop playing, and tell the server how much of its answer was heard."""
        if self._answering and self._settings.modality == "audio" and self._item:
            heard = 1000 * self._heard // RATE
            self._send(
                "conversation.item.truncate",
                item_id=self._item,
                content_index=0,
                audio_end_ms=heard,
            )
        super()._stop()

    def _forget(self) -> None:
        super()._forget()
        self._over.add(self._response)
        self._response = ""

    def _send(self, kind: str, **fields: Any) -> None:
        self._connection.send(json.dumps({"type": kind, **fields}))
