"""Let a user who speaks talk to anybody's system over the OpenAI Realtime protocol.

This end does what a client with a microphone and a loudspeaker does: it sends what the user says as
it is said, plays what comes back one moment after the other, and stops playing when the protocol
says so (the response was cancelled, the buffer cleared, or speech was noticed by a server that lets
itself be interrupted). What was played is recognised back to words afterwards. All of it is in real
time. A server that gives text alone is given a voice here, as are the user's words as text.

Both generations of event names are understood (`response.audio.delta` of the beta,
`response.output_audio.delta` since), as other makers' servers have either.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import numpy as np

from duo.decoding.conversant import CycleResult, Event, Kind
from duo.errors import BadInput
from duo.terminal import printable
from duo.transcript import Header, TranscriptEvent
from duo.words import DECIMALS
from sessions.play import MAX_SECONDS, QUIET_SECONDS, Recording, TranscriptBuilder, write_down
from sessions.voice.extras import need
from sessions.voice.recogniser import RATE, Decode, Sound, from_int16, recognise, to_int16
from sessions.voice.spoken import SpeakingUser
from sessions.voice.voices import Clauses, Voice

#: A system's name is this and the address of its server.
PREFIX = "realtime:"
#: The environment variable with the key. It has a name of its own, so that no other service's key
#: is sent to whatever address is given.
KEY = "DUO_REALTIME_KEY"
#: Samples a second of the protocol's sound.
WIRE_RATE = 24_000
#: Seconds between two pieces of sound; the finest step of the times in the transcript.
TICK = 0.05
#: Seconds to wait for the server's first words.
_PATIENCE = 15.0
#: Seconds by which this end may be late without saying so.
_LATE = 0.2
#: Root mean square above which what is played counts as speech.
_LOUD = 0.003


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


def settings_from(given: Mapping[str, Any]) -> RealtimeSettings:
    """Make settings of what was given by name.

    Raises:
        BadInput: there is no such setting, or it is not of its kind.
    """
    names = [field.name for field in fields(RealtimeSettings)]
    for name, value in given.items():
        if name not in names:
            raise BadInput(f"realtime systems have no {name!r}; they have {', '.join(names)}")
        if not isinstance(value, str):
            raise BadInput(f"must be text, not {value!r}", field=name)
    return RealtimeSettings(**given)


def check_address(system: str) -> str:
    """Return the address in a system's name.

    Raises:
        BadInput: it is none of a websocket, or it has a key in it.
    """
    address = system.removeprefix(PREFIX)
    parts = urlsplit(address)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise BadInput(f"{address!r} is no ws:// or wss:// address", field="systems")
    if parts.password or "key" in parts.query.casefold():
        raise BadInput(f"keys are taken from {KEY}, not from the address", field="systems")
    need("realtime", "sound")
    return address


def hold(
    address: str,
    user: SpeakingUser,
    header: Header,
    settings: RealtimeSettings,
    decode: Decode,
    voice: Voice,
    *,
    max_seconds: float = MAX_SECONDS,
    on_tick: Callable[[float], None] = lambda now: None,
) -> Recording:
    """Hold one conversation, in real time.

    Args:
        decode: recognises what the server said.
        voice: says what a server that gives text says.

    Raises:
        BadInput: the server cannot be reached, refuses the key or the session, or ends it half way.
    """
    builder = TranscriptBuilder(header)
    with _connected(address, settings) as connection:
        session = _Session(connection, settings, voice)
        session.open()
        begin, now, tick = time.monotonic(), 0.0, 0
        over, late = False, 0.0
        while not over and now < max_seconds:
            tick += 1
            now = round(tick * TICK, DECIMALS)
            late = max(late, time.monotonic() - begin - now)
            session.listen(begin + now)
            user.speak(until=now)
            said = user.said_by(now)
            write_down(said, tick, builder)
            session.send_sound(user.next_sound(round(TICK * RATE)))
            for one, hearing in said:
                if hearing is one.hearings[-1] and settings.modality == "text":
                    session.send_text(one.utterance.text)
            if session.play():
                user.hear([_heard(now - TICK, now, tick)])
            for kind in session.happened:
                happened = CycleResult((Event(kind),))
                builder.cycle(happened, cycle=tick, start=now, seconds=TICK)
            session.happened.clear()
            over = user.has_nothing_to_add(now, QUIET_SECONDS)
            on_tick(now)
    if late > _LATE:
        session.notes.append(f"this machine was late by up to {late:.2f} s: so are the times")
    for text in session.notes:
        builder.note(text, at=now, cycle=tick)
    if not over:
        builder.note(f"cut after {max_seconds:g} s", at=now, cycle=tick)
    for word in recognise(session.played, decode):
        spoken = CycleResult((Event(Kind.SPEECH, word.text, step=1),))
        number = int(word.start / TICK)
        builder.cycle(spoken, cycle=number, start=word.start, seconds=word.end - word.start)
    return Recording(builder.transcript(), 0.0, system_sound=session.played)


@contextmanager
def _connected(address: str, settings: RealtimeSettings) -> Iterator[Any]:
    """Connect to a server; say in one line what is wrong with the connection, now or later."""
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
    from websockets.sync.client import connect

    if settings.model:
        address += ("&" if "?" in address else "?") + f"model={quote(settings.model)}"
    key = os.environ.get(KEY)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with connect(
            address, additional_headers=headers, max_size=2**24, open_timeout=_PATIENCE
        ) as connection:
            yield connection
    except InvalidStatus as error:
        status = error.response.status_code
        if status in (401, 403):
            how = "it was refused" if key else "none is set"
            raise BadInput(f"wants a key ({status}): {how}; {KEY} has it", file=address) from None
        raise BadInput(f"answers with HTTP status {status}", file=address) from None
    except ConnectionClosed as error:
        why = str(error.rcvd.reason or error.rcvd.code) if error.rcvd else "no reason given"
        said = f"ended the conversation half way ({printable(why)}): nothing of it is kept"
        raise BadInput(said, file=address) from None
    except (OSError, InvalidHandshake) as error:  # a timeout is an OSError
        why = printable(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise BadInput(f"cannot be reached: {why}", file=address) from None


class _Session:
    """One session: what was sent, and what came back.

    Attributes:
        played: all that was played, from the beginning.
        happened: since it was last cleared: an answer that is over, or one that was cut.
        notes: errors that the server reported.
    """

    def __init__(self, connection: Any, settings: RealtimeSettings, voice: Voice) -> None:
        import soxr

        self.happened: list[Kind] = []
        self.notes: list[str] = []
        self._connection, self._settings, self._voice = connection, settings, voice
        self._chunks: list[Sound] = []
        self._waiting = np.zeros(0, np.float32)  # sound to be played
        self._response = self._item = ""  # what it is of
        self._whole = False  # whether all of that response is there
        self._heard = 0  # samples of that item
        self._over: set[str] = set()  # responses of which nothing more is played
        self._clauses = Clauses()
        self._interrupts = True
        self._stream = partial(soxr.ResampleStream, num_channels=1, dtype="float32")
        self._outgoing = self._stream(RATE, WIRE_RATE)
        self._incoming = self._stream(WIRE_RATE, RATE)

    @property
    def played(self) -> Sound:
        return np.concatenate([np.zeros(0, np.float32), *self._chunks])

    def open(self) -> None:
        """Agree on the session.

        Raises:
            BadInput: the server says no, or nothing in time.
        """
        self._await("session.created")
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
        self._await("session.updated")

    def listen(self, until: float) -> None:
        """Take in what the server sends until a moment of the monotonic clock."""
        while True:
            left = until - time.monotonic()
            try:
                self._take(self._receive(max(left, 0.0)))
            except TimeoutError:
                return

    def send_sound(self, sound: Sound) -> None:
        """Send what the user's microphone has heard."""
        if self._settings.modality == "audio":
            wire = to_int16(self._outgoing.resample_chunk(sound))
            self._send("input_audio_buffer.append", audio=base64.b64encode(wire.tobytes()).decode())

    def send_text(self, text: str) -> None:
        """Send what the user has said as text, and ask for the answer."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        self._send("conversation.item.create", item=item)
        self._send("response.create")

    def play(self) -> bool:
        """Play for one tick; tell whether anything can be heard."""
        count = round(TICK * RATE)
        part, self._waiting = self._waiting[:count], self._waiting[count:]
        self._heard += len(part)
        if self._whole and not len(self._waiting):
            self.happened.append(Kind.ANSWER_END)
            self._forget()
        chunk = np.pad(part, (0, count - len(part)))
        self._chunks.append(chunk)
        return bool(np.sqrt((chunk**2).mean()) > _LOUD)

    # -- what comes in -----------------------------------------------------------------------

    def _take(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "response.output_audio.delta" | "response.audio.delta":
                if self._settings.modality == "audio" and self._belongs(event):
                    self._put(self._incoming.resample_chunk(_sound_in(event)))
            case "response.output_text.delta" | "response.text.delta":
                if self._belongs(event):
                    for clause in self._clauses.add(str(event.get("delta", ""))):
                        self._put(self._voice.say(clause).sound())
            case "response.output_text.done" | "response.text.done":
                if self._belongs(event):
                    self._put(self._voice.say(self._clauses.rest()).sound())
            case "response.done":
                response = _inside(event, "response")
                if str(response.get("id", "")) == self._response != "":
                    self._whole = True
                    if response.get("status") == "cancelled":
                        self._stop()
            case "input_audio_buffer.speech_started" if self._interrupts:
                self._stop()
            case "output_audio_buffer.cleared":
                self._stop()
            case "session.created" | "session.updated":
                session = _inside(event, "session")
                audio = _inside(_inside(session, "audio"), "input")
                where = audio if "turn_detection" in audio else session  # of the beta
                detection = _inside(where, "turn_detection")
                self._interrupts = bool(detection.get("interrupt_response", True))
            case "error":
                said = _inside(event, "error").get("message", "no reason given")
                self.notes.append(f"the server reports: {printable(str(said))[:300]}")

    def _belongs(self, event: dict[str, Any]) -> bool:
        """Tell whether something is of a response that is still wanted; begin that if it is new."""
        response = str(event.get("response_id", ""))
        if response != self._response and response not in self._over:
            if self._response:  # the one before was whole, or its end was never said
                self._over.add(self._response)
            self._response, self._whole, self._heard = response, False, 0
            self._clauses, self._incoming = Clauses(), self._stream(WIRE_RATE, RATE)
        self._item = str(event.get("item_id", ""))
        return response == self._response

    def _put(self, sound: Sound) -> None:
        self._waiting = np.concatenate([self._waiting, sound])

    def _stop(self) -> None:
        """Stop playing, and tell the server how much of its answer was heard."""
        if self._response:
            self.happened.append(Kind.CUT)
            if self._settings.modality == "audio" and self._item:
                heard = 1000 * self._heard // RATE
                self._send(
                    "conversation.item.truncate",
                    item_id=self._item,
                    content_index=0,
                    audio_end_ms=heard,
                )
            self._forget()

    def _forget(self) -> None:
        self._over.add(self._response)
        self._response, self._whole = "", False
        self._waiting = np.zeros(0, np.float32)

    def _await(self, kind: str) -> None:
        limit = time.monotonic() + _PATIENCE
        while True:
            try:
                event = self._receive(max(limit - time.monotonic(), 0.0))
            except TimeoutError:
                raise BadInput(f"sends no {kind} in {_PATIENCE:g} s", field="systems") from None
            self._take(event)
            if event.get("type") == "error":
                raise BadInput(self.notes[-1], field="systems")
            if event.get("type") == kind:
                return

    def _receive(self, timeout: float) -> dict[str, Any]:
        message = self._connection.recv(timeout=timeout)
        try:
            event = json.loads(message)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise BadInput("the server sends what is no event of the protocol", field="systems")
        return event

    def _send(self, kind: str, **fields: Any) -> None:
        self._connection.send(json.dumps({"type": kind, **fields}))


def _sound_in(event: Mapping[str, Any]) -> Sound:
    """Return the sound that an event brings.

    Raises:
        BadInput: it brings none.
    """
    try:
        pcm = base64.b64decode(str(event.get("delta", "")), validate=True)
        return from_int16(np.frombuffer(pcm, "<i2"))
    except ValueError:
        raise BadInput("the server sends sound that is none", field="systems") from None


def _inside(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object in an event; an empty one if there is none."""
    found = event.get(name)
    return found if isinstance(found, dict) else {}


def _heard(start: float, end: float, cycle: int) -> TranscriptEvent:
    """Make sound of the system an event for the user, who needs no words."""
    return TranscriptEvent(
        start=round(start, DECIMALS),
        end=end,
        channel="output",
        kind="speech",
        cycle=cycle,
        text=" x",
    )
