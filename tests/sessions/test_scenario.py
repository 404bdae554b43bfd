"""Scenario files: what they mean, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.errors import BadInput
from sessions.catalogue import find_scenarios, with_controls
from sessions.scenario import (
    Scenario,
    control,
    parse_scenario,
    read_scenario,
    scenario_yaml,
    write_scenarios,
)
from tests.sessions.talk import scenario, utterance

GOOD = """\
name: capital
language: en
utterances:
  - id: ask
    at: 1.0
    label: query
    kind: question
    say: What is the capital of France?
  - id: thanks
    into_answer: 1.5
    label: non_query
    kind: acknowledgement
    say: [Okay, {pause: 0.5}, thanks.]
"""


def times(scenario: Scenario, number: int = 0) -> list[tuple[str, float, float]]:
    return [
        (hearing.text, round(hearing.start, 3), round(hearing.end, 3))
        for hearing in scenario.hearings(scenario.utterances[number])
    ]


def with_say(say: str, *more: str) -> Scenario:
    lines = "".join(f"    {line}\n" for line in (f"say: {say}", *more))
    head, _, tail = GOOD.partition("    say: What is the capital of France?\n")
    return parse_scenario(head + lines + tail, "a.yaml")


def test_a_scenario_is_read() -> None:
    scenario = parse_scenario(GOOD, "a.yaml")
    assert scenario.name == "capital"
    assert [utterance.start_rule for utterance in scenario.utterances] == [
        ("at", 1.0),
        ("into_answer", 1.5),
    ]
    assert [utterance.text for utterance in scenario.utterances] == [
        "What is the capital of France?",
        "Okay thanks.",
    ]


def test_a_pause_lies_between_words() -> None:
    # 150 words a minute: 0.4 s for each of two lonely words.
    assert times(parse_scenario(GOOD, "a.yaml"), 1) == [
        ("Okay", 0.0, 0.4),
        (" thanks.", 0.9, 1.3),
    ]


def test_the_rate_of_an_utterance_goes_before_the_default() -> None:
    assert times(with_say("Hi", "words_per_minute: 60")) == [("Hi", 0.0, 1.0)]
    slow = GOOD.replace("language: en", "language: en\ndefaults: {words_per_minute: 30}")
    assert times(parse_scenario(slow, "a.yaml"), 1)[0] == ("Okay", 0.0, 2.0)


def test_words_can_be_timed_one_by_one() -> None:
    say = "[{word: Hi, start: 0.1, end: 0.3}, {word: there, start: 0.5, end: 0.9}]"
    assert times(with_say(say)) == [("Hi", 0.1, 0.3), (" there", 0.5, 0.9)]


def test_chinese_is_timed_by_the_character() -> None:
    chinese = GOOD.replace("language: en", "language: zh").replace(
        "What is the capital of France?", "[你好，, {pause: 1.0}, 天气呢？]"
    )
    assert times(parse_scenario(chinese, "a.yaml")) == [  # 250 characters a minute: 0.24 s each
        ("你", 0.0, 0.24),
        ("好，", 0.24, 0.48),
        ("天", 1.48, 1.72),
        ("气", 1.72, 1.96),
        ("呢？", 1.96, 2.2),
    ]


def test_no_is_a_word_and_not_a_truth_value() -> None:
    assert with_say("No").utterances[0].text == "No"
    assert with_say("[On, {pause: 1}, yes]").utterances[0].text == "On yes"


def test_the_hash_is_of_the_content_and_not_of_the_layout() -> None:
    scenario = parse_scenario(GOOD, "a.yaml")
    same = GOOD.replace("    at: 1.0\n    label: query\n", "    label: query  # it is\n    at: 1\n")
    assert parse_scenario(same, "b.yaml").sha256 == scenario.sha256
    assert parse_scenario(GOOD.replace("1.5", "1.6"), "b.yaml").sha256 != scenario.sha256


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "message"),
    [
        ("at: 1.0", "at: -1", 5, "utterances[0].at", "greater than or equal to 0"),
        ("at: 1.0", "at: soon", 5, "utterances[0].at", "valid number"),
        ("at: 1.0", "at: true", 5, "utterances[0].at", "valid number"),
        ("at: 1.0", "at: .inf", 5, "utterances[0].at", ""),
        ("at: 1.0", "give_up: 3", 4, "utterances[0]", "no start rule"),
        ("at: 1.0", "into_answer: 2", 5, "utterances[0].into_answer", "first utterance"),
        ("at: 1.0", "after_answer: 2", 5, "utterances[0].after_answer", "first utterance"),
        ("into_answer: 1.5", "at: 9\n    after_previous: 2", 11, "utterances[1].after_previous",
         "second start rule beside at"),
        ("into_answer: 1.5", "at: 2", 10, "utterances[1].at", "does not end before 3.400 s"),
        ("label: query\n    kind: question", "label: non_query\n    kind: statement", 10,
         "utterances[1].into_answer", "no query comes before"),
        ("id: thanks", "id: ask", 9, "utterances[1].id", "taken"),
        ("id: thanks", "id: th anks", 9, "utterances[1].id", "pattern"),
        ("id: thanks", r'id: "a\eb"', 9, "utterances[1].id", "pattern"),
        ("label: non_query", "label: remark", 11, "utterances[1].label", "'query' or 'non_query'"),
        ("label: non_query", "label: query", 11, "utterances[1].label", "always a non_query"),
        ("kind: acknowledgement", "kind: ack", 12, "utterances[1].kind", "'question'"),
        ("kind: acknowledgement", "sort: statement", 12, "utterances[1].sort", "not a field"),
        ("    kind: acknowledgement\n", "", 9, "utterances[1].kind", "missing"),
        ("kind: question", "kind: pause", 8, "utterances[0].say", "no pause"),
        ("kind: question", "kind: revision", 4, "utterances[0].revisions", "missing"),
        ("[Okay, {pause: 0.5}, thanks.]", "[Okay, {pause: 0}, thanks.]", 13,
         "utterances[1].say[1].pause", "greater than 0"),
        ("[Okay, {pause: 0.5}, thanks.]", "[Okay, {pause: 1}]", 13, "utterances[1].say[1]",
         "between words"),
        ("[Okay, {pause: 0.5}, thanks.]", "[]", 13, "utterances[1].say", "empty"),
        ("[Okay, {pause: 0.5}, thanks.]", "' '", 13, "utterances[1].say[0].text", "pattern"),
        ("[Okay, {pause: 0.5}, thanks.]", "7", 13, "utterances[1].say", "a text, or a list"),
        ("[Okay, {pause: 0.5}, thanks.]",
         "\n      - {word: a, start: 0, end: 1}\n      - {word: b, start: 0.9, end: 2}", 15,
         "utterances[1].say[1].start", "before the last word's end (1 s)"),
        ("[Okay, {pause: 0.5}, thanks.]", "[{word: a, start: 1, end: 1}]", 13,
         "utterances[1].say[0].end", "not after start"),
        ("[Okay, {pause: 0.5}, thanks.]", "[{word: a, start: 1, end: 2}, b]", 13,
         "utterances[1].say", "one by one"),
        ("[Okay, {pause: 0.5}, thanks.]", "a b\n    revisions: [{after_words: 3, text: c}]", 14,
         "utterances[1].revisions[0].after_words", "not between 1 and 2"),
        ("[Okay, {pause: 0.5}, thanks.]",
         "a b\n    revisions:\n      - {after_words: 1, text: c, delay: 2}\n"
         "      - {after_words: 2, text: d}", 16,
         "utterances[1].revisions[1].delay", "before the revision above"),
        ("language: en", "language: en\ndefaults: {words_per_minute: 0}", 3,
         "defaults.words_per_minute", "greater than 0"),
        ("say: What", "characters_per_minute: 200\n    say: What", 8,
         "utterances[0].characters_per_minute", "not how en is timed"),
        ("name: capital", "name: ../capital", 1, "name", "pattern"),
        ("name: capital", "name: capital\nname: other", 2, "name", "twice"),
        ("utterances:", "utterances: []\nothers:", 4, "others", "not a field"),
        (GOOD, "name: a\nlanguage: en\nutterances: []", 3, "utterances", "empty"),
        (GOOD, "- a\n- b", 1, None, "mapping"),
        (GOOD, "name: [", 1, None, "not YAML"),
        (GOOD, "name: \t- x", 1, None, "not YAML"),
        (GOOD, "a: 1\n---\nb: 2", 2, None, "not YAML"),
        (GOOD, "a: !!python/object:os.system x", 1, None, "not YAML"),
        (GOOD, "&a [*a]", 1, None, "contains itself"),
        (GOOD, "", None, None, "empty"),
        (GOOD, "[" * 3000, None, None, "deeply"),
        (GOOD, "name: \x1b[31m", None, None, "not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_field(
    old: str, new: str, line: int | None, field: str | None, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(BadInput) as caught:
        parse_scenario(GOOD.replace(old, new), "a.yaml")
    assert (caught.value.line, caught.value.field) == (line, field)
    assert message in caught.value.message
    assert str(caught.value).isprintable()  # one line, without anything that a terminal acts on
    assert str(caught.value).startswith("a.yaml")


@settings(max_examples=300)
@given(st.data())
def test_whatever_a_file_says_it_is_a_scenario_or_bad_input(data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        cut = data.draw(st.integers(0, len(lines[at])))
        lines[at] = lines[at][:cut] + data.draw(st.text("ab: -[]{}&*!|>'\"#1.\n", max_size=8))
    try:
        scenario = parse_scenario("\n".join(lines), "a.yaml")
    except BadInput as error:
        refusal = str(error)
    else:
        assert scenario.utterances
        return
    assert refusal.startswith("a.yaml")
    assert refusal.isprintable()


def test_a_file_that_cannot_be_read_is_bad_input(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(BadInput, match="UTF-8"):
        read_scenario(latin)
    with pytest.raises(BadInput, match="No such file"):
        read_scenario(tmp_path / "none.yaml")
    with pytest.raises(BadInput, match="directory"):
        read_scenario(tmp_path)


# Scenarios written as YAML are the same scenarios when read.


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.strip() and text == text.strip()
)


@pytest.mark.parametrize("names", [(), ("suite:dev",), ("suite:report",), ("suite:more",)])
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


# The half-duplex control of a scenario.


def test_a_control_says_the_same_and_interrupts_nobody() -> None:
    scenarios = find_scenarios() + find_scenarios(["suite:dev", "suite:more-dev"])
    both = with_controls(scenarios)
    by_name = {each.name: each for each in scenarios}
    controls = [each for each in both if each.control_of]
    assert tuple(each for each in both if not each.control_of) == scenarios
    for each in controls:
        of = by_name[each.control_of]
        assert parse_scenario(scenario_yaml(each), "file") == each
        assert each.name == f"{of.name}-control"
        assert [u.say for u in each.utterances] == [u.say for u in of.utterances]
        assert [(u.id, u.label, u.kind) for u in each.utterances] == [
            (u.id, u.label, u.kind) for u in of.utterances
        ]
        for said, before in zip(each.utterances, of.utterances, strict=True):
            rule = before.start_rule
            assert said.start_rule == (("after_answer", 0.0) if rule[0] == "into_answer" else rule)
        assert control(each) is None
    without = [each for each in scenarios if control(each) is None]
    assert len(without) + len(controls) == len(scenarios)
    for name in ("dev-backchannel", "dev-stop_request", "more-dev-hold_request", "dev-turn_end"):
        assert any(each.name.startswith(name) for each in without)
        assert not any(each.name.startswith(name) for each in controls)


def test_what_has_no_control_is_said() -> None:
    with pytest.raises(BadInput, match="no scenario has a query that interrupts an answer"):
        with_controls(find_scenarios(["suite:dev-pause"]))
    of = scenario(utterance("a", at=0.5), utterance("b", into_answer=1.0))
    other = of.model_copy(update={"name": "test-control"})
    with pytest.raises(BadInput, match="two scenarios would be called test-control"):
        with_controls([of, other])
    with pytest.raises(BadInput, match="is too long for the name of a control"):
        control(of.model_copy(update={"name": "x" * 60}))


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
