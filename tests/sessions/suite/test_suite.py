"""The scenario suite: balanced, valid, in two halves that share nothing, and always the same."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.errors import BadInput
from duo.speech import GRACE
from duo.words import cut
from duo.yaml_file import MarkedYaml
from sessions.scenario import Pause, Scenario, Utterance, Words, heard_text, scenario_yaml
from sessions.suite import (
    EVENT_KINDS,
    HALVES,
    LABELS,
    MORE_EVENTS,
    MORE_KINDS,
    MORE_VERSION,
    PAUSES,
    RATES,
    RECOGNISERS,
    VERSION,
    Cell,
    Draws,
    Half,
    Texts,
    _texts,
    cells,
    heard_as,
    misheard,
    suite_scenarios,
)

SUITE = suite_scenarios()
CELLS = tuple(cells())
PAIRS = list(zip(CELLS, SUITE, strict=True))
MORE = suite_scenarios("more")
MORE_PAIRS = list(zip(cells(more=True), MORE, strict=True))
ALL_PAIRS = PAIRS + MORE_PAIRS
ROOT = Path(__file__).parents[3]

#: What the suite of each version is, byte for byte. Whoever changes a scenario raises the version.
GOLDEN = {
    2: "403c63ae933f4b0d400dfc5b459d9d2af0016da148216a69731bcc99288c7ca5",  # with a breath
}
GOLDEN_MORE = {1: "d97c9729deb13d499bc0fd741c3fb252a5721ad02f91c5eff708d3654f0ba80b"}

#: The scenarios of one kind in one half.
BY_KIND = pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(
            [pair for pair in PAIRS if (pair[0].half, pair[0].event) == key], id="-".join(key)
        )
        for key in product(HALVES, EVENT_KINDS)
    ],
)


def event_of(scenario: Scenario) -> Utterance:
    return next(one for one in scenario.utterances if one.id == "event")


def queries(half: Half) -> set[str]:
    return {
        plain(finally_heard(scenario, utterance))
        for cell, scenario in ALL_PAIRS
        for utterance in scenario.utterances
        if cell.half == half and utterance.label == "query"
    }


def finally_heard(scenario: Scenario, utterance: Utterance) -> str:
    return heard_text(scenario.hearings(utterance))


def plain(text: str) -> str:
    """Words alone, in lower case."""
    return " ".join("".join(c for c in text.lower() if c.isalnum() or c in " '").split())


def digest(suite: Sequence[Scenario] = SUITE) -> str:
    content = [scenario.model_dump(mode="json", exclude={"control_of"}) for scenario in suite]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False) + "".join(
        map(scenario_yaml, suite)
    )
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_suite_is_what_its_version_says() -> None:
    assert digest() == GOLDEN[VERSION], "a scenario has changed: raise sessions.suite.VERSION"
    assert digest(MORE) == GOLDEN_MORE[MORE_VERSION], "raise sessions.suite.MORE_VERSION"


def test_another_process_makes_the_same_suite() -> None:
    code = "from tests.sessions.suite.test_suite import digest; print(digest())"
    for seed in ("0", "77"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PATH": "", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == digest()


def test_every_kind_rate_and_recogniser_meet_once_in_each_half() -> None:
    assert len(SUITE) == 256
    found = [(c.half, c.event, c.words_per_minute, c.recogniser) for c in CELLS]
    assert sorted(found) == sorted(product(HALVES, EVENT_KINDS, RATES, RECOGNISERS))


@pytest.mark.parametrize("half", HALVES)
def test_nothing_is_confounded(half: Half) -> None:
    mine = [cell for cell in CELLS if cell.half == half]
    by_kind_and: dict[tuple[object, ...], Counter[object]] = {
        (kind, factor, value): Counter()
        for kind in EVENT_KINDS
        for factor, values in (("words_per_minute", RATES), ("recogniser", RECOGNISERS))
        for value in values
    }
    for cell in mine:
        for factor in ("words_per_minute", "recogniser"):
            counts = by_kind_and[cell.event, factor, getattr(cell, factor)]
            counts[cell.position] += 1
            counts[cell.pause] += 1
    for kind, factor in product(EVENT_KINDS, ("words_per_minute", "recogniser")):
        levels = RATES if factor == "words_per_minute" else RECOGNISERS
        assert (
            len({tuple(sorted(by_kind_and[kind, factor, v].items(), key=str)) for v in levels}) == 1
        )
        assert all(
            by_kind_and[kind, factor, value][pause] == 1 for value in levels for pause in PAUSES
        )
    topics: dict[int, list[Cell]] = {}
    for cell in mine:
        topics.setdefault(cell.topic, []).append(cell)
    assert set(topics) == set(range(16))
    for about in topics.values():
        assert sorted(cell.event for cell in about) == sorted(EVENT_KINDS)
        assert set(Counter(cell.words_per_minute for cell in about).values()) == {2}
        assert set(Counter(cell.recogniser for cell in about).values()) == {2}


@BY_KIND
def test_a_scenario_is_what_its_cell_says(pairs: list[tuple[Cell, Scenario]]) -> None:
    for cell, scenario in pairs:
        assert scenario.name == cell.name
        assert Scenario.model_validate(scenario.model_dump()) == scenario
        assert scenario.per_minute == cell.words_per_minute
        assert f"suite {VERSION}" in scenario.description
        event, rule = event_of(scenario), event_of(scenario).start_rule[0]
        assert event.id == "event"
        assert event.label == LABELS[cell.event]
        follows = cell.position == "after"
        turn_end = "follow_up" if follows else "question"
        assert event.kind == (turn_end if cell.event == "turn_end" else cell.event)
        assert (
            rule
            == {"opening": "at", "during": "into_answer", "after": "after_answer"}[cell.position]
        )
        before = scenario.utterances[:-1]
        assert len(before) == (cell.position != "opening")
        for first in before:
            assert (first.id, first.label, first.kind) == ("first", "query", "question")
            assert first.start_rule[0] == "at"
        pauses = [part.pause for part in event.say if isinstance(part, Pause)]
        assert pauses == ([cell.pause] if cell.event == "pause" else [])
        for utterance in scenario.utterances:
            assert max(hearing.end for hearing in scenario.hearings(utterance)) < 20


def test_queries_are_those_kinds_that_want_something() -> None:
    wanted = {kind for kind, label in LABELS.items() if label == "query"}
    assert wanted == {"pause", "turn_end", "interruption", "stop_request", *MORE_KINDS[:-1]}


def test_the_other_kinds_meet_every_rate_recogniser_and_topic_once_in_each_half() -> None:
    found = [(c.half, c.event, c.words_per_minute, c.recogniser) for c, _ in MORE_PAIRS]
    assert sorted(found) == sorted(product(HALVES, MORE_KINDS, RATES, RECOGNISERS))
    for half, kind in product(HALVES, MORE_KINDS):
        mine = [c for c, _ in MORE_PAIRS if (c.half, c.event) == (half, kind)]
        assert sorted(cell.topic for cell in mine) == list(range(16))
        for factor in ("words_per_minute", "recogniser"):
            met = Counter((getattr(cell, factor), cell.position) for cell in mine)
            assert all(
                met[value, position] == MORE_EVENTS[kind].positions.count(position)
                for value in {getattr(cell, factor) for cell in mine}
                for position in MORE_EVENTS[kind].positions
            )


def test_a_scenario_of_the_other_kinds_is_what_its_cell_says() -> None:
    rules = {"opening": "at", "during": "into_answer", "after": "after_answer"}
    for cell, scenario in MORE_PAIRS:
        assert scenario.name == cell.name
        assert cell.name.startswith(f"more-{cell.half}-{cell.event}-")
        assert f"suite more {MORE_VERSION}" in scenario.description
        assert Scenario.model_validate(scenario.model_dump()) == scenario
        event = event_of(scenario)
        assert (event.kind, event.label) == (cell.event, LABELS[cell.event])
        assert event.start_rule[0] == rules[cell.position]
        ids = [one.id for one in scenario.utterances]
        first = ["first"] if cell.position != "opening" else []
        assert ids == [*first, "event", *(["resumed"] if cell.event == "hold_request" else [])]
        for utterance in scenario.utterances:
            assert max(hearing.end for hearing in scenario.hearings(utterance)) < 20


def test_only_an_assent_answers_a_question_of_the_assistants() -> None:
    for cell, scenario in MORE_PAIRS:
        if cell.event != "assent":
            assert not scenario.context
            continue
        user, assistant = scenario.context
        assert user.user is not None
        assert assistant.assistant is not None
        assert assistant.assistant.endswith("?")


def test_who_asked_to_hold_comes_back_with_a_question_that_is_not_taken_for_the_same() -> None:
    for _, scenario in (pair for pair in MORE_PAIRS if pair[0].event == "hold_request"):
        back = scenario.utterances[-1]
        rule, seconds = back.start_rule
        assert (back.label, back.kind, rule) == ("query", "follow_up", "after_answer")
        assert seconds > GRACE


def test_a_change_of_topic_is_to_another_ones() -> None:
    for cell, scenario in (pair for pair in MORE_PAIRS if pair[0].event == "topic_change"):
        topics = _texts(cell.half)[0]
        said = plain(finally_heard(scenario, event_of(scenario)))
        of = [n for n, topic in enumerate(topics) for a in topic.asks.values() if plain(a) in said]
        assert len(of) == 1
        assert of != [cell.topic]


@pytest.mark.parametrize("pairs", [PAIRS, MORE_PAIRS], ids=["first", "more"])
def test_a_recogniser_writes_as_it_is_called(pairs: list[tuple[Cell, Scenario]]) -> None:
    for cell, scenario in pairs:
        for utterance in scenario.utterances:
            text = finally_heard(scenario, utterance)
            marked = any(mark in text for mark in ".,?!")
            assert marked == (cell.recogniser in ("written", "revised"))
            assert (text == text.lower()) == (cell.recogniser == "lower")
            assert bool(utterance.revisions) == (cell.recogniser == "revised")
            assert (text != utterance.text) == (cell.recogniser == "revised")


@pytest.mark.parametrize("half", HALVES)
def test_corrections_come_while_the_user_is_speaking(half: Half) -> None:
    late = 0
    for cell, scenario in PAIRS:
        for utterance in scenario.utterances if cell.half == half else ():
            hearings = scenario.hearings(utterance)
            spoken = [hearing for hearing in hearings if not hearing.restates]
            silences = [(a.end, b.start) for a, b in pairwise(spoken) if b.start - a.end > 0.01]
            for hearing in hearings:
                if hearing.restates and len(spoken) >= 6:
                    assert hearing.end < spoken[-1].end, scenario.name
                    assert not any(a <= hearing.end < b for a, b in silences), scenario.name
                late += hearing.restates and hearing.end > spoken[-1].end
    assert late < 16  # words of a short utterance can only be corrected after it


def test_words_before_a_pause_ask_nothing_yet() -> None:
    for cell, scenario in PAIRS:
        if cell.event == "pause":
            first, _, second = event_of(scenario).say
            assert isinstance(first, Words)
            assert isinstance(second, Words)
            assert not first.text.rstrip().endswith((".", "?", "!"))
            assert len(cut(second.text)) >= 3


def test_a_first_query_is_about_nothing_said_before() -> None:
    for _, scenario in (pair for pair in ALL_PAIRS if not pair[1].context):
        words = plain(finally_heard(scenario, scenario.utterances[0])).split()
        if scenario.utterances[0].label == "query":
            assert not {"they", "them", "none"} & set(words), scenario.name


def test_the_halves_share_no_query_and_nothing_of_three_words() -> None:
    assert not queries("dev") & queries("report")
    said = {
        half: {
            plain(finally_heard(scenario, utterance))
            for cell, scenario in ALL_PAIRS
            for utterance in scenario.utterances
            if cell.half == half
        }
        for half in HALVES
    }
    assert not {text for text in said["dev"] & said["report"] if len(text.split()) >= 3}


@pytest.mark.parametrize("pairs", [PAIRS, MORE_PAIRS], ids=["first", "more"])
@pytest.mark.parametrize("half", HALVES)
def test_nothing_is_said_twice_in_a_half(half: Half, pairs: list[tuple[Cell, Scenario]]) -> None:
    said = Counter(
        plain(finally_heard(scenario, utterance))
        for cell, scenario in pairs
        for utterance in scenario.utterances
        if cell.half == half
    )
    assert said.most_common(1)[0][1] == 1


def test_backchannels_are_short() -> None:
    texts = [finally_heard(s, event_of(s)) for c, s in PAIRS if c.event == "backchannel"]
    assert all(len(text.split()) <= 3 for text in texts)


def test_a_part_is_found_by_the_beginning_of_names() -> None:
    assert len(suite_scenarios("dev")) == len(suite_scenarios("report")) == 128
    assert len(suite_scenarios("dev-pause")) == 16
    assert len(suite_scenarios("*-lower")) == 64
    assert len(suite_scenarios("more")) == 192
    assert len(suite_scenarios("more-dev")) == len(suite_scenarios("more-report")) == 96
    assert len(suite_scenarios("more-*-vocal_tic")) == 32
    [one] = suite_scenarios("report-stop_request-110-written")
    assert one.name == "report-stop_request-110-written"
    with pytest.raises(BadInput, match="no scenario of the suite is called 'train'"):
        suite_scenarios("train")


@given(st.text(), st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_draws_use_weights(seed: str, weights: list[int]) -> None:
    drawn = Draws(seed).choices(range(len(weights)), weights, k=30)
    assert len(drawn) == 30
    assert set(drawn) <= set(range(len(weights)))
    assert drawn == Draws(seed).choices(range(len(weights)), weights, k=30)
    assert Draws(seed).choices(["x", "y"], [1, 0], k=5) == ["x"] * 5


def test_draws_are_as_often_as_their_weights() -> None:
    counts = Counter(Draws("weights").choices("ab", [3, 1], k=4000))
    assert 2850 < counts["a"] < 3150


WORD = st.text("abcdefgh'", min_size=1, max_size=9).filter(lambda word: word.strip("'"))


@given(st.lists(st.lists(WORD, min_size=1, max_size=12), min_size=1, max_size=3), st.integers())
def test_a_revision_restores_what_was_said(stretches: list[list[str]], seed: int) -> None:
    texts = [" ".join(words) for words in stretches]
    fields = heard_as(texts, "revised", Draws(str(seed)))
    utterance = Utterance.model_validate(
        {"id": "u", "at": 0, "label": "query", "kind": "question", **fields}
    )
    assert heard_text(utterance.hearings(150)) == " ".join(texts)
    assert heard_as(texts, "revised", Draws(str(seed))) == fields


def test_a_misheard_word_is_another_word() -> None:
    words = {
        word for scenario in SUITE + MORE for u in scenario.utterances for word in u.text.split()
    }
    assert all(misheard(word) != word for word in words)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "      pause: how bees find their way back to the hive\n",
            "",
            r"topics\[0\]\.clauses: has no text",
        ),
        ("{clause}?", "{claus}?", r"phrases\.long\[0\]: claus is no symbol of this file"),
        ("  - name: bees\n", "  - nam: bees\n", r"topics\[0\]\.nam: is not a field"),
    ],
)
def test_a_mistake_in_the_texts_is_named_with_its_line(old: str, new: str, message: str) -> None:
    text = (ROOT / "sessions" / "suite" / "dev.yaml").read_text("utf-8")
    with pytest.raises(BadInput, match=rf"dev\.yaml:\d+: {message}"):
        MarkedYaml(text.replace(old, new, 1), "dev.yaml").validated(Texts)
