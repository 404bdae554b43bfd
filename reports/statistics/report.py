"""Lay out an analysis of ratings as tables, for readers and for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from duo.table import MINUS, Cell, Column, Table, Value, shown
from reports.statistics.analysis import (
    TESTS,
    Comparison,
    CriterionResult,
    Findings,
    StudyResult,
    ten_digits,
)
from reports.statistics.bias import Bias
from reports.statistics.clustered import Estimate
from reports.statistics.raters import (
    Against,
    JudgeAgreement,
)
from reports.statistics.ratings import OUTCOMES

if TYPE_CHECKING:
    pass

NOT_SAID = "not said"
_LONG = (
    "raters", "criterion", "first", "second", "measure", "value", "low", "high", "n", "note",
)  # fmt: skip


def judge_table(found: JudgeAgreement) -> Table:
    """Show how far a judge agrees with people."""
    who = f"{found.people} SYNTHETIC raters" if found.synthetic else f"{found.people} people"
    return Table(
        f"The judge {found.judge} beside {who}",
        ["criterion", "pair", *_numbers("dialogues", "same %", "alpha")],
        [
            (*_about(one), one.dialogues, _percent(one.same), _interval(one.alpha, ".2f"))
            for one in found.comparisons
        ],
        notes=[
            "Same: of people's votes those that say what the judge says. Alpha: Krippendorff's, of "
            "the judge and people's majority. Both bad counts as a tie."
        ],
    )


def tables(result: StudyResult) -> Iterator[Table]:
    """Lay out the findings by the rules; if these left raters out, those of all raters, too."""
    whose = [("", result.kept)]
    if result.excluded:
        whose = [(" (by the rules)", result.kept), (" (all raters)", result.everyone)]
    for title, found in whose:
        yield _votes(found, title)
        yield _tests(found, title)
        if any(criterion.scores is not None for criterion in found.criteria):
            yield _scores(found, title)
        yield _quality(found, title)
        yield _biases(found, title)
        yield from _strengths(found, title)
    if result.excluded:
        rows = [(one.rater, "; ".join(one.reasons)) for one in result.excluded]
        yield Table("Left out", ["rater", "why"], rows)


def long_table(result: StudyResult) -> Table:
    """Lay out all numbers, one a row: whose votes, of what, value, interval, n."""
    rows = [
        (name, *row)
        for name, found in (("kept", result.kept), ("everyone", result.everyone))
        for criterion in found.criteria
        for row in _long_rows(criterion)
    ]
    return Table("", _LONG, rows)


def _long_rows(criterion: CriterionResult) -> Iterator[tuple[Value, ...]]:
    name = criterion.criterion
    for one in criterion.comparisons:
        about = (name, one.first, one.second)
        for measure, of in _estimates(one):
            yield (*about, measure, *_parts(of))
        for measure, value in _values(one):
            yield (*about, measure, ten_digits(value), None, None, None, None)
    for measure, bias in _biases_of(criterion):
        yield (name, None, None, f"{measure} wins", *_parts(bias.wins))
        for which, p in (("p", bias.p), ("p holm", bias.p_holm)):
            yield (name, None, None, f"{measure} wins {which}", ten_digits(p), *[None] * 4)
    for strength, count in criterion.strengths.items():
        yield (name, None, None, f"strength: {strength or NOT_SAID}", count, *[None] * 4)
    for standing in criterion.scores.standings if criterion.scores else ():
        yield (name, standing.system, None, "score", *_parts(standing.score))
        yield (name, standing.system, None, "rank", standing.rank, *standing.ranks, None, None)


def _biases_of(criterion: CriterionResult) -> Iterator[tuple[str, Bias]]:
    yield "left", criterion.biases.left
    yield "longer", criterion.biases.longer
    yield "longer, systems even", criterion.biases.even


def _estimates(one: Comparison) -> Iterator[tuple[str, Estimate]]:
    yield from one.estimates.items()
    yield "odds", one.effects.odds
    yield "alpha nominal", one.agreement.alpha_nominal
    yield "alpha ordinal", one.agreement.alpha_ordinal
    yield "fleiss kappa", one.agreement.kappa
    yield "same again", one.consistency.same
    yield "reversed", one.consistency.reversed


def _values(one: Comparison) -> Iterator[tuple[str, float | int | None]]:
    for name in TESTS:
        yield f"{name} p", getattr(one, name).p
        yield f"{name} p holm", getattr(one, name).p_holm
    yield from ((f"dialogues: {name}", count) for name, count in one.majorities.items())
    yield "cohen h", one.effects.cohens_h
    yield "rank biserial", one.effects.rank_biserial
    yield "mixed net", one.mixed.net if one.mixed.converged else None
    yield "mixed p", one.mixed.p if one.mixed.converged else None


def _parts(of: Estimate) -> tuple[Value, ...]:
    return ten_digits(of.value), ten_digits(of.low), ten_digits(of.high), of.n, of.note or None


def _votes(found: Findings, title: str) -> Table:
    shares = (*OUTCOMES, "net")
    return Table(
        f"Votes in % and 95 % intervals{title}",
        ["criterion", "pair", *_numbers(*(name.replace("_", " ") for name in shares), "votes")],
        [
            (*_about(one), *(_percent(one.estimates[name]) for name in shares),
             sum(one.votes.values()))
            for one in _rated(found)
        ],
    )  # fmt: skip


def _tests(found: Findings, title: str) -> Table:
    return Table(
        f"Is one preferred?{title}",
        [
            "criterion",
            "pair",
            *_numbers("dialogues w/t/l"),
            *_numbers("sign p", "two-way p", "p", "p (Holm)", show=p_text),
            *_numbers("h", "mixed net", show=".2f"),
            "note",
        ],
        [
            (
                *_about(one),
                "/".join(map(str, one.majorities.values())),
                *(one.sign.p, one.two_way.p, one.preference.p, one.preference.p_holm),
                one.effects.cohens_h,
                one.mixed.net if one.mixed.converged else one.mixed.note.partition(":")[0],
                one.note,
            )
            for one in _rated(found)
        ],
    )


def _scores(found: Findings, title: str) -> Table:
    rows: list[tuple[Value | Cell, ...]] = []
    for criterion in found.criteria:
        if criterion.note or criterion.scores is None:
            continue
        if not criterion.scores.standings:
            rows.append((criterion.criterion, None, criterion.scores.note, None, None))
        for standing in criterion.scores.standings:
            low, high = standing.ranks
            ranks = str(low) if low == high else f"{low}-{high}"
            first = standing.first if standing.first is None else 100 * standing.first
            score = _interval(standing.score, ".2f")
            rows.append((criterion.criterion, standing.system, score, ranks, first))
    return Table(
        f"Scores{title}",
        ["criterion", "system", *_numbers("score", "ranks"), *_numbers("first %", show=".0f")],
        rows,
    )


def _quality(found: Findings, title: str) -> Table:
    rows: list[tuple[Value | Cell, ...]] = []
    for one in _rated(found):
        of = one.agreement
        measures = (of.alpha_nominal, of.alpha_ordinal, of.kappa)
        cells = [_interval(measure, ".2f") for measure in measures]
        rows.append((*_about(one), *cells, _percent(one.consistency.same)))
    names = ("alpha", "alpha (ordinal)", "kappa", "same again %")
    return Table(f"Raters{title}", ["criterion", "pair", *_numbers(*names)], rows)


def _biases(found: Findings, title: str) -> Table:
    rows = []
    for criterion in found.criteria:
        of = [] if criterion.note else [bias for _, bias in _biases_of(criterion)]
        if of:
            flags = "; ".join(bias.favoured for bias in of if bias.favoured)
            shares = [cell for bias in of for cell in (_percent(bias.wins), bias.p_holm)]
            rows.append((criterion.criterion, *shares, flags or "nothing found"))
    return Table(
        f"Do place or length decide?{title}",
        [
            "criterion",
            *_numbers("left wins %"), *_numbers("p", show=p_text),
            *_numbers("longer wins %"), *_numbers("p longer", show=p_text),
            *_numbers("systems even %"), *_numbers("p even", show=p_text),
            "favoured",
        ],
        rows,
        notes=[
            "Of the votes that are no ties; without a bias, half of them. p: by Holm.",
            "Longer: the conversation in which the assistant says more words. It may win because "
            "raters like length, or because the better system says more. Systems even: how often "
            "it wins if each system of a pair counts equally often as the longer one; which system "
            "is better has no part in that.",
        ],
    )  # fmt: skip


def _strengths(found: Findings, title: str) -> Iterator[Table]:
    """Show how strong the preferences are, if that was asked."""
    levels = sorted({level for one in found.criteria for level in one.strengths})
    if levels:
        yield Table(
            f"How strong are the preferences?{title}",
            ["criterion", *_numbers(*(level or NOT_SAID for level in levels))],
            [
                (one.criterion, *(one.strengths.get(level, 0) for level in levels))
                for one in found.criteria
                if one.strengths
            ],
            notes=["Votes that are no ties, repeats left out."],
        )


def _rated(found: Findings) -> list[Comparison]:
    """List the comparisons of criteria that somebody rated; a notice names the others."""
    rated = [criterion for criterion in found.criteria if not criterion.note]
    return [one for criterion in rated for one in criterion.comparisons]


def _numbers(*names: str, show: Callable[[Any], str] | str = shown) -> list[Column]:
    return [Column(name, "number", show) for name in names]


def _about(one: Comparison | Against) -> tuple[str, str]:
    return one.criterion, f"{one.first} : {one.second}"


def _percent(of: Estimate) -> Cell:
    return _interval(of, ".0f", 100)


def _interval(of: Estimate, form: str, times: float = 1) -> Cell:
    """Show a value with its interval, or why there is none."""
    if of.value is None:
        return Cell(None, of.note)
    value = times * of.value
    if of.low is None or of.high is None:
        return Cell(value, format(value, form).replace("-", MINUS))
    low, high = times * of.low, times * of.high
    text = f"{value:{form}} [{low:{form}}, {high:{form}}]".replace("-", MINUS)
    return Cell(value, text, parts={"low": low, "high": high})


def p_text(p: float) -> str:
    """Write a p value as tables show it."""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")
