"""Score decisions and answers: the results of `duo eval states`, `probe` and `answers`.

The results are plain numbers, as their JSON files hold them; torch is not needed to read them.
`evaluation.score_tables` shows them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from duo.files import Record, Result
from duo.spelling import Spelling
from duo.table import Cell
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
    """Cases of about the same probability.

    Attributes:
        start, stop: of the probabilities.
        n: cases.
        probability: their mean probability.
        share: that is so.
    """

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
    """What silence decides at once where it decides from a sum of p(<1>) and p(<2>) on.

    Attributes:
        decide_at: that sum; see `duo.decoding.duo.DuoSettings`.
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
        thresholds: what silence decides at once, by `decide_at`.
        area_finished: how well the sum tells what is over from what is not; see `area`.
        cases: single outcomes.
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


class LabelScore(Record):
    """Scores of one label.

    Attributes:
        wanted: what should follow.
        n: utterances.
        right: the share that is answered or ignored as it should be.
        area: under the receiver operating curve against what wants an answer; None for labels
            that want one.
    """

    wanted: Outcome
    n: Count
    right: Share
    area: Share | None = None


class ProbePoint(Record):
    """Scores of a probe that was trained on `labelled` utterances; of 0: of the model itself."""

    labelled: Count
    labels: dict[str, LabelScore]


class Probe(OfUtterances):
    """The JSON of `duo eval probe`.

    Attributes:
        answered: the threshold is where this percentage of what wants an answer gets one.
        folds: of cross-validation.
        curve: with ever more labelled utterances.
    """

    kind: Literal["probe"] = "probe"
    answered: Count
    folds: Count
    curve: tuple[ProbePoint, ...]


class AnswerLoss(Record):
    """The loss of a model on answers.

    Attributes:
        nats: mean negative log likelihood of an answer's token; None if there was none.
        perplexity: exp(nats).
        tokens: scored.
        dialogues: that they are of.
        number_format: see `duo.backbone.Backbone`.
    """

    nats: float | None
    perplexity: float | None
    tokens: Count
    dialogues: Count = 0
    number_format: str = ""


class Answers(Result):
    """The JSON of `duo eval answers`: losses by model; others are compared with the first."""

    kind: Literal["answers"] = "answers"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    data: Data = Data()
    models: dict[str, AnswerLoss]
    versions: dict[str, str] = Field(default={})


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


def decided_at(judged: Sequence[Judged], decide_at: float) -> dict[str, dict[Outcome, Proportion]]:
    """Compute the shares of outcomes for each label by one look after its last word, in silence.

    The rule is `duo.tokens.decision`, as the decoder has it by default.
    """

    def decided(case: Judged) -> Outcome:
        likeliest = case.outcome == "ignore" and case.made_up == 0
        return _decision(case, decide_at, hold=not (case.over_answer or likeliest))

    return by_label(judged, decided)


def _decision(case: Judged, decide_at: float = 0.0, *, hold: bool = False) -> Outcome:
    return decision(case.p_respond, case.p_ignore, decide_at=decide_at, hold=hold)


def settled(judged: Sequence[Judged]) -> dict[str, dict[Outcome, Proportion]]:
    """Compute the shares of answering and ignoring for each label once patience has run out.

    Where no state token was predicted, the likelier one decides: what the decoder does with
    `on_silence="likelier"` (`duo.decoding.duo.DuoSettings`), which waits on where that is `<2>`
    and nothing is being said.
    """

    def decided(case: Judged) -> Outcome:
        return _decision(case) if case.outcome == "wait" else case.outcome

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


#: Thresholds on p(<1>) + p(<2>) that are looked at.
THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def thresholds(judged: Sequence[Judged]) -> tuple[Threshold, ...]:
    """Compute what silence decides at once at each of `THRESHOLDS`."""
    wanted: dict[Outcome, list[Judged]] = {
        outcome: [case for case in judged if case.wanted == outcome] for outcome in OUTCOMES
    }

    def decided(cases: Iterable[Judged], least: float, *right: Outcome) -> Proportion:
        found = [_decision(case, least) in (right or ("respond", "ignore")) for case in cases]
        return share(sum(found), len(found))

    return tuple(
        Threshold(
            decide_at=least,
            finished=decided([*wanted["respond"], *wanted["ignore"]], least),
            unfinished=decided(wanted["wait"], least),
            respond=decided(wanted["respond"], least, "respond"),
            ignore=decided(wanted["ignore"], least, "ignore"),
        )
        for least in THRESHOLDS
    )


def calibration(pairs: Sequence[tuple[float, bool]], bins: int = 10) -> Calibration:
    """Compute the reliability of probabilities.

    Args:
        pairs: of each case the probability of something, and whether it is so.
        bins: of equal width over [0, 1]; empty ones are left out.
    """
    table = []
    error = 0.0
    for number in range(bins):
        inside = [
            (chance, wanted) for chance, wanted in pairs
            if min(int(chance * bins), bins - 1) == number
        ]  # fmt: skip
        if not inside:
            continue
        expected = sum(chance for chance, _ in inside) / len(inside)
        found = sum(wanted for _, wanted in inside) / len(inside)
        error += abs(found - expected) * len(inside) / len(pairs)
        table.append(
            Bin(start=number / bins, stop=(number + 1) / bins, n=len(inside),
                probability=min(1.0, expected), share=found)
        )  # fmt: skip
    return Calibration(ece=error if pairs else None, n=len(pairs), bins=tuple(table))


def score_states(
    judged: Sequence[Judged],
    *,
    model: str = "",
    data: Data = Data(),  # noqa: B008 - frozen
    lookahead: int = 0,
    decide_at: float | None = None,
    number_format: str = "",
    versions: dict[str, str] | None = None,
) -> States:
    """Compute all figures about what a model did after utterances."""
    return States(
        model=model,
        data=data,
        lookahead=lookahead,
        n=len(judged),
        number_format=number_format,
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
        versions=versions or {},
    )
