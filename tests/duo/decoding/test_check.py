"""Every architecture decodes exactly, or is refused in one line that says what to use instead."""

from __future__ import annotations

import random
import time
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import BloomConfig, BloomForCausalLM

from duo.backbone import load
from duo.decoding import attention
from duo.decoding import check as checking
from duo.decoding.batched import build_together, run_together
from duo.decoding.channels import Channels
from duo.decoding.check import check, exact_length, fault
from duo.decoding.duo import Duo, DuoSettings
from duo.decoding.fused import FusedChannels
from duo.decoding.sequential import SequentialChannels
from duo.decoding.systems import SYSTEM_NAMES, build, channels_for
from duo.errors import BadInput
from tests.duo.decoding import architectures
from tests.tiny import tiny_backbone, tiny_model, tiny_tokenizer


@lru_cache
def page() -> dict[str, str]:
    """The verdicts that the documentation shows, by architecture."""
    lines = architectures.TABLE.read_text("utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return dict(rows[1:])


def differs(model: Any, channels: Channels, seed: int, rounds: int = 7) -> float:
    """How far logits are from those of plain forward passes, at most, over random edits.

    The texts become longer than the windows; the difference is a share of the logits' spread.
    """
    draw = random.Random(seed)
    most = 0.0

    def some(count: int) -> list[int]:
        return [draw.randrange(3, model.config.vocab_size) for _ in range(count)]  # no padding

    channels.extend_prefix(some(9))
    channels.speaking = True
    for _ in range(rounds):
        scores = channels.encode()
        said = [*channels.prefix.ids, *channels.output.ids]
        heard = None if channels.input is None else [*channels.prefix.ids, *channels.input.ids]
        for ids, got in ((said, scores.output), (heard, scores.input)):
            if got is not None:
                with torch.inference_mode():
                    plain = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
                most = max(most, float((got - plain).abs().max() / plain.std()))
        if channels.input is None:
            channels.fork(some(3))
        else:
            edit = draw.choice(["listen", "promote", "drop"])
            if edit == "listen":
                channels.listen([*channels.input.ids[: draw.randint(0, 3)], *some(3)])
            elif edit == "promote":
                channels.promote()
                channels.extend_prefix(some(1))
            else:
                channels.drop_input()
        channels.speak(*some(1))
    return most


@pytest.mark.parametrize("name", architectures.names())
def test_every_architecture_is_exact_or_refused(name: str) -> None:
    model = architectures.tiny(name)
    if model is None:
        pytest.skip("not made at this size")
    if f"transformers {transformers.__version__} " in architectures.TABLE.read_text("utf-8"):
        assert page()[name] == architectures.verdict(name, model)
    if reason := fault(model):
        assert "\n" not in reason
        assert len(reason) < 260
        assert ": use " in reason
        with pytest.raises(BadInput):
            channels_for("duo", model)
        if "duo-sequential" in reason:
            assert fault(model, fused=False) == ""
            assert differs(model, SequentialChannels(model), seed=3) < 5e-3
        else:
            assert ": use " in fault(model, fused=False)
    else:
        assert differs(model, FusedChannels(model), seed=3) < 5e-3


def test_the_page_lists_enough() -> None:
    verdicts = list(page().values())
    assert len(verdicts) >= 40
    assert sum(verdict.startswith("exact") for verdict in verdicts) >= 40
    assert set(verdicts) - {"exact"}


LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [1.0, 2.0, 3.0, 4.0],
    "original_max_position_embeddings": 300,
}


def test_positions_that_change_with_the_length_bound_the_context() -> None:
    """Two channels share a prefix, so no conversation may go over the change."""
    backbone = tiny_backbone(rope_parameters=LONGROPE, max_tokens=2048)
    ids = [7, 8, 9, 10]
    with torch.inference_mode():
        alone = backbone.model(torch.tensor([ids])).logits[0]
        beside = backbone.model(
            torch.tensor([ids, ids]),
            position_ids=torch.tensor([[0, 1, 2, 3], [300, 301, 302, 303]]),
        ).logits[0]
    assert (alone - beside).abs().max() > 0.01  # it does change
    assert backbone.max_tokens == 300
    check(backbone.model)
    assert differs(backbone.model, FusedChannels(backbone.model), seed=1, rounds=40) < 1e-6
    with pytest.raises(BadInput, match="max_tokens: 301 is not between"):
        build("duo", backbone, max_tokens=301)
    system = Duo(backbone, DuoSettings())
    system.reset()
    for _ in range(60):
        system.cycle("and what else is there to be said?")
        assert system.channels.length <= 300


def test_a_short_conversation_beside_a_long_one_is_what_it_is_alone() -> None:
    backbone = tiny_backbone(rope_parameters=LONGROPE, max_tokens=2048)
    scripts = [["what is it?"] + [""] * 5, ["and what else is there to be said? "] * 40]

    def session(script: list[str]) -> Any:
        def begin(system: Any) -> Any:
            system.reset()
            said = []
            for heard in script:
                said.append((yield from system.steps(heard)))
            return said

        return begin

    together = dict(run_together(build_together("duo", backbone, 2), [session(s) for s in scripts]))
    for number, script in enumerate(scripts):
        system: Any = build("duo", backbone)
        system.reset()
        assert together[number] == [system.cycle(heard) for heard in script]


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "default"},
        {"rope_type": "linear", "factor": 4.0},
        {"rope_type": "dynamic", "factor": 4.0},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    ],
    ids=lambda rope: rope["rope_type"],
)
def test_other_positions_leave_the_context_as_it_is(rope: dict[str, Any]) -> None:
    model = tiny_model(rope_parameters={"rope_theta": 10_000.0, **rope}, max_tokens=256)
    assert exact_length(model) == 256
    assert fault(model) == ""
    channels = FusedChannels(model)
    channels.speaking = True
    channels.extend_prefix([5] * 255)
    with torch.inference_mode():
        plain = model(torch.tensor([[5] * 255])).logits[0, -1]
    torch.testing.assert_close(channels.encode().output, plain)


def test_what_is_wrong_with_one_attention_is_said_with_the_one_to_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def blind(*facts: Any) -> torch.Tensor:
        return torch.ones_like(attention._boolean(*facts))

    monkeypatch.setitem(attention._FORMS, "sdpa", blind)
    model, eager = architectures.tiny("arcee"), architectures.tiny("arcee")
    assert fault(model).endswith("use eager attention")
    assert model.config._attn_implementation == "sdpa"
    eager.set_attn_implementation("eager")
    assert fault(eager) == ""


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("room", [True, False])
def test_half_precision_is_checked_in_single_precision_where_that_fits(
    dtype: torch.dtype, room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not room:
        monkeypatch.setattr(checking, "_HALVES", ())
    model = tiny_model(dtype=dtype)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    assert fault(model) == ""
    for name, weight in model.named_parameters():
        assert weight.dtype == dtype
        assert torch.equal(weight, before[name])
    bloom = architectures.tiny("bloom").to(dtype)
    assert "cannot hold two channels" in fault(bloom)


def test_a_model_without_our_mask_is_held_one_channel_at_a_time(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(states=False)
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=4)
    BloomForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    backbone = load(str(tmp_path), device="cpu")
    for make in (build, partial(build_together, count=2)):
        with pytest.raises(BadInput, match="use the system duo-sequential"):
            make("duo", backbone)
    script = ["What is it?", "", " and", "", "", ""]
    for name in ("duo-sequential", "duplex", "turn-based"):
        alone: Any = build(name, backbone)
        assert type(alone.channels) is SequentialChannels
        alone.reset()
        assert sum(alone.cycle(heard).forward_passes for heard in script)


def test_a_model_that_no_channels_take_is_refused_by_every_system() -> None:
    model = architectures.tiny("jamba")
    assert model is not None
    for name in SYSTEM_NAMES:
        with pytest.raises(BadInput, match="use a model whose layers are all attention"):
            channels_for(name, model)


def test_large_models_are_checked_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_LARGE", 1)
    fault(tiny_model())
    (file,) = own_cache.rglob("checks/*.json")

    for name in ("_examine", "_examine_static"):

        def again(model: Any) -> str:
            pytest.fail("it is examined again")

        again.__name__ = name  # a part of the file's name
        monkeypatch.setattr(checking, name, again)
    assert fault(tiny_model()) == ""
    with pytest.raises(pytest.fail.Exception):
        fault(tiny_model(seed=1))  # other weights
    with pytest.raises(pytest.fail.Exception):
        fault(tiny_model(attention="eager"))
    file.write_text("{")
    with pytest.raises(pytest.fail.Exception):
        fault(tiny_model())


def test_it_is_quick_and_silent(capfd: pytest.CaptureFixture[str]) -> None:
    model = tiny_model()
    before = time.process_time()
    check(model)
    assert time.process_time() - before < 1
    before = time.process_time()
    check(model)
    assert time.process_time() - before < 0.01
    assert capfd.readouterr() == ("", "")
