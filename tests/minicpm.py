"""Tiny random models in the form in which MiniCPM is published, with a tokenizer of its kind."""

from __future__ import annotations

import json
import os
import shutil
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.tiny import _TEXT

#: The published settings and tokenizer, where they are.
PUBLISHED = Path(os.environ.get("DUO_SHARED", Path(__file__).parents[2] / "shared")) / "models"

#: As published but for its size: no model type, the three scalings, remote code that is not there.
CONFIG: dict[str, Any] = {
    "architectures": ["MiniCPMForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_minicpm.MiniCPMConfig",
        "AutoModelForCausalLM": "modeling_minicpm.MiniCPMForCausalLM",
    },
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 48,
    "initializer_range": 0.1,
    "intermediate_size": 80,
    "max_position_embeddings": 1024,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-5,
    "rope_scaling": None,
    "torch_dtype": "float32",
    "transformers_version": "4.36.0",
    "use_cache": True,
    "scale_emb": 12,
    "dim_model_base": 16,
    "scale_depth": 1.4,
}

_SPECIAL = {
    str(place): {"content": token, "lstrip": False, "normalized": False, "rstrip": False,
                 "single_word": False, "special": True}
    for place, token in enumerate(("<unk>", "<s>", "</s>"))
}  # fmt: skip

#: As published: it does not say that no blank is put before a text, and writes no `<s>`, `</s>`.
TOKENIZER: dict[str, Any] = {
    "add_bos_token": True,
    "add_eos_token": False,
    "added_tokens_decoder": _SPECIAL,
    "bos_token": "<s>",
    "clean_up_tokenization_spaces": False,
    "eos_token": "</s>",
    "legacy": True,
    "model_max_length": 1000000000000000019884624838656,
    "pad_token": None,
    "sp_model_kwargs": {},
    "tokenizer_class": "LlamaTokenizer",
    "unk_token": "<unk>",
    "chat_template": (
        "{% for message in messages %}{% if message['role'] == 'user' %}"
        "{{'<用户>' + message['content'].strip() + '<AI>'}}{% else %}"
        "{{message['content'].strip()}}{% endif %}{% endfor %}"
    ),
}


@lru_cache
def sentencepiece_model() -> bytes:
    """Train a SentencePiece model with the peculiarities of MiniCPM's.

    No blank before a text, blanks kept, bytes as a fall-back, symbols of its own such as the line
    break; `<AI>` is three pieces, and `>"` and `>(` are single ones.
    """
    import sentencepiece

    marks = ['<用户>what<AI>"so"', "<用户>why<AI>(no)", "<AI>and<AI>", '<b>"x"</b>(y)'] * 12
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*_TEXT, *marks]),
        model_writer=model,
        model_type="bpe",
        vocab_size=640,
        hard_vocab_limit=False,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=["<SEP>", "<CLS>", "\n", "\t", "。", "！", "？", ".", "!", "?"],
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return model.getvalue()


def save_minicpm(folder: Path, *, duplex: bool = False, published: bool = False) -> Path:
    """Write a tiny MiniCPM, or MiniCPM-duplex, as it would be published.

    Args:
        folder: where to.
        duplex: with the added tokens of MiniCPM-duplex, `<idle>` and `<s0>` to `<s5>`.
        published: with the published tokenizer, which must be there.
    """
    folder.mkdir(parents=True)
    settings = TOKENIZER
    if published:
        (folder / "tokenizer.model").write_bytes(
            (PUBLISHED / "minicpm/tokenizer.model").read_bytes()
        )
        name = "minicpm-duplex" if duplex else "minicpm"
        config = json.loads((PUBLISHED / name / "config.json").read_text("utf-8"))
        config |= {name: CONFIG[name] for name in CONFIG if name not in ("auto_map",)}
        config["vocab_size"] = 122_760 if duplex else 122_753
        for path in (PUBLISHED / name).glob("*tok*.json"):
            shutil.copyfile(path, folder / path.name)
    else:
        model = sentencepiece_model()
        (folder / "tokenizer.model").write_bytes(model)
        import sentencepiece

        size = sentencepiece.SentencePieceProcessor(model_proto=model).vocab_size()
        if duplex:
            added = ("<idle>", *(f"<s{number}>" for number in range(6)))
            more = {
                str(size + place): {**_SPECIAL["0"], "content": token, "special": False}
                for place, token in enumerate(added)
            }
            settings = {
                **TOKENIZER,
                "add_prefix_space": False,
                "added_tokens_decoder": _SPECIAL | more,
            }
            size += len(added)
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
        config = {**CONFIG, "vocab_size": size}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    found = {name: weight.float() for name, weight in weights(config, seed=1).items()}
    save_file(found, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def weights(config: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """Random weights under MiniCPM's names."""
    random = torch.Generator().manual_seed(seed)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head = hidden // config["num_attention_heads"]
    keys = head * config["num_key_value_heads"]

    def matrix(rows: int, columns: int) -> Tensor:
        return torch.randn(rows, columns, generator=random, dtype=torch.float64) / columns**0.5

    def norm() -> Tensor:
        return 1 + 0.2 * torch.randn(hidden, generator=random, dtype=torch.float64)

    found = {
        "model.embed_tokens.weight": matrix(config["vocab_size"], hidden),
        "model.norm.weight": norm(),
    }
    if not config.get("tie_word_embeddings", True):
        found["lm_head.weight"] = matrix(config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        found |= {
            at + "input_layernorm.weight": norm(),
            at + "post_attention_layernorm.weight": norm(),
            at + "self_attn.q_proj.weight": matrix(hidden, hidden),
            at + "self_attn.k_proj.weight": matrix(keys, hidden),
            at + "self_attn.v_proj.weight": matrix(keys, hidden),
            at + "self_attn.o_proj.weight": matrix(hidden, hidden),
            at + "mlp.gate_proj.weight": matrix(inner, hidden),
            at + "mlp.up_proj.weight": matrix(inner, hidden),
            at + "mlp.down_proj.weight": matrix(hidden, inner),
        }
    return found
