"""Which model each system talks with."""

from __future__ import annotations

import pytest

from duo.decoding.systems import DEFAULT_MODELS, SPOKEN, SYSTEM_NAMES, models_for, with_prompt
from duo.errors import BadInput
from duo.wheels import ADAPTERS, ALIAS

FOREIGN = "my.package:make"


def test_each_system_has_the_embedded_model_trained_for_it() -> None:
    assert models_for(SYSTEM_NAMES) == DEFAULT_MODELS
    assert set(DEFAULT_MODELS) == set(SYSTEM_NAMES)
    assert set(DEFAULT_MODELS.values()) == {ALIAS, *ADAPTERS}


def test_a_foreign_system_gets_a_model_only_if_asked_for() -> None:
    assert models_for([FOREIGN]) == {}
    assert models_for([FOREIGN], ["m"]) == {FOREIGN: "m"}
    assert models_for([FOREIGN, "duo"], [f"{FOREIGN}=m"]) == {
        FOREIGN: "m",
        "duo": DEFAULT_MODELS["duo"],
    }


def test_one_model_for_all_and_another_for_one() -> None:
    assert models_for(["duo", "duplex"], ["all", "duplex=other"]) == {
        "duo": "all",
        "duplex": "other",
    }


@pytest.mark.parametrize("wanted", ["duplex=m", "duo=", "=m"])
def test_a_model_for_no_system_is_refused(wanted: str) -> None:
    with pytest.raises(BadInput, match="SYSTEM=MODEL"):
        models_for(["duo"], [wanted])


def test_all_systems_of_a_comparison_with_qwen_are_told_the_same() -> None:
    models = models_for(["duo", "duplex"], ["duo=qwen"]).values()
    assert with_prompt({"chat": "template"}, models) == {"chat": "template", "system": SPOKEN}
    assert with_prompt({"system": "Be rude."}, models) == {"system": "Be rude."}
    assert with_prompt({}, DEFAULT_MODELS.values()) == {}
