"""Keep and load state rows: what `<1>` and `<2>` score on a hidden state of a frozen model.

    rows = read_rows(Path("runs/rows"))
    backbone = with_rows(load(rows.base), rows)

A small folder beside the model, as an adapter is. A state token scores

    score = greatest ordinary logit + row . hidden + bias,

where row . hidden + bias is the logarithm of how much likelier it is than "not yet". So it is the
likeliest next token (the paper's rule) exactly where its class is the likeliest of the three, and
the rows need no scale of their own. No other logit changes, so neither does any answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from duo.errors import BadInput
from duo.files import (
    Record,
    Result,
    files_below,
    read_result,
    read_tensors,
    sha256,
    write_result,
    write_tensors,
)
from duo.wheels import CHECKSUMS, STATE_ROWS, adapter_folder

if TYPE_CHECKING:
    from duo.backbone import Backbone

#: What a folder of rows consists of.
FACTS, WEIGHTS = "rows.json", "rows.safetensors"

#: What is added to the greatest logit for `<idle>`, which no rows are trained for.
_NEVER = -100.0

Share = Annotated[float, Field(ge=0, le=1)]


class Reaction(Record):
    """Shares of places that are answered, ignored and waited on, of `n`."""

    respond: Share
    ignore: Share
    wait: Share
    n: Annotated[int, Field(ge=0)]


class Strength(Record):
    """A regularisation that was tried: its inverse strength, and the loss on validation places."""

    inverse: Annotated[float, Field(gt=0)]
    loss: Annotated[float, Field(ge=0)]


class RowsRecord(Result):
    """What stands beside state rows, `rows.json`.

    Attributes:
        model: their base model.
        sha256: of its weights.
        chat: chat format of the samples.
        layer: the block after which the hidden state is taken, from 0 on; -1 for the last one.
        strengths: regularisations that were tried.
        temperature: by which scores were divided, so that validation places are calibrated.
        shift: added to the bias of `<1>` for the operating point.
        decide_at: what the decoder takes where nobody sets it (`duo.decoding.duo.DuoSettings`);
            None for its own.
        validation: reactions at places that want a response, that are to be ignored, at pauses and
            within utterances.
        places: to learn from, by what they want.
    """

    kind: Literal["rows"] = "rows"
    model: str
    sha256: str
    chat: str
    layer: Annotated[int, Field(ge=-1)] = -1
    settings: dict[str, Any] = Field(default={})
    strengths: tuple[Strength, ...] = ()
    temperature: float = 1.0
    shift: float = 0.0
    decide_at: Share | None = None
    validation: dict[str, Reaction] = Field(default={})
    places: dict[str, int] = Field(default={})
    data: dict[str, Any] = Field(default={})
    versions: dict[str, str] = Field(default={})


@dataclass(frozen=True)
class StateRows:
    """Rows of `<1>` and `<2>`.

    Attributes:
        head: float32 `[2, width]`.
        bias: float32 `[2]`.
    """

    folder: Path
    facts: RowsRecord
    head: np.ndarray
    bias: np.ndarray


def rows_folder(name: str) -> Path | None:
    """Find the folder of a model's name if it is one of rows; None for any other model."""
    folder = adapter_folder(name) if name in STATE_ROWS else Path(name).expanduser()
    return folder if (folder / FACTS).is_file() else None


def base_of_rows(name: str) -> str:
    """Name the model that answers: the base model of rows, any other one itself."""
    folder = rows_folder(name)
    return name if folder is None else read_rows(folder).facts.model


def read_rows(folder: Path) -> StateRows:
    """Read rows.

    Raises:
        BadInput: damaged.
    """
    facts = read_result(folder / FACTS, RowsRecord)
    if rows_folder(facts.model) is not None:
        raise BadInput("names rows, not the model under them", file=folder / FACTS, field="model")
    found, _ = read_tensors(folder / WEIGHTS)
    head, bias = (found.get(name, np.zeros(0)) for name in ("head", "bias"))
    if head.ndim != 2 or len(head) != 2 or bias.shape != (2,):
        raise BadInput("does not hold two rows and their biases", file=folder / WEIGHTS)
    if not (np.isfinite(head).all() and np.isfinite(bias).all()):
        raise BadInput("holds numbers that are not finite", file=folder / WEIGHTS)
    return StateRows(folder, facts, head.astype(np.float32), bias.astype(np.float32))


def write_rows(folder: Path, facts: RowsRecord, head: np.ndarray, bias: np.ndarray) -> None:
    """Write rows; see `StateRows`."""
    tensors = {"head": head.astype(np.float32), "bias": bias.astype(np.float32)}
    write_tensors(folder / WEIGHTS, tensors)
    write_result(folder / FACTS, facts)


def with_rows(backbone: Backbone, rows: StateRows, name: str) -> Backbone:
    """Let rows say what the state tokens of their base model score; changes it in place.

    Args:
        name: of the rows, as they were asked for.

    Raises:
        BadInput: the model's weights are not those that the rows were trained on.
    """
    llama = backbone.engine == "llama"
    if not llama and backbone.engine != "torch":
        raise BadInput(
            "state rows need hidden states, which a server does not give", field="engine"
        )
    width = rows.head.shape[1]
    own = backbone.model.width if llama else backbone.model.get_output_embeddings().in_features
    if own != width or weights_sha256(backbone.name) != rows.facts.sha256:
        raise BadInput(
            f"these rows were trained on other weights than those of {backbone.name}",
            file=rows.folder / FACTS,
            field="sha256",
        )
    check_layer(backbone, rows.facts.layer, rows.folder / FACTS)
    if llama:
        backbone.model.rows = _llama_rows(backbone, rows)
    else:
        _score_by(backbone, rows)
    return replace(backbone, name=name, decide_at=rows.facts.decide_at)


def check_layer(backbone: Backbone, layer: int, file: Path | None = None) -> None:
    """Make sure that rows can be on a model's states after a block; see `RowsRecord.layer`.

    Raises:
        BadInput: they cannot; `file` says so.
    """
    if layer == -1:
        return
    if backbone.engine != "llama":
        said = "rows on the states of a middle layer run in llama.cpp alone: --engine llama"
        raise BadInput(said, file=file, field="layer")
    if layer > (most := backbone.model.blocks - 2):  # the last block's is the last state
        raise BadInput(f"{layer} is not between 0 and {most}, nor -1", file=file, field="layer")


def _llama_rows(backbone: Backbone, rows: StateRows) -> Any:
    model, states = backbone.model, backbone.states
    head = np.zeros((model.rows.count, model.width), np.float32)
    bias = np.full(model.rows.count, _NEVER, np.float32)
    numbers = [state - model.vocabulary for state in (states.respond, states.ignore)]
    head[numbers], bias[numbers] = rows.head, rows.bias
    return replace(model.rows, head=head, bias=bias, above=True, layer=rows.facts.layer)


def _score_by(backbone: Backbone, rows: StateRows) -> None:
    """Give the model's output head, in torch, a hook that writes the state tokens' logits."""
    import torch

    states = backbone.states
    numbers = torch.tensor([states.respond, states.ignore, states.idle], device=backbone.device)
    head = torch.from_numpy(rows.head).to(backbone.device)
    bias = torch.from_numpy(rows.bias).to(backbone.device)

    def write(_: Any, inputs: tuple[Any, ...], logits: Any) -> Any:
        others = logits.index_fill(-1, numbers, -torch.inf)
        greatest = others.amax(-1, keepdim=True).float()
        more = inputs[0].float() @ head.T + bias
        more = torch.cat([more, torch.full_like(greatest, _NEVER)], -1)
        return logits.index_copy(-1, numbers, (greatest + more).to(logits.dtype))

    backbone.model.get_output_embeddings().register_forward_hook(write)


def weights_sha256(name: str) -> str:
    """Hash the weights of a model, about a second a gigabyte.

    Args:
        name: an alias, whose checksum is known, a GGUF file, or as for `model_folder`; an adapter's
            hash is that of its own weights and its base model's.
    """
    from duo import gguf_model
    from duo.model_folder import base_folder, model_folder

    if name in CHECKSUMS:
        return CHECKSUMS[name]
    if gguf_model.is_gguf(name):
        return sha256(gguf_model.find(name).file)
    folder, digest = model_folder(name), hashlib.sha256()
    below: Path | None = folder
    while below is not None:
        for ending in (".safetensors", ".bin"):
            for file in files_below(below, ending):
                digest.update(sha256(file).encode())
        below = base_folder(below)
    return digest.hexdigest()
