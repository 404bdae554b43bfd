"""A killed run goes on and ends with the same numbers; a change is never overlooked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from duo.errors import BadInput
from evaluation.benchmarks import answering
from evaluation.benchmarks.journal import Journal
from evaluation.benchmarks.matrix import Settings, run
from tests.evaluation.benchmarks.small import (
    answer,
    copy_data,
    open_answering,
    save_model,
    works_for,
)

_SETTINGS = Settings(batch_size="2", max_new_tokens=12)


class Killed(BaseException):
    """What no code of ours catches."""


def _without_times(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "wall_seconds"}


@pytest.mark.parametrize(
    ("name", "profile"), [("mmlu", "lm-eval"), ("gsm8k", "lm-eval"), ("gsm8k", "ultraeval")]
)
def test_a_killed_run_ends_with_the_same_numbers(
    name: str, profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "_CHUNK", 2)
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", name)
    settings = replace(_SETTINGS, profile=profile)
    wanted, wanted_items = answer(name, model, data, tmp_path / "undisturbed", settings)

    out = tmp_path / "out"
    calls = 0

    def kill(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Killed

    with pytest.raises(Killed):
        answer(name, model, data, out, settings, on_done=kill)
    (work,) = works_for(name, model, data, settings)
    journal = work.unit.journal(out)
    assert journal.is_file()
    assert not work.unit.path(out).exists()
    with journal.open("a") as stream:
        stream.write('{"chunk": "likelih')  # the line that was being written

    computed: list[Any] = []
    own = answering.Answering._chunk

    def count(self: Any, chunk: str, asked: Any, call: Any) -> list[Any]:
        return own(self, chunk, asked, lambda: computed.append(chunk) or call())

    monkeypatch.setattr(answering.Answering, "_chunk", count)
    asked_in_all = []
    result, items = answer(
        name, model, data, out, settings, on_done=lambda done, total: asked_in_all.append(done)
    )
    assert _without_times(result) == _without_times(wanted)
    assert items == wanted_items
    assert 0 < len(computed) == len(asked_in_all) - 2
    assert not journal.exists()


def test_what_is_finished_is_not_done_again(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", "arc_easy")
    result, _ = answer("arc_easy", model, data, tmp_path / "out", _SETTINGS)
    works = works_for("arc_easy", model, data, _SETTINGS)
    told = []

    def no_model(column: Any) -> Any:
        raise AssertionError("a model is loaded for nothing")

    again = run(
        works, _SETTINGS, tmp_path / "out", open_lm=no_model,
        on_result=lambda work, result, fresh: told.append(fresh),
    )  # fmt: skip
    assert again == [result]
    assert told == [False]


def test_every_setting_the_model_and_the_data_make_another_result(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    other = save_model(tmp_path / "other", seed=1)
    data = copy_data(tmp_path / "data", "gsm8k")
    changed = copy_data(tmp_path / "changed", "gsm8k")
    file = changed / "gsm8k/main/test.jsonl"
    file.write_text(file.read_text("utf-8").replace("15 stickers", "16 stickers"), "utf-8")
    variants = [
        works_for("gsm8k", model, data, settings)[0].unit.key
        for settings in (
            _SETTINGS,
            replace(_SETTINGS, profile="ultraeval"),
            replace(_SETTINGS, seeds=(1,)),
            replace(_SETTINGS, limit=3),
            replace(_SETTINGS, limit=4),
            replace(_SETTINGS, max_new_tokens=None),
            replace(_SETTINGS, chat_template=True),
            replace(_SETTINGS, dtype="bfloat16"),
            replace(_SETTINGS, batch_size="3"),
            replace(_SETTINGS, ban_states=False),
        )
    ]
    variants.append(works_for("gsm8k", other, data, _SETTINGS)[0].unit.key)
    variants.append(works_for("gsm8k", model, changed, _SETTINGS)[0].unit.key)
    assert len(set(variants)) == len(variants)
    assert works_for("gsm8k", model, data, _SETTINGS)[0].unit.key == variants[0]


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"key": "another"}'])
def test_a_damaged_result_is_made_anew(damage: str, tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", "arc_easy")
    result, _ = answer("arc_easy", model, data, tmp_path / "out", _SETTINGS)
    (work,) = works_for("arc_easy", model, data, _SETTINGS)
    work.unit.path(tmp_path / "out").write_text(damage)
    again, _ = answer("arc_easy", model, data, tmp_path / "out", _SETTINGS)
    assert _without_times(again) == _without_times(result)
    assert json.loads(work.unit.path(tmp_path / "out").read_text())["value"] == result["value"]


def test_a_damaged_journal_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"\xff\x00 nonsense\n{}\n")
    journal = Journal(path)
    assert journal.get("x") is None
    journal.put("x", answers=[1], asked="a", leaks=0)
    assert Journal(path).get("x") == {"answers": [1], "asked": "a", "leaks": 0}


def test_a_journal_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write"):
        Journal(tmp_path / "file" / "journal")


def test_seeds_differ_where_answers_are_drawn_only(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", "arc_easy")
    said = {}
    for profile in ("lm-eval", "ultraeval"):
        for seed in (0, 1):
            settings = replace(_SETTINGS, profile=profile, seeds=(seed,))
            result, items = answer("arc_easy", model, data, tmp_path / "out", settings)
            assert result["seed"] == seed
            said[profile, seed] = [item.get("response", item["answer"]) for item in items]
    assert said["lm-eval", 0] == said["lm-eval", 1]
    assert said["ultraeval", 0] != said["ultraeval", 1]


def test_processes_with_nothing_to_do_are_told(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", "arc_easy")
    settings = replace(_SETTINGS, limit=1)
    works = works_for("arc_easy", model, data, settings)
    lm = open_answering(model, settings)
    lm._world_size = 2
    with pytest.raises(BadInput, match="1 items of arc_easy for 2 processes"):
        run(works, settings, tmp_path / "out", open_lm=lambda column: lm)
