"""Say how each number came to be: the command, what it ran on, and the file that says it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath
from typing import Any

from reports.page.collect import Evidence, Piece
from reports.page.kinds import KINDS

#: What a manifest says that differs from run to run, or that is told elsewhere on the page.
_NOT_SHOWN = frozenset(
    {"kind", "schema", "command", "versions", "git_commit", "hardware", "finished", "wall_seconds",
     "transcripts"}
)  # fmt: skip
_LONGEST = 160
_ABSOLUTE = re.compile(r"^(?:/|[A-Za-z]:[\\/]|~)")


@dataclass(frozen=True)
class Origin:
    """How files came to be.

    Attributes:
        name: of the manifest, or of the one file that says it of itself.
        command: a command line; "" if nothing says it.
        facts: versions, machine, seeds and settings, name and value.
        files: the files below it that the page rests on, each with its SHA-256.
    """

    name: str
    command: str
    facts: Mapping[str, str]
    files: tuple[tuple[str, str], ...]


def origins(evidence: Evidence) -> list[Origin]:
    """All files that the page rests on, by the manifest that stands nearest above each."""
    manifests = {str(PurePosixPath(one.name).parent): one for one in evidence.manifests}
    kinds = {name: (kind, piece) for kind, piece in evidence.all for name in piece.files}
    below: dict[str, list[str]] = {one.name: [] for one in evidence.manifests}
    alone = []
    for name in evidence.digests:
        above = (str(parent) for parent in PurePosixPath(name).parents)
        nearest = next((manifests[parent] for parent in above if parent in manifests), None)
        own = _own_command(*kinds[name], name)
        if own or nearest is None:
            alone.append(Origin(name, own, _own_facts(kinds[name][1]), _hashed(evidence, [name])))
        else:
            below[nearest.name].append(name)
    found = [
        Origin(
            one.name, _command(one.content), _facts(one.content), _hashed(evidence, below[one.name])
        )
        for one in evidence.manifests
    ]
    return [*found, *_together(alone)]


def _hashed(evidence: Evidence, names: list[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, evidence.digests[name]) for name in names)


def _together(alone: list[Origin]) -> Iterator[Origin]:
    """Files that nothing is known of, in one."""
    yield from (one for one in alone if one.command or one.facts)
    silent = [file for one in alone if not (one.command or one.facts) for file in one.files]
    if silent:
        yield Origin("", "", {}, tuple(silent))


def _command(manifest: Mapping[str, Any]) -> str:
    words = manifest.get("command")
    if not isinstance(words, list):
        return ""
    return shlex.join(["duo", *(_short(str(word)) for word in words)])


def _short(word: str) -> str:
    """A word of a command; of a path that begins at a machine's root only the end is kept."""
    head, equals, tail = word.rpartition("=")
    if not _ABSOLUTE.match(tail):
        return word
    return f"{head}{equals}…/{PurePath(tail.replace(chr(92), '/')).name}"


def _facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a manifest says, without dates and times."""
    facts = {}
    if isinstance(versions := manifest.get("versions"), dict):
        facts["versions"] = ", ".join(f"{name} {_text(v)}" for name, v in versions.items())
    if manifest.get("git_commit"):
        facts["commit"] = str(manifest["git_commit"])
    if isinstance(hardware := manifest.get("hardware"), dict):
        facts["hardware"] = ", ".join(f"{name} {_text(v)}" for name, v in hardware.items())
    for name, value in manifest.items():
        if name not in _NOT_SHOWN and (text := _text(value)):
            facts[name.replace("_", " ")] = text
    return facts


def _own_facts(piece: Piece[Any]) -> dict[str, str]:
    content = piece.content
    said = content if isinstance(content, dict) else vars(content)
    return _facts({"versions": said.get("versions")}) if not piece.computed else {}


def _own_command(kind: str, piece: Piece[Any], name: str) -> str:
    """The command that gives a file which says itself how it was made; "" for the others."""
    words_of = KINDS[kind].own_command
    if piece.computed or words_of is None:
        return ""
    words = ["duo", *words_of(piece.content), "--out", name]
    return shlex.join(_short(str(word)) for word in words)


def _text(value: Any) -> str:
    """A value in a line; what is longer is cut, for the manifest has it whole."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, dict):
        text = ", ".join(f"{name}: {_text(inner) or '–'}" for name, inner in value.items())
    elif isinstance(value, list):
        text = ", ".join(_text(inner) for inner in value)
    else:
        text = _short(str(value))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + "…"
