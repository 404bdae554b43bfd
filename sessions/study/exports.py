"""Export all that raters gave: ratings, comments, questionnaires and marks, as files or one zip.

ratings.csv, .parquet, .dictionary.csv   see `votes`
comments.csv                             what raters wrote about pages
questionnaires.csv, marks.csv            if the design asks for them
talks.csv, talks/                        of a live study: its conversations, and their recordings
design.yaml                              the design

All that make one of them leave out who withdrew, unless `withdrawn` asks for the answers that such
raters left; they return how many rows there are, and raise `BadInput` if a file cannot be written.

Preferences are exported for training, as JSON Lines. Two systems talked with the same scripted
user; people said whose side of the dialogue was better. A row has that dialogue twice, as messages
in the order in which they began: `prompt` is what both have in common, up to the user's words
before the assistants part; `chosen` and `rejected` is how it went on with each of them. When
somebody spoke is not in it: people may have preferred the rhythm.

The form is TRL's "preference" type, conversational, with an explicit prompt
(https://huggingface.co/docs/trl/dataset_formats). Further columns say where a row comes from.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from sqlalchemy import select

from duo.errors import BadInput, check_choice
from duo.files import write_json_lines, write_text
from duo.table import Table
from sessions.study.blinding import Dialogue
from sessions.study.pages import orders
from sessions.study.study import Study, need_recorded, shown_dialogues
from sessions.study.tables import counted, items, marks, pages, raters, replies
from sessions.study.talks import all_talks, recording
from sessions.study.votes import Vote, export, moment, votes

_RATER = ("synthetic", "revoked", "withdrawn")
_COMMENTS = ("study", "rater", "item", "page", "submitted", "written_at", "comment", *_RATER)
_REPLIES = (
    "study", "rater", "part", "question", "kind", "ask", "answer", "answered_at", "language",
    *_RATER,
)  # fmt: skip
_MARKS = (
    "study", "rater", "item", "scenario", "seed", "repeat", "position", "attention", "order",
    "system", "turn", "start", "end", "text", "mark", "label", "marked_at", *_RATER,
)  # fmt: skip
_TALKS = (
    "study", "rater", "item", "page", "label", "system", "attempt", "outcome", "began_at",
    "seconds", "words", "transcript", "sound", *_RATER,
)  # fmt: skip


@dataclass(frozen=True)
class Comment:
    """What a rater wrote about a page.

    Attributes:
        page: its number for this rater, from 1.
        submitted: whether the page was.
        at: when the page was submitted, or last touched; seconds since 1970.
    """

    rater: str
    item: str
    page: int
    submitted: bool
    at: float
    text: str
    synthetic: bool
    revoked: bool
    withdrawn: bool = False


def day_and_time(at: float) -> str:
    """Write a time, in seconds since 1970, for people."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def comments(study: Study, *, withdrawn: bool = False) -> list[Comment]:
    """Return what raters wrote, the latest first."""
    with study.database.read() as connection:
        rows = connection.execute(
            select(pages, raters, items.c.name.label("item"))
            .join(raters, pages.c.rater_id == raters.c.id)
            .join(items, pages.c.item_id == items.c.id)
            .where(raters.c.study_id == study.id, pages.c.comment != "", counted(withdrawn))
        ).all()
    found = [
        Comment(
            row.name,
            row.item,
            row.position + 1,
            row.submitted_at is not None,
            row.submitted_at or row.touched_at,
            row.comment,
            *_about(row),
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (-one.at, one.rater, one.page))


def export_comments(study: Study, path: Path, *, withdrawn: bool = False) -> int:
    """Write what raters wrote about pages as CSV, one row a page."""
    rows = [
        (study.name, one.rater, one.item, one.page, one.submitted, _moment(one.at), one.text,
         one.synthetic, one.revoked, one.withdrawn)
        for one in comments(study, withdrawn=withdrawn)
    ]  # fmt: skip
    return _write(path, _COMMENTS, rows)


def export_replies(study: Study, path: Path, *, withdrawn: bool = False) -> int:
    """Write what raters said in the questionnaires as CSV, one row an answer.

    Several options are a JSON list.
    """
    asked = {
        one.name: (place, part, one)
        for part in ("before", "after")
        for place, one in enumerate(getattr(study.design, part))
    }
    with study.database.read() as connection:
        found = connection.execute(
            select(raters, replies.c.question, replies.c.reply, replies.c.at)
            .join(raters, replies.c.rater_id == raters.c.id)
            .where(raters.c.study_id == study.id, counted(withdrawn))
            .order_by(raters.c.number)
        ).all()
    rows = []
    for row in found:
        place, part, one = asked[row.question]
        said = row.reply
        said = json.dumps(said, ensure_ascii=False) if isinstance(said, list) else said
        order = row.number, part == "after", place
        cells = (study.name, row.name, part, row.question, one.kind, one.ask, said,
                 _moment(row.at), row.language or "", *_about(row))  # fmt: skip
        rows.append((order, cells))
    return _write(path, _REPLIES, [cells for _, cells in sorted(rows, key=lambda row: row[0])])


def export_marks(study: Study, path: Path, *, withdrawn: bool = False) -> int:
    """Write the marks of submitted pages as CSV, one row a mark.

    `turn` counts the utterances of the dialogue, of both speakers, from 1; `start` and `end` are
    its times, in seconds.
    """
    with study.database.read() as connection:
        dialogues = shown_dialogues(connection, study)
        found = connection.execute(
            select(
                marks,
                pages,
                items.c.name.label("item"),
                items.c.scenario,
                items.c.seed,
                items.c.kind,
                raters.c.name.label("rater"),
                *(raters.c[name] for name in ("synthetic", "revoked_at", "withdrawn_at")),
            )
            .join(pages, marks.c.page_id == pages.c.id)
            .join(items, pages.c.item_id == items.c.id)
            .join(raters, pages.c.rater_id == raters.c.id)
            .where(raters.c.study_id == study.id, pages.c.submitted_at.is_not(None))
            .where(counted(withdrawn))
            .order_by(raters.c.number, pages.c.position, marks.c.place, marks.c.turn, marks.c.mark)
        ).all()
    rows = []
    for row in found:
        shown = dialogues[row.item]
        order = [[*shown][place] for place in orders(len(shown))[row.placement]]
        turn = shown[order[row.place]].utterances[row.turn]
        rows.append(
            (study.name, row.rater, row.item, row.scenario, row.seed, row.repeat, row.position + 1,
             row.kind == "attention", json.dumps(order, ensure_ascii=False), order[row.place],
             row.turn + 1, turn.start, turn.end, turn.text, row.mark,
             study.design.marks.kinds[row.mark], _moment(row.at), *_about(row))
        )  # fmt: skip
    return _write(path, _MARKS, rows)


def export_talks(study: Study, path: Path, *, withdrawn: bool = False) -> int:
    """Write the conversations of a live study as CSV, one row an attempt, with their recordings.

    `outcome` is stopped (by the participant), time, lost or failed. The recordings are copied to
    beside the file; `transcript` and `sound` are their names there, "" where there is none.
    """
    with study.database.read() as connection:
        of = select(raters, pages.c.id.label("page"), pages.c.position)
        of = of.join(raters, pages.c.rater_id == raters.c.id).where(raters.c.study_id == study.id)
        found = {row.page: row for row in connection.execute(of)}
    rows = []
    for talk in all_talks(study, withdrawn=withdrawn):
        kept = [recording(study, talk, ending) for ending in (".jsonl", ".flac")]
        names = [str(one.relative_to(study.folder)) if one else "" for one in kept]
        for file, name in zip(kept, names, strict=True):
            if file is not None:
                (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, path.parent / name)
        row = found[talk.page]
        rows.append(
            (study.name, row.name, talk.topic, row.position + 1, talk.label, talk.system,
             talk.attempt, talk.outcome, _moment(talk.began), talk.seconds, talk.words, *names,
             *_about(row))
        )  # fmt: skip
    return _write(path, _TALKS, rows)


def files_of(study: Study, *, withdrawn: bool = False) -> dict[str, Callable[[Path], int]]:
    """Return what can be exported: what writes each file, by its name."""
    writers = {"ratings.csv": export, "comments.csv": export_comments}
    if study.design.before or study.design.after:
        writers["questionnaires.csv"] = export_replies
    if study.design.marks.kinds:
        writers["marks.csv"] = export_marks
    if study.design.live is not None:
        writers["talks.csv"] = export_talks
    return {name: partial(write, study, withdrawn=withdrawn) for name, write in writers.items()}


def export_all(study: Study, folder: Path, *, withdrawn: bool = False) -> dict[str, int]:
    """Write all files into a folder; return how many rows each has."""
    files = files_of(study, withdrawn=withdrawn)
    found = {name: write(folder / name) for name, write in files.items()}
    write_text(folder / "design.yaml", study.design.as_yaml())
    return found


def exported(study: Study, name: str) -> bytes:
    """Return the content of one file of `files_of`."""
    with tempfile.TemporaryDirectory() as folder:
        files_of(study)[name](Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def archive(study: Study) -> bytes:
    """Return all files as a zip; the same study gives the same bytes."""
    stream = BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        export_all(study, Path(folder))
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(filter(Path.is_file, Path(folder).rglob("*"))):
                name = path.relative_to(folder).as_posix()
                entry = zipfile.ZipInfo(name)  # without the time of writing
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _about(row: Any) -> tuple[bool, bool, bool]:
    return bool(row.synthetic), row.revoked_at is not None, row.withdrawn_at is not None


def _moment(at: float) -> str:
    return moment(datetime.fromtimestamp(at, UTC))


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    write_text(path, Table("", columns, rows).csv())
    return len(rows)


#: What makes a row: the majority of a pair's votes, or each vote.
BY = ("majority", "vote")
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Preferences:
    """Rows, and what was left out.

    Attributes:
        ties: pairs (or votes) without a winner.
        unusable: pairs (or votes) whose dialogues cannot be a prompt and two answers to it, as one
            of the assistants says nothing, or both say the same, where they part.
    """

    rows: tuple[dict[str, Any], ...]
    ties: int
    unusable: int


def export_preferences(
    study: Study, path: Path, criterion: str, *, by: str = "majority", synthetic: bool = False
) -> Preferences:
    """Write the preferences on a criterion; see `preferences`.

    Raises:
        BadInput: no such criterion; nothing to write; or the file cannot be written.
    """
    found = preferences(study, criterion, by=by, synthetic=synthetic)
    if not found.rows:
        raise BadInput(
            f"no preferences of people on {criterion} ({found.ties} ties, {found.unusable} of "
            "dialogues that cannot be used)"
        )
    write_json_lines(path, found.rows)
    return found


def preferences(
    study: Study, criterion: str, *, by: str = "majority", synthetic: bool = False
) -> Preferences:
    """Make rows of the first votes of people on a criterion.

    Args:
        by: "majority": a row for each pair of dialogues that won more votes than it lost; "vote":
            a row for each vote that is no tie.
        synthetic: take the votes of programs, too.

    Raises:
        BadInput: no such criterion.
    """
    need_recorded(study)
    check_choice("criterion", criterion, study.design.criterion_names)
    check_choice("by", by, BY)
    with study.database.read() as connection:
        shown = shown_dialogues(connection, study, "item")
    rows, left_out = [], Counter[str]()
    for cast in _pairs(votes(study), criterion, synthetic=synthetic):
        for winner, facts in _decided(cast, by):
            if not winner:
                left_out["ties"] += 1
                continue
            (loser,) = {*cast[0].pair} - {winner}
            dialogues = shown[cast[0].item]
            parted = _parted(messages(dialogues[winner]), messages(dialogues[loser]))
            if parted is None:
                left_out["unusable"] += 1
                continue
            rows.append(
                dict(zip(("prompt", "chosen", "rejected"), parted, strict=True))
                | {"study": study.name, "item": cast[0].item, "criterion": criterion}
                | {"chosen_system": winner, "rejected_system": loser}
                | facts
            )
    return Preferences(tuple(rows), left_out["ties"], left_out["unusable"])


def _pairs(cast: Iterable[Vote], criterion: str, *, synthetic: bool) -> Iterator[list[Vote]]:
    """Yield the first votes on each pair of dialogues."""
    held = [
        vote
        for vote in cast
        if vote.criterion == criterion
        and not (vote.attention or vote.repeat or vote.revoked)
        and (synthetic or not vote.synthetic)
    ]
    about = attrgetter("item", "pair")
    for _, group in groupby(sorted(held, key=lambda vote: (*about(vote), vote.rater)), about):
        yield list(group)


def _decided(cast: list[Vote], by: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield winners ("" for a tie) with the votes behind them."""
    count = Counter(vote.winner for vote in cast)
    first, second = (count[system] for system in cast[0].pair)
    tied = len(cast) - first - second

    def facts(rater: str, chosen: int, rejected: int, ties: int) -> dict[str, Any]:
        return {
            "rater": rater,
            "votes_chosen": chosen,
            "votes_rejected": rejected,
            "votes_tied": ties,
        }

    if by == "majority":
        winner = "" if first == second else cast[0].pair[first < second]
        yield winner, facts("", max(first, second), min(first, second), tied)
        return
    for vote in cast:
        yield (vote.winner if vote.winner in vote.pair else ""), facts(vote.rater, 1, 0, 0)


def messages(dialogue: Dialogue) -> Messages:
    """Write a dialogue as messages that alternate, in the order in which they begin."""
    spoken = groupby((one for one in dialogue.utterances if one.text), attrgetter("who"))
    return [{"role": who, "content": "\n".join(one.text for one in group)} for who, group in spoken]


def _parted(chosen: Messages, rejected: Messages) -> tuple[Messages, Messages, Messages] | None:
    """Part two dialogues into what they have in common, and how each goes on with the assistant.

    None if they do not part at words of both assistants.
    """
    common = 0
    while common < min(len(chosen), len(rejected)) and chosen[common] == rejected[common]:
        common += 1
    while common and chosen[common - 1]["role"] != "user":
        common -= 1
    ends = chosen[common:], rejected[common:]
    if not common or not all(ends) or ends[0] == ends[1]:
        return None
    return chosen[:common], *ends
