"""Read everything that run folders hold; name what is broken, leave it out, and go on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from duo.errors import BadInput
from duo.files import Result, as_result, sha256
from duo.reading import conversation_of
from duo.runs import Manifest, fingerprint
from duo.training.settings import Training
from duo.transcript import Transcript, read_transcript
from evaluation.decode_bench.results import DecodeBench
from evaluation.interaction.results import Interaction, by_name, interaction, portable, read_all
from evaluation.probe import Probe
from evaluation.scores import States
from reports.page.find import File, find, recognise

if TYPE_CHECKING:
    from reports.statistics.analysis import StudyResult
    from reports.statistics.ratings import Ratings
    from reports.table1 import Table1
    from sessions.study.signs import Rules

T = TypeVar("T")


@dataclass(frozen=True)
class Piece(Generic[T]):
    """One result.

    Attributes:
        content: what it says.
        files: names, inside the run, of the files that it was read or computed from.
        computed: it has no file of its own: the page is the first to say it.
        sound: file of a conversation's sound, if there is one.
    """

    content: T
    files: tuple[str, ...] = ()
    computed: bool = False
    sound: Path | None = None

    @property
    def name(self) -> str:
        """Name the first of its files; "" for something made in memory."""
        return self.files[0] if self.files else ""


Pieces = tuple[Piece[Any], ...]


@dataclass(frozen=True)
class Evidence:
    """All that a page is made of. Everything may be missing.

    Attributes:
        recordings: transcripts, in the order in which the page shows them.
        results: all others, by kind; see `reports.kinds`.
        manifests: how files came to be.
        digests: SHA-256 of every file that a result rests on, by its name.
        problems: what is broken; their files are names inside the run.
        notes: what else the reader should know.
    """

    recordings: tuple[Piece[Transcript], ...] = ()
    results: Mapping[str, Pieces] = field(default_factory=dict)
    manifests: tuple[Piece[Manifest], ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[BadInput, ...] = ()
    notes: tuple[str, ...] = ()

    def of(self, kind: str) -> Pieces:
        """Return the results of a kind; the transcripts are one, too."""
        return self.recordings if kind == "transcripts" else self.results.get(kind, ())

    @property
    def sounds(self) -> dict[str, Path]:
        """Return the sound files by their addresses on the page."""
        return {sound_of(one.content): one.sound for one in self.recordings if one.sound}

    @property
    def transcripts(self) -> tuple[Transcript, ...]:
        """Return the transcripts alone."""
        return tuple(recording.content for recording in self.recordings)

    @property
    def all(self) -> Iterator[tuple[str, Piece[Any]]]:
        """Yield each result with its kind."""
        for kind in (*self.results, "transcripts"):
            yield from ((kind, piece) for piece in self.of(kind))


@dataclass(frozen=True)
class RatingSettings:
    """The way in which ratings are read and analysed.

    Attributes:
        columns, choices: what another tool calls things; see `read_ratings`.
        rules: whom to leave out; None for the defaults.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    rules: Rules | None = None


def collect(
    runs: Sequence[Path],
    ratings: RatingSettings | None = None,
    on_step: Callable[[str], None] = lambda what: None,
) -> Evidence:
    """Read what runs hold.

    Raises:
        BadInput: there is no such folder or file, or nothing in it could be used; then the error is
            about the first that is broken, if one is.
    """
    ratings = ratings or RatingSettings()
    reader = _Reader(runs, ratings.columns, on_step)
    manifests = tuple(reader.results("manifest", Manifest))
    on_step("reading transcripts")
    read, files = _transcripts(reader)
    recordings = _in_order(_with_names_apart(read), manifests)
    results: dict[str, Pieces] = {
        "ratings": tuple(_studies(reader, ratings)),
        "benchmarks": tuple(_benchmarks(reader)),
        "states": tuple(reader.results("states", States)),
        "probe": tuple(reader.results("probe", Probe)),
        "interaction": tuple(_interactions(reader, len(recordings), files)),
        "sweep": tuple(_sweeps(reader)),
        "training": tuple(reader.results("training", Training)),
        "decoding": tuple(reader.results("decode-bench", DecodeBench)),
    }
    found = Evidence(recordings, results, manifests)
    used = sorted({name for _, piece in found.all for name in piece.files})
    if not used and reader.problems:
        raise sorted(reader.problems, key=str)[0]
    if not used:
        where = " ".join(map(str, runs))
        raise BadInput("holds nothing that a report could be made of", file=where)
    return replace(
        found,
        digests={name: reader.digests[name] for name in used},
        problems=tuple(sorted(reader.problems, key=str)),
        notes=tuple(reader.notes),
    )


class _Reader:
    """Read the files of runs; what is broken becomes a problem.

    Attributes:
        problems: what is broken so far; files are named as inside the run.
        notes: what else the reader of the page should know.
        digests: SHA-256 of the files that were used, by name.

    Raises:
        BadInput: there is no such folder or file.
    """

    def __init__(
        self, runs: Sequence[Path], columns: Mapping[str, str], on_step: Callable[[str], None]
    ) -> None:
        self.on_step = on_step
        self._roots = tuple(f"{run}/" for run in runs if run.is_dir())
        on_step("looking for results")
        files, self.problems = find(runs)
        self.notes: list[str] = []
        self.digests: dict[str, str] = {}
        self._found: dict[str, list[tuple[File, Any]]] = {}
        for file in files:
            with self.about(file):
                if (seen := recognise(file.path, columns)) is not None:
                    self._found.setdefault(seen[0], []).append((file, seen[1]))

    def files(self, *kinds: str) -> list[File]:
        """List the files of some kinds, by name."""
        return sorted(file for kind in kinds for file, _ in self._found.get(kind, []))

    def results(self, kind: str, model: type[Result]) -> Iterator[Piece[Any]]:
        """Read the results of a kind by the model of their writer."""
        for file, content in self._found.get(kind, []):
            with self.about(file):
                found = as_result(content, model, file=file.path)
                yield Piece(found, (self.used(file),))

    def used(self, file: File) -> str:
        """Note that a result rests on a file, and return its name."""
        if file.name not in self.digests:
            self.digests[file.name] = sha256(file.path)
        return file.name

    @contextmanager
    def about(self, file: File | None = None) -> Iterator[None]:
        """Make a problem of whatever is wrong with a file's content inside this block."""
        try:
            yield
        except BadInput as error:
            self.problems.append(self._named(error, file))
        except OSError as error:
            problem = BadInput(f"cannot be read: {error.strerror or error}")
            self.problems.append(self._named(problem, file))

    def _named(self, error: BadInput, file: File | None) -> BadInput:
        """Put the file's name inside the run into an error instead of its path."""
        place = None if error.file is None else str(error.file)
        if file is not None and place in (None, str(file.path), str(file.path.parent)):
            place = file.name
        inside = None if place is None else self._inside(place)
        message = self._inside(error.message)
        return BadInput(message, file=inside, line=error.line, field=error.field)

    def _inside(self, text: str) -> str:
        """Make paths in a text begin inside the run."""
        for root in self._roots:
            text = text.replace(root, "")
        return text


# ---- conversations


def sound_of(transcript: Transcript) -> str:
    """Return the address of a conversation's sound, seen from the page.

    The same system may have held it several times, with other settings.
    """
    which = fingerprint(transcript=transcript.model_dump_json())
    return f"sound/{transcript.header.stem}-{which[:12]}.flac"


def _transcripts(reader: _Reader) -> tuple[list[Piece[Transcript]], list[File]]:
    """Read transcripts: those that are whole, each once.

    Returns:
        Them, and the files of all that are no copy of another: figures may be counted from these
        even where something is wrong that they do not rest on.
    """
    recordings, used = [], []
    first: dict[str, str] = {}
    copies = 0
    for file in reader.files("transcript"):
        with reader.about(file):
            name = reader.used(file)
            if first.setdefault(reader.digests[name], name) != name:
                del reader.digests[name]
                copies += 1
                continue
            used.append(file)
            sound = file.path.with_suffix(".flac")
            heard = sound if sound.is_file() else None
            recordings.append(Piece(read_transcript(file.path), (name,), sound=heard))
    if copies:
        reader.notes.append(f"{copies} transcripts are copies of others: each is counted once.")
    return recordings, used


def _with_names_apart(recordings: Sequence[Piece[Transcript]]) -> Iterator[Piece[Transcript]]:
    """Name systems apart where transcripts differ, as the interaction figures do.

    One system with several models or settings is several: `duo (lookahead=2)`. What is still the
    same in one scenario gets its seed or a number.
    """
    read = [conversation_of(recording.content) for recording in recordings]
    label_of = {id(one): label for label, held in by_name(read).items() for one in held}
    seeds = {recording.content.header.seed for recording in recordings}
    taken: Counter[tuple[str, str]] = Counter()
    for recording, conversation in zip(recordings, read, strict=True):
        head = recording.content.header
        label = label_of[id(conversation)]
        if len(seeds) > 1:
            label = f"{label}, seed {head.seed}"
        taken[label, head.scenario] += 1
        if taken[label, head.scenario] > 1:
            label = f"{label} ({taken[label, head.scenario]})"
        header = head.model_copy(update={"system": label})
        yield replace(recording, content=recording.content.model_copy(update={"header": header}))


def _in_order(
    recordings: Iterator[Piece[Transcript]], manifests: Sequence[Piece[Manifest]]
) -> tuple[Piece[Transcript], ...]:
    """Sort transcripts by scenario, as a manifest lists these, then by name; then by system."""
    listed: dict[str, int] = {}
    for manifest in manifests:
        scenarios = manifest.content.facts.get("scenarios")
        for name in scenarios if isinstance(scenarios, dict) else ():
            listed.setdefault(name, len(listed))

    def place(recording: Piece[Transcript]) -> tuple[int, str, str]:
        head = recording.content.header
        return listed.get(head.scenario, len(listed)), head.scenario, head.system

    return tuple(sorted(recordings, key=place))


def _interactions(reader: _Reader, recordings: int, files: Sequence[File]) -> Iterator[Piece[Any]]:
    """Take the figures that were counted before, or else count those of the transcripts."""
    before = list(reader.results("interaction", Interaction))
    for piece in before:
        about = piece.content.scored + len(piece.content.left_out)
        if recordings and about != recordings:
            reader.notes.append(
                f"{piece.name} is about {about} transcripts; the run holds {recordings}."
            )
    yield from before
    if before or not files:
        return
    reader.on_step(f"counting what happened in {len(files)} conversations")
    with reader.about():
        found = portable(interaction(*read_all(file.path for file in files)))
        names = {str(file.path): file.name for file in files}
        known = {str(error.file) for error in reader.problems}
        left_out = []
        for one in found.left_out:
            name = names[one.file]
            problem = one.problem.replace(one.file, name)
            left_out.append(one.model_copy(update={"file": name, "problem": problem}))
            if name not in known:
                place = name if one.line is None else f"{name}:{one.line}"
                message = f"cannot be counted: {problem.removeprefix(f'{place}: ')}"
                reader.problems.append(BadInput(message, file=name, line=one.line))
        out = {one.file for one in left_out}
        counted = tuple(reader.used(file) for file in files if file.name not in out)
        if counted:
            found = found.model_copy(update={"left_out": tuple(left_out)})
            yield Piece(found, counted, computed=True)


def _sweeps(reader: _Reader) -> Iterator[Piece[Any]]:
    """Score all points of each sweep."""
    from reports.plots.sweep import sweep_scores

    for file in reader.files("sweep"):
        with reader.about(file):
            reader.on_step(f"counting what happened in {file.name}")
            yield Piece(sweep_scores(file.path), (reader.used(file),))


# ---- results of models


def _benchmarks(reader: _Reader) -> Iterator[Piece[Table1]]:
    """Make Table 1 of all results that can be read; without comparisons if these fail."""
    paths, names = [], []
    for file in reader.files("benchmark", "harness"):
        from evaluation.benchmarks.collect import is_result, read_runs

        if not is_result(file.path):  # a manifest of ours stands for it
            continue
        with reader.about(file):
            read_runs([str(file.path)])
            paths.append(str(file.path))
            names.append(reader.used(file))
    for comparisons in (True, False) if paths else ():
        from reports.table1 import table1

        with reader.about():
            table = table1(paths, comparisons=comparisons)
            yield Piece(table, tuple(names), computed=True)
            return


# ---- ratings


def _studies(reader: _Reader, settings: RatingSettings) -> Iterator[Piece[StudyResult]]:
    """Analyse every set of ratings once, in whatever forms it is there.

    An analysis that `duo report statistics` made of these ratings is taken as it is, unless other
    rules are asked for.
    """
    from reports.statistics.analysis import StudyResult, analyse

    made = list(reader.results("statistics", StudyResult))
    for ratings, files in _sets(reader, settings):
        digests = {reader.digests[name] for name in files} | {ratings.digest}
        before = next((one for one in made if one.content.digest in digests), None)
        if before is not None:
            made = [one for one in made if one.content.digest not in digests]
        if before is not None and settings.rules is None:
            yield Piece(before.content, (*before.files, *files))
            continue
        with reader.about():
            reader.on_step(f"analysing {len(ratings.rows):,} ratings")
            yield Piece(analyse(ratings, rules=settings.rules), files, computed=True)
    for one in made:
        reader.notes.append(f"The ratings that {one.name} is about are not in the run.")
        yield one


def _sets(reader: _Reader, settings: RatingSettings) -> list[tuple[Ratings, tuple[str, ...]]]:
    """Read sets of ratings, each with its files: a CSV, Parquet and a database can agree."""
    from reports.statistics.ratings import read_ratings

    found: list[tuple[Ratings, tuple[str, ...]]] = []
    for file in reader.files("ratings", "study"):
        with reader.about(file):
            if file.path.suffix == ".json":
                read = _exported(file)
            else:
                read = read_ratings(file.path, columns=settings.columns, choices=settings.choices)
            name = reader.used(file)
            for number, (other, files) in enumerate(found):
                if _same(read, other):
                    found[number] = (other, (*files, name))
                    break
            else:
                found.append((replace(read, source=name), (name,)))
    return found


def _exported(file: File) -> Ratings:
    """Read the votes in a study's database, as `duo study export` writes them."""
    from reports.statistics.ratings import Ratings, frame
    from sessions.study.study import open_study
    from sessions.study.votes import NAMES, votes, votes_table

    study = open_study(file.path.parent)
    try:
        table = votes_table(votes(study))
    finally:
        study.database.close()
    rows = [dict(zip(NAMES, row, strict=True)) for row in table.rows]
    digest = hashlib.sha256(table.csv().encode()).hexdigest()
    return Ratings(frame(rows), digest=digest)


def _same(one: Ratings, other: Ratings) -> bool:
    """Tell whether the votes are the same; CSV and Parquet write the time of a vote differently."""
    return bool(
        one.rows.drop(columns="submitted_at").equals(other.rows.drop(columns="submitted_at"))
    )
