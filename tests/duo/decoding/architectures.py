"""Tiny random models of the causal architectures of `transformers`, and the table of verdicts.

`python -m tests.duo.decoding.architectures` writes `docs/models.md`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

from duo.decoding.check import exact_length, fault, is_static

TABLE = Path(__file__).parents[3] / "docs" / "models.md"

#: Sizes by all the names that configurations have for them; a window shorter than a conversation.
_TINY: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "embedding_size"), 32),
    **dict.fromkeys(("word_embed_proj_dim",), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "d_ff", "ffn_hidden_size"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 3),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 128),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), None),
    "vocab_size": 97,
    "head_dim": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "sliding_window": 8,
    "initializer_range": 0.3,
    "rotary_dim": 4,
}

_ROBERTAS = (
    "camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta",
    "xlm-roberta-xl",
)  # fmt: skip

#: What some need besides, or instead (None: nothing by this name), and the forms of one
#: architecture that differ in what is tested here.
_MORE: dict[str, dict[str, Any]] = {
    **{kind: {"pad_token_id": 1} for kind in _ROBERTAS},
    "gemma2": {"attn_implementation": "eager"},  # as `duo.backbone` loads it
    "minicpm3": {"num_key_value_heads": 4},
    "xmod": {"pad_token_id": 1, "default_language": "en_XX"},
    "bamba": {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8},
    "falcon": {"head_dim": None},
    "falcon (ALiBi)": {"head_dim": None, "alibi": True},
    "cwm": {"bos_token_id": 0, "eos_token_id": 1, "layer_types": ["full_attention"] * 3},
    "gpt_neo": {
        "attention_types": [[["global", "local"], 2]],
        "num_layers": 4,
        "num_hidden_layers": None,
        "window_size": 8,
    },
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "modernbert-decoder": {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "llama (linear rope)": {"rope_parameters": {"rope_type": "linear", "factor": 4.0}},
    "llama (dynamic NTK)": {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0}},
    "llama (llama3 rope)": {
        "rope_parameters": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        }
    },
    "llama (YaRN)": {
        "rope_parameters": {
            "rope_type": "yarn",
            "factor": 8.0,
            "original_max_position_embeddings": 16,
        }
    },
    "phi3 (longrope)": {
        "original_max_position_embeddings": 64,
        "rope_parameters": {
            "rope_type": "longrope",
            "short_factor": [1.0] * 4,
            "long_factor": [1.0, 2.0, 3.0, 4.0],
            "original_max_position_embeddings": 64,
        },
    },
    "qwen2 (sliding)": {"use_sliding_window": True, "max_window_layers": 1},
}

#: Larger ones would make the test slow.
_MOST_WEIGHTS = 1_500_000


def names() -> list[str]:
    """List the text models among the causal architectures of this version, and their forms."""
    kinds = {config.model_type for config in MODEL_FOR_CAUSAL_LM_MAPPING}
    return sorted(kinds | {name for name in _MORE if _kind(name) in kinds})


def _kind(name: str) -> str:
    return name.split(" (")[0]


def tiny(name: str) -> Any:
    """Make a tiny random model; None if these sizes do not make a small one of this kind."""
    config = next(c for c in MODEL_FOR_CAUSAL_LM_MAPPING if c.model_type == _kind(name))
    model = MODEL_FOR_CAUSAL_LM_MAPPING[config]
    model = model[0] if isinstance(model, tuple) else model
    try:
        usual = config()
        if usual.sub_configs and name != "mpt":
            return None
        sizes = {size: value for size, value in _TINY.items() if hasattr(usual, size)}
        given = {
            size: value
            for size, value in {**sizes, **_MORE.get(name, {})}.items()
            if value is not None or size.endswith("_token_id")
        }
        if "rope_parameters" in given:
            given["rope_parameters"] = {"rope_theta": 10_000.0, **given["rope_parameters"]}
        made = config(**given)
        made.is_decoder = True
        with torch.device("meta"):
            if model(made).num_parameters() > _MOST_WEIGHTS:
                return None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return model(made).eval()
    except Exception:  # settings that this kind refuses in a way of its own
        return None


def verdict(name: str, model: Any) -> str:
    """Say what is to be expected of an architecture, for the table."""
    whole = getattr(model.config, "max_position_embeddings", None)
    if reason := fault(model):
        return "all but `duo`" if "duo-sequential" in reason else "refused"
    found = "exact, static" if is_static(model) else "exact"
    if exact_length(model) != whole:
        return f"{found}, up to the length where its positions change"
    return found


def table() -> str:
    """Write the page of all architectures."""
    rows = []
    for name in names():
        if (model := tiny(name)) is not None:
            rows.append((name, verdict(name, model)))
    exact = sum(verdict.startswith("exact") for _, verdict in rows)
    return _PAGE.format(
        version=transformers.__version__,
        count=len(rows),
        exact=exact,
        rows="\n".join(f"| {name} | {verdict} |" for name, verdict in rows),
    )


_PAGE = """# Architectures

Verified with tiny random models of transformers {version} on a CPU: {count} causal architectures
and forms of them, of which {exact} are exact. *Exact*: two channels and several conversations in
one forward pass give the logits of a plain forward pass of each alone. *Static*: by a forward pass
of our own over plain buffers ([decoder.md](decoder.md)), the one for many conversations, compiled
code and CUDA graphs. *All but `duo`*: the model takes no mask of ours, and is exact one channel and
one conversation after the other: so `duplex` and `turn-based` hold it, and `duo-sequential` in
place of `duo` (a model that keeps no keys and values, such as Mamba, reads the whole text again in
each step). *Refused*: some of its layers have a past that cannot be rolled back, or it is no
decoder of text alone.

The same check runs on every model that is loaded, whatever its name; what fails it is refused in
one line. `python -m tests.duo.decoding.architectures` writes this page, and a test holds it.

| architecture | verdict |
|---|---|
{rows}
"""

if __name__ == "__main__":
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table(), "utf-8")
