"""Make a study out of a design and dialogues: the folder, and its rows in the database."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection

from duo.errors import BadInput
from duo.files import check_writable, whole_file, write_text
from duo.runs import Stopwatch, write_manifest
from sessions.study.design import Design
from sessions.study.materials import Item, Materials, attention_checks
from sessions.study.store import Database, database_url, dialogues, items, studies
from sessions.study.study import MARKER, SCHEMA, Study, begun, open_study, row_of


def create_study(
    folder: Path, design: Design, materials: Materials, *, transcripts: Path | None = None
) -> Study:
    """Make a study in a folder; what a killed run left there is finished.

    Raises:
        BadInput: the folder has a study, or cannot be written; or the database cannot be used.
    """
    watch = Stopwatch()
    checks = attention_checks(materials.items, design.checks.attention, seed=design.seed)
    check_writable(folder)
    name = begun(folder) or _new_name(folder)
    with closing(Database(database_url(folder))) as database:
        if row_of(database, name) is not None:
            raise BadInput("holds a study already: choose another folder", file=folder)
        write_text(folder / "design.yaml", design.as_yaml())
        marker = {"schema": SCHEMA, "study": name, "database": database.url.get_backend_name()}
        write_text(folder / MARKER, json.dumps(marker, indent=2) + "\n")
        audio = _keep_audio(folder, materials)
        with database.write() as connection:
            _store(connection, name, design, materials, checks, audio)
    write_manifest(
        folder / "manifest.json",
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
    )
    return open_study(folder)


def _new_name(folder: Path) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:40]
    return f"{stem or 'study'}-{secrets.token_hex(4)}"


def _keep_audio(folder: Path, materials: Materials) -> dict[Path, str]:
    """Copy the sound files; the name of each in the study, by its transcript."""
    return {
        recording.source: _kept_audio(folder, recording.audio)
        for item in materials.items
        for recording in item.recordings
        if recording.audio is not None
    }


def _kept_audio(folder: Path, audio: Path) -> str:
    """Copy a sound file into the study; its new name says nothing of where it came from."""
    name = f"{secrets.token_hex(8)}{audio.suffix.lower()}"
    try:
        with audio.open("rb") as source, whole_file(folder / "audio" / name, "wb") as stream:
            shutil.copyfileobj(source, stream)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", file=audio) from error
    return name


def _store(
    connection: Connection,
    name: str,
    design: Design,
    materials: Materials,
    checks: Sequence[Item],
    audio: dict[Path, str],
) -> None:
    row = studies.insert().values(
        name=name,
        design=design.model_dump_json(),
        systems=json.dumps(materials.systems),
        state="open",
        created_at=time.time(),
    )
    study = connection.execute(row).inserted_primary_key[0]  # type: ignore[index]
    for kind, group in (("item", materials.items), ("attention", checks)):
        for number, item in enumerate(group):
            _add_item(connection, study, kind, number, item, audio)


def _add_item(
    connection: Connection,
    study_id: int,
    kind: str,
    number: int,
    item: Item,
    audio: dict[Path, str],
) -> None:
    row = items.insert().values(
        study_id=study_id,
        kind=kind,
        number=number,
        name=item.name,
        scenario=item.scenario,
        seed=item.seed,
    )
    item_id = connection.execute(row).inserted_primary_key[0]  # type: ignore[index]
    connection.execute(
        dialogues.insert(),
        [
            {
                "item_id": item_id,
                "place": place,
                "system": recording.system,
                "shown": json.dumps(recording.shown.as_data()),
                "audio": audio.get(recording.source, "") if recording.audio else "",
                "source": str(recording.source),
                "sha256": recording.sha256,
            }
            for place, recording in enumerate(item.recordings)
        ],
    )
