"""Choose the weights that are trained, put an adapter beside those that are not, and write them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from duo.backbone import Backbone
from duo.errors import BadInput, first_line
from duo.files import read_tensors, write_tensors
from duo.fusion import NAME, Kind, add_fusion
from duo.model_folder import ADAPTER_WEIGHTS
from duo.terminal import quiet
from duo.tokens import trainable_rows
from duo.training.settings import TrainSettings
from duo.training.speed import blocks

#: Parts of the names that linear layers have in the architectures of `transformers`.
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "c_attn", "query_key_value")
_MLP = ("gate_proj", "up_proj", "down_proj", "gate_up_proj", "fc1", "fc2", "c_fc")


def trainable(backbone: Backbone, settings: TrainSettings, start: Path | None = None) -> Any:
    """Choose which weights of a model are trained, and freeze the others.

    With `lora_rank` it is a PEFT model: low-rank adapters beside the linear layers, and the state
    tokens' rows of the embedding (and of the output head where that is a matrix of its own).

    Raises:
        BadInput: the architecture has no linear layers of the kind asked for, or `start` holds no
            adapter like the one that is to be trained.
    """
    model = backbone.model
    if settings.state_rows == "turn_end" and settings.recipe == "duo":
        _begin_as_turn_end(backbone)
    if not settings.lora_rank:
        return model.requires_grad_(True)
    from peft import LoraConfig, get_peft_model

    if fused := settings.recipe.startswith("lslm"):
        add_fusion(model, cast(Kind, settings.recipe.removeprefix("lslm-")))
    config = LoraConfig(
        modules_to_save=[NAME] if fused else None,
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=adapter_layers(model, settings.lora_targets, settings.lora_layers),
        trainable_token_indices=trainable_rows(model, backbone.states),
        task_type="CAUSAL_LM",
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        adapted = get_peft_model(model, config) if start is None else _begun(model, config, start)
    used = adapted.peft_config["default"]
    used.base_model_name_or_path = base_name(backbone.name)
    if not isinstance(used.target_modules, str):  # a set, which would be saved in any order
        used.target_modules = sorted(used.target_modules or ())
    # PEFT would save the whole embedding too, and look the base model up on the hub to decide.
    adapted.save_pretrained = partial(adapted.save_pretrained, save_embedding_layers=False)
    if settings.gradient_checkpointing:
        adapted.enable_input_require_grads()
    return adapted


def save(
    model: Any, tokenizer: Any, folder: Path, dtype: str, gathered: dict[str, Any] | None = None
) -> None:
    """Write an adapter or a model, with its tokenizer, as `duo.backbone.load` reads it.

    Args:
        dtype: number format of the weights in the file.
        gathered: all weights by name, where the model itself holds only this process's share.
    """
    kind = getattr(torch, dtype)
    with quiet():
        if hasattr(model, "peft_config"):
            model.save_pretrained(folder, state_dict=gathered)
            _cast(folder / ADAPTER_WEIGHTS, kind)
            (folder / "README.md").unlink(missing_ok=True)  # an empty form
        elif gathered is not None:
            whole = {name: weight.to(kind) for name, weight in gathered.items()}
            model.save_pretrained(folder, state_dict=whole)
        else:
            model.to(kind).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def base_name(name: str) -> str:
    """Name the base model of an adapter: a folder or file by its full path, all else as it is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name


def _begin_as_turn_end(backbone: Backbone) -> None:
    """Give `<1>` and `<2>` the rows of the token that follows a user's last word."""
    model, chat, states = backbone.model, backbone.chat, backbone.states
    end = (*chat.user_close, *chat.assistant_open)[0]
    with torch.no_grad():
        for matrix in (model.get_input_embeddings(), model.get_output_embeddings()):
            for parameter in matrix.parameters():
                parameter[[states.respond, states.ignore]] = parameter[end].clone()


def _begun(model: Any, config: Any, start: Path) -> Any:
    """Put an adapter that was trained before on a model.

    Raises:
        BadInput: the folder holds no adapter of this model, or one of another form.
    """
    from peft import PeftConfig, PeftModel
    from safetensors import SafetensorError

    try:
        there = PeftConfig.from_pretrained(str(start))
        adapted = PeftModel.from_pretrained(model, str(start), config=there, is_trainable=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        said = f"no adapter of this model can be read: {first_line(error)}"
        raise BadInput(said, file=start) from None
    for name in ("r", "lora_alpha", "target_modules", "trainable_token_indices"):
        was, now = getattr(there, name, None), getattr(config, name)
        if name == "target_modules":
            if now == "all-linear":  # which peft has turned into the layers' names
                continue
            was, now = sorted(was or ()), sorted(now)
        if was != now:
            raise BadInput(f"another {name} than these settings give: {was!r}, not {now!r}",
                           file=start)  # fmt: skip
    return adapted


def adapter_layers(model: Any, wanted: str, last: int = 0) -> str | list[str]:
    """Name the layers that get an adapter, as PEFT's `target_modules`; see `TrainSettings`.

    Raises:
        BadInput: the model has none of that kind, or not so many blocks.
    """
    if wanted == "all-linear" and not last:
        return wanted
    within = tuple(f"{name}." for name, _ in last_blocks(model, last)) if last else ""
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name.startswith(within)
    ]
    kinds = {name: name.rpartition(".")[2] for name in linear}
    wished = {"attention": _ATTENTION, "mlp": _MLP}.get(wanted, kinds.values())
    if not (chosen := [name for name in linear if kinds[name] in wished]):
        there = ", ".join(sorted(set(kinds.values())))
        raise BadInput(f"this model has no such layers: it has {there}", field="lora_targets")
    return sorted(chosen if last else {kinds[name] for name in chosen})


def last_blocks(model: Any, count: int) -> list[tuple[str, Any]]:
    found = list(blocks(model, field="lora_layers").items())
    if count > len(found):
        raise BadInput(f"the model has {len(found)} blocks", field="lora_layers")
    return found[-count:]


def _cast(path: Path, dtype: torch.dtype) -> None:
    weights = {name: weight.to(dtype) for name, weight in read_tensors(path, "pt")[0].items()}
    write_tensors(path, weights, {"format": "pt"}, "pt")
