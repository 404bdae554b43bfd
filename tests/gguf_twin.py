"""Write the tiny random models as GGUF files, with their tokenizers, for llama.cpp."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from duo.decoding.llama import LlamaChannels
from duo.decoding.llama_model import LlamaModel
from duo.engine import installed
from tests.tiny import tiny_tokenizer

needs_llama = pytest.mark.skipif(
    not installed(), reason="llama.cpp, the extra [llama], is not here"
)

#: Model types of `transformers` that are written, and how their files call them.
_ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "gemma2": "gemma2", "gemma3_text": "gemma3"}


def write_gguf(model: Any, tokenizer: Any, path: Path, *, without: tuple[str, ...] = ()) -> Path:
    """Write a model of `transformers` and its tokenizer.

    Args:
        model: a tiny one.
        tokenizer: byte-level BPE.
        path: of the file.
        without: tokens, the last ones of all, that the file shall lack.
    """
    config = model.config
    kind = _ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(path, kind)
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(size)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    if kind.startswith("gemma"):
        writer.add_sliding_window(config.sliding_window)
    if kind == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    tokens = _write_tokenizer(writer, tokenizer, without)
    architecture = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == kind)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    tied = config.tie_word_embeddings
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        array = tensor.float().numpy()
        if "embed_tokens" in name or name == "lm_head.weight":
            array = array[:tokens]
        if kind.startswith("gemma") and name.endswith("norm.weight"):
            array = array + 1
        if kind == "llama" and ("q_proj" in name or "k_proj" in name):
            array = permuted(array, heads if "q_proj" in name else kv_heads)
        writer.add_tensor(
            names.get_name(name, try_suffixes=(".weight", ".bias"))
            or pytest.fail(f"no name for {name}"),
            np.ascontiguousarray(array),
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def permuted(rows: np.ndarray, heads: int) -> np.ndarray:
    """The rows of a head in the order of llama.cpp's rotary embedding: pairs side by side."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _write_tokenizer(writer: Any, tokenizer: Any, without: tuple[str, ...]) -> int:
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    added = {token["id"]: token["content"] for token in content["added_tokens"]}
    tokens = {number: token for token, number in content["model"]["vocab"].items()} | added
    tokens = {number: token for number, token in tokens.items() if token not in without}
    control = {token["id"] for token in content["added_tokens"] if token["special"]}
    merges = [
        pair if isinstance(pair, str) else " ".join(pair) for pair in content["model"]["merges"]
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokens[number] for number in range(len(tokens))])
    writer.add_token_types(
        [
            gguf.TokenType.CONTROL if n in control else gguf.TokenType.NORMAL
            for n in range(len(tokens))
        ]
    )
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_add_bos_token(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
    return len(tokens)


@lru_cache(maxsize=16)
def twin(model: Any) -> LlamaModel:
    """The same weights in llama.cpp, with keys and values in float32."""
    with TemporaryDirectory() as folder:
        file = write_gguf(model, tiny_tokenizer(), Path(folder) / "twin.gguf")
        return LlamaModel(file, cache="f32")  # the file stays open


class TwinChannels(LlamaChannels):
    """Channels in llama.cpp that are made, like the others, with a model of `transformers`."""

    def __init__(self, model: torch.nn.Module, pool: Any = None, **more: Any) -> None:
        super().__init__(twin(model), pool, **more)
