"""Ids that hold more than a token: in slots the model gives what it gives in one fresh pass."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.decoding.batched import encode_together
from duo.decoding.conversant import Frames, Heard
from duo.decoding.duo import Duo, DuoSettings
from duo.decoding.fused import FusedChannels, make_pool
from duo.decoding.passes import StaticPool
from duo.decoding.slots import SlotPool
from duo.errors import BadInput
from duo.fusion import KINDS, Kind, add_fusion, late_scores, paired, take_in, token_of
from tests.duo.decoding.steering import ending_after, steered
from tests.tiny import tiny_backbone, tiny_model


def with_fusion(architecture: str, kind: Kind) -> torch.nn.Module:
    model = tiny_model(architecture)
    add_fusion(model, kind)
    with torch.no_grad():
        torch.manual_seed(1)
        model.fusion.up.copy_(torch.randn_like(model.fusion.up))
    return model


def fresh(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
    return found


def test_a_pair_is_its_token_and_its_piece() -> None:
    for token, piece in ((0, 0), (5, 49_000), (260_000, 260_000)):
        assert token_of(paired(token, piece)) == token
        assert paired(token, piece) != paired(token, piece + 1)
        assert paired(token, None) == token


@pytest.mark.parametrize("kind", KINDS)
def test_silence_and_an_untrained_fusion_change_nothing(kind: Kind) -> None:
    plain, ids = tiny_model(), [5, 6, 7, 8]
    expected = fresh(plain, ids)
    model = with_fusion("llama", kind)
    torch.testing.assert_close(fresh(model, ids), expected)
    heard = [paired(id, id + 1) for id in ids]
    assert not torch.allclose(fresh(model, heard), expected)
    untrained = tiny_model()
    add_fusion(untrained, kind)
    torch.testing.assert_close(fresh(untrained, heard), expected)


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3", "granite"])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data(), kind=st.sampled_from([*KINDS, None]), framed=st.booleans())
def test_edits_and_passes_give_what_a_fresh_pass_gives(
    architecture: str, data: st.DataObject, kind: Kind | None, framed: bool
) -> None:
    """Fork, listen bit by bit, answer beside it, promote, encode again: pairs and frames.

    Ids without frames are read by the pass over plain buffers, unless a model scales what is heard.
    """
    framed |= kind is None
    model = tiny_model(architecture) if kind is None else with_fusion(architecture, kind)
    if framed:
        take_in(model)
        made = torch.randn(40, 32, dtype=torch.float64, generator=_seeded())
        frames = iter(model.duo_frames.add(made))

    def some(most: int) -> list[int]:
        made = []
        for _ in range(data.draw(st.integers(1, most))):
            token, piece = data.draw(st.tuples(st.integers(1, 499), st.integers(1, 499)))
            what = data.draw(st.sampled_from(["token", "pair", "frame"][: 2 + framed]))
            made.append({"token": token, "pair": paired(token, piece)}.get(what) or next(frames))
        return made

    def whole(scores: torch.Tensor | None, ids: list[int]) -> torch.Tensor | None:
        return scores if kind != "late" or scores is None else scores + late_scores(model, ids)

    pool = make_pool(model, 2)
    slow = framed or (architecture, kind) == ("gemma3", "middle")
    assert isinstance(pool, SlotPool if slow else StaticPool)
    channels, other = FusedChannels(model, pool), FusedChannels(model, pool)
    other.extend_prefix(some(3))
    other.speaking = True
    channels.extend_prefix(some(5))
    channels.speaking = True
    first = some(2)
    channels.fork(first)
    checks = 0
    for _ in range(3):
        scores, its = encode_together([channels, other])
        said = [*channels.prefix.ids, *channels.output.ids]
        assert channels.input is not None
        if scores.output is not None:
            torch.testing.assert_close(whole(scores.output, said), fresh(model, said))
            checks += 1
        heard = [*channels.prefix.ids, *channels.input.ids]
        torch.testing.assert_close(whole(scores.input, heard), fresh(model, heard))
        its_said = [*other.prefix.ids, *other.output.ids]
        torch.testing.assert_close(whole(its.output, its_said), fresh(model, its_said))
        channels.speak(some(1)[0])
        other.speak(some(1)[0])
        first = [*first, *some(2)]
        channels.listen(first)
    channels.promote()
    channels.extend_prefix(some(2))
    ids = channels.prefix.ids
    torch.testing.assert_close(whole(channels.encode().output, ids), fresh(model, ids))
    channels.cut_prefix(1, 3)
    ids = channels.prefix.ids
    torch.testing.assert_close(whole(channels.encode().output, ids), fresh(model, ids))
    assert checks


def test_frames_are_kept_until_they_are_released() -> None:
    model = tiny_model()
    take_in(model)
    table = model.duo_frames
    ids = table.add(torch.randn(3, 32, dtype=torch.float64))
    take_in(model)
    more = model.duo_frames.add(torch.randn(2, 32, dtype=torch.float64))
    assert len(table) == len({*ids, *more}) == 5
    table.release(ids)
    assert len(table) == 2
    fresh(model, [1, *more])


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3", "granite"])
def test_frames_that_are_embeddings_of_words_are_heard_as_the_words(architecture: str) -> None:
    """The same decisions, answers and passes, while nothing is said and over an answer."""
    script = ["What is", " it?", *[""] * 4, " mhm", *[""] * 4, " And", " why?", *[""] * 4]
    found = []
    for framed in (False, True):
        model = tiny_backbone(architecture)
        take_in(model.model)
        chosen = DuoSettings(on_silence="respond", max_answer_seconds=6.0)
        system = Duo(model, chosen, channels=steered(model, speaking=ending_after(model, 20)))
        results, before = [], ""
        for heard in script:
            said: Heard | Frames = heard
            if framed and heard:
                ids = model.chat.text(before + heard)[len(model.chat.text(before)) :]
                said = Frames(model.model.get_input_embeddings()(torch.tensor(ids)).detach())
            before = before + heard if heard else ""
            results.append(system.cycle(said))
        kinds = [[(str(event.kind), event.text) for event in r.events] for r in results]
        costs = [(result.forward_passes, result.tokens_processed) for result in results]
        found.append((kinds, costs))
        if framed:
            assert len(model.model.duo_frames)
            system.reset()
            assert not len(model.model.duo_frames)
    assert found[0] == found[1]
    assert ("respond", "") in [event for result in found[0][0] for event in result]


def test_frames_are_refused_where_the_model_was_not_prepared() -> None:
    with pytest.raises(BadInput, match="take_in"):
        Duo(tiny_backbone()).cycle(Frames(torch.zeros(1, 32)))
