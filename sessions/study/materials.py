"""Make a study out of a design and recorded dialogues: the folder, and its rows in the database.

An item of a study is the same scenario and seed by every system. Attention checks are made of the
same dialogues. Half-duplex controls are for comparing answers, and no item: in them nobody
interrupts anybody.

Sound is made so that it tells no more than what was said, and how. Every sound is written anew: the
same format and rate, no tags, a name that says nothing, and each speaker as loud as everywhere else
in the study, the user on the left and the assistant on the right. With `one-voice` all systems, and
all users, speak with the same two voices, from the words that the page shows; so raters judge what
is said and when, not whose voice is nicer.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Connection

from duo import words as spoken
from duo.errors import BadInput
from duo.files import check_writable, sha256, write_result, write_text
from duo.runs import MANIFEST, Stopwatch, write_manifest
from duo.terminal import progress
from duo.transcript import Header, read_transcript, transcript_files
from sessions.study.blinding import Dialogue, Who, Word, blinded
from sessions.study.design import Design
from sessions.study.store import Database, database_url, insert
from sessions.study.study import MARKER, SCHEMA, Marker, Study, begun, open_study, row_of
from sessions.study.tables import dialogues, items, studies

if TYPE_CHECKING:
    from sessions.voice.recogniser import Sound
    from sessions.voice.voices import Voice

#: What raters hear: what was recorded, everything in the same two voices, or nothing.
SoundOf = Literal["recorded", "one-voice", "none"]
SOUNDS: tuple[SoundOf, ...] = ("recorded", "one-voice", "none")

#: Sound files that belong to a transcript if they stand beside it under the same name.
AUDIO = (".wav", ".mp3", ".ogg", ".opus", ".flac", ".m4a")

#: Names of the two "systems" of an attention check: the first asks to be chosen.
WANTED, OTHER = "wanted", "other"

#: How fast the assistant of an attention check speaks: seconds a character, and at least a word.
_CHARACTER, _WORD = 0.06, 0.2


@dataclass(frozen=True)
class SystemDialogue:
    """One dialogue of one system.

    Attributes:
        sha256: of the transcript.
        language: that is spoken; "" if nobody said.
    """

    system: str
    shown: Dialogue
    source: Path
    sha256: str
    audio: Path | None = None
    language: str = ""


@dataclass(frozen=True)
class Item:
    """Dialogues that are compared: one of each system, in the systems' order."""

    name: str
    scenario: str
    seed: int
    recordings: tuple[SystemDialogue, ...]


@dataclass(frozen=True)
class Materials:
    """All items of a study.

    Attributes:
        items: by name.
        left_out: what is no item, in words: controls, and conversations that not every system had,
            each with what is missing.
    """

    systems: tuple[str, ...]
    items: tuple[Item, ...]
    left_out: tuple[str, ...] = ()


def find_materials(folder: Path, systems: Sequence[str] = ()) -> Materials:
    """Read the transcripts of a folder and group them by scenario and seed.

    Args:
        folder: searched for `*.jsonl`, with all folders in it.
        systems: the systems to compare, at least two; empty for all that are there.

    Raises:
        BadInput: not a transcript, the same conversation twice, scenarios that differ between
            systems, a system without transcripts, or nothing to compare.
    """
    if len(set(systems)) != len(systems):
        raise BadInput("a system is given twice", field="--systems")
    groups: dict[tuple[str, int], dict[str, tuple[Header, SystemDialogue]]] = {}
    there: dict[str, None] = {}
    controls = 0
    for path in transcript_files([folder]):
        transcript = read_transcript(path)
        header = transcript.header
        there.setdefault(header.system)
        if systems and header.system not in systems:
            continue
        if header.control_of:
            controls += 1
            continue
        group = groups.setdefault(_key(header, path), {})
        _check_fits(path, header, group)
        shown = blinded(transcript)
        recording = SystemDialogue(
            header.system, shown, path, sha256(path), _audio(path), header.language
        )
        group[header.system] = header, recording
    chosen = tuple(systems) or tuple(there)
    for system in chosen:
        if system not in there:
            known = ", ".join(there) or "none"
            raise BadInput(
                f"no transcript of {system!r} in {folder} (there are: {known})", field="--systems"
            )
    if len(chosen) < 2:
        raise BadInput(f"two systems or more are compared, not {len(chosen)}", field="--systems")
    items, left_out = _grouped(groups, chosen)
    if not items:
        raise BadInput("no scenario was recorded with every system and the same seed", file=folder)
    if controls:
        left_out = f"{controls} half-duplex control{'s' * (controls != 1)}", *left_out
    return Materials(chosen, items, left_out)


def live_materials(design: Design) -> Materials:
    """Make the items of a live study: a topic each, about which nobody has talked yet."""
    assert design.live is not None
    systems = design.live.systems
    said = {
        name: hashlib.sha256(one.model_dump_json().encode()).hexdigest()
        for name, one in systems.items()
    }
    return Materials(
        tuple(systems),
        tuple(
            Item(
                topic.name,
                topic.name,
                design.seed,
                tuple(
                    SystemDialogue(name, Dialogue(()), Path(name, topic.name), said[name])
                    for name in systems
                ),
            )
            for topic in design.live.topics
        ),
    )


def create_study(
    folder: Path,
    design: Design,
    materials: Materials,
    *,
    transcripts: Path | None = None,
    sound: SoundOf = "recorded",
) -> Study:
    """Make a study in a folder; finish what a killed run left there.

    Raises:
        BadInput: the folder has a study, or cannot be written; the database cannot be used; or
            there is no sound of some dialogue while there is of others.
    """
    watch = Stopwatch()
    check_sound([one for item in materials.items for one in item.recordings], sound)
    pages = min(design.pages_per_rater or len(materials.items), len(materials.items))
    checks = attention_checks(
        materials.items,
        design.checks.attention_for(pages),
        # in all the languages that a rater may read
        " / ".join(design.in_language(one).checks.instruction for one in design.languages),
        seed=design.seed,
    )
    check_writable(folder)
    with _alone(folder), closing(Database(database_url(folder))) as database:
        name = begun(folder) or _new_name(folder)
        if row_of(database, name) is not None:
            raise BadInput("holds a study already: choose another folder", file=folder)
        write_text(folder / "design.yaml", design.as_yaml())
        marker = Marker(schema=SCHEMA, study=name, database=database.url.get_backend_name())
        write_result(folder / MARKER, marker)
        audio = _keep_audio(folder, (*materials.items, *checks), sound)
        with database.write() as connection:
            _store(connection, name, design, materials, checks, audio)
    write_manifest(
        folder / MANIFEST,
        watch=watch,
        study=name,
        seed=design.seed,
        systems=list(materials.systems),
        transcripts_folder=transcripts,
        transcripts={
            str(recording.source): recording.sha256
            for item in materials.items
            for recording in item.recordings
        },
        left_out=list(materials.left_out),
        sound=sound,
    )
    return open_study(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other process make a study in a folder meanwhile; the folder itself is the lock."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BadInput("another command is making a study here", file=folder) from error
    finally:
        os.close(handle)


def _new_name(folder: Path) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:40]
    return f"{stem or 'study'}-{secrets.token_hex(4)}"


#: Names of the sound files in the study, by transcript and system.
_Kept = dict[tuple[Path, str], str]


def _keep_audio(folder: Path, items: Sequence[Item], sound: SoundOf) -> _Kept:
    """Write the sound files; return the name of each in the study."""
    kept: _Kept = {}
    with progress("sound", sum(len(item.recordings) for item in items)) as bar:
        for recording in (one for item in items for one in item.recordings):
            found = channels(recording, sound, asking=recording.system == WANTED)
            if found:
                from sessions.voice.mix import write_sound

                name = f"{secrets.token_hex(8)}.flac"
                write_sound(folder / "audio" / name, found)
                kept[recording.source, recording.system] = name
            bar.advance()
    return kept


def _store(
    connection: Connection,
    name: str,
    design: Design,
    materials: Materials,
    checks: Sequence[Item],
    audio: _Kept,
) -> None:
    study = insert(
        connection,
        studies,
        name=name,
        design=design.model_dump(mode="json"),
        systems=materials.systems,
        state="open",
        created_at=time.time(),
    )
    for kind, group in (("item", materials.items), ("attention", checks)):
        for number, item in enumerate(group):
            _add_item(connection, study, kind, number, item, audio)


def _add_item(
    connection: Connection, study_id: int, kind: str, number: int, item: Item, audio: _Kept
) -> None:
    item_id = insert(
        connection,
        items,
        study_id=study_id,
        kind=kind,
        number=number,
        name=item.name,
        scenario=item.scenario,
        seed=item.seed,
    )
    connection.execute(
        dialogues.insert(),
        [
            {
                "item_id": item_id,
                "place": place,
                "system": recording.system,
                "shown": recording.shown.as_data(),
                "audio": audio.get((recording.source, recording.system), ""),
                "source": str(recording.source),
                "sha256": recording.sha256,
            }
            for place, recording in enumerate(item.recordings)
        ],
    )


def attention_checks(
    items: Sequence[Item], count: int, instruction: str, *, seed: int
) -> tuple[Item, ...]:
    """Make pages on which the right answer is stated.

    Each shows a dialogue of the study beside itself with other words of the assistant, which ask to
    choose this one: until it is read it looks like every other page, and however weak the systems
    are, whoever reads it knows what to answer.
    """
    able = [(item, recording) for item in items for recording in item.recordings]
    draw = random.Random(f"attention {seed}")
    draw.shuffle(able)
    checks = []
    for number in range(count):
        item, recording = able[number % len(able)]
        other = replace(recording, system=OTHER)
        wanted = replace(other, system=WANTED, shown=_asking(recording.shown, instruction))
        name = f"attention-{number + 1}"
        checks.append(Item(name, item.scenario, item.seed, (wanted, other)))
    return tuple(checks)


def _asking(dialogue: Dialogue, instruction: str) -> Dialogue:
    """Let the assistant say something else, from when it first speaks, at a usual pace."""
    own = [word for word in dialogue.words if word.who == "user"]
    starts = [word.start for word in dialogue.words if word.who == "assistant"]
    now = min(starts, default=own[0].end if own else 0.0)
    for text in instruction.split():
        end = now + max(_WORD, _CHARACTER * len(text))
        own.append(Word("assistant", round(now, 3), round(end, 3), f" {text}"))
        now = end
    return Dialogue(tuple(sorted(own, key=attrgetter("start"))))


def _key(header: Header, path: Path) -> tuple[str, int]:
    for field in ("scenario", "system"):
        if len(getattr(header, field)) > 150:
            raise BadInput("is longer than 150 characters", file=path, line=1, field=field)
    if not -(2**63) <= header.seed < 2**63:
        raise BadInput("does not fit 64 bits", file=path, line=1, field="seed")
    return header.scenario, header.seed


def _check_fits(
    path: Path, header: Header, group: dict[str, tuple[Header, SystemDialogue]]
) -> None:
    if header.system in group:
        other = group[header.system][1].source
        raise BadInput(
            f"the same system, scenario and seed as {other}", file=path, line=1, field="system"
        )
    for other_header, other_recording in group.values():
        hashes = {header.scenario_sha256, other_header.scenario_sha256} - {""}
        if len(hashes) > 1:
            raise BadInput(
                f"another scenario of this name than in {other_recording.source}",
                file=path,
                line=1,
                field="scenario_sha256",
            )


def _grouped(
    groups: dict[tuple[str, int], dict[str, tuple[Header, SystemDialogue]]], systems: Sequence[str]
) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    several_seeds = len({seed for _, seed in groups}) > 1
    items, left_out = [], []
    for (scenario, seed), group in sorted(groups.items()):
        name = f"{scenario}@{seed}" if several_seeds else scenario
        missing = [system for system in systems if system not in group]
        if missing:
            left_out.append(f"{name}: no transcript of {', '.join(missing)}")
        else:
            recordings = tuple(group[system][1] for system in systems)
            items.append(Item(name, scenario, seed, recordings))
    return tuple(items), tuple(left_out)


def _audio(path: Path) -> Path | None:
    found = (path.with_suffix(suffix) for suffix in AUDIO)
    return next((one for one in found if one.is_file()), None)


def check_sound(recordings: Sequence[SystemDialogue], sound_of: SoundOf) -> None:
    """Make sure that there is sound of all dialogues or of none, and that it can be made.

    Raises:
        BadInput: a sound is missing: it would tell the systems apart; or a package is.
    """
    if sound_of == "none":
        return
    from sessions.voice.extras import need

    if sound_of == "one-voice":
        need("piper", "sound")
        for one in recordings:
            if not _is_english(one):
                raise BadInput(f"the voice speaks no {one.language!r}", file=one.source)
        return
    heard = [one for one in recordings if one.audio is not None]
    if heard:
        need("sound")
    for one in recordings:
        if heard and one.audio is None:
            said = f"has no sound, while {heard[0].source} has: raters would notice"
            raise BadInput(f"{said}; leave it all out with --sound none", file=one.source)


def channels(recording: SystemDialogue, sound_of: SoundOf, *, asking: bool = False) -> list[Sound]:
    """Return the user's and the assistant's sound of a dialogue; nothing if there is none.

    Args:
        asking: the assistant says what no system has said: the page shows it, and our voice
            says it.

    Raises:
        BadInput: the file is no sound.
    """
    if sound_of == "none" or (sound_of == "recorded" and recording.audio is None):
        return []
    said = recording.shown
    if sound_of == "one-voice":
        return [_spoken(said, "user"), _spoken(said, "assistant")]
    from sessions.voice.extras import lacking
    from sessions.voice.mix import at_level, read_sound

    assert recording.audio is not None
    found = [at_level(channel) for channel in read_sound(recording.audio)[:2]]
    if not asking:
        return found
    if lacking("piper") or not _is_english(recording):
        return []
    return [found[0] if len(found) == 2 else _spoken(said, "user"), _spoken(said, "assistant")]


def _spoken(dialogue: Dialogue, who: Who) -> Sound:
    """Let a voice say what the page shows of a speaker; a dash is where somebody breaks off."""
    from sessions.voice.studio import say_parts

    parts = [
        ([_plain(word) for word in part.words], part.end if part.text[-1:] == "—" else None)
        for part in dialogue.of(who)
    ]
    return say_parts(parts, _voice(who))


@cache
def _voice(who: Who) -> Voice:
    from sessions.voice.mix import lower
    from sessions.voice.voices import load_voice

    return load_voice("piper") if who == "user" else lower(_voice("user"))


def _is_english(recording: SystemDialogue) -> bool:
    return recording.language[:2] in ("", "en")


def _plain(word: Word) -> spoken.Word:
    return spoken.Word(word.start, word.end, word.text.strip(), " " if word.text[:1] == " " else "")
