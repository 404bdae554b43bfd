"""The scenarios that come with the package, and how scenarios are found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from duo.errors import BadInput
from sessions.catalogue import find_scenarios, library_names, library_scenario
from sessions.scenario import KINDS, START_RULES, Pause, Scenario

LIBRARY = find_scenarios()
TEXT = """\
name: {}
language: en
utterances: [{{id: a, at: 1, label: query, kind: question, say: Hi}}]
"""
#: Kinds that only the suites and files of labelled utterances have.
ELSEWHERE = {"background", "unfinished", "assent", "hold_request", "topic_change", "vocal_tic"}
ENGLISH = [scenario for scenario in LIBRARY if scenario.language == "en"]
CHINESE = [scenario for scenario in LIBRARY if scenario.language == "zh"]


def test_the_library_is_large_enough() -> None:
    assert len(ENGLISH) >= 24
    assert len(CHINESE) >= 4
    assert len(ENGLISH) + len(CHINESE) == len(LIBRARY)


@pytest.mark.parametrize("scenario", LIBRARY, ids=lambda scenario: scenario.name)
def test_a_scenario_is_a_conversation(scenario: Scenario) -> None:
    assert scenario.name in library_names()  # the file is called as the scenario
    assert scenario.description
    assert 3 <= len(scenario.utterances) <= 8
    assert {utterance.label for utterance in scenario.utterances} == {"query", "non_query"}
    for utterance in scenario.utterances:
        assert max(hearing.end for hearing in scenario.hearings(utterance)) < 12


def test_every_kind_comes_several_times() -> None:
    kinds = Counter(utterance.kind for scenario in ENGLISH for utterance in scenario.utterances)
    assert all(kinds[kind] >= 5 for kind in KINDS if kind not in ELSEWHERE), kinds
    chinese = {utterance.kind for scenario in CHINESE for utterance in scenario.utterances}
    assert chinese == set(KINDS) - ELSEWHERE


def test_every_way_of_saying_and_starting_something_is_used() -> None:
    utterances = [utterance for scenario in LIBRARY for utterance in scenario.utterances]
    assert {utterance.start_rule[0] for utterance in utterances} == set(START_RULES)
    assert any(
        isinstance(part, Pause) and utterance.label == "non_query"
        for utterance in utterances
        for part in utterance.say
    )
    into = [u.start_rule[1] for u in utterances if u.kind == "interruption"]
    assert all(1.5 <= seconds <= 8 for seconds in into)


def test_no_two_queries_are_the_same() -> None:
    said = Counter(
        utterance.text
        for scenario in LIBRARY
        for utterance in scenario.utterances
        if utterance.label == "query"
    )
    assert said.most_common(1)[0][1] == 1


def test_scenarios_are_found_by_name_file_and_folder(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(TEXT.format("mine"))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "b.yml").write_text(TEXT.format("second"))
    (folder / "a.yaml").write_text(TEXT.format("first"))
    (folder / "notes.txt").write_text("no scenario")
    found = find_scenarios(["pasta-dinner", str(mine), str(folder), "pasta-dinner"])
    assert [scenario.name for scenario in found] == ["pasta-dinner", "mine", "first", "second"]


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(BadInput, match="unknown scenario 'pasta-diner': did you mean pasta-dinner"):
        library_scenario("pasta-diner")
    with pytest.raises(BadInput, match="unknown scenario 'x'"):
        find_scenarios(["x"])


def test_what_is_no_scenario_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no scenario"):
        find_scenarios([str(tmp_path)])
    with pytest.raises(BadInput, match="No such file"):
        find_scenarios([str(tmp_path / "none.yaml")])


def test_two_scenarios_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEXT.format("same"))
    (tmp_path / "b.yaml").write_text(TEXT.format("Same"))  # one file on some systems
    with pytest.raises(BadInput, match=r"b\.yaml: Same is also the name of .*a\.yaml"):
        find_scenarios([str(tmp_path)])
