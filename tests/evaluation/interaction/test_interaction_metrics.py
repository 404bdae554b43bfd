"""Figures computed by hand, and what must not change them."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.speech import Conversation
from duo.words import Word
from evaluation.interaction import metrics
from evaluation.interaction.bootstrap import Resamples
from evaluation.interaction.events import Latency, Outcome, outcomes_of
from evaluation.interaction.results import by_name, interaction
from tests.evaluation.interaction.talk import Talk, answered


def outcome(kind: str = "turn_end", wanted: str = "answer", **more: object) -> Outcome:
    given = {
        "scenario": "s", "file": "f", "utterance": "u", "category": "", "start": 0.0, "end": 2.0,
        "overlapped": False, "words": (), "done": "silent",
    }  # fmt: skip
    return Outcome(**{**given, "kind": kind, "wanted": wanted, **more})  # type: ignore[arg-type]


def spoken(*starts: float, long: float = 0.2) -> tuple[Word, ...]:
    return tuple(Word(start, start + long, "x") for start in starts)


def values(samples: list[tuple[str, float]]) -> list[float]:
    return [value for _, value in samples]


def test_takeover_rate_and_latency() -> None:
    events = [
        outcome(words=spoken(2.5, 3.5)),  # 1.2 s long: a turn, 0.5 s after the end
        outcome(words=spoken(1.5, 3.5)),  # premature: counts as 0
        outcome(words=spoken(3.0)),  # one short word: none
        outcome(),
        outcome("interruption", words=spoken(4.0, 4.2, 4.4, 4.6, long=0.1)),  # four words
    ]
    assert values(metrics.takeover(events, "turn_end")) == [1, 1, 0, 0]
    assert values(metrics.takeover_latency(events, "turn_end")) == [0.5, 0.0]
    assert values(metrics.takeover(events, "interruption")) == [1]
    assert values(metrics.takeover_latency(events, "interruption")) == [2.0]
    assert metrics.takeover(events, "pause") == []


@pytest.mark.parametrize(
    ("pauses", "backchannel", "turn", "interruption", "published"),
    [
        ((0.985, 0.980), 1.0, 0.941, 1.0, 0.395),  # Moshi
        ((0.255, 0.310), 0.091, 0.655, 0.891, 0.778),  # Gemini Live
        ((0.117, 0.125), 0.0, 1.0, 0.915, 0.935),  # MiniCPM-o 4.5
    ],
)
def test_the_averaged_score_is_the_published_one(
    pauses: tuple[float, float], backchannel: float, turn: float, interruption: float,
    published: float,
) -> None:  # fmt: skip
    draws = Resamples(["a", "b"])
    rates = {
        "pause": sum(pauses) / 2, "backchannel": backchannel, "turn_end": turn,
        "interruption": interruption,
    }  # fmt: skip
    parts = {kind: [("a", rate), ("b", rate)] for kind, rate in rates.items()}
    found = draws.weighted(metrics.averaged(parts))
    assert found.value == pytest.approx(published, abs=0.0011)
    assert found.low == pytest.approx(found.value) == found.high
    assert draws.weighted(metrics.averaged({**parts, "pause": []})).value is None


def test_false_interruptions_and_intact_answers() -> None:
    events = [
        outcome("backchannel", "ignore", overlapped=True, done="went_on", intact=True),
        outcome("backchannel", "ignore", overlapped=True, done="went_on"),
        outcome("third_party", "ignore", overlapped=True, done="stopped", given_up=True),
        outcome("third_party", "ignore"),  # in silence: nothing to interrupt
        outcome("interruption", overlapped=True, done="answered", given_up=True),
    ]
    assert values(metrics.false_interruptions(events)) == [0, 0, 1]
    assert values(metrics.resumed_intact(events)) == [1, 0, 0]


def test_missed_and_premature() -> None:
    events = [
        outcome(replied=True),
        outcome(replied=True, premature=True),
        outcome(),
        outcome("stop_request", "stop"),
        outcome("pause", "wait"),
        outcome("backchannel", "ignore"),
    ]
    assert values(metrics.missed_queries(events)) == [0, 0, 1]
    assert values(metrics.premature_answers(events)) == [0, 1, 0]


def test_stop_requests() -> None:
    events = [
        outcome("stop_request", "stop", done="stopped"),
        outcome("stop_request", "stop", done="silent"),
        outcome("stop_request", "stop", done="answered", words=spoken(3.0)),  # "Okay."
        outcome("stop_request", "stop", done="answered", words=spoken(3.0, 4.0)),
        outcome("stop_request", "stop", done="went_on"),
    ]
    assert values(metrics.stops_obeyed(events)) == [1, 1, 1, 0, 0]


def test_what_is_right_by_category() -> None:
    taken = {"done": "answered", "words": spoken(3.0, 4.0)}
    events = [
        outcome("turn_end", "answer", category="assent", replied=True),
        outcome("turn_end", "answer", category="assent"),
        outcome("interruption", "answer", category="correction", replied=True, premature=True),
        outcome("hold_request", "stop", category="hold_request", done="silent"),
        outcome("hold_request", "stop", category="hold_request", **taken),
        outcome("hold_request", "stop", category="hold_request", done="went_on"),
        outcome("vocal_tic", "ignore", category="vocal_tic", done="went_on"),
        outcome("vocal_tic", "ignore", category="vocal_tic", done="stopped", given_up=True),
        outcome("vocal_tic", "ignore", category="vocal_tic", **taken),
        outcome("pause", "wait", category="question"),
        outcome("statement", "ignore", category=""),
    ]
    assert {category: values(found) for category, found in metrics.right(events).items()} == {
        "assent": [1, 0],
        "correction": [0],
        "hold_request": [1, 0, 0],
        "statement": [1],
        "vocal_tic": [1, 0, 0],
    }


def test_behaviour_counts_overlaps_only() -> None:
    events = [
        outcome("backchannel", "ignore", overlapped=True, done="went_on"),
        outcome("backchannel", "ignore", overlapped=True, done="answered"),
        outcome("backchannel", "ignore", overlapped=True, done="brief"),
        outcome("backchannel", "ignore", overlapped=True, done="stopped"),
        outcome("backchannel", "ignore", done="answered"),
        outcome("stop_request", "stop", overlapped=True, done="stopped"),
    ]
    for which in ("RESPOND", "RESUME", "UNCERTAIN", "UNKNOWN"):
        assert sum(values(metrics.behaviour(events, "backchannel", which))) == 1
    assert values(metrics.behaviour(events, "stop_request", "RESPOND")) == [1]
    assert metrics.confusion(events) == {
        "ignore": {"went_on": 1, "answered": 2, "brief": 1, "stopped": 1},
        "stop": {"stopped": 1},
    }


def test_latencies_in_every_unit() -> None:
    latency = Latency(1.5, slices=1.5, forward_passes=7.0, machine_ms=350.0)
    events = [outcome(response=latency), outcome(response=Latency(0.5)), outcome(stop=latency)]
    assert values(metrics.response_latency(events)) == [1.5, 0.5]
    assert values(metrics.response_latency(events, "forward_passes")) == [7.0]
    assert values(metrics.stop_latency(events, "machine_ms")) == [350.0]


def test_waste_and_overlap(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.costs(0, 5, passes=4, tokens=10)
    talk.add("predicted", 2.0, 2.0, text=" a new house")
    talk.add("predicted", 3.0, 3.0, text=" please<1>")
    talk.mark("respond", 2.5, by="state")
    talk.speaks(2.5, 8)  # until 4.5, of which 0.5 s with the user
    talk.add("predicted", 4.0, 4.0, text=" one<2>")
    one = talk.conversation(tmp_path)
    assert metrics.passes_per_token([one]) == [("story", 20, 8)] == metrics.passes_per_word([one])
    assert metrics.processed_per_token([one]) == [("story", 50, 8)]
    # The response came after the first look-ahead, by state: the others were thrown away.
    assert metrics.dropped_per_word([one]) == [("story", 2, 2)]
    assert metrics.overlap([one]) == [("story", pytest.approx(0.5), pytest.approx(2.0))]
    events = [
        outcome(done="answered", tokens_after_onset=5, words_after_onset=4),
        outcome(done="went_on", tokens_after_onset=9, words_after_onset=8),
    ]
    assert values(metrics.tokens_after_onset(events)) == [5]
    assert values(metrics.words_after_onset(events)) == [4, 8]


def test_quantiles_are_numpy_s_and_intervals_cover_the_value() -> None:
    draw = random.Random(0)
    samples = [(f"s{n % 7}", draw.expovariate(1)) for n in range(60)]
    draws = Resamples(f"s{n}" for n in range(9))  # two of them have nothing to say
    numbers = [value for _, value in samples]
    for q in (0.5, 0.9):
        found = draws.quantile(samples, q)
        assert found.value == pytest.approx(float(np.quantile(numbers, q)), abs=1e-6)
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.value <= found.high
    assert draws.mean(samples).value == pytest.approx(sum(numbers) / 60, abs=1e-6)


def test_the_bootstrap_draws_scenarios_whole() -> None:
    """Against the slow and obvious way: copy the drawn scenarios' samples together."""
    samples = [("a", 1.0), ("a", 2.0), ("b", 5.0), ("c", 7.0), ("c", 11.0)]
    draws = Resamples("abc", resamples=50)
    by_scenario = {name: [v for n, v in samples if n == name] for name in "abc"}
    drawn = [
        [v for name, n in zip("abc", weights, strict=True) for v in by_scenario[name] * n]
        for weights in draws._weights
    ]
    assert set(draws._weights.sum(axis=1)) == {3}
    for found, slow in ((draws.quantile(samples, 0.5), np.median), (draws.mean(samples), np.mean)):
        interval = np.quantile([slow(values) for values in drawn], [0.025, 0.975])
        assert (found.low, found.high) == pytest.approx(tuple(interval), abs=1e-6)


def test_a_scenario_is_drawn_once_however_often_it_was_recorded() -> None:
    samples = [("a", 1.0), ("b", 0.0), ("c", 0.0)]
    once, often = Resamples("abc").mean(samples), Resamples("cbaab").mean(samples)
    assert (once.value, once.low, once.high) == (often.value, often.low, often.high)
    assert once.n == often.n


@pytest.mark.parametrize("hit", [0.0, 1.0])
def test_a_share_of_none_or_all_has_an_interval_with_a_width(hit: float) -> None:
    """By Wilson's formula, written out: 0 of 6 does not show that it never happens."""
    found = Resamples("abc").share([(name, hit) for name in "aabbcc"])
    n, z = 6, 1.959964
    reach = z**2 / (n + z**2)
    assert found.value == hit
    assert (found.low, found.high) == pytest.approx(
        (0, reach) if hit == 0 else (1 - reach, 1), abs=1e-6
    )
    assert Resamples("ab").share([("a", hit)]).low is None
    mixed = [("a", 1.0), ("b", 0.0), ("c", 0.0)]
    assert Resamples("abc").share(mixed).high == Resamples("abc").mean(mixed).high


def test_one_scenario_has_no_interval() -> None:
    found = Resamples(["a", "b"]).mean([("a", 1.0), ("a", 0.0)])
    assert (found.value, found.low, found.high, found.n) == (0.5, None, None, 2)


def random_talk(seed: int, shift: float = 0.0) -> Talk:
    """A conversation with everything in it, at random."""
    draw = random.Random(seed)
    talk = Talk(scenario=f"s{seed}")
    now = 1.0 + shift
    for _ in range(draw.randint(1, 5)):
        query = draw.random() < 0.6
        category = draw.choice(
            ["question", "interruption"] if query else ["backchannel", "statement"]
        )
        end = round(now + draw.choice([0.5, 1.0, 2.0]), 3)
        talk.user(now, end, "query" if query else "non_query", category)
        now = end
        if draw.random() < 0.7:
            begin = round(
                max(end, max((e["end"] for e in talk.events if e["kind"] == "speech"), default=0))
                + 0.5,
                3,
            )
            if draw.random() < 0.5:
                talk.mark("cut", begin)
            last = answered(talk, begin, draw.randint(1, 12), draw.choice(["answer_end", None]))
            now = draw.choice([round(begin + 0.4, 3), last])
        now = round(now + draw.choice([0.5, 4.0]), 3)
    talk.costs(int(shift), int(shift) + 40)
    return talk


@given(
    seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=5, unique=True), again=st.randoms()
)
@settings(deadline=None, derandomize=True, max_examples=15)
def test_the_order_of_files_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[int], again: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("talk")
    held = [random_talk(seed).conversation(folder) for seed in seeds]
    first = interaction(held)
    again.shuffle(held)
    assert interaction(held) == first


@given(seed=st.integers(0, 10_000), shift=st.integers(1, 50))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_the_hour_of_the_conversation_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, shift: int
) -> None:
    folder = tmp_path_factory.mktemp("talk")
    now = list(outcomes_of(random_talk(seed).conversation(folder)))
    later = list(outcomes_of(random_talk(seed, float(shift)).conversation(folder)))
    assert len(now) == len(later)
    for one, other in zip(now, later, strict=True):
        for name in ("kind", "done", "behaviour", "taken", "premature", "replied", "given_up"):
            assert getattr(one, name) == getattr(other, name)
        assert other.start - one.start == pytest.approx(shift)
        for a, b in ((one.response, other.response), (one.stop, other.stop)):
            assert (a is None) == (b is None)
            if a is not None and b is not None:
                assert a.seconds == pytest.approx(b.seconds)
                assert a.forward_passes == pytest.approx(b.forward_passes, abs=1e-5)


def test_settings_that_differ_make_two_systems(tmp_path: Path) -> None:
    def held(name: str, **settings: object) -> Conversation:
        talk = Talk("duo", name, settings=settings)
        talk.user(1.0, 3.0)
        return talk.conversation(tmp_path)

    same = [held("a", lookahead=4), held("b", lookahead=4)]
    assert list(by_name(same)) == ["duo"]
    differing = [*same, held("c", lookahead=2), held("d")]
    assert {name: len(group) for name, group in by_name(differing).items()} == {
        "duo (lookahead=2)": 1, "duo (lookahead=4)": 2, "duo (default)": 1,
    }  # fmt: skip


def test_ctrl_c_while_a_result_is_written_is_not_lost(tmp_path: Path) -> None:
    """It would be inside Python that pydantic calls and whose errors it passes over."""
    talk = Talk("duo", "s", settings={"of": [1, {"x": None}]})
    talk.user(1.0, 2.0)
    found = interaction([talk.conversation(tmp_path)])
    called: list[str] = []
    before = sys.getprofile()
    sys.setprofile(lambda frame, *_: called.append(frame.f_code.co_filename))
    try:
        found.model_dump(mode="json", by_alias=True)
    finally:
        sys.setprofile(before)
    assert called
    assert not [file for file in called if file.endswith("pydantic/types.py")]


def test_systems_are_divided_by_the_spelling_of_what_they_hear(tmp_path: Path) -> None:
    held = []
    for name, word in (("a", "Why?"), ("b", "Why"), ("c", "why"), ("d", "Oh, why?")):
        talk = Talk("duo", name)
        talk.user(1.0, 2.0, words=[(word, 1.0, 2.0)])
        held.append(talk.conversation(tmp_path))
    assert {name: len(group) for name, group in by_name(held, by_spelling=True).items()} == {
        "duo (spelling=lower)": 1, "duo (spelling=unpunctuated)": 1, "duo (spelling=written)": 2,
    }  # fmt: skip
    assert list(by_name(held)) == ["duo"]


def test_forward_passes_between_two_moments(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    for start, passes in ((1, 1), (2, 10), (5, 3)):  # the cycles between cost nothing
        talk.costs(start, start + 1, passes)
    held = talk.conversation(tmp_path)
    moments = {(0.0, 9.0): 14, (1.0, 2.0): 1, (2.0, 3.0): 10, (2.5, 4.0): 5, (1.5, 5.5): 12}
    assert {span: held.passes_between(*span) for span in moments} == moments
