"""Read MiniCPM, the paper's model, as Granite: the same network under other names of its settings.

It is apart from `duo.backbone`, which loads it, as the benchmark of GPUs makes such models too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from duo.errors import BadInput


def describes_minicpm(config: Mapping[str, Any]) -> bool:
    """Tell MiniCPM by its `config.json`, which may name an architecture and no model type."""
    names = config.get("architectures")
    kind = config.get("model_type")
    return kind == "minicpm" or (
        not kind and isinstance(names, list) and "MiniCPMForCausalLM" in names
    )


#: Settings that MiniCPM and Granite have in common.
_NEEDED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
)

#: MiniCPM's defaults of settings that mean the same in both.
_DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": None,  # as many as there are query heads
    "max_position_embeddings": 2048,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}

#: What later models of this type have and Granite cannot express.
_FOREIGN = ("rope_scaling", "num_experts", "sparse_config")


def granite_settings(minicpm: Mapping[str, Any]) -> dict[str, Any]:
    """Translate a MiniCPM `config.json` to settings of `GraniteConfig`.

    MiniCPM (the paper's model) is a Llama with three scalings: of the embeddings, of what each
    sub-layer adds to the residual stream, and of the last hidden state ("MiniCPM: Unveiling the
    Potential of Small Language Models", section 3). Granite has the same three under other names,
    and the same names of weights, so that no remote code is needed.

    With MiniCPM's scale_emb, scale_depth, dim_model_base, layers L, hidden size h, head size k:
    embedding_multiplier = scale_emb, residual_multiplier = scale_depth / sqrt(L),
    logits_scaling = h / dim_model_base, attention_multiplier = 1 / sqrt(k).

    Raises:
        BadInput: a setting is missing, or is one that Granite cannot express.
    """
    for setting in _FOREIGN:
        if minicpm.get(setting):
            raise BadInput("MiniCPM models that have this are not supported", field=setting)
    for setting in (*_NEEDED, "scale_emb", "scale_depth", "dim_model_base"):
        if not isinstance(minicpm.get(setting), int | float):
            raise BadInput("is missing or not a number", field=setting)
    hidden = minicpm["hidden_size"]
    return {
        **{setting: minicpm[setting] for setting in _NEEDED},
        **{setting: minicpm.get(setting, default) for setting, default in _DEFAULTS.items()},
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": float(minicpm.get("rope_theta", 10_000.0)),
        },
        "embedding_multiplier": float(minicpm["scale_emb"]),
        "residual_multiplier": minicpm["scale_depth"] / math.sqrt(minicpm["num_hidden_layers"]),
        "attention_multiplier": 1 / math.sqrt(hidden // minicpm["num_attention_heads"]),
        "logits_scaling": hidden / minicpm["dim_model_base"],
    }
