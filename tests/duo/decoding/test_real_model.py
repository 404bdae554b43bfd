"""The decoder's promises on the embedded model, in float32: few cases, but real ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from duo.backbone import Backbone
from duo.decoding.channels import Channels
from duo.decoding.conversant import CycleResult
from duo.decoding.duo import Duo
from duo.decoding.fused import FusedChannels
from duo.decoding.sequential import SequentialChannels
from tests.duo.decoding.steering import by_ending, steered

pytestmark = pytest.mark.real_model

#: A question, three cycles of its answer, a remark to ignore, more of the answer.
SCRIPT = ["What is the capital", " of France?", "", "", "oh I see", " mhm", "", ""]


def talk(model: Backbone, kind: type[Channels], script: list[str]) -> tuple[Duo, list[CycleResult]]:
    def listening(text: str) -> int | None:
        return by_ending(model)(text)

    channels: Callable[..., Channels] = steered(model, listening, kind=kind)
    system = Duo(model, channels=channels)
    return system, [system.cycle(heard) for heard in script]


@pytest.fixture(scope="module")
def fused(smollm2: Backbone) -> tuple[Duo, list[CycleResult]]:
    return talk(smollm2, FusedChannels, SCRIPT)


def test_it_knows_the_capital(fused: tuple[Duo, list[CycleResult]]) -> None:
    assert "The capital of France is Paris" in "".join(result.spoken for result in fused[1])


def test_an_ignored_remark_leaves_the_answer_token_identical(
    smollm2: Backbone, fused: tuple[Duo, list[CycleResult]]
) -> None:
    quiet, results = talk(smollm2, FusedChannels, [*SCRIPT[:4], "", "", "", ""])
    assert [result.spoken for result in results] == [result.spoken for result in fused[1]]
    assert quiet.context.ids == fused[0].context.ids


def test_the_published_scheme_says_the_same_in_more_passes(
    smollm2: Backbone, fused: tuple[Duo, list[CycleResult]]
) -> None:
    _, results = talk(smollm2, SequentialChannels, SCRIPT)
    assert [result.events for result in results] == [result.events for result in fused[1]]
    one, two = (sum(r.forward_passes for r in rs[2:]) for rs in (fused[1], results))
    assert one == 4 * len(SCRIPT[2:])  # exactly the passes that speaking alone takes
    assert two > one


def test_both_channels_have_the_logits_they_would_have_alone(smollm2: Backbone) -> None:
    chat = smollm2.chat
    prefix = [*chat.preamble, *chat.user_turn("Tell me about rain."), *chat.assistant_open]
    words = [*chat.assistant_close, *chat.user_open, *chat.text("And what about snow?")]
    channels = FusedChannels(smollm2.model)
    channels.extend_prefix(prefix)
    channels.speaking = True
    for _ in range(3):
        scores = channels.encode()
        assert scores.output is not None
        channels.speak(int(scores.output.argmax()))
    said = list(channels.output.ids)
    channels.fork(words)
    scores = channels.encode()
    for found, ids in ((scores.output, prefix + said), (scores.input, prefix + said + words)):
        with torch.inference_mode():
            alone = smollm2.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        assert found is not None
        assert found.argmax() == alone.argmax()
        torch.testing.assert_close(found, alone, rtol=1e-3, atol=1e-3)
