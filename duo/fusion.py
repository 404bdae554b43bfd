"""Let a model take in more than its tokens: what is heard beside each of them, and frames.

An id is a number, and the ids are the truth of a conversation (see `duo.decoding.channels`). So
what a place of it holds besides a token is part of its id:

- `paired(token, piece)` is a token and the word piece that was heard while it was said. A `Fusion`
  makes of the piece what is added to the token's place (Ma et al. 2024, "Language Model Can Listen
  While Speaking"): `early`, to its input embedding; `middle`, to the input of every layer; `late`,
  to what the logits are computed from, after a small causal encoder of the last pieces.
- The others are frames: vectors of an encoder of sound, in place of embeddings. A model's
  `FrameTable` holds them.

`add_fusion` makes a model read ids of pairs, `take_in` those of frames. Nothing else changes: they
are kept, rolled back, encoded again and batched as all ids are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from duo.errors import BadInput

Kind = Literal["early", "middle", "late"]
KINDS: tuple[Kind, ...] = ("early", "middle", "late")

#: More than any vocabulary; an id is `token + PAIR * (piece + 1)`, or beyond `_FRAME` a frame.
PAIR, _FRAME = 2**20, 2**42
#: Rank of the projections, and the name that they have in a model.
_RANK, NAME = 64, "fusion"
#: Places back that the encoder of `late` sees, its own included.
WINDOW = 16


def paired(token: int, piece: int | None) -> int:
    """Make the id of a token beside which a word piece is heard; None for silence."""
    return token if piece is None else token % PAIR + PAIR * (piece + 1)


def token_of(id: int) -> int:
    """Find the token of an id; that of a frame is 0."""
    return id % PAIR if id < _FRAME else 0


def embed_pieces(embed: Callable[[Tensor], Tensor], ids: Tensor) -> Tensor:
    """Embed the pieces that were heard beside ids `[...]`: `[..., size]`, zero where none was."""
    heard = torch.where(ids >= _FRAME, 0, ids // PAIR)
    return embed((heard - 1).clamp(min=0)) * (heard > 0)[..., None]


class Fusion(nn.Module):
    """Projects embeddings of word pieces to what is added beside them; at first that is nothing."""

    def __init__(self, kind: Kind, size: int, layers: int) -> None:
        super().__init__()
        self.kind = kind
        self.down = nn.Parameter(torch.randn(size, _RANK) / size**0.5)
        self.up = nn.Parameter(torch.zeros(layers if kind == "middle" else 1, _RANK, size))
        self.taps = nn.Parameter(torch.ones(WINDOW, _RANK)) if kind == "late" else None

    def forward(self, pieces: Tensor, layer: int = 0) -> Tensor:
        """Compute what is added for the embeddings of pieces, at a layer.

        Args:
            pieces: `[..., places, size]`; for `late` all places there are, in order.
        """
        inner = pieces @ self.down
        if self.taps is not None:  # the same for a place whatever comes after it
            padded = nn.functional.pad(inner, (0, 0, WINDOW - 1, 0))
            inner = (padded.unfold(-2, WINDOW, 1) * self.taps.flip(0).T).sum(-1).tanh()
        return inner @ self.up[layer]


class FrameTable:
    """Vectors of frames by their number, kept until they are released."""

    def __init__(self) -> None:
        self._vectors: dict[int, Tensor] = {}
        self._next = 0

    def add(self, vectors: Tensor) -> list[int]:
        """Keep vectors `[frames, size]`; return their ids."""
        first = self._next
        self._next += len(vectors)
        self._vectors |= dict(enumerate(vectors, first))
        return [_FRAME + number for number in range(first, self._next)]

    def release(self, ids: Iterable[int]) -> None:
        """Forget frames that no conversation holds any more."""
        for id in ids:
            self._vectors.pop(id - _FRAME, None)

    def __len__(self) -> int:
        return len(self._vectors)

    def of(self, ids: Tensor) -> Tensor:
        """Look up the vectors of ids `[frames]`."""
        return torch.stack([self._vectors[id - _FRAME] for id in ids.tolist()])


def add_fusion(model: Any, kind: Kind) -> None:
    """Give a model a `Fusion` that changes nothing yet, if it has none; it takes in pairs then.

    Raises:
        BadInput: the model has one of another kind, or its code takes no input embeddings.
    """
    there = getattr(model, NAME, None)
    if there is not None and there.kind != kind and bool(there.up.any()):
        raise BadInput(f"the model was trained for {there.kind} fusion, not {kind}")
    if there is None or there.kind != kind:  # one that was not trained gives way
        config = model.config.get_text_config()
        weight = model.get_input_embeddings().weight
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = Fusion(kind, config.hidden_size, config.num_hidden_layers)
        _read_ids(model)
        model.add_module(NAME, made.to(weight.device, weight.dtype))


def late_scores(model: Any, ids: Sequence[int]) -> Tensor:
    """Compute what late fusion adds to the logits `[vocabulary]` after the last of some ids.

    It is for passes over a cache, which do not see the pieces before them.
    """
    last = torch.tensor(ids[-WINDOW:], device=model.device)
    with torch.inference_mode():
        pieces = embed_pieces(model.get_input_embeddings(), last)
        found: Tensor = model.get_output_embeddings()(getattr(model, NAME)(pieces)[-1])
    return found / getattr(model.config, "logits_scaling", 1.0)


def fusion_of(model: Any) -> Kind | None:
    """Find the kind of a model's fusion, if it has one."""
    fusion = getattr(model, NAME, None)  # PEFT wraps it while it is trained
    return getattr(getattr(fusion, "original_module", fusion), "kind", None)


def take_in(model: Any) -> None:
    """Make a model of `transformers` read ids of frames, which its `duo_frames` holds; in place.

    Raises:
        BadInput: its layers cannot be found.
    """
    if not hasattr(model, "duo_frames"):
        _read_ids(model)
        model.duo_frames = FrameTable()


def _read_ids(model: Any) -> None:
    """Make a model read more than tokens in its ids, once."""
    if hasattr(model, NAME) or hasattr(model, "duo_frames"):
        return
    inner = getattr(model, model.base_model_prefix, None)
    layers = getattr(inner, "layers", None)
    if inner is None or layers is None:
        raise BadInput(f"{type(model).__name__} takes no input embeddings")
    beside: list[Tensor | None] = [None]  # embeddings of the pieces in the pass under way

    def begin(_: Any, args: Any, given: dict[str, Any]) -> Any:
        beside[0] = None
        ids = given.get("input_ids")
        if ids is None or int(ids.max()) < PAIR:
            return None
        embed = model.get_input_embeddings()
        frames = ids >= _FRAME
        embedded = embed(torch.where(frames, 0, ids % PAIR))
        if (fusion := getattr(model, NAME, None)) is not None:
            beside[0] = embed_pieces(embed, ids)
            if fusion_of(model) == "early":
                embedded = embedded + fusion(beside[0])
            elif given.get("past_key_values") is not None:  # the last pieces are not all here
                beside[0] = beside[0] if fusion_of(model) == "middle" else None
        if frames.any():
            vectors = model.duo_frames.of(ids[frames])
            embedded = embedded.masked_scatter(frames[..., None], vectors.to(embedded))
        return args, {**given, "input_ids": None, "inputs_embeds": embedded}

    def enter(layer: int) -> Any:
        def hook(_: Any, args: Any) -> Any:
            if beside[0] is None or fusion_of(model) != "middle":
                return None
            return (args[0] + getattr(model, NAME)(beside[0], layer), *args[1:])

        return hook

    def end(_: Any, args: Any, made: Any) -> None:
        if beside[0] is not None and fusion_of(model) == "late":
            made.last_hidden_state = made.last_hidden_state + getattr(model, NAME)(beside[0])

    inner.register_forward_pre_hook(begin, with_kwargs=True)
    for number, layer in enumerate(layers):
        layer.register_forward_pre_hook(enter(number))
    inner.register_forward_hook(end)
