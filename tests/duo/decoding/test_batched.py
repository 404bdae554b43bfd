"""Many sessions in one pass: each says what it says alone, and costs what it costs alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from duo.backbone import Backbone
from duo.decoding.batched import Session, run_together
from duo.decoding.channels import Asked, Together, encode_together, read_together
from duo.decoding.conversant import CycleResult, Heard, Revision
from duo.decoding.duo import Duo, DuoSettings
from duo.decoding.fused import FusedChannels
from duo.decoding.passes import StaticPool
from duo.decoding.sequential import SequentialChannels
from duo.decoding.settings import Chances, Likeliest
from duo.decoding.slots import SlotPool
from duo.decoding.static import StaticModel
from duo.decoding.systems import ROWS, SYSTEM_NAMES, build
from tests.duo.decoding.steering import by_ending, encode_steered, ending_after, steered
from tests.tiny import tiny_backbone, with_control
from tests.waits import Waits

Script = list[Heard]

scripts = st.lists(
    st.lists(
        st.sampled_from(["", "", "", "What is it?", "so the rain", " mhm", " and?", "."])
        | st.just(Revision("no, the capital of France?")),
        max_size=12,
    ),
    min_size=1,
    max_size=6,
)


@lru_cache
def backbone(architecture: str = "llama", **more: Any) -> Backbone:
    return tiny_backbone(architecture, **more)


def conversation(script: Script) -> Callable[[Any], Session[list[CycleResult]]]:
    """A whole conversation as one session."""

    def session(system: Any) -> Session[list[CycleResult]]:
        system.reset()
        results = []
        for heard in script:
            results.append((yield from system.steps(heard)))
        return results

    return session


def alone(system: Any, script: Script) -> list[CycleResult]:
    system.reset()
    return [system.cycle(heard) for heard in script]


def steered_duo(
    model: Backbone, answer: int, pool: SlotPool | StaticPool | None, **more: Any
) -> Duo:
    made = steered(model, by_ending(model), ending_after(model, answer))
    channels = made if pool is None else partial(made, pool=pool)
    return Duo(model, DuoSettings(**more), channels=channels)


def static_pool(model: Any, rows: int, **how: Any) -> StaticPool:
    return StaticPool(StaticModel(model), rows, **how)


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("llama", SlotPool),
        ("gemma3", SlotPool),
        ("granite", static_pool),
        ("gemma2", static_pool),
        ("llama", partial(static_pool, capture=lambda work: work)),  # all rows in one part
    ],
)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    scripts=scripts,
    at_once=st.integers(1, 4),
    answer=st.integers(1, 20),
    lookahead=st.integers(1, 5),
    max_tokens=st.sampled_from([None, 120]),
)
def test_sessions_together_are_what_each_is_alone(
    architecture: str,
    kind: Any,
    scripts: list[Script],
    at_once: int,
    answer: int,
    **options: Any,
) -> None:
    """Forks, ends and beginnings at any time, more sessions than rows: same events, same costs."""
    model = backbone(architecture)
    pool = kind(model.model, at_once, capacity=8)  # so that rows grow under way
    systems = [steered_duo(model, answer, pool, **options) for _ in range(at_once)]
    sessions = [conversation(script) for script in scripts]
    together = dict(run_together(systems, sessions, encode_steered))
    single = steered_duo(model, answer, None, **options)
    assert together == {number: alone(single, script) for number, script in enumerate(scripts)}
    passes = [result.forward_passes for results in together.values() for result in results]
    assert pool.forward_passes <= sum(passes)


@pytest.mark.parametrize("name", SYSTEM_NAMES)
def test_every_system_of_ours_can_be_held_together(name: str) -> None:
    """Those without slots in the pool are encoded one by one."""
    model = with_control(tiny_backbone(), name)
    pool = SlotPool(model.model, 3 * ROWS.get(name, 1))
    channels = None if name == "duo-sequential" else partial(FusedChannels, pool=pool)
    systems = [build(name, model, channels=channels, temperature=0.7) for _ in range(3)]
    scripts: list[Script] = [
        ["What is", " it?", "", "", ""],
        ["Why?", "", ""],
        ["", "Who?", "", ""],
    ]
    together = dict(run_together(systems, [conversation(script) for script in scripts * 2]))
    single = build(name, model, temperature=0.7)
    assert together == {n: alone(single, script) for n, script in enumerate(scripts * 2)}
    if name != "duo-sequential":
        passes = sum(result.forward_passes for rs in together.values() for result in rs)
        assert 0 < pool.forward_passes < passes


@pytest.mark.parametrize(
    "sampling",
    [{}, {"temperature": 0.9, "top_k": 40, "top_p": 0.9, "repetition_penalty": 1.2}],
)
@pytest.mark.parametrize("name", ["duo", "vita", "fsm", "micro-turn", "duplex", "turn-based"])
def test_a_pass_of_all_sessions_is_waited_for_once(name: str, sampling: dict[str, Any]) -> None:
    """Tokens and states are chosen on the device, and read together."""
    model = with_control(tiny_backbone(), name)
    pool = static_pool(model.model, 4 * ROWS.get(name, 1), capture=lambda work: work)
    channels = partial(FusedChannels, pool=pool)
    systems = [build(name, model, channels=channels, **sampling) for _ in range(4)]
    script: Script = ["What is it?", "", "", " so", "", "and", "", "", "", ""]
    sessions = [conversation(script[start:]) for start in range(4)]
    with Waits() as waits:
        together = dict(run_together(systems, sessions))
    assert sum(result.forward_passes for rs in together.values() for result in rs) > 0
    assert 0 < waits.count <= pool.forward_passes


def test_what_sessions_ask_is_computed_at_once() -> None:
    """As many operations for all as for one, and each gets what it would alone."""
    scores = torch.randn(40, 50, generator=torch.Generator().manual_seed(0))
    likeliest, chances = Likeliest((7, int(scores[0].argmax()))), Chances((3, 4))
    wanted: list[list[Asked | torch.Tensor]] = [
        [Asked(likeliest, row), row[:2], Asked(chances, row)] for row in scores
    ]
    with Operations() as of_all:
        found = read_together(wanted)
    assert found == [read_together([session])[0] for session in wanted]
    with Operations() as of_one:
        read_together(wanted[:1])
    assert of_all.count - of_one.count <= 2 * len(wanted)  # what is read as it is: views
    for row, ((token,), _, (expected, *likely)) in zip(scores, found, strict=True):
        assert token == row.index_fill(0, torch.tensor(likeliest.banned), -torch.inf).argmax()
        assert (expected, *likely) == (row.argmax(), *row.softmax(-1)[[3, 4]].tolist())


class Operations(TorchDispatchMode):
    """Counts the operations of torch."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_sessions_in_step_share_every_pass() -> None:
    model = backbone()
    pool = SlotPool(model.model, 4)
    systems = [steered_duo(model, 100, pool) for _ in range(4)]
    script: Script = ["What is it?", "", "", " and?", ""]
    together = dict(run_together(systems, [conversation(script)] * 4, encode_steered))
    assert pool.forward_passes == sum(result.forward_passes for result in together[0])


def test_rows_that_take_no_part_stay_as_they_are() -> None:
    model = backbone().model
    pool = SlotPool(model, 3)
    rows = [FusedChannels(model, pool) for _ in range(3)]
    for channels in rows:
        channels.extend_prefix([1, 2, 3, 4])
    encode_together(rows)
    before = [layer.keys.clone() for layer in pool.cache.layers]
    facts = pool._owner.clone()
    rows[1].speaking = True
    rows[1].speak(7)
    rows[1].fork([5, 6])
    encode_together([rows[1]])
    kept = torch.ones(3 * pool.capacity, dtype=torch.bool)
    kept[pool.capacity : 2 * pool.capacity] = False
    for old, layer in zip(before, pool.cache.layers, strict=True):
        assert torch.equal(old[:, :, kept], layer.keys[:, :, kept])
    assert torch.equal(facts[[0, 2]], pool._owner[[0, 2]])


@pytest.mark.parametrize("attention", ["eager", "flex_attention"])
def test_other_kinds_of_attention_keep_sessions_apart(attention: str) -> None:
    torch._dynamo.reset()  # FlexAttention is compiled, for so many masks of a process only
    found = []
    for kind in ("sdpa", attention):
        model = tiny_backbone(attention=kind, dtype=torch.float32, head_dim=16).model
        pool = SlotPool(model, 2)
        rows = [FusedChannels(model, pool) for _ in range(2)]
        for number, channels in enumerate(rows):
            channels.extend_prefix(list(range(1 + number, 20 + 5 * number)))
            channels.speaking = True
        encode_together(rows)
        rows[0].speak(9)
        rows[1].speak(8)
        rows[1].fork([5, 6, 7])
        found.append(encode_together(rows))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.output, other.output, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[0][1].input, found[1][1].input, rtol=1e-3, atol=1e-3)


def test_nothing_pending_is_no_pass() -> None:
    model = backbone().model
    pool = SlotPool(model, 2)
    rows = [FusedChannels(model, pool), SequentialChannels(model), FusedChannels(model, pool)]
    assert [scores.output for scores in encode_together(rows)] == [None] * 3
    assert pool.forward_passes == 0


def test_a_pool_has_no_more_rows_than_it_was_made_with() -> None:
    pool = SlotPool(backbone().model, 1)
    FusedChannels(backbone().model, pool)
    with pytest.raises(RuntimeError, match="all 1 rows"):
        FusedChannels(backbone().model, pool)


def test_channels_of_one_session_share_a_pass_that_is_counted_once() -> None:
    """With slots in one pool one pass, else one for each; the scores are those of each alone."""
    model = backbone().model
    pool = SlotPool(model, 2)
    for both, passes in (
        ([FusedChannels(model, pool), FusedChannels(model, pool)], 1),
        ([FusedChannels(model), FusedChannels(model)], 2),
        ([SequentialChannels(model), SequentialChannels(model)], 2),
    ):
        says, hears = both
        says.extend_prefix([1, 2, 3])
        says.speaking = True
        hears.extend_prefix([4, 5])
        hears.fork([6, 7])
        group = Together(says, hears)
        scores = group.encode()
        assert (group.forward_passes, group.tokens_processed) == (passes, 7)
        for ids, found in (([1, 2, 3], scores.output), ([4, 5, 6, 7], scores.input)):
            with torch.no_grad():
                expected = model(torch.tensor([ids])).logits[0, -1]
            torch.testing.assert_close(found, expected)
        says.speak(8)
        assert group.encode().input is None
        assert group.forward_passes == passes + 1
