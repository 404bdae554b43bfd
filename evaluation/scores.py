"""Score the decisions of a model: the result of `duo eval states`, and what other results share.

torch is not needed to compute the figures nor to read them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from duo.files import Record, Result
from duo.spelling import Spelling
from duo.table import Cell, Column, Table
from duo.tokens import decision
from evaluation.cases import OUTCOMES, Outcome

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Judged(Record):
    """The reaction of a model to an utterance.

    Attributes:
        id, label, wanted, over_answer: of the case.
        outcome: what the state token within the look-ahead says; "wait" if there is none.
        p_respond, p_ignore: probabilities of `<1>` and `<2>` as the very next token.
        early: the outcomes after each word of the utterance but the last, in order; empty where
            that was not looked at.
        made_up: tokens that the model expected before the state token.
    """

    id: str = ""
    label: str
    wanted: Outcome
    over_answer: bool = False
    outcome: Outcome
    p_respond: Share = 0.0
    p_ignore: Share = 0.0
    early: tuple[Outcome, ...] = ()
    made_up: Count = 0


class Proportion(Record):
    """A share of `n` with its 95 % Wilson interval; the share of nothing is None."""

    share: Share | None
    low: Share
    high: Share
    hits: Count
    n: Count

    @property
    def cell(self) -> Cell:
        """The share for a table, in percent with its interval."""
        text = None
        if self.share is not None:
            text = f"{100 * self.share:.1f} % ({100 * self.low:.0f}-{100 * self.high:.0f})"
        return Cell(self.share, text, parts={"low": self.low, "high": self.high})


class OutcomeScore(Record):
    """Scores of one outcome; None where the denominator is zero."""

    precision: Share | None = None
    recall: Share | None = None
    f1: Share | None = None
    predicted: Count = 0
    n: Count = 0


class Premature(Record):
    """Shares of state tokens that come before an utterance that wants a response is over.

    Attributes:
        any: the share of the words but the last at which a state token is predicted within the
            look-ahead.
        respond: the same for `<1>`.
        utterances: the share of utterances where `<1>` is predicted at one word at least.
    """

    any: Proportion
    respond: Proportion
    utterances: Proportion


class Bin(Record):
    """Cases of about the same probability: their mean probability, and the share that is so."""

    start: Share = Field(default=0.0, validation_alias="from", serialization_alias="from")
    stop: Share = Field(default=1.0, validation_alias="to", serialization_alias="to")
    n: Annotated[int, Field(ge=1)]
    probability: Share
    share: Share


class Calibration(Record):
    """Probabilities against what was wanted; see `calibration`.

    Attributes:
        ece: expected calibration error (Naeini et al. 2015), the mean over cases of |share that is
            so - mean probability| of the case's bin; None for no cases.
    """

    ece: Share | None
    n: Count
    bins: tuple[Bin, ...]


class Threshold(Record):
    """What one look in silence decides, by `decide_at` (see `duo.decoding.duo.DuoSettings`).

    Attributes:
        finished, unfinished: the shares that are decided about of what is over (that wants a
            response, or none) and of what is not.
        respond, ignore: of what should be: the shares that are decided about, and rightly.
    """

    decide_at: Share
    finished: Proportion
    unfinished: Proportion
    respond: Proportion
    ignore: Proportion


class Data(Record):
    """The file that was judged, and how its users' words were spelled."""

    file: str = ""
    sha256: str = ""
    dialogues: Count | None = None
    spelling: Spelling = "written"


def needs_saying(number_format: str) -> bool:
    """Tell whether a caption says in which number format a model was computed."""
    return number_format not in ("", "float32")


class OfUtterances(Result):
    """The reactions of a model to the utterances of a file."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    model: str = ""
    data: Data = Data()
    n: Count
    number_format: str = ""
    versions: dict[str, str] = Field(default={})

    @property
    def about(self) -> str:
        """The utterances and the model, for a caption."""
        data = f" of {self.data.file}" if self.data.file else ""
        data += "" if self.data.spelling == "written" else f" ({self.data.spelling})"
        model = f", model {self.model}" if self.model else ""
        computed = f", {self.number_format}" if needs_saying(self.number_format) else ""
        return f"{self.n} utterances{data}{model}{computed}"


class States(OfUtterances):
    """The JSON of `duo eval states`.

    Attributes:
        states: how well each outcome is found.
        confusion: counts by what was wanted and what was done.
        labels: for each label, the commonest first, the share of each outcome.
        decided: the same by one look in silence, at the threshold `decide_at`; see `decided_at`.
        settled: the same once patience has run out; see `settled`.
        made_up: decisions by tokens that came before them; see `by_made_up`.
        calibration, calibration_finished: of p(<1>) against p(<2>), and of their sum.
        thresholds: what one look in silence decides, by `decide_at`.
        area_finished: how well the sum tells what is over from what is not; see `area`.
    """

    kind: Literal["states"] = "states"
    lookahead: Count = 0
    states: dict[Outcome, OutcomeScore]
    confusion: dict[Outcome, dict[Outcome, Count]]
    labels: dict[str, dict[Outcome, Proportion]]
    decide_at: Share | None = None
    decided: dict[str, dict[Outcome, Proportion]] = Field(default_factory=dict)
    settled: dict[str, dict[Outcome, Proportion]]
    premature: Premature
    made_up: dict[Outcome, dict[int, Count]]
    calibration: Calibration
    calibration_finished: Calibration | None = None
    thresholds: tuple[Threshold, ...] = ()
    area_finished: Share | None = None
    cases: tuple[Judged, ...] = ()


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Compute Wilson's score interval of a share (Wilson 1927), 95 %; (0, 1) for no cases."""
    from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

    if not n:
        return 0.0, 1.0
    low, high = proportion_confint(hits, n, method="wilson")
    return max(0.0, float(low)), min(1.0, float(high))


def share(hits: int, n: int) -> Proportion:
    """Divide, with an interval; there is no share of nothing."""
    low, high = wilson(hits, n)
    return Proportion(share=hits / n if n else None, low=low, high=high, hits=hits, n=n)


def confusion(judged: Iterable[Judged]) -> dict[Outcome, dict[Outcome, int]]:
    """Count cases by what was wanted and what was done."""
    counts = Counter((case.wanted, case.outcome) for case in judged)
    return {wanted: {done: counts[wanted, done] for done in OUTCOMES} for wanted in OUTCOMES}


def precision_recall(judged: Sequence[Judged], outcome: Outcome) -> OutcomeScore:
    """Compute precision, recall and F1 of one outcome."""
    right = sum(case.wanted == case.outcome == outcome for case in judged)
    done = sum(case.outcome == outcome for case in judged)
    wanted = sum(case.wanted == outcome for case in judged)
    return OutcomeScore(
        precision=right / done if done else None,
        recall=right / wanted if wanted else None,
        f1=2 * right / (done + wanted) if done + wanted else None,
        predicted=done,
        n=wanted,
    )


def by_label(
    judged: Sequence[Judged], outcome: Callable[[Judged], Outcome] = lambda case: case.outcome
) -> dict[str, dict[Outcome, Proportion]]:
    """Compute the share of each outcome for each label, the commonest label first."""
    counts = Counter((case.label, outcome(case)) for case in judged)
    sizes = Counter(case.label for case in judged)
    return {
        label: {done: share(counts[label, done], n) for done in OUTCOMES}
        for label, n in sizes.most_common()
    }


def in_silence(case: Judged, decide_at: float) -> Outcome:
    """Decide by one look after the last word, in silence, as the decoder does by default."""
    likeliest = case.outcome == "ignore" and case.made_up == 0
    hold = not (case.over_answer or likeliest)
    return decision(case.p_respond, case.p_ignore, decide_at=decide_at, hold=hold)


def decided_at(judged: Sequence[Judged], decide_at: float) -> dict[str, dict[Outcome, Proportion]]:
    """Compute the shares of outcomes for each label by `in_silence`."""
    return by_label(judged, lambda case: in_silence(case, decide_at))


def settled(judged: Sequence[Judged]) -> dict[str, dict[Outcome, Proportion]]:
    """Compute the shares of answering and ignoring for each label once patience has run out.

    Where no state token was predicted, the likelier one decides: what the decoder does with
    `on_silence="likelier"` (`duo.decoding.duo.DuoSettings`), which waits on where that is `<2>`
    and nothing is being said.
    """

    def decided(case: Judged) -> Outcome:
        likelier = decision(case.p_respond, case.p_ignore)
        return likelier if case.outcome == "wait" else case.outcome

    found = by_label(judged, decided)
    return {label: {done: own[done] for done in OUTCOMES[:2]} for label, own in found.items()}


def premature(judged: Iterable[Judged]) -> Premature:
    """Count state tokens that come early, in utterances that were looked at word by word."""
    cases = [case.early for case in judged if case.wanted == "respond" and case.early]
    words = [outcome for early in cases for outcome in early]
    return Premature(
        any=share(sum(outcome != "wait" for outcome in words), len(words)),
        respond=share(sum(outcome == "respond" for outcome in words), len(words)),
        utterances=share(sum("respond" in early for early in cases), len(cases)),
    )


def area(queries: Sequence[float], others: Sequence[float]) -> float:
    """Compute the area under the receiver operating curve (Hanley and McNeil 1982).

    It is the probability that a query has the higher score, ties counted half. Both sorts must
    have one.
    """
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(queries, others).statistic) / (len(queries) * len(others))


def threshold_answering(queries: Sequence[float], percent: int) -> float:
    """Find the highest threshold on scores that `percent` % of `queries` reach; none must."""
    ordered = sorted(queries)
    unanswered = len(ordered) - -(-len(ordered) * percent // 100)
    return ordered[unanswered] if unanswered < len(ordered) else math.inf


def by_made_up(judged: Iterable[Judged]) -> dict[Outcome, dict[int, int]]:
    """Count decisions by the number of made-up tokens before them, and by what was wanted.

    A decision after none is about what was said; one after some is about what the model makes of
    it, as when it completes a query that was cut off. A shorter look-ahead would not see it.
    """
    counts = Counter((case.wanted, case.made_up) for case in judged if case.outcome != "wait")
    return {
        wanted: {count: n for (w, count), n in sorted(counts.items()) if w == wanted}
        for wanted in OUTCOMES
    }


def finished(case: Judged) -> float:
    """Return the probability that an utterance is over: of either state token."""
    return min(1.0, case.p_respond + case.p_ignore)


def answers(case: Judged) -> float:
    """Return the share of answering in the probability of a decision; a half without one."""
    decided = case.p_respond + case.p_ignore
    return case.p_respond / decided if decided else 0.5


def area_finished(judged: Sequence[Judged]) -> float | None:
    """Compute the area under the curve of what is over against what is not; None without both."""
    over = [finished(case) for case in judged if case.wanted != "wait"]
    others = [finished(case) for case in judged if case.wanted == "wait"]
    return area(over, others) if over and others else None


#: Bins of equal width over [0, 1] for calibration.
_BINS = 10
#: Thresholds on p(<1>) + p(<2>) that are looked at.
THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def thresholds(judged: Sequence[Judged]) -> tuple[Threshold, ...]:
    """Compute what silence decides at each of `THRESHOLDS`; see `in_silence`."""

    either: tuple[Outcome, ...] = ("respond", "ignore")

    def at(least: float) -> Threshold:
        pairs = [(case.wanted, in_silence(case, least)) for case in judged]

        def decided(cases: Sequence[Outcome], right: Sequence[Outcome]) -> Proportion:
            found = [done in right for wanted, done in pairs if wanted in cases]
            return share(sum(found), len(found))

        return Threshold(
            decide_at=least,
            finished=decided(either, either),
            unfinished=decided(["wait"], either),
            respond=decided(["respond"], ["respond"]),
            ignore=decided(["ignore"], ["ignore"]),
        )

    return tuple(map(at, THRESHOLDS))


def calibration(pairs: Sequence[tuple[float, bool]]) -> Calibration:
    """Compute the reliability of probabilities, each beside whether it is so; no empty bins."""
    table, error = [], 0.0
    for number in range(_BINS):
        inside = [pair for pair in pairs if min(int(pair[0] * _BINS), _BINS - 1) == number]
        if not inside:
            continue
        expected = sum(chance for chance, _ in inside) / len(inside)
        found = sum(wanted for _, wanted in inside) / len(inside)
        error += abs(found - expected) * len(inside) / len(pairs)
        table.append(
            Bin(start=number / _BINS, stop=(number + 1) / _BINS, n=len(inside),
                probability=min(1.0, expected), share=found)
        )  # fmt: skip
    return Calibration(ece=error if pairs else None, n=len(pairs), bins=tuple(table))


def score_states(
    judged: Sequence[Judged], *, decide_at: float | None = None, **about: Any
) -> States:
    """Compute all figures about what a model did after utterances.

    Args:
        about: fields of `States` that are no figures: model, data, versions ...
    """
    return States(
        **about,
        n=len(judged),
        states={name: precision_recall(judged, name) for name in OUTCOMES},
        confusion=confusion(judged),
        labels=by_label(judged),
        decide_at=decide_at,
        decided={} if decide_at is None else decided_at(judged, decide_at),
        settled=settled(judged),
        premature=premature(judged),
        made_up=by_made_up(judged),
        calibration=calibration(
            [
                (answers(case), case.wanted == "respond")
                for case in judged
                if case.wanted != "wait" and case.p_respond + case.p_ignore > 0
            ]
        ),
        calibration_finished=calibration(
            [(finished(case), case.wanted != "wait") for case in judged]
        ),
        thresholds=thresholds(judged),
        area_finished=area_finished(judged),
        cases=tuple(
            case.model_copy(
                update={"p_respond": round(case.p_respond, 6), "p_ignore": round(case.p_ignore, 6)}
            )
            for case in judged
        ),
    )


def state_tables(found: States) -> list[Table]:
    """Tabulate what a model did after utterances."""
    labels = Table(
        "What follows each label",
        ["label", "n", *OUTCOMES, "ignore in the end"],
        [
            (label, own["wait"].n, *(own[done].cell for done in OUTCOMES),
             found.settled[label]["ignore"].cell)
            for label, own in found.labels.items()
        ],
        ["In the end: silence goes on, and the likelier state decides (on_silence=likelier)."],
    )  # fmt: skip
    look = Table(
        f"Decided in silence by one look (decide_at={found.decide_at})",
        ["label", "n", *OUTCOMES],
        [
            (label, own["wait"].n, *(own[done].cell for done in OUTCOMES))
            for label, own in found.decided.items()
        ],
        ["What is to be ignored while nothing is said is waited on, unless <2> is the likeliest."],
    )
    percent = [
        Column(name, "number", lambda value: f"{100 * value:.1f} %")
        for name in ("precision", "recall", "F1")
    ]
    states = Table(
        "States",
        ["outcome", *percent, "n"],
        [(name, one.precision, one.recall, one.f1, one.n) for name, one in found.states.items()],
    )
    mixed = Table(
        "Wanted and done",
        ["wanted", *OUTCOMES],
        [(wanted, *done.values()) for wanted, done in found.confusion.items()],
    )
    shown = (
        ("words with any state ahead", found.premature.any),
        ("words with <1> ahead", found.premature.respond),
        ("queries with <1> ahead at some word", found.premature.utterances),
    )
    error = found.calibration.ece
    early = Table(
        "Premature states",
        ["before the end of a query", "share", "n"],
        [(name, one.cell, one.n) for name, one in shown],
        [] if error is None else [f"Expected calibration error {error:.3f}."],
    )
    decided = Table(
        "Decided in silence by one look, by decide_at",
        ["decide_at", "finished", "unfinished", "answered", "ignored"],
        [
            (one.decide_at, one.finished.cell, one.unfinished.cell, one.respond.cell,
             one.ignore.cell)
            for one in found.thresholds
        ],
        []
        if found.area_finished is None
        else [
            "Finished against unfinished, by p(<1>) + p(<2>): area under the curve "
            f"{found.area_finished:.3f}."
        ],
    )  # fmt: skip
    offsets = sorted({count for counts in found.made_up.values() for count in counts})
    made_up = Table(
        "Decisions by tokens made up before them",
        ["wanted", *map(str, offsets)],
        [
            (wanted, *(counts.get(count, 0) for count in offsets))
            for wanted, counts in found.made_up.items()
        ],
    )
    looks = [look] if found.decided else []  # not in older files
    return [labels, *looks, states, mixed, decided, early, *([made_up] if offsets else [])]
