"""Load a model and its tokenizer.

    backbone = load("smollm2")
    backbone = load("runs/adapter", device="cuda", dtype="bfloat16")

Nothing that comes with a model is ever run: no remote code, no pickles but of plain tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duo.chatformat import STYLES, ChatFormat, chat_format
from duo.chattemplate import DATE
from duo.engine import Engine, resolve_engine
from duo.errors import BadInput, check_choice, first_line
from duo.files import read_json_object
from duo.merging import merge
from duo.minicpm import describes_minicpm, granite_settings
from duo.model_folder import (
    CONFIG,
    agreed_style,
    base_folder,
    chat_style,
    is_minicpm,
    model_folder,
)
from duo.quantising import BITS, quantise
from duo.state_rows import read_rows, rows_folder, with_rows
from duo.terminal import quiet
from duo.tokens import StateTokens, add_control_tokens, add_state_tokens

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
ATTENTION = ("sdpa", "eager", "flex_attention")


@dataclass
class Backbone:
    """A causal language model ready for duplex decoding.

    Attributes:
        model: of `transformers`, in evaluation mode.
        tokenizer: with the state tokens.
        name: as it was asked for.
        engine: what runs it. With "llama" the model is a `duo.decoding.llama_model.LlamaModel`,
            with "server" a `duo.decoding.server.ServerModel`.
        bits: "int8" or "int4" where its weights were quantised.
        decide_at: what suits its state rows, if it has any; see `duo.decoding.duo.usual_decide_at`.
    """

    model: Any
    tokenizer: Any
    name: str
    states: StateTokens
    chat: ChatFormat
    engine: Engine = "torch"
    bits: str = ""
    decide_at: float | None = None

    def control(self, names: Sequence[str]) -> tuple[int, ...]:
        """Find the ids of the control tokens that a scheme names; make those that are not there.

        Raises:
            BadInput: the model lacks one and cannot be given it.
        """
        known = self.tokenizer.get_added_vocab()
        if self.engine == "torch":
            found = add_control_tokens(self.model, self.tokenizer, names)
        elif missing := [name for name in names if name not in known]:
            raise BadInput(f"{self.name} has no control token {missing[0]}: use --engine torch")
        else:
            found = tuple(known[name] for name in names)
        self.chat.encoder.renew()
        self.states = replace(
            self.states, others=tuple(dict.fromkeys((*self.states.others, *found)))
        )
        return found

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype

    @property
    def number_format(self) -> str:
        """The number format of the weights in torch, such as bfloat16 or int8; else ""."""
        own = str(self.dtype).removeprefix("torch.") if self.engine == "torch" else ""
        return self.bits or own

    @property
    def max_tokens(self) -> int:
        """The model's context length in tokens, as far as its positions are those of any length."""
        if self.engine != "torch":
            return int(self.model.max_tokens)
        from duo.decoding.check import exact_length

        return exact_length(self.model) or int(self.tokenizer.model_max_length)


def load(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "sdpa",
    chat: str | None = None,
    system: str | None = None,
    date: str = DATE,
    engine: str = "auto",
) -> Backbone:
    """Load a model with its tokenizer, state tokens and chat format.

    Args:
        name: the alias `smollm2`, `smollm2-duo` or `smollm2-duplex`, a model's folder, a PEFT
            adapter's folder (merged into its base model for speed), a folder of state rows (see
            `duo.state_rows`), a GGUF file (see `duo.gguf_model`), or a model's name on the Hugging
            Face hub.
        device: "auto" (the best there is: cuda, mps, cpu), or as torch names it.
        dtype: of the weights: "auto" (bfloat16 on a GPU made for it, else float32), one of
            `DTYPES`, or "int8" or "int4", which are computed with as with "auto".
        attention: "sdpa" (eager where the architecture has none), "eager" or "flex_attention".
        chat: chat format, one of `STYLES`; None for what `duo.model_folder.chat_style` finds.
        system: a system prompt in place of the template's own.
        date: today's, for chat templates that show it.
        engine: "torch", "llama" (llama.cpp), the URL of a server that has the model (see
            `duo.decoding.server`), or "auto": llama.cpp for GGUF files (see `duo.gguf_model`), else
            torch. All but torch choose device, dtype and attention themselves.

    Raises:
        BadInput: no such model, a damaged one, one that needs its own code; a device, dtype or
            chat format that is not to be had; a chat format that the model was not trained in; the
            hub or the package index cannot be reached.
    """
    if chat is not None:
        check_choice("chat", chat, STYLES)
    from duo import gguf_model

    if (folder := rows_folder(name)) is not None:
        rows = read_rows(folder)
        base = load(
            rows.facts.model,
            device=device,
            dtype=dtype,
            attention=attention,
            chat=agreed_style(rows.facts.chat, chat, folder),
            system=system,
            date=date,
            engine="llama" if engine == "auto" and gguf_model.is_gguf(name) else engine,
        )
        return with_rows(base, rows, name)
    gguf = gguf_model.is_gguf(name)
    found = resolve_engine(engine, gguf)
    if found != "torch":
        its = "llama.cpp" if found == "llama" else "the server"
        for field, value, usual in (
            ("device", device, "auto"), ("dtype", dtype, "auto"), ("attention", attention, "sdpa")
        ):  # fmt: skip
            if value != usual:
                raise BadInput(f"is for torch: {its} chooses by itself", field=field)
        if found == "llama":
            return gguf_model.load(name, chat=chat, system=system, date=date)
        from duo.decoding import server

        return server.load(name, engine, chat=chat, system=system, date=date)
    place = resolve_device(device)
    check_choice("dtype", dtype, (*DTYPES, *BITS))
    kind = resolve_dtype("auto" if dtype in BITS else dtype, place)
    check_choice("attention", attention, ATTENTION)
    folder = model_folder(name)
    style = chat_style(folder, chat)
    with quiet():
        model, tokenizer = open_weights(folder, kind, attention)
        states = add_state_tokens(model, tokenizer)
        form = chat_format(tokenizer, style, system, date)
        model = moved(model, place).eval()
        if dtype in BITS:
            quantise(model, dtype)
    ends = model.generation_config.eos_token_id
    ends = {ends} if isinstance(ends, int) else set(ends or ())
    form = replace(form, stop=form.stop | ends)
    bits = dtype if dtype in BITS else ""
    return Backbone(
        model=model, tokenizer=tokenizer, name=name, states=states, chat=form, bits=bits
    )


def resolve_device(name: str) -> torch.device:
    """Find the device of a name; "auto" is the best there is.

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
    """Find the number format of a name; "auto" is what suits the device.

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
    """Move a model to a device.

    Raises:
        BadInput: it does not fit.
    """
    import torch

    try:
        return model.to(device)
    except torch.OutOfMemoryError:
        raise BadInput(f"the model does not fit into the memory of {device}") from None


def open_weights(folder: Path, dtype: torch.dtype, attention: str) -> tuple[Any, Any]:
    """Open the model and tokenizer of a folder, be it a whole model or an adapter.

    Raises:
        BadInput: damaged, foreign, or in need of code of its own.
    """
    if (base := base_folder(folder)) is not None:
        return _adapted(folder, base, dtype, attention)
    config = read_json_object(folder / CONFIG, finite=False)
    try:
        return _model(folder, config, dtype, attention), open_tokenizer(folder)
    except BadInput:
        raise
    except Exception as error:  # whatever a damaged or foreign folder makes the libraries raise
        if "trust_remote_code" in str(error):
            reason = f"{config.get('model_type')} needs code of its own, which is never run"
        else:
            reason = first_line(error)
        raise BadInput(f"cannot load this model: {reason}", file=folder) from error


def _model(folder: Path, config: dict[str, Any], dtype: torch.dtype, attention: str) -> Any:
    """Open the model alone; for "sdpa" the library chooses: SDPA wherever it is supported.

    Scores with soft caps (Gemma 2) are none that SDPA has; `transformers` says so since 5.21, and
    left the caps out before.
    """
    from transformers import AutoModelForCausalLM

    how: dict[str, Any] = {
        "dtype": dtype,
        "attn_implementation": None if attention == "sdpa" else attention,
        "local_files_only": True,
        "output_loading_info": True,
    }
    if describes_minicpm(config):
        from transformers import GraniteConfig, GraniteForCausalLM

        try:
            granite = GraniteConfig(**granite_settings(config))
        except BadInput as error:
            raise BadInput(error.message, file=folder / CONFIG, field=error.field) from None
        model, found = GraniteForCausalLM.from_pretrained(folder, config=granite, **how)
    else:
        model, found = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False, **how)
    if missing := sorted(found["missing_keys"]):
        raise BadInput(f"{len(missing)} weights are missing, such as {missing[0]}", file=folder)
    capped = getattr(model.config.get_text_config(), "attn_logit_softcapping", None)
    if capped and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation("eager")
    return model


def open_tokenizer(folder: Path) -> Any:
    """Open the tokenizer of a folder.

    MiniCPM's SentencePiece model puts no blank before a text, and its published settings do not say
    so, where `transformers` would put one at the beginning and after every special token.
    """
    from transformers import AutoTokenizer

    how = {"add_prefix_space": False} if is_minicpm(folder) else {}
    tokenizer = AutoTokenizer.from_pretrained(
        folder, trust_remote_code=False, local_files_only=True, **how
    )
    tokenizer("a", verbose=False)  # settings of the wrong type fail here, not in a conversation
    return tokenizer


def _adapted(folder: Path, base: Path, dtype: torch.dtype, attention: str) -> tuple[Any, Any]:
    """Open a base model, merge a PEFT adapter into it; with the adapter's tokenizer."""
    model, tokenizer = open_weights(base, dtype, attention)
    try:
        own = open_tokenizer(folder) if (folder / "tokenizer_config.json").is_file() else None
        return merge(model, tokenizer, folder, own)
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"cannot load this adapter: {first_line(error)}", file=folder) from error
