"""Find, fetch and load a model and its tokenizer.

    backbone = load("smollm2")
    backbone = load("runs/adapter", device="cuda", dtype="bfloat16")

Nothing that comes with a model is ever run: no remote code, no pickles but of plain tensors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duo import minicpm
from duo.chatformat import STYLES, ChatFormat, chat_format
from duo.errors import BadInput, check_choice
from duo.sources import ADAPTER, CONFIG, first_line, model_folder
from duo.terminal import quiet
from duo.tokens import IDLE, IGNORE, RESPOND, StateTokens, add_state_tokens

if TYPE_CHECKING:
    import torch

__all__ = ["IDLE", "IGNORE", "RESPOND", "Backbone", "StateTokens", "add_state_tokens", "load"]

DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
ATTENTION = ("sdpa", "eager", "flex_attention")


@dataclass
class Backbone:
    """A causal language model ready for duplex decoding.

    Attributes:
        model: of `transformers`, in evaluation mode.
        tokenizer: with the state tokens.
        name: as it was asked for.
        states: ids of the state tokens.
        chat: its chat format.
    """

    model: Any
    tokenizer: Any
    name: str
    states: StateTokens
    chat: ChatFormat

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype

    @property
    def max_tokens(self) -> int:
        """The model's context length in tokens."""
        length = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return int(length or self.tokenizer.model_max_length)


def load(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "sdpa",
    chat: str = "template",
    system: str | None = None,
) -> Backbone:
    """Load a model with its tokenizer, state tokens and chat format.

    Args:
        name: the alias `smollm2`, `smollm2-duo` or `smollm2-duplex`, a model's folder, a PEFT
            adapter's folder (merged into its base model for speed), or a model's name on the
            Hugging Face hub.
        device: "auto" (the best there is: cuda, mps, cpu), or as torch names it.
        dtype: of the weights: "auto" (bfloat16 on a GPU made for it, else float32) or one of
            `DTYPES`.
        attention: "sdpa" (eager where the architecture has none), "eager" or "flex_attention".
        chat: chat format, "template" or "plain".
        system: a system prompt in place of the template's own.

    Raises:
        BadInput: no such model, a damaged one, one that needs its own code; a device, dtype or
            chat format that is not to be had; the hub or the package index cannot be reached.
    """
    place = resolve_device(device)
    kind = resolve_dtype(dtype, place)
    check_choice("attention", attention, ATTENTION)
    check_choice("chat", chat, STYLES)
    folder = model_folder(name)
    with quiet():
        model, tokenizer = open_weights(folder, kind, attention)
        states = add_state_tokens(model, tokenizer)
        form = chat_format(tokenizer, chat, system)
        model = moved(model, place).eval()
    ends = model.generation_config.eos_token_id
    ends = {ends} if isinstance(ends, int) else set(ends or ())
    form = replace(form, stop=form.stop | ends)
    return Backbone(model=model, tokenizer=tokenizer, name=name, states=states, chat=form)


def resolve_device(name: str) -> torch.device:
    """The device of a name; "auto" is the best there is.

    Raises:
        BadInput: there is none of that name.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        place = torch.device(name)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError):
        raise BadInput(f"no {name!r} here: use auto or cpu", field="device") from None
    if place.type == "meta":
        raise BadInput("'meta' computes nothing: use auto or cpu", field="device")
    return place


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number format of a name; "auto" is what suits the device.

    Raises:
        BadInput: a name that is not one of `DTYPES`.
    """
    import torch

    check_choice("dtype", name, DTYPES)
    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    return getattr(torch, name)


def moved(model: Any, device: torch.device) -> Any:
    """The model on a device.

    Raises:
        BadInput: it does not fit.
    """
    import torch

    try:
        return model.to(device)
    except torch.OutOfMemoryError:
        raise BadInput(f"the model does not fit into the memory of {device}") from None


def open_weights(folder: Path, dtype: torch.dtype, attention: str) -> tuple[Any, Any]:
    """Model and tokenizer of a folder, be it a whole model or an adapter, as they are.

    Raises:
        BadInput: damaged, foreign, or in need of code of its own.
    """
    if (folder / ADAPTER).is_file():
        return _adapted(folder, dtype, attention)
    config = _json(folder / CONFIG)
    try:
        return _model(folder, config, dtype, attention), _tokenizer(folder)
    except BadInput:
        raise
    except Exception as error:  # whatever a damaged or foreign folder makes the libraries raise
        if "trust_remote_code" in str(error):
            reason = f"{config.get('model_type')} needs code of its own, which is never run"
        else:
            reason = first_line(error)
        raise BadInput(f"cannot load this model: {reason}", file=folder) from error


def _model(folder: Path, config: dict[str, Any], dtype: torch.dtype, attention: str) -> Any:
    """The model alone. SDPA is the library's own choice wherever an architecture supports it."""
    from transformers import AutoModelForCausalLM

    how: dict[str, Any] = {
        "dtype": dtype,
        "attn_implementation": None if attention == "sdpa" else attention,
        "local_files_only": True,
        "output_loading_info": True,
    }
    if config.get("model_type") == minicpm.MODEL_TYPE:
        from transformers import GraniteConfig, GraniteForCausalLM

        try:
            granite = GraniteConfig(**minicpm.granite_settings(config))
        except BadInput as error:
            raise BadInput(error.message, file=folder / CONFIG, field=error.field) from None
        model, found = GraniteForCausalLM.from_pretrained(folder, config=granite, **how)
    else:
        model, found = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False, **how)
    if missing := sorted(found["missing_keys"]):
        raise BadInput(f"{len(missing)} weights are missing, such as {missing[0]}", file=folder)
    return model


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def _adapted(folder: Path, dtype: torch.dtype, attention: str) -> tuple[Any, Any]:
    """A base model with a PEFT adapter merged into it, and the adapter's tokenizer."""
    from peft import PeftModel

    config = folder / ADAPTER
    base = _json(config).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise BadInput("names no base model", file=config, field="base_model_name_or_path")
    beside = folder / base  # a relative path may be meant from the adapter's folder
    where = beside if beside.is_dir() else model_folder(base)
    if where.resolve() == folder.resolve():
        raise BadInput("names the adapter itself", file=config, field="base_model_name_or_path")
    model, tokenizer = open_weights(where, dtype, attention)
    states = add_state_tokens(model, tokenizer)  # as in training: the adapter has rows for them
    try:
        if (folder / "tokenizer_config.json").is_file():
            tokenizer = _tokenizer(folder)
            if add_state_tokens(model, tokenizer) != states:
                raise BadInput("the tokenizer's state tokens are not the base model's", file=folder)
        return PeftModel.from_pretrained(model, folder).merge_and_unload(), tokenizer
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"cannot load this adapter: {first_line(error)}", file=folder) from error


def _json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadInput(f"cannot read: {error.strerror}", file=path) from error
    except UnicodeDecodeError as error:
        raise BadInput("is not UTF-8 text", file=path) from error
    except json.JSONDecodeError as error:
        raise BadInput(f"is not JSON: {error.msg}", file=path, line=error.lineno) from error
    if not isinstance(content, dict):
        raise BadInput("is not a JSON object", file=path)
    return content
