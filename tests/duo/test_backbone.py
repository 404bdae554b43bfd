"""Loading: whole models, adapters, state tokens, and everything that can be wrong with a name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers.models.gemma2.modeling_gemma2 import Gemma2PreTrainedModel

from duo.backbone import load
from duo.decoding.check import is_static
from duo.errors import BadInput
from duo.model_folder import model_folder
from duo.tokens import STATE_TOKENS, add_state_tokens, state_tokens, trainable_rows
from tests.tiny import ARCHITECTURES, tiny_backbone, tiny_model, tiny_tokenizer

ROWS = {"tied": True, "untied": False}


def saved(folder: Path, architecture: str = "llama", *, states: bool = False, **config: Any) -> Any:
    """A tiny model's folder, as one finds it: without state tokens; returns the model."""
    tokenizer = tiny_tokenizer("chatml", states=states)
    vocabulary = len(tokenizer) + config.pop("spare_rows", 0)
    model = tiny_model(architecture, vocabulary, dtype=torch.float32, **config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_loads_as_it_was_saved(tmp_path: Path, architecture: str) -> None:
    model = saved(tmp_path, architecture)
    rows = model.get_input_embeddings().weight.shape[0]
    backbone = load(str(tmp_path), device="cpu")
    ids = backbone.chat.render([{"role": "user", "content": "What is the capital of France?"}])
    assert torch.equal(logits(backbone.model, ids)[:, :rows], logits(model, ids))
    assert backbone.max_tokens == 2048
    assert (backbone.device.type, backbone.dtype) == ("cpu", torch.float32)
    assert not backbone.model.training
    assert backbone.chat.render([]) == list(backbone.chat.preamble)


@pytest.mark.parametrize("tied", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("spare", [0, 2, 60])
def test_state_tokens_are_added_saved_and_loaded(tmp_path: Path, tied: bool, spare: int) -> None:
    saved(tmp_path / "base", tie_word_embeddings=tied, spare_rows=spare)
    backbone = load(str(tmp_path / "base"), device="cpu")
    tokenizer, states = backbone.tokenizer, backbone.states
    assert tokenizer.convert_ids_to_tokens([states.respond, states.ignore, states.idle]) == [
        *STATE_TOKENS
    ]
    assert tokenizer("no<2>yes", add_special_tokens=False)["input_ids"].count(states.ignore) == 1
    spoken = [states.respond, *tokenizer("yes").input_ids, states.ignore, states.idle]
    assert tokenizer.decode(spoken, skip_special_tokens=True) == "yes"
    matrix = backbone.model.get_input_embeddings().weight
    assert matrix.shape[0] == max(len(tokenizer), len(tokenizer) - 3 + spare)
    assert backbone.model.config.vocab_size == matrix.shape[0]
    # As if trained: whatever is stored must come back, not be set anew.
    for each in {
        id(w): w for w in (matrix, backbone.model.get_output_embeddings().weight)
    }.values():
        each.data[states.respond] += 1
    backbone.model.save_pretrained(tmp_path / "trained")
    tokenizer.save_pretrained(tmp_path / "trained")
    again = load(str(tmp_path / "trained"), device="cpu")
    assert again.states == states
    assert again.chat == backbone.chat
    ours, theirs = backbone.model.state_dict(), again.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@settings(max_examples=20)
@given(
    ids=st.lists(st.integers(0, 480), min_size=1, max_size=30),
    seed=st.integers(0, 5),
    tied=st.booleans(),
    spare=st.sampled_from([0, 3, 60]),
)
def test_an_untrained_state_token_is_never_the_greedy_choice(
    ids: list[int], seed: int, tied: bool, spare: int
) -> None:
    tokenizer = tiny_tokenizer("chatml", states=False)
    known = len(tokenizer)
    model = tiny_model("llama", known + spare, seed=seed, tie_word_embeddings=tied)
    before = logits(model, ids)
    states = add_state_tokens(model, tokenizer)
    after = logits(model, [*ids, states.ignore])
    rows = [states.respond, states.ignore, states.idle]
    # What the model did before it does still, and the new logits are the mean of the known ones.
    torch.testing.assert_close(after[:-1, :known], before[:, :known])
    mean = after[:, :known].mean(-1, keepdim=True).expand(-1, 3)
    torch.testing.assert_close(after[:, rows], mean)
    assert not torch.isin(after[:, : known + 3].argmax(-1), torch.tensor(rows)).any()


@pytest.mark.parametrize("tied", ROWS.values(), ids=ROWS)
def test_state_tokens_are_added_once_and_alike(tied: bool) -> None:
    def grown() -> tuple[Any, Any]:
        tokenizer = tiny_tokenizer("chatml", states=False)
        model = tiny_model("llama", len(tokenizer), tie_word_embeddings=tied)
        states = add_state_tokens(model, tokenizer)
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        assert add_state_tokens(model, tokenizer) == states
        assert all(torch.equal(before[name], w) for name, w in model.state_dict().items())
        assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) is tied
        return before, states

    (one, first), (two, second) = grown(), grown()
    assert first == second
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_tokens_that_are_words_already_keep_their_rows() -> None:
    """A model trained with `<idle>` in its vocabulary (MiniCPM-Duplex) keeps what it learned."""
    tokenizer = tiny_tokenizer("chatml", states=False)
    tokenizer.add_tokens(["<idle>"])
    model = tiny_model("llama", len(tokenizer))
    learned = model.get_input_embeddings().weight[-1].clone()
    states = add_state_tokens(model, tokenizer)
    assert states.idle == len(tokenizer) - 3
    assert torch.equal(model.get_input_embeddings().weight[states.idle], learned)
    assert tokenizer.decode([states.idle], skip_special_tokens=True) == ""


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "granite"])
@pytest.mark.parametrize("tied", ROWS.values(), ids=ROWS)
def test_an_adapter_brings_its_rows_and_is_merged(
    tmp_path: Path, architecture: str, tied: bool
) -> None:
    saved(tmp_path / "base", architecture, tie_word_embeddings=tied)
    backbone = load(str(tmp_path / "base"), device="cpu")
    trained, adapter = adapted(backbone, tmp_path / "adapter", "../base")
    again = load(str(adapter), device="cpu")
    assert again.states == backbone.states
    assert again.chat == backbone.chat
    assert not any("lora" in name for name, _ in again.model.named_modules())
    ids = [*again.chat.user_turn("Is it late?", again.states.respond), *again.chat.assistant_open]
    torch.testing.assert_close(logits(again.model, ids), logits(trained, ids), rtol=1e-3, atol=1e-3)
    untrained = load(str(tmp_path / "base"), device="cpu").model
    assert (logits(again.model, ids) - logits(untrained, ids)).abs().max() > 0.1
    # Three rows of a matrix, not the matrix: the adapter stays small.
    stored = (adapter / "adapter_model.safetensors").stat().st_size
    assert stored < (tmp_path / "base" / "model.safetensors").stat().st_size / 2


def adapted(backbone: Any, folder: Path, base: str) -> tuple[Any, Path]:
    """A LoRA adapter with random weights and rows of its own for the state tokens, saved."""
    config = LoraConfig(
        r=2,
        target_modules=["q_proj", "v_proj"],
        trainable_token_indices=trainable_rows(backbone.model, backbone.states),
        task_type="CAUSAL_LM",
    )
    trained = get_peft_model(backbone.model, config)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in trained.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn_like(weight))
    trained.peft_config["default"].base_model_name_or_path = base
    trained.save_pretrained(folder, save_embedding_layers=False)
    backbone.tokenizer.save_pretrained(folder)
    return trained.eval(), folder


def test_an_adapter_names_its_base_in_several_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "base")
    trained, adapter = adapted(load(str(tmp_path / "base"), device="cpu"), tmp_path / "a", "x")
    config = json.loads((adapter / "adapter_config.json").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("duo.model_folder.smollm2_folder", lambda: tmp_path / "base")
    for base in ("../base", "base", str(tmp_path / "base"), "smollm2"):
        config["base_model_name_or_path"] = base
        (adapter / "adapter_config.json").write_text(json.dumps(config))
        ids = [5, 6, 7]
        found = logits(load("a", device="cpu").model, ids)
        torch.testing.assert_close(found, logits(trained, ids), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_model_name_or_path": None}, "base_model_name_or_path: names no base model"),
        ({"base_model_name_or_path": "."}, "base_model_name_or_path: names the adapter itself"),
        ({"base_model_name_or_path": "../a"}, "or one that builds on it"),
        ({"base_model_name_or_path": "./nowhere"}, "no such model folder"),
        ({"peft_type": "NEVER"}, "cannot load this adapter"),
    ],
)
def test_a_broken_adapter(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    saved(tmp_path / "base")
    _, adapter = adapted(load(str(tmp_path / "base"), device="cpu"), tmp_path / "a", "../base")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(BadInput, match=said):
        load(str(adapter), device="cpu")


def test_an_adapter_of_another_base(tmp_path: Path) -> None:
    saved(tmp_path / "base")
    saved(tmp_path / "wider", hidden_size=64)
    _, adapter = adapted(load(str(tmp_path / "base"), device="cpu"), tmp_path / "a", "../wider")
    with pytest.raises(BadInput, match="cannot load this adapter") as caught:
        load(str(adapter), device="cpu")
    assert "\n" not in str(caught.value)


def test_state_tokens_with_other_ids_than_the_base(tmp_path: Path) -> None:
    saved(tmp_path / "base")
    _, adapter = adapted(load(str(tmp_path / "base"), device="cpu"), tmp_path / "a", "../base")
    other = tiny_tokenizer("chatml", states=False)
    other.add_tokens(["<another>"])
    other.add_tokens([*STATE_TOKENS], special_tokens=True)
    other.save_pretrained(adapter)
    with pytest.raises(BadInput, match="state tokens are not the base model's"):
        load(str(adapter), device="cpu")


@pytest.mark.parametrize("supported", [False, True])
def test_soft_caps_are_not_left_out(
    tmp_path: Path, supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `transformers` before 5.21 they were, without a word: it held that SDPA has them."""
    saved(tmp_path, "gemma2")
    monkeypatch.setattr(Gemma2PreTrainedModel, "_supports_sdpa", supported)
    model = load(str(tmp_path), device="cpu").model
    assert model.config._attn_implementation == "eager"
    assert is_static(model)


def test_settings_of_loading(tmp_path: Path) -> None:
    saved(tmp_path)
    name = str(tmp_path)
    assert load(name, device="cpu", dtype="float64").dtype == torch.float64
    assert load(name, device="cpu", dtype="bfloat16").dtype == torch.bfloat16
    assert load(name, device="cpu").model.config._attn_implementation == "sdpa"
    eager = load(name, device="cpu", attention="eager")
    assert eager.model.config._attn_implementation == "eager"
    assert load(name, device="cpu", chat="plain").chat.name == "plain"
    brief = load(name, device="cpu", system="Be brief.")
    assert "Be brief." in brief.tokenizer.decode(brief.chat.preamble)


def test_all_ends_of_the_generation_settings_end_answers(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 5]}))
    backbone = load(str(tmp_path), device="cpu")
    assert backbone.chat.stop == {0, 5, backbone.tokenizer.eos_token_id}


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"device": "toaster"}, "device: no 'toaster' here"),
        ({"device": "cuda:99"}, "device: no 'cuda:99' here"),
        ({"device": "meta"}, "device: 'meta' computes nothing"),
        ({"dtype": "int2"}, "dtype: unknown 'int2': use one of auto, float32"),
        ({"attention": "none"}, "attention: unknown 'none': use one of sdpa, eager"),
        ({"chat": "irc"}, "chat: unknown 'irc': use one of template, plain"),
    ],
)
def test_nonsense_is_one_line_before_anything_is_fetched(choice: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        load("smollm2", **choice)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./nowhere", "./nowhere: no such model folder"),
        ("a/b/c", "a/b/c: no such model folder"),
        ("", "no model is named"),
        (
            "no-such/model",
            "no folder no-such/model here, and the Hugging Face hub does not give it",
        ),
        ("no..such/--model", "no folder no..such/--model here"),
        ("smollm", "use smollm2"),
    ],
)
def test_unknown_models(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        load(name, device="cpu")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_models(tmp_path: Path) -> None:
    def said(name: Path) -> str:
        with pytest.raises(BadInput) as caught:
            load(str(name), device="cpu")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "neither config.json nor adapter_config.json" in said(tmp_path)
    (tmp_path / "file").write_text("x")
    assert "name the model's folder" in said(tmp_path / "file")
    (tmp_path / "config.json").write_text('{\n"model_type": }')
    assert "config.json:2: not JSON" in said(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    assert "not a JSON object" in said(tmp_path)
    (tmp_path / "config.json").write_bytes(b"\xff{")
    assert "is not UTF-8" in said(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "never-heard-of"}')
    assert "cannot load this model" in said(tmp_path)


def test_models_that_bring_code_are_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {
        "model_type": "strange",
        "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(BadInput, match="needs code of its own, which is never run"):
        load(str(tmp_path), device="cpu")
    assert not (tmp_path / "ran").exists()


def test_damaged_models_are_one_line(tmp_path: Path) -> None:
    def said() -> str:
        with pytest.raises(BadInput) as caught:
            load(str(tmp_path), device="cpu")
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        return str(caught.value)

    saved(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert "cannot load this model" in said()
    weights.unlink()
    assert "cannot load this model" in said()
    weights.write_bytes(whole)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    assert "weights are missing, such as model.layers.3." in said()
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_size": 48}))
    assert "cannot load this model" in said()
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "cannot load this model" in said()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tiny_models_are_worth_testing_on(architecture: str) -> None:
    """Greedy answers vary, differ by question, and are no near ties."""
    backbone = tiny_backbone(architecture)
    answers = []
    for question in ("Hello there!", "What is the capital of France?"):
        ids = backbone.chat.render([{"role": "user", "content": question}])
        for _ in range(24):
            best = logits(backbone.model, ids)[-1].topk(2)
            assert best.values[0] - best.values[1] > 1e-6
            ids.append(int(best.indices[0]))
        answers.append(ids[-24:])
        assert len(set(ids[-24:])) > 8
    assert answers[0] != answers[1]
    assert backbone.states == state_tokens(backbone.tokenizer)
    same = tiny_backbone(architecture).model.state_dict()
    assert all(torch.equal(same[name], w) for name, w in backbone.model.state_dict().items())


def test_loading_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path)
    capfd.readouterr()
    load(str(tmp_path), device="cpu")
    assert capfd.readouterr() == ("", "")


@pytest.mark.real_model
def test_the_embedded_model_with_an_adapter(smollm2: Any, tmp_path: Path) -> None:
    copy = load("smollm2", device="cpu")
    trained, adapter = adapted(copy, tmp_path / "adapter", "smollm2")
    stored = sum(path.stat().st_size for path in adapter.glob("*.safetensors"))
    assert stored < 2_000_000
    again = load(str(adapter), device="cpu")
    ids = smollm2.chat.user_turn("Is it late?", smollm2.states.respond)
    torch.testing.assert_close(logits(again.model, ids), logits(trained, ids), rtol=1e-3, atol=1e-3)


class Hub:
    """A hub with one model, or with one way to fail."""

    def __init__(self, folder: Path, files: list[str], failure: Exception | None = None) -> None:
        self.folder, self.files, self.failure = folder, files, failure
        self.cached = False
        self.asked: dict[str, Any] = {}

    def model_info(self, name: str, timeout: float) -> SimpleNamespace:
        assert timeout <= 10
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in self.files])

    def snapshot_download(self, name: str, **how: Any) -> str:
        self.asked = how
        if how.get("local_files_only") and not self.cached:
            raise LocalEntryNotFoundError("not in the cache")
        return str(self.folder)


def failure(kind: type[Exception]) -> Exception:
    """The error without the server's answer that it would carry."""
    return kind.__new__(kind)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(tmp_path, ["config.json", "model.safetensors", "pytorch_model.bin"])
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


def said(name: str) -> str:
    with pytest.raises(BadInput) as caught:
        model_folder(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_model_on_the_hub(hub: Hub) -> None:
    assert model_folder("someone/model-1.5B") == hub.folder
    assert "*.safetensors" in hub.asked["allow_patterns"]
    assert "*.bin" not in hub.asked["allow_patterns"]
    assert not any("py" in pattern for pattern in hub.asked["allow_patterns"])


def test_older_weights_only_where_there_are_no_others(hub: Hub) -> None:
    hub.files.remove("model.safetensors")
    model_folder("model")
    assert "*.bin" in hub.asked["allow_patterns"]


def test_a_folder_comes_before_the_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "someone" / "model").mkdir(parents=True)
    (tmp_path / "someone" / "model" / "config.json").write_text("{}")
    assert model_folder("someone/model") == Path("someone/model")
    assert hub.asked == {}


@pytest.mark.parametrize("kind", [OfflineModeIsEnabled, ConnectionError, TimeoutError])
def test_without_a_network(hub: Hub, kind: type[Exception]) -> None:
    hub.failure = kind("no way through\nand a long story about it")
    assert "the Hugging Face hub does not give it (no way through)" in said("someone/model")
    assert "use smollm2" in said("someone/model")
    hub.cached = True
    assert model_folder("someone/model") == hub.folder


def test_what_the_hub_refuses(hub: Hub) -> None:
    hub.failure = failure(RepositoryNotFoundError)
    assert "neither a folder here nor (for you) on the Hugging Face hub" in said("someone/model")
    hub.failure = failure(GatedRepoError)
    assert "hf auth login" in said("someone/model")


@pytest.mark.parametrize(
    ("asked", "policy"),
    [("'smollm2'", "PASSIVE"), ("", "PASSIVE"), ("'qwen'", "None"),
     ("'smollm2', engine='llama'", "None"), ("'smollm2', engine='torch'", "PASSIVE")],
)  # fmt: skip
def test_threads_of_llama_do_not_sleep_while_they_wait(asked: str, policy: str) -> None:
    program = (
        f"import os; from duo.engine import share_cores; share_cores({asked}); "
        "print(os.environ.get('OMP_WAIT_POLICY'))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == policy
