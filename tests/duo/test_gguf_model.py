"""Models of GGUF files: tokenizers, chat formats, adapters and what is refused."""

from __future__ import annotations

import gc
import json
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch

from duo import engine
from duo.backbone import load
from duo.decoding.llama import Cancelled, LlamaChannels
from duo.decoding.llama_model import LlamaModel, Rows
from duo.decoding.reading import LlamaReader
from duo.decoding.systems import build
from duo.errors import BadInput
from duo.gguf_model import is_gguf
from duo.training.train import train
from tests.duo.training.material import data_folder, settings
from tests.gguf_twin import needs_llama, write_gguf
from tests.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def tiny(tmp_path: Path, own_cache: Path) -> tuple[Path, Any, Any]:
    """A GGUF file without state tokens, and the model and tokenizer that it was written from."""
    return _written(tmp_path / "tiny.gguf", "llama")


def _written(path: Path, architecture: str) -> tuple[Path, Any, Any]:
    tokenizer = tiny_tokenizer(states=False)
    model = tiny_model(architecture, len(tokenizer), dtype=torch.float32)
    return write_gguf(model, tokenizer, path), model, tokenizer


@torch.inference_mode()
def alone(model: Any, ids: list[int]) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
    return logits


@needs_llama
def test_a_file_brings_its_tokenizer_its_chat_format_and_its_context(tiny: Any) -> None:
    file, model, tokenizer = tiny
    found = load(str(file))
    assert (found.engine, found.max_tokens) == ("llama", 2048)
    text = "<|im_start|>user\nIt's 7:45, isn't it? 你好<|im_end|>\n"
    assert found.tokenizer(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert found.tokenizer.decode(found.chat.user_open) == "<|im_start|>user\n"
    known = len(tokenizer)
    assert [found.states.respond, found.states.ignore] == [known, known + 1]
    assert tokenizer.eos_token_id in found.chat.stop
    found.model.cache = "f32"  # of keys and values, to compare
    channels = LlamaChannels(found.model)
    channels.speaking = True
    ids = [*found.chat.preamble, *found.chat.user_turn("What is it?", found.states.respond)]
    channels.extend_prefix(ids)
    scores = channels.encode().output
    # An untrained state token is the mean of all others: in what goes in, and in what comes out.
    with torch.no_grad():
        model.resize_token_embeddings(known + 3, mean_resizing=False)
        weight = model.get_input_embeddings().weight
        weight[known:] = weight[:known].mean(0)
    assert scores is not None
    torch.testing.assert_close(scores, alone(model, ids), rtol=2e-3, atol=2e-3)


@needs_llama
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma2", "gemma3"])
def test_a_token_is_the_same_by_its_number_and_by_its_embedding(
    architecture: str, tmp_path: Path
) -> None:
    tied = {"tie_word_embeddings": True} if architecture.startswith("gemma") else {}
    written = tiny_model(architecture, dtype=torch.float32, **tied)
    file = write_gguf(written, tiny_tokenizer(), tmp_path / "tiny.gguf")
    known = LlamaModel(file, threads=1)
    more = LlamaModel(file, rows=Rows(1, known.embeddings[np.array([7])]), threads=1)
    found = []
    for model, last in ((known, 7), (more, more.vocabulary)):
        channels = LlamaChannels(model)
        channels.speaking = True
        channels.extend_prefix([5, 9, last])
        found.append(channels.encode().output)
    one, other = found
    assert one is not None
    assert other is not None
    torch.testing.assert_close(other[:-1], one, rtol=1e-3, atol=1e-3)


@needs_llama
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_an_adapter_with_rows_of_state_tokens_is_what_it_is_in_torch(
    architecture: str, tmp_path: Path, own_cache: Path
) -> None:
    file, model, tokenizer = _written(tmp_path / "base.gguf", architecture)
    folder = adapter(tmp_path / "adapter", model, len(tokenizer), file)
    merged = peft.PeftModel.from_pretrained(model, str(folder)).merge_and_unload().eval()
    found = load(str(folder), engine="llama")
    assert found.chat.name == "plain"  # what it was trained in
    found.model.cache = "f32"  # of keys and values, to compare
    channels = LlamaChannels(found.model)
    channels.speaking = True
    respond = found.states.respond
    channels.extend_prefix([5, 9, respond, 7, *range(20, 70)])  # wider than one call

    def check() -> None:
        scores = channels.encode()
        prefix = channels.prefix.ids
        said = [(scores.output, channels.output.ids)]
        if channels.input is not None:
            said.append((scores.input, channels.input.ids))
        for got, ids in said:
            assert got is not None
            torch.testing.assert_close(got, alone(merged, prefix + ids), rtol=2e-3, atol=2e-3)

    check()
    channels.speak(11)
    channels.fork([3, 4, 5])
    check()
    channels.speak(12)
    channels.listen([3, 4, *range(80, 130)])
    check()
    channels.promote()
    channels.extend_prefix([respond, 8])
    check()


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_torch_has_the_weights_of_a_file(
    architecture: str, tmp_path: Path, own_cache: Path
) -> None:
    file, model, tokenizer = _written(tmp_path / "tiny.gguf", architecture)
    found = load(str(file), engine="torch", device="cpu")
    known = len(tokenizer)
    assert [found.states.respond, found.states.ignore] == [known, known + 1]
    ids = tokenizer("What is it? 你好")["input_ids"]
    torch.testing.assert_close(
        alone(found.model, ids)[:known], alone(model, ids), rtol=5e-2, atol=5e-2
    )  # of weights in float16


@needs_llama
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_what_torch_trains_of_a_file_runs_in_both(
    architecture: str, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _, tokenizer = _written(tmp_path / "tiny.gguf", architecture)
    monkeypatch.chdir(tmp_path)  # a file that is named from here is found from elsewhere
    out = train(
        settings=settings(steps=6, save_every=6, lora_layers=1, learning_rate=5e-2),
        model=file.name, data=data_folder(tmp_path / "data"), out=tmp_path / "out",
    )  # fmt: skip
    monkeypatch.chdir("/")
    assert is_gguf(str(out))
    torch_, llama = load(str(out), engine="torch", device="cpu"), load(str(out))
    assert (torch_.engine, llama.engine) == ("torch", "llama")
    assert torch_.states == llama.states
    llama.model.cache = "f32"  # of keys and values, to compare
    ids = [*tokenizer("What is it?")["input_ids"], llama.states.respond, 7, 8]
    channels = LlamaChannels(llama.model)
    channels.speaking = True
    channels.extend_prefix(ids)
    scores = channels.encode().output
    assert scores is not None
    wanted = alone(torch_.model, ids)
    torch.testing.assert_close(scores[: len(wanted)], wanted, rtol=5e-2, atol=5e-2)


def adapter(folder: Path, model: Any, known: int, base: Path) -> Path:
    """Write a random LoRA adapter with random rows for three more tokens."""
    wide = tiny_model(model.config.model_type, known, dtype=torch.float32)
    wide.resize_token_embeddings(known + 3, mean_resizing=False)
    rows: Any = list(range(known, known + 3))
    tied = wide.config.tie_word_embeddings
    config = peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"],
        alpha_pattern={"v_proj": 3},
        trainable_token_indices={"embed_tokens": rows} | ({} if tied else {"lm_head": rows}),
        task_type="CAUSAL_LM",
    )
    made = peft.get_peft_model(wide, config)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "lora_" in name or "trainable_tokens" in name:
                weight.copy_(0.3 * torch.randn_like(weight))
    made.save_pretrained(str(folder))
    file = folder / "adapter_config.json"
    facts = json.loads(file.read_text()) | {"base_model_name_or_path": str(base)}
    file.write_text(json.dumps(facts))
    (folder / "duo.json").write_text(json.dumps({"kind": "form", "chat": "plain"}))
    model.resize_token_embeddings(known + 3, mean_resizing=False)
    return folder


@needs_llama
def test_conversations_at_once_share_a_context(tiny: Any) -> None:
    from duo.decoding.batched import build_together, run_together

    model = load(str(tiny[0]))
    settings: dict[str, Any] = {"on_silence": "respond", "temperature": 0.8, "lookahead": 3}
    scripts = [["What is it?", *[""] * n, " and so", "", "", ""] for n in (2, 3, 5, 2, 4)]

    def session(script: list[str]) -> Any:
        def begin(system: Any) -> Any:
            system.reset()
            results = []
            for heard in script:
                results.append((yield from system.steps(heard)))
            return results

        return begin

    systems = build_together("duo", model, 3, **settings)
    together = dict(run_together(systems, [session(script) for script in scripts]))
    single = build("duo", model, **settings)
    for number, script in enumerate(scripts):
        single.reset()
        assert together[number] == [single.cycle(heard) for heard in script]
    pool = systems[0].channels.pool
    passes = sum(result.forward_passes for results in together.values() for result in results)
    assert 0 < pool.forward_passes < passes


@needs_llama
def test_a_pass_can_be_ended_from_another_thread(tiny: Any) -> None:
    channels = LlamaChannels(load(str(tiny[0])).model)
    channels.extend_prefix(list(range(300)))
    channels.encode()
    channels.extend_prefix([7] * 1500)
    with ThreadPoolExecutor(1) as thread:
        under_way = thread.submit(channels.encode)
        channels.cancel()
        with pytest.raises(Cancelled):
            under_way.result()


@needs_llama
def test_contexts_are_freed_and_then_the_weights(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, freed = engine.library(), []
    for name in ("llama_free", "llama_model_free"):
        monkeypatch.setattr(api, name, lambda _, name=name: freed.append(name))
    held: dict[str, Any] = {"model": LlamaModel(tiny[0], threads=1)}
    held["channels"] = LlamaChannels(held["model"])
    held["reader"] = LlamaReader(held["model"], [])
    held["itself"] = held  # collected at once, in whatever order
    del held["model"]
    assert not freed
    del held
    gc.collect()
    assert freed == ["llama_free", "llama_free", "llama_model_free"]


@needs_llama
def test_a_tokenizer_that_is_read_otherwise_is_refused(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duo.decoding.llama_model.LlamaModel.encode", lambda self, text: [0])
    with pytest.raises(BadInput, match="does not read its tokenizer rightly"):
        load(str(tiny[0]))


@needs_llama
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device": "cpu"}, "device: is for torch"),
        ({"engine": "other"}, "engine"),
        ({"chat": "chatty"}, "chat"),
    ],
)
def test_what_does_not_go_with_a_file(tiny: Any, change: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        load(str(tiny[0]), **change)  # type: ignore[arg-type]


@needs_llama
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.gguf", "no such .gguf file"),
        ("damaged.gguf", "damaged.gguf: "),
        ("folder", "is no .gguf file"),
        ("adapter", "base model some/model is no GGUF file"),
        ("user/none:q4_k_m", "hub does not give"),
    ],
)
def test_what_cannot_be_loaded(name: str, said: str, tmp_path: Path, own_cache: Path) -> None:
    (tmp_path / "damaged.gguf").write_bytes(b"GGUF\x03\0\0\0" + bytes(40))
    (tmp_path / "folder").mkdir()
    (tmp_path / "adapter").mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": "some/model"}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    given = name if ":" in name else str(tmp_path / name)
    with pytest.raises(BadInput, match=said) as caught:
        load(given, engine="llama")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("setting", [{"use_dora": True}, {"bias": "all"}, {"peft_type": "IA3"}])
def test_adapters_that_are_more_than_low_rank_are_refused(
    setting: dict[str, Any], tmp_path: Path
) -> None:
    from duo.gguf_adapter import converted

    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps({"peft_type": "LORA", **setting}))
    with pytest.raises(BadInput, match="use --engine torch"):
        converted(tmp_path, tmp_path, {"architecture": "llama"}, Rows(3))


def test_adapters_of_other_architectures_are_refused(tmp_path: Path) -> None:
    from duo.gguf_adapter import converted

    with pytest.raises(BadInput, match="not for cohere2: use --engine torch"):
        converted(tmp_path, tmp_path, {"architecture": "cohere2"}, Rows(3))


def test_without_llama_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "installed", lambda: False)
    for name, wanted in (("some.gguf", "auto"), ("qwen", "auto"), ("smollm2", "llama")):
        with pytest.raises(BadInput, match="pip install") as caught:
            load(name, engine=wanted)
        assert "\n" not in str(caught.value)


def test_threads_are_as_many_as_are_free() -> None:
    def machine(free: int, slow: float) -> Any:
        def seconds(threads: int, enough: float) -> float:
            asked.append(threads)
            return 1 / threads if threads <= free else slow

        return seconds

    for most, free, wanted in ((8, 8, 8), (8, 2, 2), (6, 6, 6), (2, 1, 1), (1, 1, 1)):
        asked: list[int] = []
        assert engine.choose_threads(most, machine(free, 10.0))[0] == wanted
        assert len(asked) == len(set(asked))
    asked = []
    assert engine.choose_threads(64, machine(1, 10.0))[0] == 1
    assert asked == [1, 2]  # not many that are slow


def test_cores_are_those_that_may_be_used() -> None:
    assert engine.cores({"OMP_NUM_THREADS": "1"}) == 1
    assert engine.cores({"OMP_NUM_THREADS": "none"}) >= 1
    assert engine.cores({}) >= 1


@lru_cache
def utterances() -> list[str]:
    return [
        "What is the capital of France?", "mhm", "Wow!", "Can you tell me a joke?", "Stop.",
        "Wait, why is that?", "Mum, can you close the door?", "I went to the lake yesterday.",
    ]  # fmt: skip


@needs_llama
@pytest.mark.real_model
def test_the_embedded_adapter_decides_as_in_torch() -> None:
    decided = []
    for name in ("llama", "torch"):
        system = build("duo", load("smollm2-duo", engine=name), lookahead=2)
        found = []
        for text in utterances():
            system.reset()
            results = [system.cycle(heard) for heard in (text, "", "")]
            kinds = [event.kind for one in results for event in one.events]
            found.append([kind for kind in kinds if kind in ("respond", "ignore")][:1])
        decided.append(found)
    assert sum(one == other for one, other in zip(*decided, strict=True)) >= len(utterances()) - 1
