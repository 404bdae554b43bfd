"""Files of labelled utterances, as scenarios."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from duo.errors import BadInput
from sessions.catalogue import KIND_OF, find_scenarios, read_utterances
from sessions.play import play
from sessions.scenario import Scenario
from tests.sessions.fakes import Answerer
from tests.sessions.talk import HEADER

ANSWERED = ("query", "question", "directive", "interruption")


def line(label: str = "query", **more: Any) -> dict[str, Any]:
    return {
        "id": "a-1",
        "context": [],
        "text": "What is rain?",
        "label": label,
        "needs_response": label in ANSWERED,
        "source": "somewhere",
        **more,
    }


def written(folder: Path, *lines: Any, name: str = "said.jsonl") -> Path:
    path = folder / name
    text = "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def one(folder: Path, **more: Any) -> Scenario:
    [scenario] = read_utterances(written(folder, line(**more)))
    return scenario


def before(scenario: Scenario) -> list[tuple[str, str]]:
    return [(each.turn.role, each.turn.text) for each in scenario.context]


@pytest.mark.parametrize("label", KIND_OF)
def test_every_label_has_its_kind(tmp_path: Path, label: str) -> None:
    scenario = one(tmp_path, label=label)
    [event] = scenario.utterances
    assert (event.id, event.kind, event.text) == ("event", KIND_OF[label], "What is rain?")
    assert event.label == ("query" if label in ANSWERED else "non_query")
    assert event.start_rule == ("at", 1.0)
    assert scenario.name == "a-1"
    assert scenario.per_minute == 150


def test_the_context_is_the_dialogue_so_far(tmp_path: Path) -> None:
    said = [("other", " hm "), ("self", "well"), ("self", "so"), ("other", ""), ("other", "yes")]
    context = [{"spk": speaker, "text": text} for speaker, text in said]
    scenario = one(tmp_path, label="backchannel", context=context)
    assert before(scenario) == [("assistant", "hm"), ("user", "well so"), ("assistant", "yes")]


@pytest.mark.parametrize("label", ["interruption", "backchannel", "acknowledgement"])
def test_what_is_about_an_answer_comes_into_one(tmp_path: Path, label: str) -> None:
    context = [{"spk": speaker, "text": text} for speaker, text in
               [("self", "Hi."), ("other", "Hello."), ("self", "List fruits.")]]  # fmt: skip
    scenario = one(tmp_path, label=label, context=context, text="No, vegetables!")
    assert before(scenario) == [("user", "Hi."), ("assistant", "Hello.")]
    first, event = scenario.utterances
    assert (first.text, first.label, first.start_rule) == ("List fruits.", "query", ("at", 1.0))
    assert event.start_rule == ("into_answer", 2.0)
    # Where the assistant had the last word there is no query to repeat.
    scenario = one(tmp_path, label=label, context=context[:2])
    assert len(scenario.utterances) == 1
    assert len(scenario.context) == 2


def test_ids_become_names(tmp_path: Path) -> None:
    ids = ["x-1", "a/b", "a:b", "日本", "y" * 100, 7, "-", "<script>"]
    path = written(tmp_path, *(line(id=id) for id in ids), name="said.jsonl.gz")
    names = [scenario.name for scenario in find_scenarios([str(path)])]
    assert len(set(names)) == len(ids)
    assert names[0] == "x-1"
    assert names[5] == "7"
    assert names[1].startswith("a-b-")
    assert names[1] != names[2]


@pytest.mark.parametrize(
    ("bad", "field", "message"),
    [
        ("{", None, "not JSON"),
        ("[1]", None, "not a JSON object"),
        (line(label="shout"), "label", "unknown 'shout': use one of query"),
        (line(label="backchannel", needs_response=True), "needs_response", "always a non_query"),
        (line(label="interruption", needs_response=False), "needs_response", "always a query"),
        (line(text=" "), "text", "match"),
        (line(needs_response="yes"), "needs_response", "boolean"),
        (line(context=[{"spk": "me", "text": "x"}]), "context[0].spk", "self"),
        (line(context=[{"spk": "self"}]), "context[0].text", "is missing"),
        ({"text": "x"}, "id", "is missing"),
        (line(id="ok"), "id", "is taken by line 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, bad: Any, field: str | None, message: str) -> None:
    path = written(tmp_path, line(id="ok"), bad)
    with pytest.raises(BadInput) as caught:
        read_utterances(path)
    assert message in caught.value.message
    assert (caught.value.file, caught.value.line, caught.value.field) == (path, 2, field)


def test_files_without_utterances_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no utterances"):
        read_utterances(written(tmp_path, name="empty.jsonl"))
    with pytest.raises(BadInput, match="no such file"):
        find_scenarios([str(tmp_path / "none.jsonl.gz")])
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(gzip.compress(b"x" * 1000)[:-20])
    with pytest.raises(BadInput, match="is damaged"):
        read_utterances(broken)


class Rememberer(Answerer):
    """An answerer that can be given a dialogue."""

    recalled: Any = ()

    def recall(self, turns: Any) -> None:
        self.recalled = turns


def test_a_system_is_given_the_dialogue_before_it_hears(tmp_path: Path) -> None:
    context = [{"spk": "self", "text": "Hi."}, {"spk": "other", "text": "Hello."}]
    scenario = one(tmp_path, context=context)
    system = Rememberer()
    transcript = play(scenario, system, HEADER).transcript
    assert [turn.text for turn in system.recalled] == ["Hi.", "Hello."]
    assert next(transcript.of("note")).text == "goes on from turns held before: 2"
    with pytest.raises(BadInput, match="cannot go on from a dialogue held before") as caught:
        play(scenario, Answerer(), HEADER)
    assert caught.value.field == "context"
    system = Rememberer()
    play(one(tmp_path), system, HEADER)
    assert system.recalled == ()
