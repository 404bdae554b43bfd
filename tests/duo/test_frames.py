"""A projector makes frames of what an encoder of sound gives; a model hears them for words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from duo.backbone import Backbone
from duo.cli import train
from duo.decoding.conversant import Frames
from duo.decoding.duo import Duo
from duo.errors import BadInput
from duo.frames import (
    PROJECTOR,
    Projector,
    Shape,
    Utterance,
    read_projector,
    read_utterances,
    write_projector,
    write_utterances,
)
from duo.fusion import take_in
from duo.training import frames as training
from duo.training.frames import FramesSettings, Listener, Training, train_frames
from duo.training.settings import make_settings
from tests.tiny import tiny_backbone

SHAPE = Shape(sound=6, size=32, stack=2, inner=8, narrow=4)
TEXTS = ("what is the capital", "go on please", "thank you", "that is right", "stop", "rain",
         "how are you", "it will rain", "be quiet", "the answer", "three eggs", "wait", "no",
         "yes")  # fmt: skip
SETTINGS = FramesSettings(
    stack=2, inner=32, narrow=8, dropout=0.0, align_steps=20, steps=12, align_batch=14, batch=14,
    precision="float32",
)  # fmt: skip


def utterances(seed: int = 0) -> list[Utterance]:
    """Each text has states of its own, of a length of its own."""
    draw = np.random.default_rng(seed)
    return [
        Utterance(
            draw.normal(size=(60 + 2 * number, 6)).astype(np.float16), text,
            ("<1>", "<2>", None)[number % 3], "query", 12.5, text,
        )
        for number, text in enumerate(TEXTS)
    ]  # fmt: skip


def backbone() -> Backbone:
    return tiny_backbone(dtype=torch.float32)


def test_a_frame_is_of_its_stack_and_what_came_before() -> None:
    torch.manual_seed(0)
    projector = Projector(SHAPE).eval()
    states = torch.randn(3, 11, 6)
    whole = projector(states[:, :10])
    assert whole.shape == (3, 5, 32)
    later = states.clone()
    later[:, 6:] *= -1.0
    torch.testing.assert_close(projector(later[:, :10])[:, :3], whole[:, :3])
    assert not torch.allclose(projector(later[:, :10])[:, 3:], whole[:, 3:])
    for count in (2, 4, 8):
        torch.testing.assert_close(projector(states[:, :count]), whole[:, : count // 2])


def test_frames_are_as_far_from_the_centre_as_embeddings_are() -> None:
    made = Training(backbone(), utterances(), SETTINGS)
    embeddings = made.listener.embed.weight
    far = (embeddings - embeddings.mean(0)).norm(dim=-1).mean()
    frames = made.projector(torch.randn(2, 8, 6))
    torch.testing.assert_close(
        (frames - embeddings.mean(0)).norm(dim=-1), far.expand(2, 4), rtol=1e-4, atol=1e-4
    )


def test_a_model_expects_after_words_and_frames_what_a_fresh_pass_gives() -> None:
    model = backbone()
    listener = Listener(model)
    opening = [*model.chat.preamble, *model.chat.user_open]
    found = listener.after_words(TEXTS)
    torch.manual_seed(0)
    rows = [torch.randn(count, 32) for count in (3, 9, 1)]
    heard = listener.expected(rows)
    for text, row in zip(TEXTS, found, strict=True):
        ids = torch.tensor([[*opening, *model.chat.text(text)]])
        expected = model.model(ids).logits[0, -1].log_softmax(-1)
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-4)
    for given, row in zip(rows, heard, strict=True):
        embedded = torch.cat([listener.embed(torch.tensor(opening)), given])[None]
        expected = model.model(inputs_embeds=embedded).logits[0, -1].log_softmax(-1)
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-4)


def test_a_conversation_knows_after_its_frames_what_the_training_looks_at() -> None:
    """However the frames are cut into cycles."""
    model = backbone()
    made = Training(model, utterances(), SETTINGS)
    made.projector.eval()
    states = torch.from_numpy(made.learned[0].states).float()[None]
    with torch.no_grad():
        frames = made.projector(states)[0]
        found = made.listener.expected([frames])[0].exp()
    take_in(model.model)
    system = Duo(model)
    for start in range(0, len(frames), 7):
        system.cycle(Frames(frames[start : start + 7]))
    wanted = [float(found[state]) for state in (model.states.respond, model.states.ignore)]
    assert system._chances == pytest.approx(wanted, rel=1e-3)


def test_training_lowers_both_losses_and_leaves_the_model_as_it_was() -> None:
    model = backbone()
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    made = Training(model, utterances(), SETTINGS)
    lost = [made.take_step() for _ in range(made.steps)]
    assert set(lost[0]) == {"words"}
    assert lost[19]["words"] < lost[0]["words"]
    assert lost[-1]["expected"] < 0.9 * lost[20]["expected"]
    assert made.measure().keys() == {"held_words", "held_expected"}
    for name, value in model.model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "load", lambda name, **_: backbone())
    monkeypatch.setattr(training, "_SAVE_EVERY", 5)
    write_utterances(tmp_path / "said" / "train" / "00000.safetensors", utterances())
    given = {"settings": SETTINGS, "model": "tiny", "data": tmp_path / "said"}
    train_frames(**given, out=tmp_path / "whole")

    class Stop(Exception):
        pass

    saving = Training.save

    def save(made: Training, path: Path) -> None:
        saving(made, path)
        if made.step == 25:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(Training, "save", save)
        with pytest.raises(Stop):
            train_frames(**given, out=tmp_path / "stopped")
    other = given | {"settings": replace(SETTINGS, steps=99)}
    with pytest.raises(BadInput, match="steps"):
        train_frames(**other, out=tmp_path / "stopped")
    train_frames(**given, out=tmp_path / "stopped")
    contents = [(tmp_path / name / PROJECTOR).read_bytes() for name in ("whole", "stopped")]
    assert contents[0] == contents[1]
    projector, facts = read_projector(tmp_path / "stopped")
    assert facts["model"] == "tiny"
    assert [one["step"] for one in facts["curve"]] == [5, 10, 15, 20, 25, 30, 32]
    assert not (tmp_path / "stopped" / "checkpoint.pt").exists()
    assert projector(torch.zeros(1, 4, 6)).shape == (1, 2, 32)


def test_files_come_back_as_they_were_and_damage_is_named(tmp_path: Path) -> None:
    said = utterances()
    write_utterances(tmp_path / "00000.safetensors", said[:5])
    write_utterances(tmp_path / "00005.safetensors", said[5:])
    found = list(read_utterances(tmp_path))
    for one, other in zip(found, said, strict=True):
        np.testing.assert_array_equal(one.states, other.states)
        assert replace(one, states=other.states) == other
    for content in (b"", b"junk" * 100, (tmp_path / "00005.safetensors").read_bytes()[:-9]):
        (tmp_path / "00005.safetensors").write_bytes(content)
        with pytest.raises(BadInput, match=r"00005\.safetensors: cannot be read"):
            list(read_utterances(tmp_path))
    with pytest.raises(BadInput, match="no utterances"):
        list(read_utterances(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match=rf"{PROJECTOR}: cannot be read"):
        read_projector(tmp_path)
    write_projector(tmp_path, Projector(SHAPE), {})
    whole = (tmp_path / PROJECTOR).read_bytes()
    other = whole.replace(b'\\"inner\\": 8', b'\\"inner\\": 9')
    for content, said in (whole[:-9], "cannot be read"), (other, "holds no projector"):
        (tmp_path / PROJECTOR).write_bytes(content)
        with pytest.raises(BadInput, match=rf"{PROJECTOR}: {said}"):
            read_projector(tmp_path)


@pytest.mark.parametrize("given", [{"stack": 0}, {"rate": -1.0}, {"steps": 1.5}, {"nothing": 1}])
def test_bad_settings_are_named(given: dict[str, float]) -> None:
    [name] = given
    with pytest.raises(BadInput, match=name):
        make_settings(FramesSettings, given)


@pytest.mark.parametrize("option", ["engine", "start"])
def test_options_that_say_nothing_of_a_projector_are_refused(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("share_cores", "keep_memory"):  # they change the whole process
        monkeypatch.setattr(f"duo.engine.{name}", lambda *_, **__: None)
    given: dict[str, Any] = {option: "llama" if option == "engine" else tmp_path}
    with pytest.raises(BadInput) as caught:
        train(data=tmp_path, out=tmp_path / "out", recipe="frames", **given)
    assert caught.value.field == f"--{option}"
