"""Comparison of two models on the same items: differences, exact tests, Holm."""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from duo.errors import BadInput
from evaluation.benchmarks.averages import Key, mean, stratify
from evaluation.benchmarks.collect import read_runs
from evaluation.benchmarks.compare import compare, exact_mcnemar, holm, mean_of
from evaluation.benchmarks.results import Items
from tests.evaluation.benchmarks.files import scored, write_result


def items(scores: dict[Key, float], name: str = "a.jsonl") -> Items:
    return Items(Path(name), scores, {})


@given(scored, scored.map(dict.values).map(list), st.booleans())
def test_comparison_counts_what_differs(
    base: dict[Key, float], draws: list[float], macro: bool
) -> None:
    other = {key: draws[n % len(draws)] for n, key in enumerate(base)}
    found = compare(items(base), items(other), macro=macro)
    pairs = [(base[key], other[key]) for key in base]
    assert (found.gained, found.lost) == (pairs.count((0, 1)), pairs.count((1, 0)))
    assert found.test == "mcnemar"
    averages = [mean(stratify(side, macro=macro)) for side in (base, other)]
    assert found.difference == pytest.approx(averages[1] - averages[0])
    assert found.low - 1e-9 <= found.difference <= found.high + 1e-9 or len(base) < 8
    back = compare(items(other), items(base), macro=macro)
    assert (back.gained, back.lost, back.p) == (found.lost, found.gained, found.p)
    assert back.difference == pytest.approx(-found.difference)


def test_a_model_and_itself_do_not_differ() -> None:
    same = items({("", str(n)): n % 2 for n in range(10)})
    found = compare(same, same, macro=False)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_scores_between_right_and_wrong_are_compared_by_sign() -> None:
    base = items({("", str(n)): 1 / 3 for n in range(6)})
    other = items({("", str(n)): score for n, score in enumerate((2 / 3, 1, 1, 1, 0, 1 / 3))})
    found = compare(base, other, macro=False)
    assert (found.test, found.gained, found.lost) == ("sign", 4, 1)
    assert found.p == pytest.approx(2 * (1 + 5) / 32)


def test_seeds_are_averaged_item_by_item() -> None:
    seeds = [items({("", "x"): a, ("", "y"): b}) for a, b in ((1, 0), (0, 0), (1, 1))]
    assert mean_of(seeds).scores == {("", "x"): pytest.approx(2 / 3), ("", "y"): 1 / 3}


def test_other_items_are_an_error_that_names_both_files() -> None:
    here, there = items({("law", "1"): 1, ("law", "2"): 1}), items({("law", "1"): 1}, "b.jsonl")
    with pytest.raises(BadInput, match=r"^b\.jsonl: not the same items as in a\.jsonl.*law/2"):
        compare(here, there, macro=False)
    with pytest.raises(BadInput, match=r"a\.jsonl.*b\.jsonl"):
        mean_of([here, there])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"doc_id": 1, "filter": "none", "acc": 1}\n{"id": ', "2: the last line is cut off"),
        ("[]\n", "1: not a JSON object"),
        ('{"filter": "none", "acc": 1}\n', "1: doc_id: an item needs"),
        ('{"doc_id": 1, "filter": "none", "acc": "1"}\n', "1: acc: must be a number"),
        ('{"doc_id": 1, "filter": "none", "acc": NaN}\n', "1: not JSON: NaN is not a finite"),
        ('{"doc_id": 1, "filter": "none", "acc": 1.5}\n', "1: acc: must be a number"),
        ('{"doc_id": 1, "filter": "none", "acc": 1}\n' * 2, "2: item 1 is there twice"),
        ("[" * 100_000 + "\n", "1: not JSON"),
        ("", "0 items, but"),
        ('{"doc_id": 1, "filter": "other", "acc": 1}\n', "0 items, but"),
        ("\udcff\n", "is not UTF-8"),
    ],
)
def test_broken_items_are_one_line_with_the_place(tmp_path: Path, lines: str, message: str) -> None:
    path = write_result(tmp_path, "base", "arc_easy", [1, 0])
    (samples,) = path.parent.glob("samples_*")
    samples.write_bytes(lines.encode(errors="surrogateescape"))
    (run,) = read_runs([str(tmp_path)]).runs
    with pytest.raises(BadInput) as error:
        run.read_items()
    assert str(error.value).startswith(str(samples))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),  # 2 * 1/2
        (0, 5, 2 / 32),
        (1, 4, 2 * (1 + 5) / 32),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (3, 3, 1.0),  # the sum passes a half, so p is cut at 1
        (12, 12, 1.0),
    ],
)
def test_mcnemar_by_hand(gained: int, lost: int, p: float) -> None:
    assert exact_mcnemar(gained, lost) == pytest.approx(p, rel=1e-12)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_sum_of_binomials_and_knows_no_side(gained: int, lost: int) -> None:
    n, least = gained + lost, min(gained, lost)
    exact = min(1.0, 2 * sum(comb(n, k) for k in range(least + 1)) / 2**n)
    assert exact_mcnemar(gained, lost) == pytest.approx(exact, rel=1e-9)
    assert exact_mcnemar(gained, lost) == exact_mcnemar(lost, gained)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_statsmodels(both: int, gained: int, lost: int, none: int) -> None:
    if gained + lost:
        theirs = mcnemar([[both, lost], [gained, none]], exact=True).pvalue
        assert exact_mcnemar(gained, lost) == pytest.approx(theirs, rel=1e-9)


def test_mcnemar_of_a_whole_benchmark_does_not_overflow() -> None:
    assert 0 < exact_mcnemar(6900, 7142) < 0.05
    assert exact_mcnemar(0, 14_042) == 0.0


def test_holm_by_hand() -> None:
    # 3 * 0.01, then 2 * 0.03 = 0.06, then 0.04, which may not be less than the one before.
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []
    assert holm([0.7, 0.6]) == [1.0, 1.0]


@settings(max_examples=25)  # statsmodels collects garbage at each call, 50 ms in a large process
@given(st.lists(st.none() | st.floats(0, 1), max_size=12))
def test_holm_is_that_of_statsmodels_with_gaps(ps: list[float | None]) -> None:
    there = [p for p in ps if p is not None]
    found = holm(ps)
    assert [p is None for p in found] == [p is None for p in ps]
    if there:
        expected = multipletests(there, method="holm")[1]
        np.testing.assert_allclose([p for p in found if p is not None], expected)


@settings(max_examples=25)  # statsmodels collects garbage at each call, 50 ms in a large process
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_order_and_never_lowers(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(after >= before for before, after in zip(ps, adjusted, strict=True))
    by_p = [adjusted[n] for n in sorted(range(len(ps)), key=ps.__getitem__)]
    assert by_p == sorted(by_p)
