"""Gemini's Live API (`BidiGenerateContent`), as a client of it speaks: see `sessions.voice.remote`.

Messages are those of the `google-genai` package (3.6): a `setup` that the server confirms, sound as
`realtimeInput`, and `serverContent` in return. A server makes its answer faster than it is heard;
`interrupted` says that the user has broken in, and playing stops. Its transcriptions are not asked
for, as they would have words that were never heard.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from duo.errors import BadInput
from duo.terminal import printable
from sessions.voice.recogniser import RATE, Sound, to_int16
from sessions.voice.remote import Session, inside, json_in, sound_in

_PUBLIC = (
    "wss://generativelanguage.googleapis.com/ws/"
    "google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
)
_RATES = range(8_000, 48_001)
#: Bytes may come in either alphabet of base64.
_URL_SAFE = str.maketrans("-_", "+/")


@dataclass(frozen=True)
class GeminiSettings:
    """What a server is asked for.

    Attributes:
        model: where the system is named by an address.
        voice, instructions: of the session; "" for the server's own.
    """

    model: str = ""
    voice: str = ""
    instructions: str = ""


class GeminiSession(Session):
    """A session of the Live API."""

    Settings = GeminiSettings

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._agreed = False

    @staticmethod
    def found(name: str, settings: GeminiSettings) -> tuple[str, GeminiSettings]:
        """See `Session.found`: it is that of a model at Google, or a server's address."""
        if "://" not in name:
            name, settings = _PUBLIC, replace(settings, model=name or settings.model)
        if not settings.model:
            raise BadInput("say which: --set gemini:ADDRESS.model=NAME", field="model")
        return name, settings

    @staticmethod
    def headers(key: str) -> dict[str, str]:
        return {"x-goog-api-key": key}

    def open(self) -> None:
        model, voice = self._settings.model, self._settings.voice
        generation: dict[str, Any] = {"responseModalities": ["AUDIO"]}
        if voice:
            named = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}
            generation["speechConfig"] = named
        setup: dict[str, Any] = {
            "model": model if "/" in model else f"models/{model}",
            "generationConfig": generation,
        }
        if self._settings.instructions:
            setup["systemInstruction"] = {"parts": [{"text": self._settings.instructions}]}
        self._connection.send(json.dumps({"setup": setup}))
        self._await("setupComplete", lambda: self._agreed)

    def send_sound(self, sound: Sound) -> None:
        data = base64.b64encode(to_int16(sound).tobytes()).decode()
        audio = {"data": data, "mimeType": f"audio/pcm;rate={RATE}"}
        self._connection.send(json.dumps({"realtimeInput": {"audio": audio}}))

    def _take(self, message: str | bytes) -> None:
        event = json_in(message)
        self._agreed |= "setupComplete" in event
        if "error" in event:
            said = str(inside(event, "error").get("message", event["error"]))
            self.notes.append(f"the server reports: {printable(said)[:300]}")
        content = inside(event, "serverContent")
        parts = inside(content, "modelTurn").get("parts")
        for part in parts if isinstance(parts, list) else ():
            blob = inside(part, "inlineData") if isinstance(part, dict) else {}
            kind = str(blob.get("mimeType", ""))
            if kind.startswith("audio/"):
                data = str(blob.get("data", "")).translate(_URL_SAFE)
                self._add(kind, sound_in(data))
        if content.get("interrupted") is True:
            self._stop()
        if content.get("generationComplete") is True or content.get("turnComplete") is True:
            self._whole = self._answering

    def _add(self, kind: str, sound: Sound) -> None:
        """Play sound after what is there already."""
        found = re.fullmatch(r"audio/pcm(?:;\s*rate=(\d{1,6}))?", kind)
        rate = int(found[1] or 24_000) if found else 0
        if rate not in _RATES:
            raise BadInput(f"the server sends {printable(kind)[:80]}, not PCM", field="systems")
        if self._whole or not self._answering:
            self._begin()
            self._incoming = self._stream(rate, RATE)
        self._put(self._incoming.resample_chunk(sound))
