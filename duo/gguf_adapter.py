"""Convert a PEFT adapter to what llama.cpp loads beside a GGUF file.

The low-rank matrices become a GGUF adapter. The rows of the state tokens, which the file lacks,
stay outside of llama.cpp: input embeddings that are handed to it, and rows that are multiplied with
the last hidden state that it hands back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from duo.errors import BadInput
from duo.files import read_json_object, read_tensors, sha256
from duo.model_folder import ADAPTER, ADAPTER_WEIGHTS
from duo.runs import fingerprint
from duo.wheels import cache_folder, made_once

if TYPE_CHECKING:
    from duo.decoding.llama_model import Rows


_LORA = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_ROWS = re.compile(r"base_model\.model\.(?P<module>.+?)\.(token_adapter\.)?trainable_tokens_delta")
#: Whose query and key rows stand in another order in a GGUF file: pairs side by side.
_PAIRED = ("llama",)
#: Architectures that this was tried with; how another one's rows stand in a file is not known here.
_KNOWN = (*_PAIRED, "qwen2")

_VERSION = 1


def converted(
    folder: Path, file: Path, facts: Mapping[str, Any], rows: Rows
) -> tuple[Path | None, Rows]:
    """Convert an adapter; the GGUF file is kept in the cache folder.

    Args:
        folder: of a PEFT adapter with LoRA weights, and trained rows of state tokens if it has any.
        facts: of that file: its `architecture`, and its numbers of `heads` and `kv_heads`.
        rows: tokens that it lacks: the state tokens, as they are without the adapter.

    Returns:
        The GGUF file, None without low-rank matrices; and the tokens with their rows.

    Raises:
        BadInput: a damaged adapter, or one that is more than this.
    """
    if (kind := facts["architecture"]) not in _KNOWN:
        raise BadInput(
            f"adapters are known for {' and '.join(_KNOWN)} in llama.cpp, not for {kind}: use "
            "--engine torch",
            file=folder,
        )
    config = read_json_object(folder / ADAPTER, finite=False)
    _refuse_others(config, folder / ADAPTER)
    tensors, _ = read_tensors(folder / ADAPTER_WEIGHTS, "pt")
    weights = {key: weight.float().numpy() for key, weight in tensors.items()}
    pairs: dict[str, dict[str, np.ndarray]] = {}
    single: dict[str, np.ndarray] = {}
    for key, weight in weights.items():
        if low := _LORA.fullmatch(key):
            pairs.setdefault(low["module"], {})[low["side"]] = weight
        elif own := _ROWS.fullmatch(key):
            single[own["module"].rpartition(".")[2]] = weight
        else:
            raise _unsupported(f"has the weight {key}", folder / ADAPTER_WEIGHTS)
    made = _with_trained(rows, single, config, folder)
    if not pairs:
        return None, made
    about = file.stat()
    key = fingerprint(
        version=_VERSION, weights=sha256(folder / ADAPTER_WEIGHTS), config=config,
        base=[str(file), about.st_size, about.st_mtime_ns],
    )  # fmt: skip
    path = cache_folder() / "gguf" / f"adapter-{key[:16]}" / "adapter.gguf"

    def make(target: Path) -> None:
        try:
            _write(target, pairs, config, facts)
        except (AttributeError, IndexError, TypeError, ValueError, re.error) as error:
            said = f"llama.cpp cannot have this adapter ({error}): use --engine torch"
            raise BadInput(said, file=folder) from None

    return made_once(path, make), made


def _refuse_others(config: Mapping[str, Any], file: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise _unsupported(f"is of the kind {config.get('peft_type')}", file)
    for setting in ("use_dora", "lora_bias", "modules_to_save", "target_parameters"):
        if config.get(setting):
            raise _unsupported(f"has {setting}", file)
    if config.get("bias", "none") != "none":
        raise _unsupported("trains biases", file)


def _unsupported(what: str, file: Path) -> BadInput:
    return BadInput(
        f"{what}, where llama.cpp has LoRA and rows of state tokens alone: use --engine torch",
        file=file,
    )


def _with_trained(
    rows: Rows, single: Mapping[str, np.ndarray], config: Mapping[str, Any], folder: Path
) -> Rows:
    """Give the state tokens the rows that the adapter trained, in the order of their ids."""
    if not single:
        return rows
    indices = config.get("trainable_token_indices")
    lists = indices.values() if isinstance(indices, dict) else [indices]
    in_order = all(_rise(one) for one in lists)
    if not in_order or any(len(one) != rows.count for one in (*lists, *single.values())):
        raise _unsupported(f"has rows of other tokens than the {rows.count} state tokens", folder)
    if strange := sorted(set(single) - {"embed_tokens", "lm_head"}):
        raise _unsupported(f"has rows of {strange[0]}", folder)
    if "embed_tokens" not in single:
        raise _unsupported("has rows of the output alone", folder)
    embedding = single["embed_tokens"]  # and of the output, where the two are tied
    return replace(rows, embedding=embedding, head=single.get("lm_head", embedding))


def _rise(ids: Any) -> bool:
    known = isinstance(ids, list) and all(isinstance(one, int) for one in ids)
    return known and ids == sorted(ids)


def _write(
    path: Path, pairs: Mapping[str, Any], config: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    import gguf

    kind = facts["architecture"]
    architecture = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == kind)
    numbers = (int(n) for module in pairs for n in re.findall(r"\.layers\.(\d+)\.", module))
    layers = 1 + max(numbers, default=0)
    names = gguf.get_tensor_name_map(architecture, layers)
    heads: dict[str, int] = {}
    if kind in _PAIRED:
        heads = {"q_proj": facts["heads"], "k_proj": facts["kv_heads"]}
    writer = gguf.GGUFWriter(path, kind)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)  # each pair has its own scale, in B
    for module, pair in pairs.items():
        name = names.get_name(module)
        if name is None or set(pair) != {"A", "B"}:
            raise ValueError(f"the architecture {kind} has no {module}")
        low, high = pair["A"], pair["B"] * _scale(config, module, pair["A"].shape[0])
        if count := heads.get(module.rpartition(".")[2]):
            high = paired(high, count)
        writer.add_tensor(f"{name}.weight.lora_a", np.ascontiguousarray(low))
        writer.add_tensor(f"{name}.weight.lora_b", np.ascontiguousarray(high))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """Compute by what the product of a pair is multiplied."""
    alpha = config.get("lora_alpha", 8)
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            alpha = value
            break
    return float(alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank)


def paired(rows: np.ndarray, heads: int) -> np.ndarray:
    """Put each head's rows in llama.cpp's order: the two halves, element by element, in turn."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, rows.shape[1])
    return halves.swapaxes(1, 2).reshape(rows.shape)
