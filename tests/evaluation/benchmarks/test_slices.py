"""Questions in slices: the words of a question come a few at a time, and answers are joined."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.decoding.conversant import CycleResult, Event, Kind
from duo.decoding.duplex import Duplex
from duo.errors import BadInput
from evaluation.benchmarks.experiment import Column, Settings, read_experiment
from evaluation.benchmarks.items import Finder
from evaluation.benchmarks.model import model_hash, open_lm
from evaluation.benchmarks.run import plan, run
from evaluation.benchmarks.slices import WORDS, slices
from evaluation.benchmarks.tasks import read_profile
from tests.evaluation.benchmarks.small import copy_data, samples_of, save_model


@given(st.text("ab \n", max_size=200), st.integers())
def test_slices_are_the_text_a_few_words_at_a_time(text: str, seed: int) -> None:
    found = list(slices(text, random.Random(seed)))
    assert "".join(found).strip() == text.strip()
    sizes = [len(words.split()) for words in found]
    assert all(WORDS[0] <= size <= WORDS[1] for size in sizes[:-1])
    assert all(size >= 1 for size in sizes)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), states=True)


def answered(
    name: str, model: Path, folder: Path, profile: str = "ultraeval", **how: Any
) -> list[dict[str, Any]]:
    column = Column("sliced", str(model), slices=True)
    settings = Settings((column,), profile=profile, device="cpu", dtype="float32", **how)
    task = read_profile(profile)[name]
    data = copy_data(folder / "data", name)
    found = {name: Finder(data_dir=data, sources=["data-dir"], partial=True).find(task)}
    works = plan(settings, [task], found, {"sliced": model_hash(str(model))})
    (result,) = run(
        works, folder / "out", open_lm=lambda column: open_lm(column, settings, lambda *_: None)
    )
    assert result.facts.settings["slices"] == "4 to 6 words"
    assert result.facts.settings["chat_template"] is False
    return samples_of(result)


def test_a_model_is_asked_in_slices_and_says_the_same_again(model: Path, tmp_path: Path) -> None:
    one = answered("arc_easy", model, tmp_path / "a", limit=2, max_new_tokens=10)
    other = answered("arc_easy", model, tmp_path / "b", limit=2, max_new_tokens=10)
    assert [item["resps"] for item in one] == [item["resps"] for item in other]
    assert len(one) == 2


def test_what_is_said_between_and_after_the_slices_is_joined(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    said = iter(["", "The answer", "", " is", " (C)\n", "\nQuestion: more"])

    def cycle(self: Duplex, words: str) -> CycleResult:
        heard.append(words)
        text = next(said, "")
        events = (Event(Kind.SPEECH, text),) if text else ()
        return CycleResult(events, busy=bool(text))

    monkeypatch.setattr(Duplex, "cycle", cycle)
    (item,) = answered("gsm8k", model, tmp_path, limit=1)
    question = item["arguments"]["gen_args_0"]["arg_0"]
    assert "".join(heard).strip() == question.strip()
    assert item["resps"] == [["The answer is (C)\n\nQuestion: more"]]


def test_likelihoods_and_other_back_ends_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="slices: answers that are compared by their likelihood"):
        answered("arc_easy", model, tmp_path, profile="lm-eval", limit=1)
    settings = replace(Settings((Column("a", str(model), slices=True),)), backend="vllm")
    with pytest.raises(BadInput, match="slices: questions cannot be put in slices to vllm"):
        open_lm(settings.columns[0], settings, lambda *_: None)


def test_an_experiment_names_the_columns_that_are_asked_in_slices(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("columns: {a: {model: x, slices: true}, b: {model: y}}")
    assert [column.slices for column in read_experiment(path).models()] == [True, False]
