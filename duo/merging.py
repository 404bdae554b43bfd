"""Merge a PEFT adapter into its base model, whoever made it.

An adapter may bring tokens of its own, whole matrices in place of the base model's (an embedding,
an output head), or single rows of them. The base model then gets as many rows as it had when the
adapter was trained, so that the logits are those that it was saved with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from duo.errors import BadInput
from duo.tokens import STATE_TOKENS, add_state_tokens, make_mean, state_tokens


def merge(model: Any, tokenizer: Any, folder: Path, own: Any | None) -> tuple[Any, Any]:
    """Merge the adapter of a folder into `model`; return it, and the tokenizer that goes with it.

    Both are changed in place.

    Args:
        own: the adapter's tokenizer, if one lies beside it.

    Raises:
        BadInput: its tokenizer and weights do not go together, or it is a prompt, not weights.
        Exception: whatever PEFT raises on a damaged adapter.
    """
    from peft import PeftConfig, PeftModel, load_peft_weights

    config = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning:
        raise BadInput(
            f"an adapter of the kind {config.peft_type.value} is a prompt, not weights that can be "
            "merged: use LoRA or one like it",
            file=folder,
        )
    weights = load_peft_weights(str(folder), device="cpu")
    whole = _whole_rows(model, weights)
    last = max(_single_rows(config), default=-1)
    if whole is None:
        _add_as_in_training(model, tokenizer, folder, own, last)
    rows = model.get_input_embeddings().weight.shape[0]
    wanted = whole or max(rows, last + 1, len(own) if own is not None else 0)
    if wanted != rows:
        model.resize_token_embeddings(wanted, mean_resizing=False)
        make_mean(model, slice(rows, None), rows)  # as untrained state tokens are
    _add_fusion(model, weights)
    merged = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    _untie_if_parted(merged)
    return merged, tokenizer if own is None else own


def _add_as_in_training(
    model: Any, tokenizer: Any, folder: Path, own: Any | None, last: int
) -> None:
    """Add the state tokens first where the adapter was trained by `duo train`, which does so."""
    rows = model.get_input_embeddings().weight.shape[0]
    if own is None:
        if last >= min(rows, len(tokenizer)):
            add_state_tokens(model, tokenizer)
    elif set(STATE_TOKENS) <= set(own.get_added_vocab()) and add_state_tokens(
        model, tokenizer
    ) != state_tokens(own):
        raise BadInput("the tokenizer's state tokens are not the base model's", file=folder)


def _add_fusion(model: Any, weights: dict[str, Any]) -> None:
    """Give the model what the adapter has weights of: projections of what is heard."""
    from duo.fusion import NAME, add_fusion

    names = {f"base_model.model.{NAME}.{part}" for part in ("up", "taps")} & weights.keys()
    if names:
        up = weights[f"base_model.model.{NAME}.up"]
        add_fusion(model, "late" if len(names) == 2 else "early" if len(up) == 1 else "middle")


def _whole_rows(model: Any, weights: dict[str, Any]) -> int | None:
    """Find how many rows the matrices in the adapter have, if it has any of the vocabulary's."""
    names = {id(module): name for name, module in model.named_modules()}
    embedding = names[id(model.get_input_embeddings())]
    head = names.get(id(model.get_output_embeddings()), "")
    for key, weight in weights.items():
        for name in filter(None, (embedding, head)):
            kind = key.removeprefix("base_model.model.").removeprefix(f"{name}.")
            if key != f"base_model.model.{name}.{kind}":
                continue
            if kind.startswith("lora_embedding_A"):
                return int(weight.shape[1])
            if kind.endswith("weight") and not kind.startswith("lora_A"):
                return int(weight.shape[0])
    return None


def _single_rows(config: Any) -> list[int]:
    """List the tokens whose rows the adapter has."""
    indices = getattr(config, "trainable_token_indices", None) or []
    if isinstance(indices, dict):
        indices = [number for numbers in indices.values() for number in numbers]
    return list(indices)


def _untie_if_parted(model: Any) -> None:
    """Say in the configuration that head and embedding differ, where an adapter parted them.

    Else the next change of the number of rows would tie them again.
    """
    head = model.get_output_embeddings()
    if head is not None and head.weight is not model.get_input_embeddings().weight:
        for config in (model.config, model.config.get_text_config()):
            config.tie_word_embeddings = False
