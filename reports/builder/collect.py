"""Read everything that a run holds. What is broken is named and left out; the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from duo.errors import BadInput
from duo.files import as_result
from duo.transcript import Transcript
from evaluation.interaction.results import Interaction, interaction, portable, read_all
from reports.builder.evidence import Evidence, Figures, Piece
from reports.builder.ratings import How, read_studies
from reports.builder.reader import Reader
from reports.builder.talks import in_order, labelled, read_talks
from reports.builder.walk import File

if TYPE_CHECKING:
    from reports.table1.table import Table1


def collect(
    runs: Sequence[Path], how: How | None = None, tell: Callable[[str], None] = lambda what: None
) -> Evidence:
    """Read what runs hold.

    Args:
        runs: folders, or single files.
        how: to read ratings.
        tell: told what is under way.

    Raises:
        BadInput: there is no such folder or file, or nothing in it could be used; then the error is
            about the first that is broken, if one is.
    """
    how = how or How()
    reader = Reader(runs, columns=how.columns, tell=tell)
    manifests = reader.json("manifest")
    tell("reading transcripts")
    talks, files = read_talks(reader, reader.files("transcript"))
    found = Evidence(
        talks=in_order(labelled(talks), manifests),
        interactions=_interactions(reader, talks, files),
        states=reader.json("states", _states),
        probes=reader.json("probe", _probe),
        decodings=reader.json("decoding", _decoding),
        sweeps=tuple(_sweeps(reader)),
        trainings=reader.json("training", lambda content: content["curve"][0]["step"]),
        benchmarks=tuple(_benchmarks(reader)),
        studies=tuple(read_studies(reader, how)),
        manifests=manifests,
    )
    used = sorted({name for _, piece in found.results for name in piece.files})
    found = replace(
        found,
        digests={name: reader.digests[name] for name in used},
        problems=tuple(sorted(reader.problems, key=str)),
        notes=tuple(reader.notes),
    )
    if not any(True for _ in found.results):
        if found.problems:
            raise found.problems[0]
        where = " ".join(map(str, runs))
        raise BadInput("holds nothing that a report could be made of", file=where)
    return found


def _interactions(
    reader: Reader, talks: Sequence[Piece[Transcript]], files: Sequence[File]
) -> tuple[Piece[Figures], ...]:
    """Figures that were counted before; else those of the transcripts."""
    before = reader.json("interaction", _told)
    for piece in before:
        told = _told(piece.content)
        if talks and told != len(talks):
            reader.notes.append(
                f"{piece.name} is about {told} transcripts; the run holds {len(talks)}."
            )
    if before or not files:
        return before
    reader.tell(f"counting what happened in {len(files)} conversations")
    with reader.about():
        return _counted(reader, files)
    return ()


def _counted(reader: Reader, files: Sequence[File]) -> tuple[Piece[Figures], ...]:
    """Figures counted from transcripts; those that cannot be counted are named."""
    found = portable(interaction(*read_all(file.path for file in files)))
    content = found.model_dump(mode="json", by_alias=True)
    by_path = {str(file.path): file.name for file in files}
    known = {str(error.file) for error in reader.problems}
    left_out = {}
    for one in content["left_out"]:
        name, line = by_path[one["file"]], one["line"]
        message = one["problem"].replace(one["file"], name)
        left_out[name] = {"file": name, "line": line, "problem": message}
        if name not in known:
            place = name if line is None else f"{name}:{line}"
            message = f"cannot be counted: {message.removeprefix(f'{place}: ')}"
            reader.problems.append(BadInput(message, file=name, line=line))
    counted = tuple(reader.used(file) for file in files if file.name not in left_out)
    if not counted:
        return ()
    return (Piece({**content, "left_out": list(left_out.values())}, counted, computed=True),)


def _told(content: Figures) -> int:
    """How many transcripts figures are about."""
    found = as_result(content, Interaction, file=None)
    return found.scored + len(found.left_out)


def _states(content: Figures) -> None:
    from duo.files import as_result
    from evaluation.scores import States

    as_result(content, States, file=None)


def _probe(content: Figures) -> None:
    from duo.files import as_result
    from evaluation.scores import Probe

    as_result(content, Probe, file=None)


def _decoding(content: Figures) -> None:
    from duo.files import as_result
    from evaluation.decode_bench.results import DecodeBench

    as_result(content, DecodeBench, file=None)


def _sweeps(reader: Reader) -> Iterator[Piece[Figures]]:
    """The figures of all points of each sweep."""
    for file in reader.files("sweep"):
        from reports.plots.sweep import sweep_scores

        with reader.about(file):
            reader.tell(f"counting what happened in {file.name}")
            yield Piece(sweep_scores(file.path), (reader.used(file),))


def _benchmarks(reader: Reader) -> Iterator[Piece[Table1]]:
    """The paper's table with all results that can be read; without comparisons where these fail."""
    paths, names = [], []
    for file in reader.files("benchmark", "harness"):
        from evaluation.comparison.runs import read_runs

        with reader.about(file):
            read_runs([str(file.path)])
            paths.append(str(file.path))
            names.append(reader.used(file))
    for comparisons in (True, False) if paths else ():
        from reports.table1.grid import comparison_grids, main_grid
        from reports.table1.table import table1

        with reader.about():
            table = table1(paths, comparisons=comparisons)
            main_grid(table), comparison_grids(table)  # read items that may be broken
            yield Piece(table, tuple(names), computed=True)
            return
