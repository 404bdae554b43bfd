"""Find a model's folder, fetched if need be, and read what it says of its model.

A folder holds a whole model, or a PEFT adapter, which names its base model.
"""

from __future__ import annotations

import re
from pathlib import Path

from duo.chatformat import STYLES
from duo.errors import BadInput, first_line
from duo.files import read_json_object, write_json
from duo.minicpm import describes_minicpm
from duo.state_rows import base_of_rows
from duo.wheels import ADAPTERS, ALIAS, adapter_folder, smollm2_folder

#: What a whole model says of itself, and an adapter; and an adapter's weights, as PEFT names them.
CONFIG, ADAPTER, ADAPTER_WEIGHTS = "config.json", "adapter_config.json", "adapter_model.safetensors"

#: What `duo train` writes beside a model: the form that it was trained in, and the training record.
FORM, TRAINING = "duo.json", "training.json"

#: A name of a model on the hub: at most one slash, unlike most paths.
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")

#: Seconds that the hub has for its first answer.
_HUB_PATIENCE = 10


def model_folder(name: str) -> Path:
    """Find the local folder of a model; fetch it if it is not here.

    Args:
        name: the alias `smollm2`, one of its adapters' (`smollm2-duo`, `smollm2-duplex`), a folder,
            or a name on the Hugging Face hub. Of state rows it is their base model's folder, of a
            GGUF file that of its weights for torch.

    Raises:
        BadInput: there is none, or it cannot be fetched.
    """
    if not name.strip():
        raise BadInput("no model is named", field="model")
    name = base_of_rows(name)
    if name == ALIAS:
        return smollm2_folder()
    if name in ADAPTERS:
        return adapter_folder(name)
    from duo import gguf_model

    if gguf_model.is_file(name):
        return gguf_model.torch_folder(name)
    path = Path(name).expanduser()
    if path.is_dir():
        if not any((path / config).is_file() for config in (CONFIG, ADAPTER)):
            raise BadInput(f"no model here: neither {CONFIG} nor {ADAPTER}", file=path)
        return path
    if path.exists():
        raise BadInput("is a file: name the model's folder", file=path)
    if not _HUB_NAME.fullmatch(name):
        raise BadInput("no such model folder", file=name)
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    """Fetch a model from the Hugging Face hub, or take it from the hub's cache."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        files = [
            file.rfilename
            for file in HfApi().model_info(name, timeout=_HUB_PATIENCE).siblings or ()
        ]
        safe = any(file.endswith(".safetensors") for file in files)
        weights = "*.safetensors" if safe else "*.bin"
        return Path(
            snapshot_download(
                name,
                allow_patterns=["*.json", "*.jinja", "*.model", "*.txt", weights],
                ignore_patterns=["*/*"],
                etag_timeout=_HUB_PATIENCE,
            )
        )
    except GatedRepoError:
        raise BadInput(
            f"the model {name} is gated: accept its terms on the Hugging Face hub, then run "
            "`hf auth login`"
        ) from None
    except RepositoryNotFoundError:
        raise BadInput(
            f"no model {name}: neither a folder here nor (for you) on the Hugging Face hub; the "
            f"embedded model is {ALIAS}"
        ) from None
    except Exception as error:
        # No network, a proxy's refusal, offline mode: each raises something else. What an earlier
        # run has fetched will do.
        try:
            return Path(snapshot_download(name, local_files_only=True))
        except (LocalEntryNotFoundError, ValueError):
            raise BadInput(
                f"no folder {name} here, and the Hugging Face hub does not give it "
                f"({first_line(error)}): check the network, name a local folder, or use "
                f"{ALIAS}"
            ) from None


def adapter_base(folder: Path) -> str | None:
    """Read what an adapter calls its base model; None if the folder holds no adapter.

    Raises:
        BadInput: its configuration is damaged, or names none.
    """
    config = folder / ADAPTER
    if not config.is_file():
        return None
    base = read_json_object(config, finite=False).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise BadInput("names no base model", file=config, field="base_model_name_or_path")
    return base


def base_folder(folder: Path) -> Path | None:
    """Find the folder of an adapter's base model; None for a whole model.

    Raises:
        BadInput: the adapter names none, one that is not to be had, or one that builds on it.
    """
    base, passed = _named_base(folder), {folder.resolve()}
    below = base
    while below is not None:
        if below.resolve() in passed:
            raise BadInput(
                "names the adapter itself, or one that builds on it",
                file=folder / ADAPTER,
                field="base_model_name_or_path",
            )
        passed.add(below.resolve())
        below = _named_base(below)
    return base


def _named_base(folder: Path) -> Path | None:
    if (base := adapter_base(folder)) is None:
        return None
    beside = folder / base  # a relative path may be meant from the adapter's folder
    return beside if beside.is_dir() else model_folder(base)


def chat_style(folder: Path, wanted: str | None = None) -> str:
    """Choose the chat format of a model: the one that it was trained in, as far as that is known.

    It stands beside what `duo train` wrote. MiniCPM as published has a form of its own; of any
    other model it is the chat template.

    Raises:
        BadInput: the model was trained in another style than the one that is wanted.
    """
    known = agreed_style(trained_style(folder), wanted, folder)
    return known or ("minicpm" if is_minicpm(folder) else "template")


def agreed_style(trained: str | None, wanted: str | None, folder: Path) -> str | None:
    """Choose between the style that a model was trained in and the one wanted; None for neither."""
    if trained is not None and wanted not in (None, trained):
        raise BadInput(
            f"this model was trained in the {trained} form, not {wanted}: leave it out",
            file=folder,
            field="chat",
        )
    return trained or wanted


def trained_style(folder: Path) -> str | None:
    """Read the chat format that `duo train` wrote beside a model, an adapter, or its base model."""
    if (own := own_style(folder)) is not None:
        return own
    base = base_folder(folder)
    return None if base is None else trained_style(base)


def own_style(folder: Path) -> str | None:
    """Read the chat format that `duo train` wrote into this very folder."""
    for file in (FORM, TRAINING):  # older versions wrote the second one alone
        if (folder / file).is_file():
            facts = read_json_object(folder / file, finite=False)
            settings = facts.get("settings")
            style = (settings if isinstance(settings, dict) else facts).get("chat")
            if style in STYLES:
                return str(style)
    return None


def save_style(folder: Path, style: str) -> None:
    """Write the chat format that a model was trained in beside it."""
    write_json(folder / FORM, {"kind": "form", "chat": style})


def is_minicpm(folder: Path) -> bool:
    """Tell whether this is MiniCPM as it was published, or an adapter of it."""
    if (base := base_folder(folder)) is not None:
        return is_minicpm(base)
    return (folder / CONFIG).is_file() and describes_minicpm(
        read_json_object(folder / CONFIG, finite=False)
    )
