"""Models loaded for benchmarks: as they are, with a hash that tells them apart."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duo import backbone
from duo.backbone import ADAPTER, model_folder
from duo.errors import BadInput
from duo.files import sha256
from duo.terminal import quiet
from duo.tokens import STATE_TOKENS

#: Files of a model's folder that change what it says.
_KINDS = frozenset({".safetensors", ".bin", ".json", ".jinja", ".model", ".txt"})
_RECORDS = frozenset({"manifest.json", "trainer_state.json", "requirements.txt"})


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer.

    Attributes:
        model: of `transformers`, in evaluation mode.
        tokenizer: its tokenizer.
        states: ids of the state tokens; empty if the model has none.
    """

    model: Any
    tokenizer: Any
    states: tuple[int, ...]


def open_model(name: str, *, device: str, dtype: str) -> Loaded:
    """Load a model, or an adapter merged into its base model, without adding anything.

    Decoding gives every model state tokens. A benchmark measures the base model as its makers
    published it: three more rows in its matrices would move every likelihood a little.

    Raises:
        BadInput: see `duo.backbone.load`.
    """
    place = backbone.resolve_device(own_device(device))
    kind = backbone.resolve_dtype(dtype, place)
    with quiet():
        model, tokenizer = backbone.open_weights(model_folder(name), kind, "sdpa")
        model = backbone.moved(model, place).eval()
    known = tokenizer.get_added_vocab()
    states = tuple(known[token] for token in STATE_TOKENS if token in known)
    return Loaded(model, tokenizer, states)


def own_device(device: str) -> str:
    """The device of this process: in a data-parallel run each has an accelerator of its own."""
    import torch

    alone = int(os.environ.get("WORLD_SIZE", "1")) <= 1
    if alone or device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def resolved_dtype(dtype: str, device: str) -> str:
    """What "auto" means on this machine, as torch calls it.

    Raises:
        BadInput: see `duo.backbone.load`.
    """
    return str(backbone.resolve_dtype(dtype, backbone.resolve_device(device))).removeprefix(
        "torch."
    )


def model_hash(name: str) -> str:
    """SHA-256 over the files of a model that change what it says; of an adapter, its base's too.

    Raises:
        BadInput: see `duo.backbone.model_folder`, or a file cannot be read.
    """
    folder = model_folder(name)
    digest = hashlib.sha256()
    try:
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix in _KINDS and path.name not in _RECORDS:
                digest.update(f"{path.name} {sha256(path)}\n".encode())
    except OSError as error:
        raise BadInput(f"cannot read: {error.strerror or error}", file=folder) from error
    base = _base(folder)
    if base is not None:
        digest.update(f"base {model_hash(base)}\n".encode())
    return digest.hexdigest()


def _base(folder: Path) -> str | None:
    """The base model of an adapter's folder."""
    config = folder / ADAPTER
    if not config.is_file():
        return None
    try:
        base = json.loads(config.read_text("utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError):
        base = None
    if not isinstance(base, str) or not base:
        raise BadInput("names no base model", file=config, field="base_model_name_or_path")
    beside = folder / base
    if beside.is_dir() and beside.resolve() != folder.resolve():
        return str(beside)
    return base
