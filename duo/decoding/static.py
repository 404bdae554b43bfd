"""Run a Llama-like model over plain buffers: what a compiler and a CUDA graph want to see.

The weights are those of a model of `transformers`, read into one description for all architectures
of the family: norms, biases, multipliers, rotary embeddings, windows and soft caps. A pass is three
functions of tensors, `begin`, `layer` (which is the same code for every layer) and `end`; nothing
in them depends on a number that would have to be read back.

Tokens of all rows go through the products with weights side by side, without padding. In attention
rows are a batch dimension: the tokens of each row are held against that row's slots alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel

from duo.decoding.attention import attention_layers
from duo.decoding.mask import visible
from duo.fusion import NAME, PAIR, embed_pieces
from duo.quantising import is_quantised

#: Model types of `transformers` whose forward pass this is. MiniCPM is loaded as Granite.
FAMILY = (
    "gemma", "gemma2", "gemma3_text", "granite", "llama", "mistral", "phi3", "qwen2", "qwen3",
)  # fmt: skip


class Weights(NamedTuple):
    """A layer's weights; those that a model has not are None in all of its layers.

    Projections that read the same are joined, `[queries | keys | values, hidden]` and
    `[gate | up, hidden]`; those of less than 16 bits cannot be, and stand one by one. `heard`
    projects what is heard beside tokens (see `duo.fusion`), `[rank, hidden]`.
    """

    before_attention: Tensor
    projections: tuple[Tensor, ...]
    projections_bias: Tensor | None
    query_norm: Tensor | None
    key_norm: Tensor | None
    out: Tensor
    out_bias: Tensor | None
    after_attention: Tensor | None
    before_mlp: Tensor
    gate_up: tuple[Tensor, ...]
    gate_up_bias: Tensor | None
    down: Tensor
    down_bias: Tensor | None
    after_mlp: Tensor | None
    heard: Tensor | None


class Part(NamedTuple):
    """Rows of a pass whose tokens attend together.

    Attributes:
        tokens: `[rows, tokens of a row]`, places in the pass; a row with fewer tokens repeats any.
            None: one row, whose tokens are the whole pass.
        masks: for each kind of layer `[rows, 1, groups * tokens of a row, slots]`, True where
            attention is allowed.
    """

    tokens: Tensor | None
    masks: dict[str, Tensor]


@dataclass(frozen=True)
class _Kind:
    """A kind of attention layer: its window, and the frequencies of its rotary embedding."""

    window: int | None
    frequencies: Tensor
    scaling: float


class StaticModel:
    """The weights of a model and its forward pass.

    The model's joined projections become views of the joint tensors, so that weights are there
    once, and the model itself works as before.

    Args:
        model: one of the `FAMILY`.
    """

    @torch.inference_mode(False)  # the model keeps what is joined, and may be trained later
    @torch.no_grad()
    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config
        base = model.model
        first = base.layers[0].self_attn
        self.size: int = first.head_dim
        self.heads: int = config.num_attention_heads
        self.key_heads: int = config.num_key_value_heads
        self.groups = self.heads // self.key_heads
        self._gemma = config.model_type.startswith("gemma")
        self._scaling: float = first.scaling
        self._cap: float | None = None
        if config.model_type == "gemma2":
            self._cap = first.attn_logit_softcapping
        self._epsilon: float = config.rms_norm_eps
        self._activation = _activation(base.layers[0].mlp)
        self._embedding_scale = float(getattr(config, "embedding_multiplier", 1.0))
        if self._gemma:
            self._embedding_scale = float(torch.tensor(config.hidden_size**0.5, dtype=model.dtype))
        self._residual = float(getattr(config, "residual_multiplier", 1.0))
        self._logits_scale = float(getattr(config, "logits_scaling", 1.0))
        self._logits_cap: float | None = getattr(config, "final_logit_softcapping", None)
        windows = attention_layers(model)
        self.kinds = {
            kind: _kind(base.rotary_emb, kind, window) for kind, window in windows.items()
        }
        self.layer_kinds = list(
            getattr(config, "layer_types", None) or [*windows] * len(base.layers)
        )
        self.embedding = base.embed_tokens.weight.detach()
        self._norm_weight = self._norm_of(base.norm)
        self._head = model.get_output_embeddings()  # itself: rows of state tokens may hang on it
        self._fusion: Any = getattr(model, NAME, None)  # what `late` adds is added after a pass
        self.layers = [self._weights(*numbered) for numbered in enumerate(base.layers)]

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype

    def weights(self) -> list[Tensor]:
        """List all weights."""
        single = [self.embedding, self._norm_weight, self.head]
        frequencies = [kind.frequencies for kind in self.kinds.values()]
        every = tree_leaves([single, frequencies, self.layers])
        return [weight for weight in every if weight is not None]

    @property
    def head(self) -> Tensor:
        """The output head's weight `[vocabulary, hidden]`."""
        weight: Tensor = self._head.weight.detach()
        return weight

    # -- reading weights ---------------------------------------------------------------------

    def _weights(self, number: int, layer: Any) -> Weights:
        attention, mlp = layer.self_attn, layer.mlp
        reading = _modules(attention, "qkv_proj", ("q_proj", "k_proj", "v_proj"))
        entering = _modules(mlp, "gate_up_proj", ("gate_proj", "up_proj"))
        four = hasattr(layer, "pre_feedforward_layernorm")
        return Weights(
            before_attention=self._norm_of(layer.input_layernorm),
            projections=_joined([module.weight for module in reading]),
            projections_bias=_joined_biases(reading),
            query_norm=self._norm_of(getattr(attention, "q_norm", None)),
            key_norm=self._norm_of(getattr(attention, "k_norm", None)),
            out=attention.o_proj.weight.detach(),
            out_bias=_detached(attention.o_proj.bias),
            after_attention=self._norm_of(layer.post_attention_layernorm) if four else None,
            before_mlp=self._norm_of(
                layer.pre_feedforward_layernorm if four else layer.post_attention_layernorm
            ),
            gate_up=_joined([module.weight for module in entering]),
            gate_up_bias=_joined_biases(entering),
            down=mlp.down_proj.weight.detach(),
            down_bias=_detached(mlp.down_proj.bias),
            after_mlp=self._norm_of(layer.post_feedforward_layernorm) if four else None,
            heard=self._fusion.up[number].detach() if self._fuses("middle") else None,
        )

    def _fuses(self, kind: str) -> bool:
        return self._fusion is not None and bool(self._fusion.kind == kind)

    def _norm_of(self, module: Any) -> Any:
        """Read a norm's weight; Gemma's is a difference from 1, in single precision."""
        if module is None:
            return None
        weight = module.weight.detach()
        return 1.0 + weight.float() if self._gemma else weight

    # -- a pass ------------------------------------------------------------------------------

    def begin(
        self,
        facts: Tensor,
        tokens: Sequence[Tensor | None],
        owners: Sequence[Tensor],
        positions: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor | None, dict[str, tuple[Tensor, Tensor]], list[Part]]:
        """Embed tokens and build what all layers share.

        Args:
            facts: `[5, tokens]`: id, owner, position, row and slot of each token.
            tokens: see `Part`, for each part.
            owners, positions: of each part's slots `[rows, slots]`.

        Returns:
            `[tokens, hidden]`; what all layers are to add of what is heard beside them,
            `[tokens, rank]`, if they do; cosine and sine `[tokens, 1, rotary size]` for each kind
            of layer; the parts.
        """
        ids, owner, position = facts[:3]
        x = self.embedding[ids if self._fusion is None else ids % PAIR]
        heard = None
        if self._fuses("early") or self._fuses("middle"):
            heard = embed_pieces(lambda ids: self.embedding[ids], ids) @ self._fusion.down
        if self._fuses("early"):
            x, heard = x + heard @ self._fusion.up[0], None
        if self._embedding_scale != 1:
            x = x * self._embedding_scale
        rotations = {}
        for name, kind in self.kinds.items():
            angles = position[:, None].float() * kind.frequencies
            angles = torch.cat((angles, angles), -1)[:, None]
            rotations[name] = (
                (angles.cos() * kind.scaling).to(x.dtype),
                (angles.sin() * kind.scaling).to(x.dtype),
            )
        parts = []
        for places, key_owner, key_position in zip(tokens, owners, positions, strict=True):
            queries = (
                (owner[None], position[None])
                if places is None
                else (owner[places], position[places])
            )
            masks = {
                name: self._mask(*queries, key_owner, key_position, kind.window)
                for name, kind in self.kinds.items()
            }
            parts.append(Part(places, masks))
        return x, heard, rotations, parts

    def _mask(
        self,
        owner: Tensor,
        position: Tensor,
        key_owner: Tensor,
        key_position: Tensor,
        window: int | None,
    ) -> Tensor:
        seen = visible(
            owner[..., None], position[..., None], key_owner[:, None], key_position[:, None], window
        )
        rows, tokens, slots = seen.shape
        grouped = seen[:, None, None].expand(rows, 1, self.groups, tokens, slots)
        return grouped.reshape(rows, 1, self.groups * tokens, slots)

    def layer(
        self,
        x: Tensor,
        added: Tensor,
        heard: Tensor | None,
        weights: Weights,
        rotation: tuple[Tensor, Tensor],
        facts: Tensor,
        cache: tuple[Tensor, Tensor],
        parts: Sequence[tuple[Tensor | None, Tensor, int, bool]],
        place: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Run one layer.

        Args:
            x: `[tokens, hidden]`, the residual stream.
            added: `[tokens, hidden]`, what the layer before adds to it: so one kernel adds it
                and takes the norm.
            heard: see `begin`.
            weights: of the layer.
            rotation: of the layer's kind.
            facts: see `begin`.
            cache: the layer's keys and values, each `[rows, key heads, capacity, size]`.
            parts: for each the places of its tokens (see `Part`), its mask, its first row, and
                whether attention is made of products rather than one fused kernel. (A condition on
                sizes in here would be compiled for each of its outcomes.)
            place: where each token stands among those of all parts; None: in the same order.

        Returns:
            The first two.
        """
        x = self._add(x, added)
        if heard is not None and weights.heard is not None:
            x = x + heard @ weights.heard
        joint = _linear(
            self._norm(x, weights.before_attention), weights.projections, weights.projections_bias
        )
        joint = joint.view(x.shape[0], self.heads + 2 * self.key_heads, self.size)
        query, key, value = joint.split([self.heads, self.key_heads, self.key_heads], 1)
        if weights.query_norm is not None:
            query = self._norm(query, weights.query_norm)
            key = self._norm(key, weights.key_norm)
        query, key = _rotated(query, *rotation), _rotated(key, *rotation)
        row, slot = facts[3:]
        head = torch.arange(self.key_heads, device=row.device)
        cache[0].index_put_((row[:, None], head, slot[:, None]), key)
        cache[1].index_put_((row[:, None], head, slot[:, None]), value)
        query = query.reshape(-1, self.key_heads, self.groups, self.size)
        found = [self._attend(query, *part, *cache) for part in parts]
        attended = found[0] if len(found) == 1 else torch.cat(found)
        if place is not None:
            attended = attended[place]
        mixed = functional.linear(attended, weights.out, weights.out_bias)
        x = self._add(x, self._norm(mixed, weights.after_attention))
        gate, up = _linear(
            self._norm(x, weights.before_mlp), weights.gate_up, weights.gate_up_bias
        ).chunk(2, -1)
        made = functional.linear(self._activation(gate) * up, weights.down, weights.down_bias)
        return x, self._norm(made, weights.after_mlp)

    def _attend(
        self,
        query: Tensor,
        tokens: Tensor | None,
        mask: Tensor,
        first: int,
        products: bool,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """Attend to the slots of a part: the query heads of a group are further queries of one.

        Args:
            query: `[tokens, key heads, groups, size]`.
            tokens, mask: see `Part`.
            first, products: see `layer`; soft caps need products anyway.
            keys, values: the layer's, `[rows, key heads, capacity, size]`.

        Returns:
            `[rows * tokens of a row, heads * size]`.
        """
        query = query[None] if tokens is None else query[tokens]
        rows, count = query.shape[:2]
        slots = mask.shape[3]
        query = query.permute(0, 2, 3, 1, 4).reshape(rows, self.key_heads, -1, self.size)
        # (torch 2.11 compiles a `slice` that has a name for its first size alone)
        if self._cap is None and not products:
            key, value = (kept[first : first + rows, :, :slots] for kept in (keys, values))
            made = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, scale=self._scaling
            )
        else:
            # Rows and heads are one dimension before slots are cut off. Joined after that, as `@`
            # does, they would be compiled once for all slots of the capacity and once for fewer.
            key, value = (
                kept.flatten(0, 1)[first * self.key_heads : (first + rows) * self.key_heads, :slots]
                for kept in (keys, values)
            )
            scores = torch.bmm(query.flatten(0, 1), key.transpose(1, 2)) * self._scaling
            if self._cap is not None:
                scores = torch.tanh(scores / self._cap) * self._cap
            scores = scores.view(rows, self.key_heads, -1, slots)
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
            wide = torch.promote_types(scores.dtype, torch.float32)
            made = torch.bmm(scores.softmax(-1, dtype=wide).to(value.dtype).flatten(0, 1), value)
        made = made.view(rows, self.key_heads, self.groups, count, self.size)
        return made.permute(0, 3, 1, 2, 4).reshape(rows * count, -1)

    def end(self, x: Tensor, added: Tensor, wanted: Tensor) -> Tensor:
        """Compute the logits `[len(wanted), vocabulary]` after some of the tokens."""
        x = self._norm(self._add(x[wanted], added[wanted]), self._norm_weight)
        logits: Tensor = self._head(x)
        if self._logits_scale != 1:
            logits = logits / self._logits_scale
        if self._logits_cap is not None:
            logits = torch.tanh(logits / self._logits_cap) * self._logits_cap
        return logits

    def _add(self, x: Tensor, added: Tensor) -> Tensor:
        return x + added if self._residual == 1 else x + added * self._residual

    def _norm(self, x: Tensor, weight: Tensor | None) -> Tensor:
        """Compute RMSNorm as the family's models do, in single precision; none without a weight."""
        if weight is None:
            return x
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self._epsilon)
        return (wide * weight).to(x.dtype) if self._gemma else weight * wide.to(x.dtype)


def reads(model: PreTrainedModel) -> bool:
    """Tell whether a model is of the family and uses the attention that is usual for it.

    With soft caps that is "eager", whatever `transformers` says: see `duo.backbone`.
    """
    if model.config.model_type not in FAMILY or hasattr(model, "duo_frames"):
        return False  # of another kind, or takes in frames (`duo.fusion`)
    capped = getattr(model.config, "attn_logit_softcapping", None)
    usual = "sdpa" if model._supports_sdpa and not capped else "eager"
    return bool(model.config._attn_implementation == usual)


def _kind(rotary: Any, kind: str, window: int | None) -> _Kind:
    """Read a kind's rotary embedding; those of one kind alone have no name before theirs."""
    prefix = f"{kind}_" if hasattr(rotary, f"{kind}_inv_freq") else ""
    frequencies = getattr(rotary, f"{prefix}original_inv_freq")  # others come with longer contexts
    return _Kind(window, frequencies.float(), float(getattr(rotary, f"{prefix}attention_scaling")))


def _activation(mlp: Any) -> Callable[[Tensor], Tensor]:
    found: Callable[[Tensor], Tensor] = getattr(mlp, "act_fn", None) or mlp.activation_fn
    return found


def _modules(parent: Any, joint: str, single: Sequence[str]) -> list[Any]:
    if hasattr(parent, joint):
        return [getattr(parent, joint)]
    return [getattr(parent, name) for name in single]


def _joined(parameters: Sequence[torch.nn.Parameter]) -> tuple[Tensor, ...]:
    """Join parameters along their first dimension, and make them views of the joint tensor."""
    first = parameters[0].data
    if len(parameters) == 1 or is_quantised(first):
        return tuple(parameter.data for parameter in parameters)
    lengths = [len(parameter) for parameter in parameters]
    storages = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    ends = [parameter.data_ptr() + parameter.nbytes for parameter in parameters]
    if len(storages) == 1 and [p.data_ptr() for p in parameters[1:]] == ends[:-1]:  # joined before
        return (first.as_strided((sum(lengths), *first.shape[1:]), first.stride()),)
    joint = torch.cat([parameter.data for parameter in parameters])
    for parameter, view in zip(parameters, joint.split(lengths), strict=True):
        parameter.data = view
    return (joint,)


def _joined_biases(modules: Sequence[Any]) -> Tensor | None:
    if modules[0].bias is None:
        return None
    biases = _joined([module.bias for module in modules])
    return biases[0]


def _linear(x: Tensor, weights: tuple[Tensor, ...], bias: Tensor | None) -> Tensor:
    if len(weights) == 1:
        return functional.linear(x, weights[0], bias)
    made = torch.cat([functional.linear(x, weight) for weight in weights], -1)
    return made if bias is None else made + bias


def _detached(weight: Any) -> Any:
    return None if weight is None else weight.detach()


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the first part of each head `[tokens, heads, size]`, as far as the rotation goes."""
    length = cosine.shape[-1]
    turned, rest = x[..., :length], x[..., length:]
    one, other = turned.chunk(2, -1)
    turned = turned * cosine + torch.cat((-other, one), -1) * sine
    return turned if length == x.shape[-1] else torch.cat((turned, rest), -1)
