"""The protocol of Kyutai's Moshi server, as a client of it speaks: see `sessions.voice.remote`.

Messages are those of the `moshi` package (0.2): bytes, of which the first says what follows. The
server begins with a handshake (0); then sound goes both ways all the time (1), each direction one
Ogg stream of Opus, and the model's words come beside it (2). There are no turns: an answer is over
when nothing was heard for a second, and that an answer was cut is never known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from duo.decoding.conversant import Kind
from duo.errors import BadInput
from sessions.voice.recogniser import RATE, Sound, to_int16
from sessions.voice.remote import TICK, Session

_HANDSHAKE, _SOUND = 0, 1
#: Seconds of silence after which an answer is over.
_SILENCE = 1.0
#: Samples a second of what the decoder gives, and of all times in an Ogg stream of Opus (RFC 7845).
_OPUS_RATE = 48_000
#: The most bytes of a packet that is not complete yet: the largest one that Opus may have.
_LARGEST = 61_440


@dataclass(frozen=True)
class MoshiSettings:
    """What a server is asked for: it takes no settings."""


class MoshiSession(Session):
    """A session of Moshi's server."""

    Settings = MoshiSettings

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._begun = False
        self._writer, self._reader = OpusWriter(), OpusReader()
        self._incoming = self._stream(_OPUS_RATE, RATE)
        self._silent = 0.0

    @staticmethod
    def found(name: str, settings: MoshiSettings) -> tuple[str, MoshiSettings]:
        """See `Session.found`: without a path it is that of the server's own page."""
        bare = "://" in name and name.count("/") == 2
        return (f"{name}/api/chat" if bare else name), settings

    def open(self) -> None:
        self._await("handshake", lambda: self._begun)

    def send_sound(self, sound: Sound) -> None:
        if opus := self._writer.write(sound):
            self._connection.send(bytes([_SOUND]) + opus)

    def play(self) -> bool:
        loud = super().play()
        if loud:
            self._answering, self._silent = True, 0.0
        elif self._answering:
            self._silent += TICK
            if self._silent >= _SILENCE:
                self._answering = False
                self.happened.append(Kind.ANSWER_END)
        return loud

    def _take(self, message: str | bytes) -> None:
        if not isinstance(message, bytes) or not message:
            raise BadInput("the server sends what is no message of the protocol", field="systems")
        if message[0] == _HANDSHAKE:
            self._begun = True
        elif message[0] == _SOUND:
            for sound in self._reader.read(message[1:]):
                self._put(self._incoming.resample_chunk(sound))


class OpusWriter:
    """Makes one Ogg stream of Opus, piece by piece."""

    def __init__(self) -> None:
        self._made = bytearray()
        # Each packet of 20 ms in a page of its own, so that nothing waits for what comes after.
        options = {"page_duration": "1", "flush_packets": "1"}
        self._file: Any = av.open(self, "w", format="ogg", options=options)
        self._stream: Any = self._file.add_stream("libopus", rate=RATE, layout="mono")
        self._stream.codec_context.open()
        self._size: int = self._stream.codec_context.frame_size
        self._rest, self._at = np.zeros(0, np.float32), 0

    def write(self, sound: Sound | bytes) -> bytes:
        """Take sound and return what the stream goes on with; PyAV calls it with that."""
        if isinstance(sound, bytes):
            self._made += sound
            return b""
        self._rest = np.concatenate([self._rest, sound])
        while len(self._rest) >= self._size:
            piece, self._rest = self._rest[: self._size], self._rest[self._size :]
            frame = av.AudioFrame.from_ndarray(to_int16(piece)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, self._at
            self._at += self._size
            self._file.mux(self._stream.encode(frame))
        made, self._made = bytes(self._made), bytearray()
        return made


class OpusReader:
    """Reads one Ogg stream of Opus, piece by piece (RFC 3533, RFC 7845)."""

    def __init__(self) -> None:
        self._bytes, self._packet = b"", b""
        self._headers = 0  # packets that are none of sound
        self._skip = 0  # samples that belong to nothing
        self._decoder: Any = None

    def read(self, data: bytes) -> Iterator[Sound]:
        """Return the sound that comes with more of the stream, at 48 kHz.

        Raises:
            BadInput: it is no such stream.
        """
        self._bytes += data
        for packet in self._packets():
            self._headers += 1
            if self._headers == 1:
                if packet[:8] != b"OpusHead" or len(packet) < 19 or packet[9] not in (1, 2):
                    raise _no_sound()
                self._skip = int.from_bytes(packet[10:12], "little")
                self._decoder = av.CodecContext.create("opus", "r")
                self._decoder.extradata = packet
            elif self._headers > 2:
                yield from self._decoded(packet)

    def _decoded(self, packet: bytes) -> Iterator[Sound]:
        try:
            frames = self._decoder.decode(av.Packet(packet))
        except av.FFmpegError:
            raise _no_sound() from None
        for frame in frames:
            sound = frame.to_ndarray().mean(axis=0, dtype=np.float32)
            if frame.format.name.startswith("s16"):
                sound /= 2**15
            skipped = min(self._skip, len(sound))
            self._skip -= skipped
            yield sound[skipped:]

    def _packets(self) -> Iterator[bytes]:
        """Take the packets that are complete."""
        while len(self._bytes) >= 27:
            if self._bytes[:5] != b"OggS\0":
                raise _no_sound()
            table = self._bytes[27 : 27 + self._bytes[26]]
            end = 27 + self._bytes[26] + sum(table)
            if len(table) < self._bytes[26] or len(self._bytes) < end:
                return
            page, self._bytes = self._bytes[27 + len(table) : end], self._bytes[end:]
            for size in table:
                self._packet += page[:size]
                page = page[size:]
                if len(self._packet) > _LARGEST:
                    raise _no_sound()
                if size < 255:
                    packet, self._packet = self._packet, b""
                    yield packet


def _no_sound() -> BadInput:
    return BadInput("the server sends sound that is none", field="systems")
