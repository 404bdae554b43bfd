"""A pass that is recorded and repeated gives what the pass itself gives.

A CUDA graph repeats kernels on memory that stays where it is. A `Tape` does the same on any device:
it notes every operation with the very tensors it ran on, and runs them again on these. Whatever the
recorded pass decided in Python, read back or put somewhere new would show here as it would there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from duo.backbone import Backbone
from duo.decoding.batched import build_together, encode_together, run_together
from duo.decoding.fused import FusedChannels, check_graphs
from duo.decoding.passes import StaticPool, Work, cuda_graphs
from duo.decoding.slots import SlotPool
from duo.decoding.static import StaticModel
from duo.errors import BadInput
from tests.duo.decoding.steering import encode_steered
from tests.duo.decoding.test_batched import Script, alone, conversation, steered_duo
from tests.tiny import tiny_backbone


class Tape(TorchDispatchMode):
    """Notes operations while they run, and runs them again on the same tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default, "a number is read back"
        made = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, made))
        return made

    @torch.inference_mode()
    def play(self) -> None:
        for func, args, kwargs, made in self.operations:
            again = func(*args, **kwargs)
            for old, new in zip(tensors(made), tensors(again), strict=True):
                if old.data_ptr() != new.data_ptr():  # neither a view nor an edit in place
                    old.copy_(new)


def tensors(made: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]


class Captures:
    """A way to capture that counts how often it did, and how often what it made was used."""

    def __init__(self) -> None:
        self.made = self.used = 0
        self.found: list[Tensor] = []

    def __call__(self, work: Work) -> Work:
        work()  # as for a graph: memory is allocated before
        tape = Tape()
        with tape:
            found = work()
        self.made += 1
        self.found.append(found)

        def replay() -> Tensor:
            self.used += 1
            tape.play()
            return found

        return replay


@lru_cache
def backbone(architecture: str = "llama") -> Backbone:
    return tiny_backbone(architecture)


def pool_of(model: Any, rows: int, **how: Any) -> StaticPool:
    return StaticPool(StaticModel(model), rows, **how)


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gemma3"])
def test_whole_conversations_are_the_same(architecture: str) -> None:
    """Forks, decisions, rows out of step and rows that grow under way."""
    model, capture = backbone(architecture), Captures()
    scripts: list[Script] = [
        ["What is", " it?", "", "", " mhm", "", " and?", "", ""],
        ["Why?", "", "so the rain", "", "", "."],
        ["", "Who?", "", "mhm", "", ""],
    ]
    pool = pool_of(model.model, 2, capacity=32, capture=capture)
    systems = [steered_duo(model, 12, pool) for _ in range(2)]
    sessions = [conversation(script) for script in scripts]
    together = dict(run_together(systems, sessions, encode_steered))
    single = steered_duo(model, 12, SlotPool(model.model))
    assert together == {number: alone(single, script) for number, script in enumerate(scripts)}
    assert pool.capacity > 32
    assert capture.made < capture.used <= pool.forward_passes


def test_a_row_by_itself_is_captured_in_few_sizes() -> None:
    """As in real time, where there is one session: one token and two are one size."""
    model, capture = backbone(), Captures()
    pool = pool_of(model.model, 1, capture=capture)
    script: Script = ["What is it?", "", "", "", " so the", ""]
    single = steered_duo(model, 9, SlotPool(model.model))
    assert alone(steered_duo(model, 9, pool), script) == alone(single, script)
    sizes = {layout.tokens for layout in pool._captured}
    assert capture.made == len(sizes) <= 6
    assert min(sizes) == 2
    assert all(size & (size - 1) == 0 for size in sizes)
    assert capture.used > 4


def test_a_session_that_hears_a_few_words_keeps_the_pass_regular() -> None:
    """A turn is opened, and words come, in one cycle: the pass of all is captured all the same."""
    model, capture = backbone().model, Captures()
    pool = pool_of(model, 3, capture=capture)
    rows = [FusedChannels(model, pool) for _ in range(3)]
    for channels in rows:
        channels.extend_prefix([1, 2, 3])
        channels.speaking = True
    encode_together(rows)
    for channels in rows:
        channels.speak(4)
    rows[1].fork(list(range(5, 17)))
    encode_together(rows)
    assert capture.used == pool.forward_passes == 2


def test_what_is_captured_keeps_no_scores_of_its_own() -> None:
    """All sizes leave theirs in one place: there may be tens of sizes, and large vocabularies."""
    model, capture = backbone().model, Captures()
    pool = pool_of(model, 2, capture=capture)
    rows = [FusedChannels(model, pool) for _ in range(2)]
    for tokens in (2, 5, 12):
        for channels in rows:
            channels.extend_prefix([1] * tokens)
            channels.speaking = True
            encode_together(rows)
    assert capture.made >= 3
    assert len({made.untyped_storage().data_ptr() for made in capture.found}) == 1


def test_scores_outlast_the_next_pass() -> None:
    """A replay writes where the last one wrote; what was handed out stays."""
    model = backbone().model
    channels = FusedChannels(model, pool_of(model, 1, capture=Captures()))
    channels.extend_prefix([1, 2, 3])
    channels.speaking = True
    channels.encode()
    channels.speak(4)
    first = channels.encode().output
    assert first is not None
    kept = first.clone()
    channels.speak(5)
    second = channels.encode().output
    assert second is not None
    assert torch.equal(first, kept)
    assert not torch.equal(second, kept)


def test_graphs_need_a_gpu() -> None:
    with pytest.raises(BadInput, match=r"^graphs: CUDA graphs need a model on cuda, not on cpu$"):
        build_together("duo", backbone(), 2, graphs=True)


def test_graphs_need_a_model_of_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_backbone(attention="flex_attention", dtype=torch.float32, head_dim=16).model
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    with pytest.raises(BadInput, match=r"of the kinds gemma, .* with sdpa attention"):
        check_graphs(model)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_graphs_give_the_same_tokens() -> None:
    model = tiny_backbone(dtype=torch.float32)
    model.model.to("cuda")
    scripts: list[Script] = [["What is", " it?", "", ""], ["Why?", "", "", "so", ""]]
    found = []
    for graphs in (False, True):
        systems = build_together("duo", model, 2, graphs=graphs, max_answer_seconds=5.0)
        found.append(dict(run_together(systems, [conversation(one) for one in scripts * 2])))
    assert found[0] == found[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_graphs_are_recorded_after_all_before_were_given_up() -> None:
    capture = cuda_graphs()
    number = torch.ones(1, device="cuda")
    for _ in range(2):
        replay = capture(lambda: number + 1)
        assert replay().item() == 2
        del replay
