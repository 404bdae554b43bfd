"""What was read of a run, before anything is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from duo.errors import BadInput
from duo.transcript import Transcript

if TYPE_CHECKING:
    from reports.statistics.analysis import StudyResult
    from reports.table1.table import Table1

T = TypeVar("T")
Figures = dict[str, Any]


@dataclass(frozen=True)
class Piece(Generic[T]):
    """One result.

    Attributes:
        content: what it says.
        files: names, inside the run, of the files that it was read or computed from.
        computed: it has no file of its own: the page is the first to say it.
    """

    content: T
    files: tuple[str, ...] = ()
    computed: bool = False

    @property
    def name(self) -> str:
        """Of the first of its files; "" for something made in memory."""
        return self.files[0] if self.files else ""


@dataclass(frozen=True)
class Evidence:
    """All that a page is made of. Everything may be missing.

    Attributes:
        talks: transcripts, in the order in which the page shows them.
        interactions, states, probes, decodings, trainings: JSON as the commands write it.
        sweeps: what was swept, with the figures of every point.
        benchmarks: the paper's table with ours beside it.
        studies: ratings, analysed.
        manifests: how files came to be.
        digests: SHA-256 of every file that a result rests on, by its name.
        problems: what is broken; their files are names inside the run.
        notes: what else the reader should know.
    """

    talks: tuple[Piece[Transcript], ...] = ()
    interactions: tuple[Piece[Figures], ...] = ()
    states: tuple[Piece[Figures], ...] = ()
    probes: tuple[Piece[Figures], ...] = ()
    decodings: tuple[Piece[Figures], ...] = ()
    sweeps: tuple[Piece[Figures], ...] = ()
    trainings: tuple[Piece[Figures], ...] = ()
    benchmarks: tuple[Piece[Table1], ...] = ()
    studies: tuple[Piece[StudyResult], ...] = ()
    manifests: tuple[Piece[Figures], ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[BadInput, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def transcripts(self) -> tuple[Transcript, ...]:
        """The transcripts alone."""
        return tuple(talk.content for talk in self.talks)

    @property
    def by_kind(self) -> Mapping[str, tuple[Piece[Any], ...]]:
        """All results, in the order of the page."""
        return {
            "ratings": self.studies,
            "benchmarks": self.benchmarks,
            "states": self.states,
            "probe": self.probes,
            "interaction": self.interactions,
            "sweep": self.sweeps,
            "training": self.trainings,
            "decoding": self.decodings,
            "transcripts": self.talks,
        }

    @property
    def results(self) -> Iterator[tuple[str, Piece[Any]]]:
        """Each result with what kind it is."""
        return ((kind, piece) for kind, pieces in self.by_kind.items() for piece in pieces)
