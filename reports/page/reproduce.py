"""Say how each number came to be: the command, what it ran on, and the file that says it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath
from typing import Any

from duo.runs import Manifest
from reports.kinds import KINDS
from reports.page.collect import Evidence, Piece

_LONGEST = 160
_ABSOLUTE = re.compile(r"^(?:/|[A-Za-z]:[\\/]|~)")


@dataclass(frozen=True)
class Origin:
    """The origin of files.

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
    """List all files that the page rests on, by the manifest that stands nearest above each."""
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
    found = []
    for one in evidence.manifests:
        command = _command(one.content.command) if one.content.command else ""
        files = _hashed(evidence, below[one.name])
        found.append(Origin(one.name, command, _facts(one.content), files))
    return [*found, *_together(alone)]


def _hashed(evidence: Evidence, names: list[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, evidence.digests[name]) for name in names)


def _together(alone: list[Origin]) -> Iterator[Origin]:
    """Put files that nothing is known of into one."""
    yield from (one for one in alone if one.command or one.facts)
    silent = [file for one in alone if not (one.command or one.facts) for file in one.files]
    if silent:
        yield Origin("", "", {}, tuple(silent))


def _command(words: Iterable[Any]) -> str:
    return shlex.join(["duo", *(_short(str(word)) for word in words)])


def _short(word: str) -> str:
    """Shorten a word of a command: of a path from a machine's root only the end is kept."""
    head, equals, tail = word.rpartition("=")
    if not _ABSOLUTE.match(tail):
        return word
    return f"{head}{equals}…/{PurePath(tail.replace(chr(92), '/')).name}"


def _facts(manifest: Manifest) -> dict[str, str]:
    """List what a manifest says, without dates and times."""
    facts = {
        "versions": _named(manifest.versions),
        "commit": manifest.git_commit or "",
        "hardware": _named(manifest.hardware),
    }
    for name, value in manifest.facts.items():
        if name != "transcripts":  # their hashes are on the page
            facts[name.replace("_", " ")] = _text(value)
    return {name: text for name, text in facts.items() if text}


def _own_facts(piece: Piece[Any]) -> dict[str, str]:
    versions = getattr(piece.content, "versions", None)
    return {"versions": _named(versions)} if versions and not piece.computed else {}


def _own_command(kind: str, piece: Piece[Any], name: str) -> str:
    """Give the command of a file which says itself how it was made; "" for the others."""
    words_of = KINDS[kind].own_command
    if piece.computed or words_of is None:
        return ""
    return _command([*words_of(piece.content), "--out", name])


def _named(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in values.items())


def _text(value: Any) -> str:
    """Write a value in a line; what is longer is cut, for the manifest has it whole."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, dict):
        text = ", ".join(f"{name}: {_text(inner) or '–'}" for name, inner in value.items())
    elif isinstance(value, list):
        text = ", ".join(_text(inner) for inner in value)
    else:
        text = _short(str(value))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + "…"
