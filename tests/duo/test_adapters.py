"""The adapters that come with the package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from duo.backbone import Backbone, load
from duo.data.sample import AssistantTurn, Sample, UserTurn
from duo.state_rows import read_rows
from duo.training.encode import Encoder
from duo.wheels import ADAPTERS, ALIAS, CHECKSUMS, STATE_ROWS, adapter_folder
from evaluation.states import Row, look_ahead
from tests.gguf_twin import needs_llama

FILES = {"README.md", "adapter_config.json", "adapter_model.safetensors", "training.json"}


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_is_small_complete_and_tells_of_no_machine(name: str) -> None:
    files = [file for file in adapter_folder(name).iterdir() if file.is_file()]
    assert {file.name for file in files} >= FILES
    assert sum(file.stat().st_size for file in files) < 8_000_000
    for file in files:
        if file.suffix in (".json", ".md"):
            text = file.read_text("utf-8")
            assert not re.search(r'["\s`(]/[a-z]+/', text), file
    config = json.loads((adapter_folder(name) / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == ALIAS
    settings = json.loads((adapter_folder(name) / "training.json").read_text("utf-8"))["settings"]
    assert settings["recipe"] == name.removeprefix(f"{ALIAS}-")


@pytest.mark.parametrize("name", STATE_ROWS)
def test_rows_are_small_complete_and_tell_of_no_machine(name: str) -> None:
    rows = read_rows(adapter_folder(name))
    assert rows.facts.model == name.removesuffix("-rows")
    assert rows.facts.sha256 == CHECKSUMS[rows.facts.model]
    for file in adapter_folder(name).iterdir():
        assert file.stat().st_size < 20_000
        if file.suffix in (".json", ".md"):
            assert not re.search(r'["\s`(]/[a-z]+/', file.read_text("utf-8")), file


def test_the_card_shows_the_measured_figures() -> None:
    folder = adapter_folder("smollm2-duo")
    labels = json.loads((folder / "states.json").read_text("utf-8"))["labels"]
    card = Path(folder / "README.md").read_text("utf-8")
    for name, outcomes in labels.items():
        shares = [f"{100 * outcomes[outcome]['share']:.1f}" for outcome in outcomes]
        assert f"| {name} | {outcomes['wait']['n']} | {' | '.join(shares)} |" in card


@pytest.fixture(scope="module")
def trained() -> Backbone:
    return load("smollm2-duo")


@needs_llama
@pytest.mark.real_model
def test_rows_on_a_middle_layer_decide_in_llama() -> None:
    backbone = load("smollm2-rows")
    assert backbone.engine == "llama"
    decided = [
        decision_of(backbone, said) for said in ("What is the capital of France?", "mm-hmm.")
    ]
    assert decided == [backbone.states.respond, backbone.states.ignore]


@pytest.mark.real_model
@pytest.mark.parametrize(
    ("said", "decision"),
    [
        ("What is the capital of France?", "respond"),
        ("Wait, how long does that take?", "respond"),
        ("mm-hmm.", "ignore"),
        ("and how long does the", None),
    ],
)
def test_the_adapter_decides(trained: Backbone, said: str, decision: str | None) -> None:
    last = decision_of(trained, said)
    if decision is None:
        assert last not in (trained.states.respond, trained.states.ignore)
    else:
        assert last == getattr(trained.states, decision)


def decision_of(backbone: Backbone, said: str) -> int:
    """The last token that is expected after something that is said into an answer."""
    before = (
        UserTurn(content="Tell me how bread is made.", state="<1>"),
        AssistantTurn(content="You mix flour, water and yeast, and", complete=False),
    )
    sample = Sample(id="x", messages=(*before, UserTurn(content=said, state=None)))
    ids = Encoder(backbone.tokenizer, max_tokens=500).sample(sample).ids
    [[look]] = look_ahead(backbone, [Row(ids, (len(ids) - 1,))], 4)
    return look.tokens[-1]
