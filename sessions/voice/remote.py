"""Let a user who speaks talk to anybody's speech system, whatever protocol its server speaks.

This end does what a client with a microphone and a loudspeaker does: it sends what the user says as
it is said, plays what comes back one moment after the other, and stops playing when the protocol
says so. What was played is recognised back to words afterwards. All of it is in real time.

How sound is sent and what comes back is read is that of a `Session`: `realtime`, `gemini`, `moshi`.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np

from duo.decoding.conversant import CycleResult, Event, Kind
from duo.errors import BadInput
from duo.keys import key_for, key_variables
from duo.terminal import printable
from duo.transcript import Header
from duo.words import DECIMALS, Piece
from sessions.play import MAX_SECONDS, QUIET_SECONDS, Recording, TranscriptBuilder, write_down
from sessions.voice.extras import need
from sessions.voice.recogniser import RATE, Decode, Sound, from_int16, recognise
from sessions.voice.spoken import SpeakingUser
from sessions.voice.voices import Voice

#: Seconds between two pieces of sound; the finest step of the times in the transcript.
TICK = 0.05
#: Seconds to wait for the server's first words.
_PATIENCE = 15.0
#: Seconds by which this end may be late without saying so.
_LATE = 0.2
#: Root mean square above which what is played counts as speech.
_LOUD = 0.003


@dataclass(frozen=True)
class Server:
    """Where a system's server is, and how it is talked to.

    Attributes:
        session: the kind of `Session`.
        settings: of the kind that it has.
    """

    session: type[Session]
    address: str
    settings: Any


def server_of(system: str, given: Mapping[str, Any]) -> Server:
    """Find the server that a system's name is of, and check the settings that are given.

    Raises:
        BadInput: there is no such setting, or it is not of its kind; the name has no address of a
            websocket, or one with a key in it; something is not installed.
    """
    need("realtime", "sound")
    from sessions.voice.gemini import GeminiSession
    from sessions.voice.moshi import MoshiSession
    from sessions.voice.realtime import RealtimeSession

    protocol, _, rest = system.partition(":")
    kinds: dict[str, type[Session]] = {
        "realtime": RealtimeSession,
        "gemini": GeminiSession,
        "moshi": MoshiSession,
    }
    session = kinds[protocol]
    names = [field.name for field in fields(session.Settings)]
    for name, value in given.items():
        if name not in names:
            have = ", ".join(names) or "none"
            raise BadInput(f"{protocol} systems have no {name!r}; they have {have}")
        if not isinstance(value, str):
            raise BadInput(f"must be text, not {value!r}", field=name)
    address, settings = session.found(rest, session.Settings(**given))
    try:
        parts = urlsplit(address)
        is_one = parts.scheme in ("ws", "wss") and parts.hostname and (parts.port or True)
    except ValueError:
        is_one = False
    if not is_one:
        raise BadInput(f"{rest!r} is no ws:// or wss:// address", field="systems")
    if parts.password or "key" in parts.query.casefold():
        names = list(key_variables(address))
        raise BadInput(f"keys are taken from {names[0]}, not from the address", field="systems")
    key_for(address)
    return Server(session, address, settings)


def record(
    server: Server,
    user: SpeakingUser,
    header: Header,
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
        BadInput: the server cannot be reached, refuses the key or the session, ends it half way, or
            sends what is not of its protocol.
    """
    builder = TranscriptBuilder(header)
    with _connected(server) as connection:
        session = server.session(connection, server.settings, voice)
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
                if hearing is one.hearings[-1]:
                    session.send_text(one.utterance.text)
            if session.play():  # the user needs no words of it
                user.hear([Piece(round(now - TICK, DECIMALS), now, " x", tick)])
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
def _connected(server: Server) -> Iterator[Any]:
    """Connect to a server; say in one line what is wrong with the connection, now or later."""
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
    from websockets.sync.client import connect

    address, key = server.address, key_for(server.address)
    headers = server.session.headers(key) if key else {}
    try:
        with connect(
            address, additional_headers=headers, max_size=2**24, open_timeout=_PATIENCE
        ) as connection:
            yield connection
    except InvalidStatus as error:
        status = error.response.status_code
        if status in (401, 403):
            how = "it was refused" if key else "none is set"
            names = " or ".join(key_variables(address))
            said = f"wants a key ({status}): {how}; {names} has it"
            raise BadInput(said, file=address) from None
        raise BadInput(f"answers with HTTP status {status}", file=address) from None
    except ConnectionClosed as error:
        why = str(error.rcvd.reason or error.rcvd.code) if error.rcvd else "no reason given"
        said = f"ended the conversation half way ({printable(why)}): nothing of it is kept"
        raise BadInput(said, file=address) from None
    except (OSError, InvalidHandshake) as error:  # a timeout is an OSError
        why = printable(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise BadInput(f"cannot be reached: {why}", file=address) from None


class Session:
    """One session: what was sent, and what came back; each protocol has its own kind.

    Attributes:
        Settings: what a server is asked for: a dataclass of texts.
        played: all that was played, from the beginning.
        happened: since it was last cleared: an answer that is over, or one that was cut.
        notes: what the server reported.
    """

    Settings: ClassVar[type[Any]]

    def __init__(self, connection: Any, settings: Any, voice: Voice) -> None:
        import soxr

        self.happened: list[Kind] = []
        self.notes: list[str] = []
        self._connection, self._settings, self._voice = connection, settings, voice
        self._chunks: list[Sound] = []
        self._waiting = np.zeros(0, np.float32)  # sound to be played
        self._ends: list[int] = []  # samples of it after which earlier answers are over
        self._answering = False  # an answer is there that is not over
        self._whole = False  # and nothing of it is to come
        self._heard = 0  # samples of it that were played
        self._stream = partial(soxr.ResampleStream, num_channels=1, dtype="float32")

    # -- what each protocol does in its own way ----------------------------------------------

    @staticmethod
    def found(name: str, settings: Any) -> tuple[str, Any]:
        """Return the address that a system's name is of, without its prefix, and the settings."""
        return name, settings

    @staticmethod
    def headers(key: str) -> dict[str, str]:
        """Return the headers that bring a key."""
        return {"Authorization": f"Bearer {key}"}

    def open(self) -> None:
        """Agree on the session.

        Raises:
            BadInput: the server says no, or nothing in time.
        """
        raise NotImplementedError

    def send_sound(self, sound: Sound) -> None:
        """Send what the user's microphone has heard."""
        raise NotImplementedError

    def send_text(self, text: str) -> None:
        """Send what the user has said, where the server takes no sound."""

    def _take(self, message: str | bytes) -> None:
        """Take in a message of the server.

        Raises:
            BadInput: it is not of the protocol.
        """
        raise NotImplementedError

    # -- what all do -------------------------------------------------------------------------

    @property
    def played(self) -> Sound:
        return np.concatenate([np.zeros(0, np.float32), *self._chunks])

    def listen(self, until: float) -> None:
        """Take in what the server sends until a moment of the monotonic clock."""
        while True:
            left = until - time.monotonic()
            try:
                self._take(self._connection.recv(timeout=max(left, 0.0)))
            except TimeoutError:
                return

    def play(self) -> bool:
        """Play for one tick; tell whether anything can be heard."""
        count = round(TICK * RATE)
        part, self._waiting = self._waiting[:count], self._waiting[count:]
        self._heard += max(len(part) - max(self._ends, default=0), 0)
        left = [end - len(part) for end in self._ends]
        self._ends = [end for end in left if end > 0]
        self.happened += [Kind.ANSWER_END] * (len(left) - len(self._ends))
        if self._whole and not len(self._waiting):
            self.happened.append(Kind.ANSWER_END)
            self._forget()
        chunk = np.pad(part, (0, count - len(part)))
        self._chunks.append(chunk)
        return bool(np.sqrt((chunk**2).mean()) > _LOUD)

    def _begin(self) -> None:
        """Let an answer begin; one before is over when all of it was played."""
        if self._answering:
            self._ends.append(len(self._waiting))
        self._answering, self._whole, self._heard = True, False, 0

    def _put(self, sound: Sound) -> None:
        self._waiting = np.concatenate([self._waiting, sound])

    def _stop(self) -> None:
        """Stop playing."""
        if self._answering:
            self.happened.append(Kind.CUT)
            self._forget()

    def _forget(self) -> None:
        self._answering = self._whole = False
        self._waiting, self._ends = np.zeros(0, np.float32), []

    def _await(self, what: str, came: Callable[[], bool]) -> None:
        """Take in messages until one came, as a function tells."""
        limit = time.monotonic() + _PATIENCE
        while not came():
            try:
                self._take(self._connection.recv(timeout=max(limit - time.monotonic(), 0.0)))
            except TimeoutError:
                raise BadInput(f"sends no {what} in {_PATIENCE:g} s", field="systems") from None
            if self.notes:
                raise BadInput(self.notes[-1], field="systems")


def json_in(message: str | bytes) -> dict[str, Any]:
    """Return the JSON object that a message is.

    Raises:
        BadInput: it is none.
    """
    try:
        content = json.loads(message)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise BadInput("the server sends what is no message of the protocol", field="systems")
    return content


def sound_in(text: object) -> Sound:
    """Return the sound that a text has as 16-bit samples in base64.

    Raises:
        BadInput: it has none.
    """
    try:
        pcm = base64.b64decode(str(text), validate=True)
        return from_int16(np.frombuffer(pcm, "<i2"))
    except ValueError:
        raise BadInput("the server sends sound that is none", field="systems") from None


def inside(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object in an event; an empty one if there is none."""
    found = event.get(name)
    return found if isinstance(found, dict) else {}
