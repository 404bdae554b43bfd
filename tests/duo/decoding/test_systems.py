"""Systems by name: ours, and anybody's."""

from __future__ import annotations

from typing import Any

import pytest

from duo.backbone import Backbone
from duo.decoding.conversant import Conversant, CycleResult, Heard
from duo.decoding.systems import SYSTEM_NAMES, build, check_system
from duo.errors import BadInput
from tests.tiny import tiny_backbone, with_control


class Echo:
    """A foreign system: says nothing, in cycles of half a second."""

    name = "echo"
    cycle_seconds = 0.5

    def __init__(self, backbone: Backbone | None, seed: int, **settings: Any) -> None:
        self.given = (backbone, seed, settings)

    def reset(self) -> None:
        pass

    def cycle(self, heard: Heard) -> CycleResult:
        return CycleResult()


def not_a_system(backbone: Backbone | None, seed: int) -> str:
    return "no"


@pytest.mark.parametrize("name", SYSTEM_NAMES)
def test_every_system_holds_a_conversation(name: str) -> None:
    model = with_control(tiny_backbone(), name)
    decides = {"on_silence": "respond"} if name.startswith("duo") else {}  # a random model waits
    system = build(name, model, seed=1, temperature=0.7, **decides)
    assert isinstance(system, Conversant)
    assert system.name == name
    results = [system.cycle(heard) for heard in ("What is the capital?", *[""] * 5)]
    assert sum(result.forward_passes for result in results) > 0
    assert "".join(result.spoken for result in results)


def test_settings_reach_their_system() -> None:
    system: Any = build("duo", tiny_backbone(), lookahead=2, patience=5, top_p=0.5, seed=9)
    assert (system.settings.lookahead, system.settings.patience) == (2, 5)
    assert (system.settings.sampling.top_p, system.settings.sampling.seed) == (0.5, 9)


def test_a_foreign_system_is_named_by_its_place() -> None:
    made: Any = build("tests.duo.decoding.test_systems:Echo", None, seed=3, volume=11)
    assert made.given == (None, 3, {"volume": 11})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("duet", "unknown system 'duet': choose duo, duo-sequential"),
        ("no.such.module:make", "cannot be loaded"),
        ("tests.tiny:no_such_name", "cannot be loaded"),
        ("tests.tiny:WINDOW", "is not a function"),
    ],
)
def test_unknown_systems_are_refused(name: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        check_system(name)


def test_what_a_factory_makes_must_be_a_conversant() -> None:
    with pytest.raises(BadInput, match="made no conversant"):
        build("tests.duo.decoding.test_systems:not_a_system", None)


def test_a_setting_that_a_foreign_system_lacks_is_refused() -> None:
    with pytest.raises(BadInput, match=r"cannot be called so: .*'volume'"):
        build("tests.duo.decoding.test_systems:not_a_system", None, volume=11)


def test_unknown_settings_are_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput, match=r"duplex has no setting 'lookahead'; it has .*slice_tokens"):
        build("duplex", tiny_backbone(), lookahead=3)


def test_our_systems_need_a_model() -> None:
    with pytest.raises(BadInput, match="'duo' needs a model"):
        build("duo", None)
