"""Sound is heard as frames, a cycle at a time; what is drawn to be said."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from duo.data.sample import UserTurn
from duo.decoding.conversant import Frames, Kind
from duo.decoding.duo import Duo, DuoSettings
from duo.errors import BadInput
from duo.frames import Projector, Shape
from duo.fusion import take_in
from sessions.voice import extras
from sessions.voice.extras import lacking
from sessions.voice.frames import FrameHearing, SoundStates, _drawn, say_all, states_of
from sessions.voice.recogniser import RATE
from tests.tiny import tiny_backbone

MISSING = lacking("whisper") or lacking("piper")
needs_voice = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_is_there", lambda name: False)
    with pytest.raises(BadInput, match=r"pip install 'duo-duplex\[voice\]'"):
        SoundStates()
    with pytest.raises(BadInput, match=r"pip install 'duo-duplex\[voice\]'"):
        say_all(tmp_path, tmp_path / "out", count=1, test=1, takes=1, seed=0)
    assert not (tmp_path / "out").exists()


def test_texts_are_drawn_in_fives_and_none_twice() -> None:
    texts = {"<1>": "query", "<2>": "remark", None: "half"}
    turns = [
        UserTurn(content=f"{word} {n}{mark}", state=state)
        for state, word in texts.items() for n in range(9) for mark in ("", "?")
    ]  # fmt: skip
    others = [UserTurn(content="Query 3.", state="<2>"), UserTurn(content="half 1", state=None)]
    found = list(islice(_drawn(turns, others, seed=0), 20))
    assert [turn.state for turn in found] == ["<1>", "<2>", "<1>", "<2>", None] * 4
    said = {turn.content.rstrip("?") for turn in found}
    assert len(said) == 20
    assert not said & {"query 3", "half 1"}
    assert found == list(islice(_drawn(turns, others, seed=0), 20))


@needs_voice
def test_a_conversation_hears_sound_as_frames_and_keeps_count_of_them() -> None:
    """The frames are those of the whole utterance at once, and gone after the conversation."""
    from sessions.voice.voices import load_voice

    said = load_voice("piper").say("How do I cook pasta for six people?").sound()
    quiet = np.zeros(2 * RATE, np.float32)
    sound = np.concatenate([quiet, said, np.zeros(-len(said) % RATE, np.float32), quiet, quiet])
    torch.manual_seed(0)
    projector = Projector(Shape(sound=384, size=32)).eval()
    model = tiny_backbone()
    take_in(model.model)
    system = Duo(model, DuoSettings(on_silence="respond", patience=1.0))
    hearing, given, kinds = FrameHearing(projector), list[torch.Tensor](), list[Kind]()
    spoken = []
    for second in sound.reshape(-1, RATE):
        heard = hearing.hear(second)
        if isinstance(heard, Frames):
            given.append(heard.vectors)
            spoken.append(second)
        kinds += [event.kind for event in system.cycle(heard).events]
        assert len(model.model.duo_frames) == sum(map(len, given))
    assert [len(vectors) for vectors in given] == [10] * len(given)
    assert len(said) / RATE <= len(given) <= len(said) / RATE + 2
    assert [kind for kind in kinds if kind in (Kind.FORK, Kind.RESPOND)] == [
        Kind.FORK,
        Kind.RESPOND,
    ]
    states = states_of(SoundStates(), np.concatenate(spoken))
    assert states.shape == (50 * len(given), 384)
    with torch.no_grad():
        whole = projector(torch.from_numpy(states).float()[None])[0]
    torch.testing.assert_close(torch.cat(given), whole, rtol=1e-3, atol=1e-3)
    system.reset()
    assert not len(model.model.duo_frames)
