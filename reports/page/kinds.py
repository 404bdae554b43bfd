"""Say of each kind of result what its section shows, and which command makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from duo.table import Table

if TYPE_CHECKING:
    from reports.page.collect import Evidence, Piece
    from reports.plots.chart import Chart


@dataclass(frozen=True)
class Kind:
    """A kind of result. Functions are named as `module:function`, and imported when needed.

    Attributes:
        title: of its section; "" if it has none.
        charts: functions that draw a result: each gives nothing, one chart or several.
        tables: a function that gives a result's tables; "" for none.
        long_table: a function that gives all its numbers as one table for programs, where that is
            another.
        computed_by: the command that computes the same as the page does.
        missing: if there is none of it, what it is called, what it tells, and how to get it.
        own_command: of a file that itself says how it was made, the words of the command.
    """

    title: str
    charts: tuple[str, ...] = ()
    tables: str = ""
    long_table: str = ""
    computed_by: str = ""
    missing: tuple[str, str, str] | None = None
    own_command: Callable[[Any], list[Any]] | None = None

    def tables_of(self, content: Any) -> list[Table]:
        """Tabulate a result; tables without a row are left out."""
        if not self.tables:
            return []
        found = function(self.tables)(content)
        tables = [found] if isinstance(found, Table) else found
        return [table for table in tables if table.rows]

    def charts_of(self, piece: Piece[Any], evidence: Evidence) -> Iterator[Chart]:
        """Make the charts of a result."""
        for name in self.charts:
            more = (evidence.transcripts,) if name in _WITH_TRANSCRIPTS else ()
            made = function(name)(piece.content, *more)
            if made is not None:
                yield from made if isinstance(made, list | tuple) else [made]


#: Functions that are told of the transcripts, too.
_WITH_TRANSCRIPTS = frozenset({"reports.plots.latency:latency"})


#: In the order of the page and of what it was made of.
KINDS: Mapping[str, Kind] = {
    "ratings": Kind(
        "What people prefer",
        ("reports.plots.preference:preference", "reports.plots.ranking:ranking"),
        "reports.statistics.report:tables",
        "reports.statistics.report:long_table",
        computed_by="duo report statistics",
        missing=(
            "Ratings",
            "which system people prefer",
            "duo study create --transcripts RUN --systems duo,duplex --out RUN/study",
        ),
    ),
    "benchmarks": Kind(
        "Benchmarks: the paper's Table 1",
        ("reports.plots.table1:accuracy",),
        "reports.table1_files:tables",
        "reports.table1_files:long_table",
        computed_by="duo report table1",
        missing=(
            "Benchmarks",
            "the paper's Table 1",
            "duo eval benchmarks RUN/benchmarks --limit 100",
        ),
    ),
    "states": Kind(
        "What the model decides",
        (
            "reports.plots.confusion:confusion",
            "reports.plots.decisions:decisions",
            "reports.plots.calibration:calibration",
            "reports.plots.premature:premature",
            "reports.plots.separation:separation",
        ),
        "evaluation.scores:state_tables",
        missing=(
            "Decisions",
            "whether the model tells queries from other talk",
            "duo eval states MODEL validation.jsonl --out RUN/states.json",
        ),
        own_command=lambda said: [
            "eval", "states", said.model, said.data.file, "--lookahead", said.lookahead,
        ],
    ),
    "probe": Kind(
        "What the model could tell apart",
        ("reports.plots.probe:probe",),
        "evaluation.probe:probe_table",
        own_command=lambda said: ["eval", "probe", said.model, said.data.file],
    ),
    "interaction": Kind(
        "How they conversed",
        (
            "reports.plots.latency:latency",
            "reports.plots.takeover:takeover",
            "reports.plots.trade_off:trade_off",
            "reports.plots.yielding:yielding",
        ),
        "evaluation.interaction.table:table",
        computed_by="duo eval interaction",
        missing=(
            "Interaction",
            "takeovers, interruptions, latencies: counted from transcripts",
            "duo record --scenario suite:dev --out RUN",
        ),
        own_command=lambda said: ["eval", "interaction", "RUN"],
    ),
    "sweep": Kind(
        "What settings do",
        ("reports.plots.sweep:sweep",),
        missing=(
            "Sweep",
            "how settings such as the lookahead matter",
            "duo bench sweep sweep.yaml --out RUN/sweep",
        ),
    ),
    "training": Kind(
        "How training went",
        ("reports.plots.training:training_curves",),
        missing=("Training", "learning curves", "duo train --data DATA --out RUN/model"),
    ),
    "decoding": Kind(
        "What decoding costs",
        ("reports.plots.cost:decode_cost",),
        "evaluation.decode_bench.results:decode_tables",
        missing=(
            "Cost of decoding",
            "passes, speed and memory",
            "duo bench decode --out RUN/decode.json",
        ),
        own_command=lambda said: [
            "bench", "decode", "--model", said.model, "--rounds", said.rounds,
            "--tokens", said.tokens, "--systems", ",".join(said.systems),
        ],
    ),
    "transcripts": Kind(
        "",
        ("reports.plots.mask:attention_mask",),
        missing=(
            "Transcripts",
            "what was said, and when",
            "duo record --systems duo,duplex,turn-based --scenario suite:dev --out RUN",
        ),
    ),
}  # fmt: skip


def function(name: str) -> Callable[..., Any]:
    """Import a function by `module:name`."""
    module, _, name = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
