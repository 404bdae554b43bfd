"""Benchmarks on vLLM: lm-eval's own model for it, with our ban on state tokens.

A result of vLLM is kept when a benchmark is finished; unlike with `transformers`, the answers of an
unfinished one are not.
"""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from duo.backbone import ADAPTER, model_folder
from duo.errors import BadInput
from duo.tokens import STATE_TOKENS
from evaluation.benchmarks.columns import Column
from evaluation.benchmarks.matrix import Settings

#: Added to the logit of a banned token: the lowest value that vLLM takes.
_BAN = -100.0


def open_vllm(column: Column, settings: Settings) -> Any:
    """lm-eval's vLLM model of a column.

    vLLM has no rows of its own for the three state tokens of an adapter; so an adapter is merged
    into its base model first, in a temporary folder.

    Raises:
        BadInput: vLLM is not installed, or cannot do what is asked; the model cannot be loaded.
    """
    if find_spec("vllm") is None:
        raise BadInput(
            "vLLM is not installed: pip install vllm (Linux with a GPU), or leave --backend out",
            field="backend",
        )
    if not settings.ban_states:
        raise BadInput("vLLM does not tell state tokens: use --backend hf", field="backend")
    from lm_eval.models.vllm_causallms import VLLM
    from transformers import AutoTokenizer

    folder, keep = _whole_model(column.loaded, settings.dtype)
    known = AutoTokenizer.from_pretrained(folder).get_added_vocab()

    class Answering(VLLM):
        """lm-eval's model with what the matrix asks of one."""

        def __init__(self, **how: Any) -> None:
            super().__init__(**how)
            self._keep = keep  # the folder is removed with the model
            self.batch_sizes: dict[str, int] = {}
            self.logit_bias = {known[t]: _BAN for t in STATE_TOKENS if t in known}

        def begin(self, journal: Any, seed: int) -> None:
            self.batch_sizes = {}

        def leak_rate(self) -> float | None:
            return None

        def truncated(self) -> int | None:
            return None

    return Answering(pretrained=str(folder), dtype=settings.dtype, batch_size=settings.batch_size)


def _whole_model(name: str, dtype: str) -> tuple[Path, Any]:
    """A folder with a whole model, and what must live as long as it is needed."""
    folder = model_folder(name)
    if not (folder / ADAPTER).is_file():
        return folder, None
    from evaluation.benchmarks.models import open_model

    loaded = open_model(name, device="cpu", dtype="float32" if dtype == "auto" else dtype)
    keep = tempfile.TemporaryDirectory(prefix="duo-merged-")
    loaded.model.save_pretrained(keep.name)
    loaded.tokenizer.save_pretrained(keep.name)
    return Path(keep.name), keep
