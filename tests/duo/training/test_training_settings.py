"""Presets and settings: known names, right types, one line for what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from duo.errors import BadInput
from duo.training.settings import (
    Recipe,
    load_settings,
    parse_assignments,
    preset_names,
)


@pytest.mark.parametrize("recipe", get_args(Recipe))
@pytest.mark.parametrize("preset", preset_names())
def test_presets_load_for_all_recipes(preset: str, recipe: str) -> None:
    if preset == "paper" and recipe.startswith("lslm"):  # the paper trains all weights
        with pytest.raises(BadInput, match="set lora_rank"):
            load_settings(preset, recipe)
        return
    assert load_settings(preset, recipe).recipe == recipe


def test_the_papers_preset_is_the_papers() -> None:
    paper = load_settings("paper")
    assert (paper.learning_rate, paper.schedule, paper.warmup_steps) == (1e-5, "constant", 0)
    assert (paper.batch, paper.max_tokens, paper.steps) == (112, 4096, 400)
    assert (paper.lora_rank, paper.inside, paper.state_weight) == (0, "none", 1)
    assert paper.batch % (8 * paper.micro_batches) == 0


def test_assignments_win_over_presets() -> None:
    chosen = parse_assignments(["learning_rate=1e-3", "steps=7", "inside=words", "packing=true"])
    made = load_settings("smoke", None, chosen)
    assert (made.learning_rate, made.steps, made.inside, made.packing) == (1e-3, 7, "words", True)


def test_a_file_of_settings_may_differ_by_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("steps: 5\nduplex:\n  steps: 9\n", encoding="utf-8")
    assert load_settings(str(file)).steps == 5
    assert load_settings(str(file), "duplex").steps == 9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepz": 3}, "stepz: unknown setting"),
        ({"steps": 0}, "steps: must be positive"),
        ({"steps": 2.5}, "steps: 2.5: Input should be a valid integer"),
        ({"steps": "many"}, "steps: 'many': Input should be a valid integer"),
        ({"packing": 1}, "packing: 1: Input should be a valid boolean"),
        ({"inside": "maybe"}, "inside: 'maybe': Input should be 'none', "),
        ({"inside": "base", "lora_rank": 0}, "inside: base needs an adapter"),
        ({"answers": "base", "lora_rank": 0}, "answers: base needs an adapter"),
        ({"lora_dropout": 1.0}, "lora_dropout: 1.0: Input should be less than 1"),
        ({"learning_rate": -1.0}, "learning_rate: must be positive, not -1.0"),
        ({"weight_decay": -1.0}, "weight_decay: must not be negative"),
    ],
)
def test_wrong_settings_are_one_line(values: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load_settings("smoke", None, values)


def test_wrong_presets_and_assignments_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no preset 'papper': use one of embedded, paper, smoke"):
        load_settings("papper")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(BadInput, match="is not a mapping"):
        load_settings(str(tmp_path / "list.yaml"))
    (tmp_path / "section.yaml").write_text("duplex: 5\n")
    with pytest.raises(BadInput, match=r"section\.yaml: duplex: is not a mapping"):
        load_settings(str(tmp_path / "section.yaml"), "duo")
    (tmp_path / "recipe.yaml").write_text("recipe: [duo]\n")
    with pytest.raises(BadInput, match=r"recipe: .* should be 'duo', 'duplex', 'vita'"):
        load_settings(str(tmp_path / "recipe.yaml"))
    with pytest.raises(BadInput, match="is not NAME=VALUE"):
        parse_assignments(["steps"])
