"""Say of each kind of result how it is read, what draws it, and what its section of a page shows.

Light on purpose: functions and models are named as `module:name`, and imported when needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duo.table import Table
    from reports.page.collect import Evidence, Piece
    from reports.plots.chart import Chart


@dataclass(frozen=True)
class Kind:
    """A kind of result.

    Attributes:
        title: of its section; "" if it has none.
        model: of the JSON file that holds one; "" if it is computed of several files.
        charts: functions that draw a result, by the names that `duo report figure` has for them:
            each gives nothing, one chart or several.
        tables: a function that gives a result's tables; "" for none.
        long_table: a function that gives all its numbers as one table for programs, where that is
            another.
        computed_by: the command that computes the same as the page does.
        missing: if there is none of it, what it is called, what it tells, and how to get it.
        own_command: of a file that itself says how it was made, the words of the command.
    """

    title: str
    model: str = ""
    charts: Mapping[str, str] = field(default_factory=dict)
    tables: str = ""
    long_table: str = ""
    computed_by: str = ""
    missing: tuple[str, str, str] | None = None
    own_command: Callable[[Any], list[Any]] | None = None

    def tables_of(self, content: Any) -> list[Table]:
        """Tabulate a result; tables without a row are left out."""
        if not self.tables:
            return []
        from duo.table import Table

        found = imported(self.tables)(content)
        tables = [found] if isinstance(found, Table) else found
        return [table for table in tables if table.rows]

    def charts_of(self, piece: Piece[Any], evidence: Evidence) -> Iterator[Chart]:
        """Make the charts of a result."""
        for name, producer in self.charts.items():
            more = (evidence.transcripts,) if name == "latency" else ()
            made = imported(producer)(piece.content, *more)
            if made is not None:
                yield from made if isinstance(made, list) else [made]


#: In the order of the page and of what it was made of.
KINDS: Mapping[str, Kind] = {
    "ratings": Kind(
        "What people prefer",
        "reports.statistics.analysis:StudyResult",
        {"preference": "reports.plots.study:preference", "ranking": "reports.plots.study:ranking"},
        "reports.statistics.report:tables",
        "reports.statistics.report:long_table",
        computed_by="duo report statistics",
        missing=("Ratings", "which system people prefer",
                 "duo study create --transcripts RUN --systems duo,duplex --out RUN/study"),
    ),
    "benchmarks": Kind(
        "Benchmarks: the paper's Table 1",
        charts={"benchmarks": "reports.table1_files:accuracy"},
        tables="reports.table1_files:tables",
        long_table="reports.table1_files:long_table",
        computed_by="duo report table1",
        missing=("Benchmarks", "the paper's Table 1",
                 "duo eval benchmarks RUN/benchmarks --limit 100"),
    ),
    "states": Kind(
        "What the model decides",
        "evaluation.scores:States",
        {
            "confusion": "reports.plots.states:confusion",
            "decisions": "reports.plots.states:decisions",
            "calibration": "reports.plots.states:calibration",
            "premature": "reports.plots.states:premature",
            "separation": "reports.plots.states:separation",
        },
        "evaluation.scores:state_tables",
        missing=("Decisions", "whether the model tells queries from other talk",
                 "duo eval states MODEL validation.jsonl --out RUN/states.json"),
        own_command=lambda said: [
            "eval", "states", said.model, said.data.file, "--lookahead", said.lookahead,
        ],
    ),
    "probe": Kind(
        "What the model could tell apart",
        "evaluation.probe:Probe",
        {"probe": "reports.plots.states:probe"},
        "evaluation.probe:probe_table",
        own_command=lambda said: ["eval", "probe", said.model, said.data.file],
    ),
    "interaction": Kind(
        "How they conversed",
        "evaluation.interaction.results:Interaction",
        {
            "latency": "reports.plots.interaction:latency",
            "takeover": "reports.plots.interaction:takeover",
            "trade-off": "reports.plots.interaction:trade_off",
            "yielding": "reports.plots.interaction:yielding",
        },
        "evaluation.interaction.table:table",
        computed_by="duo eval interaction",
        missing=("Interaction", "takeovers, interruptions, latencies: counted from transcripts",
                 "duo record --scenario suite:dev --out RUN"),
        own_command=lambda said: ["eval", "interaction", "RUN"],
    ),
    "sweep": Kind(
        "What settings do",
        charts={"sweep": "reports.plots.sweep:sweep"},
        missing=("Sweep", "how settings such as the lookahead matter",
                 "duo bench sweep sweep.yaml --out RUN/sweep"),
    ),
    "training": Kind(
        "How training went",
        "duo.training.settings:Training",
        {"training": "reports.plots.training:training"},
        missing=("Training", "learning curves", "duo train --data DATA --out RUN/model"),
    ),
    "decoding": Kind(
        "What decoding costs",
        "evaluation.decode_bench.results:DecodeBench",
        {"cost": "reports.plots.cost:cost"},
        "evaluation.decode_bench.results:decode_tables",
        missing=("Cost of decoding", "passes, speed and memory",
                 "duo bench decode --out RUN/decode.json"),
        own_command=lambda said: [
            "bench", "decode", "--model", said.model, "--rounds", said.rounds,
            "--tokens", said.tokens, "--systems", ",".join(said.systems),
        ],
    ),
    "transcripts": Kind(
        "",
        charts={"mask": "reports.plots.mask:mask"},
        missing=("Transcripts", "what was said, and when",
                 "duo record --systems duo,duplex,turn-based --scenario suite:dev --out RUN"),
    ),
}  # fmt: skip

#: The figures of `duo report figure` and what draws each; that of benchmarks goes with Table 1.
FIGURES = {
    name: producer
    for kind, of in KINDS.items()
    if kind != "benchmarks"
    for name, producer in of.charts.items()
} | {"timeline": "reports.plots.timeline:timeline"}


def imported(name: str) -> Any:
    """Import a function or class by `module:name`."""
    module, _, name = name.partition(":")
    return getattr(import_module(module), name)
