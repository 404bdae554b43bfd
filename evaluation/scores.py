"""Figures about decisions: shares, precision and recall, calibration. Plain numbers in and out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evaluation.cases import OUTCOMES, Outcome


@dataclass(frozen=True)
class Judged:
    """What a model did after an utterance.

    Attributes:
        id, label, wanted: of the case.
        outcome: what the state token within the look-ahead says; "wait" if there is none.
        p_respond, p_ignore: probabilities of `<1>` and `<2>` as the very next token.
        early: the outcomes after each word of the utterance but the last, in order; empty where
            that was not looked at.
        made_up: tokens that the model expected before the state token.
    """

    id: str
    label: str
    wanted: Outcome
    outcome: Outcome
    p_respond: float
    p_ignore: float
    early: tuple[Outcome, ...] = ()
    made_up: int = 0


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927), 95 % by default; (0, 1) for no cases."""
    if not n:
        return 0.0, 1.0
    share, spread = hits / n, z * z / n
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def share(hits: int, n: int) -> dict[str, float | int | None]:
    """A share with its Wilson interval and what it is a share of; no share of nothing."""
    low, high = wilson(hits, n)
    return {"share": hits / n if n else None, "low": low, "high": high, "hits": hits, "n": n}


def confusion(judged: Iterable[Judged]) -> dict[str, dict[str, int]]:
    """Counts by what was wanted and what was done."""
    counts = Counter((case.wanted, case.outcome) for case in judged)
    return {wanted: {done: counts[wanted, done] for done in OUTCOMES} for wanted in OUTCOMES}


def precision_recall(judged: Sequence[Judged], outcome: Outcome) -> dict[str, float | int | None]:
    """Precision, recall and F1 of one outcome; None where the denominator is zero."""
    right = sum(case.wanted == case.outcome == outcome for case in judged)
    done = sum(case.outcome == outcome for case in judged)
    wanted = sum(case.wanted == outcome for case in judged)
    return {
        "precision": right / done if done else None,
        "recall": right / wanted if wanted else None,
        "f1": 2 * right / (done + wanted) if done + wanted else None,
        "predicted": done,
        "n": wanted,
    }


def by_label(judged: Sequence[Judged]) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """The share of each outcome for each label, the commonest label first."""
    counts = Counter((case.label, case.outcome) for case in judged)
    sizes = Counter(case.label for case in judged)
    return {
        label: {outcome: share(counts[label, outcome], n) for outcome in OUTCOMES}
        for label, n in sizes.most_common()
    }


def settled(judged: Sequence[Judged]) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """The shares of answering and ignoring for each label once patience has run out.

    Where no state token was predicted, the likelier one decides: what the decoder does with
    `on_silence="likelier"` (`duo.decoding.duo.DuoSettings`), which waits on where that is `<2>`
    and nothing is being said.
    """
    counts = Counter(
        (case.label, case.outcome if case.outcome != "wait" else _likelier(case)) for case in judged
    )
    sizes = Counter(case.label for case in judged)
    return {
        label: {outcome: share(counts[label, outcome], n) for outcome in OUTCOMES[:2]}
        for label, n in sizes.most_common()
    }


def _likelier(case: Judged) -> Outcome:
    return "respond" if case.p_respond >= case.p_ignore else "ignore"


def premature(judged: Iterable[Judged]) -> dict[str, dict[str, float | int | None]]:
    """How often a state token comes before an utterance that wants a response is over.

    Returns:
        `any`: at which share of the words but the last a state token is predicted within the
        look-ahead; `respond`: the same for `<1>`; `utterances`: the share of utterances where
        `<1>` is predicted at one word at least. Only utterances that were looked at word by word.
    """
    cases = [case.early for case in judged if case.wanted == "respond" and case.early]
    words = [outcome for early in cases for outcome in early]
    return {
        "any": share(sum(outcome != "wait" for outcome in words), len(words)),
        "respond": share(sum(outcome == "respond" for outcome in words), len(words)),
        "utterances": share(sum("respond" in early for early in cases), len(cases)),
    }


def area(queries: Sequence[float], others: Sequence[float]) -> float:
    """The probability that a query has the higher score, ties counted half: the area under the
    receiver operating curve (Hanley and McNeil 1982). Both sorts must have one."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(queries, others).statistic) / (len(queries) * len(others))


def threshold_answering(queries: Sequence[float], percent: int) -> float:
    """The highest threshold on scores that so many percent of `queries` reach; none must."""
    ordered = sorted(queries)
    unanswered = len(ordered) - -(-len(ordered) * percent // 100)
    return ordered[unanswered] if unanswered < len(ordered) else math.inf


def by_made_up(judged: Iterable[Judged]) -> dict[str, dict[int, int]]:
    """How many decisions came after how many made-up tokens, by what was wanted.

    A decision after none is about what was said; one after some is about what the model makes of
    it, as when it completes a query that was cut off. A shorter look-ahead would not see it.
    """
    counts = Counter((case.wanted, case.made_up) for case in judged if case.outcome != "wait")
    return {
        wanted: {count: n for (w, count), n in sorted(counts.items()) if w == wanted}
        for wanted in OUTCOMES
    }


def calibration(judged: Iterable[Judged], bins: int = 10) -> dict[str, object]:
    """Reliability of p(<1>) against p(<2>), the two made to add up to one.

    Cases that want waiting are left out. The expected calibration error (Naeini et al. 2015) is the
    mean over cases of |share that wants a response - mean probability| of the case's bin.

    Args:
        judged: the cases.
        bins: of equal width over [0, 1].
    """
    pairs = []
    for case in judged:
        total = case.p_respond + case.p_ignore
        if case.wanted != "wait" and total > 0:
            pairs.append((case.p_respond / total, case.wanted == "respond"))
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
            {"from": number / bins, "to": (number + 1) / bins, "n": len(inside),
             "probability": expected, "share": found}
        )  # fmt: skip
    return {"ece": error if pairs else None, "n": len(pairs), "bins": table}


def summary(judged: Sequence[Judged]) -> dict[str, object]:
    """All figures about these cases."""
    return {
        "n": len(judged),
        "states": {name: precision_recall(judged, name) for name in OUTCOMES},
        "confusion": confusion(judged),
        "labels": by_label(judged),
        "settled": settled(judged),
        "premature": premature(judged),
        "made_up": by_made_up(judged),
        "calibration": calibration(judged),
    }
