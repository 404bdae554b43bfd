"""The decode bench on tiny random models: counts are exact, times are only there."""

from __future__ import annotations

import io
import json
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor

from duo.backbone import Backbone
from duo.errors import BadInput
from duo.files import read_result
from evaluation.commands import decode
from evaluation.decode_bench import bench
from evaluation.decode_bench.bench import (
    Plan,
    Round,
    decode_bench,
    measure,
    rate_of_products,
    ready,
    shapes,
)
from evaluation.decode_bench.drive import (
    Cycle,
    Run,
    Script,
    Steering,
    Step,
    at_once,
    drive,
    listening_while_speaking,
    responses,
)
from evaluation.decode_bench.machine import (
    PeakMemory,
    generate_seconds,
    product_seconds,
    weight_bytes,
)
from evaluation.decode_bench.results import DecodeBench, decode_tables
from tests.tiny import tiny_backbone

PLAN = Plan(rounds=2, tokens=16, sessions=(1, 3))


@lru_cache
def backbone() -> Backbone:
    return tiny_backbone()


@lru_cache
def found() -> DecodeBench:
    ended: list[None] = []
    figures = measure(backbone(), PLAN, ends=lambda: ended.append(None))
    assert len(ended) == PLAN.runs  # what the progress bar expects
    return figures


@lru_cache
def run(system: str, quiet: bool = False) -> Run:
    talk, alone = listening_while_speaking(PLAN.tokens)
    made = ready(backbone(), system)
    return drive(made, alone if quiet else talk, Steering(backbone()))


# -- the script ----------------------------------------------------------------------------------


@given(tokens=st.integers(8, 400), length=st.sampled_from([0.5, 1.0, 2.0]))
def test_every_word_is_heard_once_and_no_cycle_of_an_utterance_is_silent(
    tokens: int, length: float
) -> None:
    talk, quiet = listening_while_speaking(tokens)
    starts = [number * length for number in range(int(talk.seconds // length))]
    heard = [talk.heard(start - length, start) for start in starts]
    assert "".join(heard) == "".join(word for one in talk.utterances for word in one.words)
    for utterance in talk.utterances:
        assert utterance.start % 2 == 0  # no slice of two seconds holds two utterances
        inside = [
            text
            for start, text in zip(starts, heard, strict=True)
            if utterance.ends[0] < start - length and start <= utterance.ends[-1]
        ]
        assert all(inside)
    over = [talk.talks_over(start - length, start) for start in starts]
    assert over == [quiet.talks_over(start - length, start) for start in starts]
    alone = [quiet.heard(start - length, start) for start in starts]
    assert over == [one != other for one, other in zip(heard, alone, strict=True)]
    assert quiet.seconds == talk.seconds
    assert quiet.utterances == talk.utterances[:1]


def test_an_utterance_is_whole_once_its_last_word_is_said() -> None:
    talk, _ = listening_while_speaking(16)
    first = talk.utterances[0]
    assert talk.last_heard(first.start) == (None, False)
    assert talk.last_heard(first.ends[-1]) == (first, False)
    assert talk.last_heard(first.ends[-1] + 0.01) == (first, True)
    assert talk.last_heard(talk.seconds) == (talk.utterances[-1], True)


# -- counts --------------------------------------------------------------------------------------


def test_steps_add_up_to_what_the_cycles_report() -> None:
    for system in ("duo", "duo-sequential", "duplex", "turn-based"):
        for cycle in run(system).cycles:
            assert cycle.passes == cycle.result.forward_passes
            assert cycle.tokens == cycle.result.tokens_processed
            assert [step.done for step in cycle.steps] == sorted(step.done for step in cycle.steps)
            assert not cycle.steps or cycle.steps[-1].done <= cycle.seconds


def test_listening_costs_duo_no_pass() -> None:
    listening = run("duo").over_the_answer
    undisturbed = run("duo", quiet=True).over_the_answer
    assert sum(cycle.passes for cycle in listening) == sum(cycle.spoken for cycle in listening)
    assert sum(cycle.passes for cycle in undisturbed) == sum(cycle.passes for cycle in listening)
    assert all(step.listens for cycle in listening for step in cycle.steps)
    assert not any(step.listens for cycle in undisturbed for step in cycle.steps)


def test_the_published_scheme_needs_almost_twice_the_passes_where_it_listens() -> None:
    """Twice while the user speaks; the cycle of the last word looks ahead by one token only."""
    fused, sequential = run("duo"), run("duo-sequential")
    pairs = zip(fused.over_the_answer, sequential.over_the_answer, strict=True)
    assert {(one.passes, other.passes) for one, other in pairs} == {(4, 8), (4, 5)}
    for one, other in zip(fused.cycles, sequential.cycles, strict=True):
        assert one.result.events == other.result.events


def test_what_products_alone_would_keep_counts_the_rows_of_each_pass() -> None:
    talk, quiet = run("duo"), run("duo", quiet=True)
    one = Round(talk, quiet, None)
    needed = shapes(one)
    assert (1, 1) in needed  # alone, a pass carries one token
    assert (2, 2) in needed  # and two while it listens
    assert max(tokens for tokens, _ in needed) > 2  # words come in several at once
    assert rate_of_products(one, dict.fromkeys(needed, 1.0)) == 1.0  # no pass is added
    by_tokens = {shape: float(shape[0]) for shape in needed}
    carried = [sum(c.tokens for c in one.over_the_answer) for one in (quiet, talk)]
    assert rate_of_products(one, by_tokens) == pytest.approx(carried[0] / carried[1])
    timed = product_seconds(backbone(), needed, rounds=1)
    assert timed.keys() == needed
    assert min(timed.values()) > 0


def test_products_of_steps_of_several_passes_are_not_guessed() -> None:
    talk, quiet = run("duo-sequential"), run("duo-sequential", quiet=True)
    assert shapes(Round(talk, quiet, None)) == set()
    assert found().systems["duo-sequential"].products_rate is None


def test_the_first_token_comes_one_pass_after_the_decision() -> None:
    for system in ("duo", "duo-sequential"):
        for response in responses(run(system)):
            assert response is not None
            assert response.after_decision == 1
            assert response.cycles == 2  # that of the last word, and the first silent one
            assert response.seconds_after_decision is not None
            assert 0 < response.seconds_after_decision < response.seconds


def test_who_does_not_listen_while_speaking_does_not_respond_in_time() -> None:
    first, interrupting = responses(run("turn-based"))
    assert first is not None
    assert (first.passes, first.cycles) == (1, 2)
    assert interrupting is None


def test_time_slices_respond_in_the_slice_of_the_last_word() -> None:
    for response in responses(run("duplex")):
        assert response is not None
        assert (response.passes, response.cycles, response.after_decision) == (1, 1, None)


def test_a_response_is_counted_from_the_last_word() -> None:
    """By hand: three steps before the decision, then the first token of the answer."""
    from duo.decoding.conversant import CycleResult, Event, Kind

    def step(done: float, speaks: bool) -> Step:
        return Step(passes=1, tokens=1, speaks=speaks, listens=True, done=done)

    decision = CycleResult(events=(Event(Kind.RESPOND, step=1, by="state"),))
    cycles = (
        Cycle(True, 2.0, (step(0.5, True), step(1.0, True)), CycleResult()),
        Cycle(False, 1.0, (step(0.25, True), step(0.75, True)), decision),
    )
    script, _ = listening_while_speaking(8)
    only = Script(script.utterances[:1], 8.0)
    silent = Cycle(True, 0.0, (), CycleResult())
    before = int(only.utterances[0].ends[-1]) + 1
    (response,) = responses(Run(only, 1.0, (silent,) * before + cycles))
    assert response is not None
    assert (response.passes, response.after_decision, response.cycles) == (4, 1, 2)
    assert (response.seconds, response.seconds_after_decision) == (2.75, 0.5)


def test_sessions_at_once_share_passes_and_say_as_much() -> None:
    single, three = (at_once(backbone(), n, Steering(backbone())) for n in (1, 3))
    assert single.passes == single.single_passes
    assert three.passes < three.single_passes
    assert three.spoken > single.spoken


# -- the whole bench -----------------------------------------------------------------------------


def test_all_figures_are_there() -> None:
    figures = found()
    assert list(figures.systems) == list(Plan().systems)
    assert [one.sessions for one in figures.together] == [1, 3]
    assert figures.limit.weight_bytes == weight_bytes(backbone())
    for system in figures.systems.values():
        for name in ("listening_rate", "against_generate", "share_of_limit", "wall_seconds"):
            values = getattr(system, name)
            assert 0 < values.low <= values.median <= values.high
        assert system.cache_bytes
    duo = figures.systems["duo"]
    assert duo.passes_per_token_listening == 1.0
    assert duo.against_sequential
    assert duo.against_sequential.passes > 1.7
    assert duo.counts
    assert duo.counts.listening.spoken == duo.counts.quiet.spoken


def test_it_is_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("duo.backbone.load", lambda name, **_: backbone())
    monkeypatch.setattr(bench, "measure", lambda *_, **__: found())
    out = tmp_path / "new" / "decode.json"
    decode("tiny", "duo,duo-sequential", out=out)
    assert json.loads(out.read_text())["kind"] == "decode-bench"
    assert read_result(out, DecodeBench) == found()
    shown = capsys.readouterr().out
    for expected in ("duo-sequential", "generate()", "none in time", "at once"):
        assert expected in shown


def test_a_gguf_file_is_measured_in_torch_where_that_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, str]] = []
    monkeypatch.setattr("duo.backbone.load", lambda _, **how: asked.append(how) or backbone())
    monkeypatch.setattr(bench, "measure", lambda *_, **__: found())
    decode("tiny.gguf", engine="torch", dtype="bfloat16")
    assert asked == [{"dtype": "bfloat16", "engine": "torch"}]


def test_a_server_is_not_measured_as_if_it_were_torch() -> None:
    with pytest.raises(BadInput, match="--engine: a server is not measured"):
        decode("tiny", engine="http://localhost:8000/v1")


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(systems=["duet"]), "systems: unknown 'duet'"),
        (Plan(systems=[]), "systems: no system"),
    ],
)
def test_impossible_plans_are_refused_before_a_model_is_loaded(
    plan: Plan, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duo.backbone.load", lambda *_, **__: pytest.fail("a model was loaded"))
    with pytest.raises(BadInput, match=message):
        decode_bench("tiny", plan)


def test_graphs_on_a_cpu_are_refused_before_anything_is_measured() -> None:
    with pytest.raises(BadInput, match="graphs: CUDA graphs need a model on cuda"):
        measure(backbone(), Plan(graphs=True), begins=lambda name: pytest.fail(name))


def test_a_script_longer_than_the_context_is_refused() -> None:
    with pytest.raises(BadInput, match="tokens: 4000 are too many for a context of 2048"):
        measure(backbone(), Plan(tokens=4000))


# -- the machine ---------------------------------------------------------------------------------


def test_weights_that_are_read_are_counted_once() -> None:
    for tied in (True, False):
        model = tiny_backbone(tie_word_embeddings=tied)
        embedding = model.model.get_input_embeddings().weight
        whole = sum(weight.nbytes for weight in model.model.parameters())
        read = whole if tied else whole - embedding.nbytes
        assert weight_bytes(model) == read
        for layer in model.model.model.layers:  # as stored, not as the number format says
            weight = layer.mlp.down_proj.weight.detach()
            layer.mlp.down_proj.weight = nn.Parameter(TwoTensor(weight, weight.clone()))
            read += weight.nbytes
        assert weight_bytes(model) == read


def test_peak_memory_sees_what_is_gone_again() -> None:
    import torch

    peak = PeakMemory(torch.device("cpu"))
    before = peak.bytes
    if before is None:
        pytest.skip("this system does not tell")
    held = torch.ones(2**26)
    del held
    after = peak.bytes
    assert after is not None
    assert after - before > 2**27


def test_generate_is_timed_by_the_token() -> None:
    assert generate_seconds(backbone().model, [1, 2, 3], 5) > 0


def test_the_reference_figures_fit_the_model_and_are_readable_at_80_columns() -> None:
    path = Path(__file__).parents[2] / "reports" / "reference" / "decode-bench.json"
    shown = io.StringIO()
    for table in decode_tables(read_result(path, DecodeBench)):
        table.show(Console(file=shown, width=80))
    assert max(map(len, shown.getvalue().splitlines())) <= 80
    assert "duo-sequential takes 1.91 times the" in " ".join(shown.getvalue().split())
