"""Benchmarks in llama.cpp: the numbers of a plain decode, whatever was asked before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from duo.decoding.llama_model import LlamaModel, Rows
from duo.gguf_model import own_tokenizer
from evaluation.benchmarks.experiment import Settings
from evaluation.benchmarks.llama import AnsweringLlama, Reader
from evaluation.benchmarks.model import KeptAnswers
from tests.evaluation.benchmarks.small import answer, copy_data
from tests.gguf_twin import needs_llama, write_gguf
from tests.tiny import tiny_model, tiny_tokenizer

pytestmark = [needs_llama, pytest.mark.usefixtures("own_cache")]

_SETTINGS = Settings(max_new_tokens=12)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = tiny_tokenizer(states=False)
    model = tiny_model(vocabulary=len(tokenizer), max_tokens=4096)
    return write_gguf(model, tokenizer, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def plain(model: LlamaModel, ids: list[int]) -> torch.Tensor:
    """The log probabilities after each token, all decoded in one call."""
    context = model.context(1024, 1, at_once=1024)
    tokens = [(token, place, 0, True) for place, token in enumerate(ids)]
    assert context.decode(tokens, all_wanted=True) == 0
    logits = model.api.llama_get_logits(context.pointer)
    found = np.ctypeslib.as_array(logits, (len(ids), model.vocabulary)).copy()
    return torch.from_numpy(found).log_softmax(-1)


def requests(draws: np.random.Generator, vocabulary: int) -> list[Any]:
    """Questions with a long beginning in common, each with options of one token and of more."""
    begin = draws.integers(vocabulary, size=150).tolist()
    found = []
    for number in range(5):
        question = begin[: 40 * number] + draws.integers(vocabulary, size=5 + 30 * number).tolist()
        for option, length in enumerate((1, 1, 4, 70)):
            more = draws.integers(vocabulary, size=length).tolist()
            found.append(((f"q{number}", f"o{option}"), question, more))
    return found


def test_likelihoods_are_those_of_a_plain_decode_with_and_without_rows(
    file: Path, tmp_path: Path
) -> None:
    found = []
    for rows in (None, Rows(3, head=np.ones((3, 32), np.float32))):
        model = LlamaModel(file, threads=1, cache="f32", rows=rows)
        tokenizer = own_tokenizer(file)
        lm = AnsweringLlama(model, tokenizer, "template", _SETTINGS, lambda one, all_: None)
        asked = requests(np.random.default_rng(0), model.vocabulary)
        for order in (asked, asked[::-1]):
            lm.begin(KeptAnswers(tmp_path / f"kept-{len(found)}"), 0)
            answers = lm._loglikelihood_tokens(order)
            found.append(sorted(answers))
            for (_, question, more), (value, greedy) in zip(order, answers, strict=True):
                likely = plain(model, [*question, *more[:-1]])[-len(more) :]
                tokens = torch.tensor(more)[:, None]
                assert value == pytest.approx(float(likely.gather(1, tokens).sum()), abs=1e-3)
                assert greedy == bool((likely.argmax(-1) == tokens[:, 0]).all())
    assert found == found[:1] * 4  # bit by bit


def test_scores_do_not_depend_on_what_was_read_before(file: Path) -> None:
    model = LlamaModel(file, threads=1)
    ids = np.random.default_rng(1).integers(model.vocabulary, size=200).tolist()
    fresh, used = Reader(model), Reader(model)
    used.read(ids[:170] + ids[:20], 5)
    used.scores(ids[:5])
    for one in (fresh, used):
        one.read(ids[:-1], 1)
    assert torch.equal(fresh.scores(ids[-1:]), used.scores(ids[-1:]))


class Killed(BaseException):
    """What no code of ours catches."""


@pytest.mark.parametrize("name", ["arc_easy", "gsm8k"])
def test_a_killed_run_ends_with_the_same_numbers(name: str, file: Path, tmp_path: Path) -> None:
    data = copy_data(tmp_path / "data", name)
    wanted, items = answer(name, file, data, tmp_path / "undisturbed", _SETTINGS)
    assert (wanted.settings["backend"], wanted.settings["dtype"]) == ("llama", "gguf")
    calls: list[int] = []

    def kill(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 3:  # the first tells what was kept before
            raise Killed

    with pytest.raises(Killed):
        answer(name, file, data, tmp_path / "out", _SETTINGS, on_done=kill)
    told: list[int] = []
    result, again = answer(
        name, file, data, tmp_path / "out", _SETTINGS, on_done=lambda done, _: told.append(done)
    )
    lasting = {"wall_seconds", "results", "samples"}
    assert result.model_dump(exclude=lasting) == wanted.model_dump(exclude=lasting)
    assert again == items
    assert told[0] == sum(calls) > 0
