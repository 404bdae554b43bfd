"""Scenarios written as YAML are the same scenarios when read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.errors import BadInput
from sessions.catalogue import find_scenarios
from sessions.scenario import Scenario, parse_scenario, scenario_yaml, write_scenarios
from tests.sessions.talk import scenario, utterance

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.strip() and text == text.strip()
)


@pytest.mark.parametrize("names", [(), ("suite:dev",), ("suite:report",)])
def test_every_packaged_scenario_survives(names: tuple[str, ...]) -> None:
    for each in find_scenarios(names):
        again = parse_scenario(scenario_yaml(each), "file")
        assert again == each
        assert again.sha256 == each.sha256


@given(TEXT, TEXT, st.lists(st.tuples(st.booleans(), TEXT), max_size=3))
def test_any_text_survives(said: str, description: str, before: list[tuple[bool, str]]) -> None:
    context = [{"user" if own else "assistant": text} for own, text in before]
    made = Scenario.model_validate(
        {
            "name": "x",
            "language": "en",
            "description": description,
            "context": context,
            "utterances": [utterance("a", said, at=1.0), utterance("b", [said], after_answer=2.0)],
        }
    )
    assert parse_scenario(scenario_yaml(made), "file") == made


def test_a_text_alone_is_no_list() -> None:
    text = scenario_yaml(scenario(utterance("a", "No", at=0.5)))
    assert "say: 'No'" in text
    assert "at: 0.5" in text


def test_files_that_were_changed_are_kept(tmp_path: Path) -> None:
    scenarios = find_scenarios(["suite:dev-pause-110"])
    paths = write_scenarios(scenarios, tmp_path / "out")
    assert [path.name for path in paths] == [f"{each.name}.yaml" for each in scenarios]
    assert find_scenarios([str(tmp_path / "out")]) == tuple(
        sorted(scenarios, key=lambda each: each.name)
    )
    write_scenarios(scenarios, tmp_path / "out")  # the same: nothing to lose
    paths[2].write_text("mine")
    paths[0].unlink()
    with pytest.raises(BadInput, match="--force writes over it") as caught:
        write_scenarios(scenarios, tmp_path / "out")
    assert caught.value.file == paths[2]
    assert not paths[0].exists()
    write_scenarios(scenarios, tmp_path / "out", force=True)
    assert paths[2].read_text() == scenario_yaml(scenarios[2])


@pytest.mark.parametrize(
    ("turn", "field"),
    [
        ("{user: a, assistant: b}", "context[1]"),
        ("{}", "context[1]"),
        ("{user: '  '}", "context[1].user"),
        ("{system: a}", "context[1].system"),
    ],
)
def test_a_turn_before_is_somebodys(turn: str, field: str) -> None:
    text = scenario_yaml(scenario(utterance("a", at=0.5)))
    text += f"context:\n- user: hello\n- {turn}\n"
    with pytest.raises(BadInput) as caught:
        parse_scenario(text, "file")
    assert (caught.value.field, caught.value.line) == (field, text.count("\n"))
