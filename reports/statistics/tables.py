"""An analysis on the terminal, and as rows for a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from rich.markup import escape
from rich.table import Table

from duo.terminal import printable
from reports.statistics.estimate import Estimate
from reports.statistics.panel import OUTCOMES
from reports.statistics.results import Comparison, CriterionResult, Findings, StudyResult, Test

_COLUMNS = (
    "raters", "criterion", "first", "second", "measure", "value", "low", "high", "n", "note",
)  # fmt: skip
#: What a spreadsheet would run: an apostrophe goes before it.
_FORMULA = re.compile(r"^'*[=+\-@\t\r]")


def csv_text(result: StudyResult) -> str:
    """All numbers, one a row: whose votes (`kept` or `everyone`), of what, value, interval, n."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for name, found in (("kept", result.kept), ("everyone", result.everyone)):
        for row in _rows(found):
            writer.writerow([name, *map(_cell, row)])
    return stream.getvalue()


def tables(result: StudyResult) -> Iterator[Table]:
    """The tables of the findings by the rules; if these left raters out, of all raters, too."""
    whose = [("", result.kept)]
    if result.excluded:
        whose = [(" (by the rules)", result.kept), (" (all raters)", result.everyone)]
    for title, found in whose:
        yield _votes(found, title)
        yield _tests(found, title)
        if any(criterion.scores is not None for criterion in found.criteria):
            yield _scores(found, title)
        yield _quality(found, title)
    if result.excluded:
        yield _excluded(result)


def _rows(found: Findings) -> Iterator[tuple]:
    for criterion in found.criteria:
        for one in criterion.comparisons:
            for measure, estimate in _estimates(one):
                yield (one.criterion, one.first, one.second, measure, *_parts(estimate))
            for measure, value in _values(one):
                yield (one.criterion, one.first, one.second, measure, value, "", "", "", "")
        name = criterion.criterion
        yield (name, "", "", "left share", *_parts(criterion.sides.left))
        yield (name, "", "", "left share p", criterion.sides.p, "", "", "", "")
        for standing in criterion.scores.standings if criterion.scores else ():
            yield (name, standing.system, "", "score", *_parts(standing.score))
            yield (name, standing.system, "", "rank", standing.rank, *standing.ranks, "", "")


def _estimates(one: Comparison) -> Iterator[tuple[str, Estimate]]:
    yield from one.estimates.items()
    yield "odds", one.effects.odds
    yield "alpha nominal", one.agreement.alpha_nominal
    yield "alpha ordinal", one.agreement.alpha_ordinal
    yield "fleiss kappa", one.agreement.kappa
    yield "same again", one.consistency.same
    yield "reversed", one.consistency.reversed


def _values(one: Comparison) -> Iterator[tuple[str, float | int | None]]:
    for name in ("sign", "two_way", "preference"):
        test: Test = getattr(one, name)
        yield f"{name} p", test.p
        yield f"{name} p holm", test.p_holm
    yield from ((f"dialogues: {name}", count) for name, count in one.majorities.items())
    yield "cohen h", one.effects.cohens_h
    yield "rank biserial", one.effects.rank_biserial
    yield "mixed net", one.mixed.net if one.mixed.converged else None
    yield "mixed p", one.mixed.p if one.mixed.converged else None


def _parts(of: Estimate) -> tuple:
    return of.value, of.low, of.high, of.n, of.note


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, str) and _FORMULA.match(value):
        return f"'{value}"
    return f"{value:.10g}" if isinstance(value, float) else value


def _votes(found: Findings, title: str) -> Table:
    names = [name.replace("_", " ") for name in (*OUTCOMES, "net", "votes")]
    table = _table(f"Votes in % and 95 % intervals{title}", names)
    for one in _rated(found):
        shares = [_percent(one.estimates[name]) for name in (*OUTCOMES, "net")]
        table.add_row(*_of(one), *shares, str(sum(one.votes.values())))
    return table


def _tests(found: Findings, title: str) -> Table:
    names = ["dialogues w/t/l", "sign p", "two-way p", "p", "p (Holm)", "h", "mixed net", "note"]
    table = _table(f"Is one preferred?{title}", names)
    for one in _rated(found):
        table.add_row(
            *_of(one),
            "/".join(map(str, one.majorities.values())),
            *(_p(p) for p in (one.sign.p, one.two_way.p, one.preference.p, one.preference.p_holm)),
            _number(one.effects.cohens_h),
            _number(one.mixed.net) if one.mixed.converged else one.mixed.note.partition(":")[0],
            _text(one.note),
        )
    return table


def _scores(found: Findings, title: str) -> Table:
    table = Table("criterion", "system", "score", "ranks", "first", title=f"Scores{title}")
    for criterion in found.criteria:
        if criterion.note or criterion.scores is None:
            continue
        if not criterion.scores.standings:
            table.add_row(_text(criterion.criterion), "-", _text(criterion.scores.note), "-", "-")
        for standing in criterion.scores.standings:
            low, high = standing.ranks
            table.add_row(
                _text(criterion.criterion),
                _text(standing.system),
                _interval(standing.score, "{:.2f}"),
                str(low) if low == high else f"{low}-{high}",
                "-" if standing.first is None else f"{100 * standing.first:.0f} %",
            )
    return table


def _quality(found: Findings, title: str) -> Table:
    names = ["alpha", "alpha (ordinal)", "kappa", "same again", "left share", "left p"]
    table = _table(f"Raters{title}", names)
    for criterion in found.criteria:
        for one in () if criterion.note else criterion.comparisons:
            agreement = one.agreement
            table.add_row(
                *_of(one),
                *(
                    _interval(of, "{:.2f}")
                    for of in (agreement.alpha_nominal, agreement.alpha_ordinal, agreement.kappa)
                ),
                _percent(one.consistency.same),
                *_sides(criterion),
            )
    return table


def _sides(criterion: CriterionResult) -> tuple[str, str]:
    return _percent(criterion.sides.left), _p(criterion.sides.p)


def _excluded(result: StudyResult) -> Table:
    table = Table("rater", "why", title="Left out")
    for one in result.excluded:
        table.add_row(_text(one.rater), _text("; ".join(one.reasons)))
    return table


def _table(title: str, names: Iterable[str]) -> Table:
    table = Table(title=title)
    table.add_column("criterion", overflow="fold", min_width=14)
    for name in ("pair", *names):
        table.add_column(name, overflow="fold")
    return table


def _rated(found: Findings) -> Iterator[Comparison]:
    """The comparisons of criteria that somebody rated; a notice names the others."""
    for criterion in found.criteria:
        yield from () if criterion.note else criterion.comparisons


def _of(one: Comparison) -> tuple[str, str]:
    return _text(one.criterion), _text(f"{one.first} : {one.second}")


def _percent(of: Estimate) -> str:
    if of.value is None:
        return _text(of.note)
    low, high = (None if end is None else 100 * end for end in (of.low, of.high))
    return _interval(replace(of, value=100 * of.value, low=low, high=high), "{:.0f}")


def _interval(of: Estimate, form: str) -> str:
    if of.value is None:
        return _text(of.note)
    if of.low is None or of.high is None:
        return form.format(of.value)
    return f"{form.format(of.value)} [{form.format(of.low)}, {form.format(of.high)}]"


def _p(p: float | None) -> str:
    if p is None:
        return "-"
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _text(text: str) -> str:
    """Anybody's text, harmless on a terminal."""
    return escape(printable(text))
