"""A killed run goes on and ends with the same numbers; a change is never overlooked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from duo.errors import BadInput
from evaluation.benchmarks.collect import read_runs
from evaluation.benchmarks.experiment import Settings
from evaluation.benchmarks.model import Answering, KeptAnswers
from evaluation.benchmarks.results import BenchmarkResult
from evaluation.benchmarks.run import run
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


def _lasting(told: BenchmarkResult) -> dict[str, Any]:
    return told.model_dump(exclude={"wall_seconds", "results", "samples"})


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[list[int]]]:
    """The token ids of every batch that a model computes."""
    seen: list[list[list[int]]] = []
    for name in ("_model_call", "_model_generate"):
        own = getattr(Answering, name)

        def count(self: Any, ids: Any = None, *rest: Any, own: Any = own, **how: Any) -> Any:
            found = own(self, ids, *rest, **how) if ids is not None else own(self, **how)
            seen.append((how.get("context") if ids is None else ids).tolist())
            return found

        monkeypatch.setattr(Answering, name, count)
    return seen


@pytest.mark.parametrize("batches_done", [1, 3])
@pytest.mark.parametrize(
    ("name", "profile"), [("mmlu", "lm-eval"), ("gsm8k", "lm-eval"), ("gsm8k", "ultraeval")]
)
def test_a_killed_run_ends_with_the_same_numbers(
    name: str, profile: str, batches_done: int, tmp_path: Path, batches: list[list[list[int]]]
) -> None:
    """What is left falls into the very batches that it would have been in."""
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", name)
    settings = replace(_SETTINGS, profile=profile)
    wanted, wanted_items = answer(name, model, data, tmp_path / "undisturbed", settings)
    undisturbed = batches.copy()

    out = tmp_path / "out"
    calls: list[int] = []

    def kill(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 1 + batches_done:  # the first call tells what was kept before
            raise Killed

    with pytest.raises(Killed):
        answer(name, model, data, out, settings, on_done=kill)
    (work,) = works_for(name, model, data, settings)
    kept = work.unfinished(out)
    assert kept.is_file()
    assert not work.folder(out).exists()
    with kept.open("a") as stream:
        stream.write('{"answers": [["12')  # the line that was being written

    batches.clear()
    told: list[tuple[int, int]] = []
    result, items = answer(
        name, model, data, out, settings, on_done=lambda done, total: told.append((done, total))
    )
    assert _lasting(result) == _lasting(wanted)
    assert items == wanted_items
    assert batches == undisturbed[batches_done:]
    assert sum(done for done, _ in told) == told[0][1]
    assert told[0][0] == sum(calls) > 0
    assert not kept.exists()


def test_a_question_that_is_there_twice_has_two_answers(tmp_path: Path) -> None:
    """Both are in lm-eval's batches; kept ones are given out as often as they were computed."""
    kept = KeptAnswers(tmp_path / "kept")
    for _ in range(2):
        kept.add_partial("generate_until", ("same", {}), "answer")
    assert kept.keep_batch() == 2
    again = KeptAnswers(tmp_path / "kept")
    answers = [again.take("generate_until", ("same", {})) for _ in range(3)]
    assert answers == ["answer", "answer", None]


def test_what_is_finished_is_not_done_again(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", "arc_easy")
    result, _ = answer("arc_easy", model, data, tmp_path / "out", _SETTINGS)
    works = works_for("arc_easy", model, data, _SETTINGS)
    told = []

    def no_model(column: Any) -> Any:
        raise AssertionError("a model is loaded for nothing")

    (again,) = run(
        works, tmp_path / "out", open_lm=no_model,
        on_result=lambda work, result, fresh: told.append(fresh),
    )  # fmt: skip
    assert again.facts == result
    assert told == [False]


def test_a_result_counts_only_when_its_last_file_is_there(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", "arc_easy")
    out = tmp_path / "out"
    answer("arc_easy", model, data, out, _SETTINGS)
    next(out.rglob("results_*.json")).unlink()
    with pytest.raises(BadInput, match="no benchmark results"):
        read_runs([str(out)])
    answer("arc_easy", model, data, out, _SETTINGS)
    next(out.rglob("samples_*.jsonl")).unlink()  # of the first try, or of the second
    answer("arc_easy", model, data, out, _SETTINGS)
    (found,) = {run.facts.key for run in read_runs([str(out)]).runs}
    assert found == works_for("arc_easy", model, data, _SETTINGS)[0].facts.key


def test_every_setting_the_model_and_the_data_make_another_result(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    other = save_model(tmp_path / "other", seed=1)
    data = copy_data(tmp_path / "data", "gsm8k")
    changed = copy_data(tmp_path / "changed", "gsm8k")
    file = changed / "gsm8k/main/test.jsonl"
    file.write_text(file.read_text("utf-8").replace("15 stickers", "16 stickers"), "utf-8")
    variants = [
        works_for("gsm8k", model, data, settings)[0].facts.key
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
    variants.append(works_for("gsm8k", other, data, _SETTINGS)[0].facts.key)
    variants.append(works_for("gsm8k", model, changed, _SETTINGS)[0].facts.key)
    assert len(set(variants)) == len(variants)
    assert works_for("gsm8k", model, data, _SETTINGS)[0].facts.key == variants[0]


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"kind": "another"}'])
def test_a_damaged_result_is_made_again(damage: str, tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", "arc_easy")
    result, _ = answer("arc_easy", model, data, tmp_path / "out", _SETTINGS)
    (manifest,) = (tmp_path / "out").rglob("benchmark_*.json")
    manifest.write_text(damage)
    again, _ = answer("arc_easy", model, data, tmp_path / "out", _SETTINGS)
    assert _lasting(again) == _lasting(result)
    assert len(list((tmp_path / "out").rglob("benchmark_*.json"))) == 2


@pytest.mark.parametrize("content", [b"\xff\x00 nonsense\n{}\n", b'{"answers": 3}\n', b"[]\n"])
def test_kept_answers_that_are_damaged_are_begun_again(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(content)
    kept = KeptAnswers(path)
    assert kept.take("loglikelihood", ("a", "b")) is None
    kept.add_partial("loglikelihood", ("a", "b"), (float("-inf"), False))
    kept.keep_batch(leaks=2)
    again = KeptAnswers(path)
    assert again.take("loglikelihood", ("a", "b")) == [float("-inf"), False]
    assert again.leaks == 2


def test_kept_answers_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write"):
        KeptAnswers(tmp_path / "file" / "kept")


def test_seeds_differ_where_answers_are_drawn_only(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", "arc_easy")
    said = {}
    for profile in ("lm-eval", "ultraeval"):
        for seed in (0, 1):
            settings = replace(_SETTINGS, profile=profile, seeds=(seed,))
            result, items = answer("arc_easy", model, data, tmp_path / "out", settings)
            assert result.seed == seed
            said[profile, seed] = [item["resps"] for item in items]
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
        run(works, tmp_path / "out", open_lm=lambda column: lm)
