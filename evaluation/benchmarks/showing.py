"""Show results of benchmarks: as lines, as a table, and with what a reader should know of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from duo.table import Cell, Column, Table, Value
from evaluation.benchmarks.catalogue import BENCHMARKS
from evaluation.benchmarks.experiment import Settings
from evaluation.benchmarks.items import Finder, Found
from evaluation.benchmarks.results import BenchmarkResult, Run


def remarks(
    skipped: Sequence[str], found: Mapping[str, Found], finder: Finder, settings: Settings
) -> Iterator[str]:
    """Say what a reader of the table should know."""

    def titles(names: Iterable[str]) -> str:
        return ", ".join(BENCHMARKS[name].title for name in names)

    if skipped:
        yield f"left out: {titles(skipped)} (run programs: --allow-code)"
    smoke = [name for name, one in found.items() if one.source == "smoke"]
    if smoke:
        yield f"smoke items, which measure nothing: {titles(smoke)}"
        yield from (f"{source}: {reason}" for source, reason in finder.reasons.items())
    examples = [name for name, one in found.items() if one.spare]
    if examples:
        yield f"examples before each question are smoke items: {titles(examples)}"
    programs = [name for name in found if BENCHMARKS[name].code]
    if programs and settings.chat_template and settings.profile == "lm-eval":
        yield (
            f"{titles(programs)}: lm-eval's own reading of answers misses programs in the chat "
            "format, so that next to nothing passes; --profile ultraeval reads them"
        )


def result_line(result: Run, fresh: bool = True) -> str:
    """Say in one line what came out, and what a reader of the number should know."""
    facts = result.facts
    spread = "" if facts.stderr is None else f" ± {100 * facts.stderr:.1f}"
    remarks = [f"n {facts.n:,}"]
    remarks += {"full": [], "limited": ["limited"], "smoke": ["smoke items"]}[facts.coverage]
    if not facts.banned_state_tokens and facts.leak_rate is not None:
        remarks.append(f"state tokens in {100 * facts.leak_rate:.1f} % of the answers")
    if facts.truncated:
        remarks.append(f"{facts.truncated:,} questions cut to the model's context")
    remarks += [] if fresh else ["was there"]
    return (
        f"{facts.column} {BENCHMARKS[facts.benchmark].title} {facts.profile} seed {facts.seed}: "
        f"{100 * facts.value:.1f}{spread} ({', '.join(remarks)})"
    )


def results_table(results: Sequence[Run]) -> Table:
    """Tabulate benchmarks by model: with the standard error, or the range over seeds."""
    found = [run.facts for run in results]
    columns = list(dict.fromkeys(facts.column for facts in found))
    rows: list[list[Value | Cell]] = []
    for name, benchmark in BENCHMARKS.items():
        of = [facts for facts in found if facts.benchmark == name]
        if not of:
            continue
        shares = [_share([facts for facts in of if facts.column == column]) for column in columns]
        items = [of[0].data.source, of[0].coverage if of[0].coverage != "full" else ""]
        rows.append(
            [benchmark.title, *shares, of[0].n, of[0].shots, " ".join(dict.fromkeys(items)).strip()]
        )
    heads = [Column(name, "number") for name in columns]
    rest = [Column("n", show=","), Column("shots"), Column("items")]
    return Table("Accuracy in percent", [Column("benchmark"), *heads, *rest], rows)


def _share(runs: Sequence[BenchmarkResult]) -> Cell:
    if not runs:
        return Cell(None)
    values = [100 * facts.value for facts in runs]
    mean = sum(values) / len(values)
    if len(values) > 1:
        return Cell(mean, f"{mean:.2f} ({min(values):.1f}-{max(values):.1f})")
    error = runs[0].stderr
    return Cell(mean, f"{mean:.2f}" + ("" if error is None else f" ± {100 * error:.2f}"))
