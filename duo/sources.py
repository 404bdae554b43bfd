"""Where a model is: the embedded one, a local folder, or the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from duo import embedded
from duo.errors import BadInput

CONFIG, ADAPTER = "config.json", "adapter_config.json"

#: What a model on the hub is called: at most one slash, unlike most paths.
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")

#: Seconds that the hub has for its first answer.
_HUB_PATIENCE = 10


def model_folder(name: str) -> Path:
    """The local folder of a model, fetched if need be.

    Args:
        name: the alias `smollm2`, one of its adapters' (`smollm2-duo`, `smollm2-duplex`), a folder,
            or a name on the Hugging Face hub.

    Raises:
        BadInput: there is none, or it cannot be fetched.
    """
    if not name.strip():
        raise BadInput("no model is named", field="model")
    if name == embedded.ALIAS:
        return embedded.smollm2_folder()
    if name in embedded.ADAPTERS:
        return embedded.adapter_folder(name)
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
    """A snapshot of a model on the Hugging Face hub, from the hub's own cache if it is there."""
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
            f"embedded model is {embedded.ALIAS}"
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
                f"{embedded.ALIAS}"
            ) from None


def first_line(error: Exception) -> str:
    """The beginning of what a library says, which may go on for a screen."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
