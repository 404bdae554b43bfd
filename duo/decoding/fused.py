"""Both channels in one forward pass, over one cache (the paper's section 2).

The cache is a set of slots. Fork, drop and promote move no keys or values: they edit the owners of
slots. Roll-back frees slots, and freed slots are used again, so that memory is bounded by what is
alive at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin

from duo.decoding.channels import Channels, Scores, Strand
from duo.decoding.mask import Owner, visible
from duo.errors import BadInput

_FIRST_CAPACITY = 256


class FusedChannels(Channels):
    """Channels whose tokens are encoded together, whoever they belong to."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self._model = model
        self._layers = _attention_layers(model)
        self._cache = SlotCache(model.config.get_text_config().num_hidden_layers)
        self._owner = torch.zeros(0, dtype=torch.int8, device=model.device)
        self._position = torch.zeros(0, dtype=torch.long, device=model.device)
        self._free: list[int] = []  # a heap: low slots first keeps the used range short
        self._grow(_FIRST_CAPACITY)
        self._used = 0  # slots from here on were never written

    @property
    def slots_in_use(self) -> int:
        """Slots that hold a living token."""
        return len(self._owner) - len(self._free)

    @property
    def cache_bytes(self) -> int:
        return self._cache.bytes

    def encode(self) -> Scores:
        """One forward pass for all pending tokens. Nothing pending: no pass, no logits."""
        ids: list[int] = []
        owners: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        last: dict[Owner, int] = {}  # where in the pass each strand's last token stands
        for owner, strand, base in self._strands():
            pending = strand.pending
            if not pending:
                continue
            first = base + len(strand.slots)
            fresh = self._allocate(len(pending))
            strand.slots += fresh
            ids += pending
            owners += [owner] * len(pending)
            positions += range(first, first + len(pending))
            slots += fresh
            last[owner] = len(ids) - 1
        if not ids:
            return Scores(None, None)
        wanted: list[int] = []
        if speaks := self.speaking:
            wanted.append(last[Owner.OUTPUT if self.output.ids else Owner.PREFIX])
        if listens := Owner.INPUT in last:
            wanted.append(last[Owner.INPUT])
        rows = iter(self._forward(ids, owners, positions, slots, wanted))
        return Scores(next(rows) if speaks else None, next(rows) if listens else None)

    def _strands(self) -> Iterator[tuple[Owner, Strand, int]]:
        """Owner, strand and first position of each strand there is."""
        fork = len(self.prefix.ids)
        yield Owner.PREFIX, self.prefix, 0
        yield Owner.OUTPUT, self.output, fork
        if self.input is not None:
            yield Owner.INPUT, self.input, fork

    def _forward(
        self,
        ids: list[int],
        owners: list[int],
        positions: list[int],
        slots: list[int],
        wanted: list[int],
    ) -> Tensor:
        """Run the model on tokens of any channels; logits `[len(wanted), vocabulary]`."""
        device = self._model.device
        facts = torch.tensor([ids, owners, positions, slots], device=device)
        token, owner, position, slot = facts
        self._owner[slot] = owner.to(torch.int8)
        self._position[slot] = position
        self._cache.aim(slot, self._used, len(self._owner))
        with torch.inference_mode():  # the facts about slots stay ordinary, editable tensors
            out = self._model(
                input_ids=token[None],
                position_ids=position[None],
                attention_mask=self._masks(owner, position),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=torch.tensor(wanted, device=device, dtype=torch.long),
            )
        self.forward_passes += 1
        self.tokens_processed += len(ids)
        return out.logits[0]

    def _masks(self, owner: Tensor, position: Tensor) -> Any:
        """The mask in the form that the model wants it; one for each kind of layer it has."""
        keys = self._owner[: self._used], self._position[: self._used]
        form = _MASK_FORMS[self._model.config._attn_implementation]
        made = {
            kind: form(owner, position, *keys, window, self._model.dtype)
            for kind, window in self._layers.items()
        }
        return made if len(made) > 1 else next(iter(made.values()))

    def _own(self, slots: Sequence[int], owner: Owner) -> None:
        if slots:
            self._owner[torch.tensor(slots, device=self._owner.device)] = owner

    def _release(self, slots: Sequence[int]) -> None:
        self._own(slots, Owner.FREE)
        for slot in slots:
            heapq.heappush(self._free, slot)

    def _allocate(self, count: int) -> list[int]:
        while len(self._free) < count:
            self._grow(2 * len(self._owner))
        slots = [heapq.heappop(self._free) for _ in range(count)]
        self._used = max(self._used, slots[-1] + 1)
        return slots

    def _grow(self, capacity: int) -> None:
        more = capacity - len(self._owner)
        for slot in range(len(self._owner), capacity):
            heapq.heappush(self._free, slot)
        self._owner = torch.nn.functional.pad(self._owner, (0, more))
        self._position = torch.nn.functional.pad(self._position, (0, more))


class SlotCache(Cache):
    """Keys and values in slots: a forward pass writes where `aim` points and reads all in use."""

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[_SlotLayer() for _ in range(layers)])

    def aim(self, slots: Tensor, used: int, capacity: int) -> None:
        """Set the slots `[tokens]` that the next pass writes and the range `[0, used)` it reads."""
        for layer in self.layers:
            layer.slots, layer.used, layer.capacity = slots, used, capacity

    @property
    def bytes(self) -> int:
        """Bytes allocated in all layers."""
        return sum(
            layer.keys.nbytes + layer.values.nbytes
            for layer in self.layers
            if layer.keys is not None
        )


class _SlotLayer(CacheLayerMixin):
    """One layer's slots: `keys` and `values` are `[1, heads, capacity, head size]`."""

    is_sliding = False  # windows are the mask's business
    slots: Tensor
    used: int
    capacity: int

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys = key_states.new_zeros(*key_states.shape[:2], 0, key_states.shape[3])
        self.values = value_states.new_zeros(*value_states.shape[:2], 0, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self.keys.shape[2] < self.capacity:
            more = (0, 0, 0, self.capacity - self.keys.shape[2])
            self.keys = torch.nn.functional.pad(self.keys, more)
            self.values = torch.nn.functional.pad(self.values, more)
        self.keys.index_copy_(2, self.slots, key_states)
        self.values.index_copy_(2, self.slots, value_states)
        return self.keys[:, :, : self.used], self.values[:, :, : self.used]

    def get_seq_length(self, *args: Any) -> int:
        return self.used if self.is_initialized else 0

    def get_mask_sizes(self, *args: Any) -> tuple[int, int]:
        return self.used, 0

    def get_max_length(self) -> int:
        return -1

    get_max_cache_shape = get_max_length  # its name before transformers 5.20


def _attention_layers(model: PreTrainedModel) -> dict[str, int | None]:
    """Kinds of attention layers and their windows (None: the layer sees everything).

    Raises:
        BadInput: a layer keeps no keys and values per token (linear attention, state spaces): such
            a model's past cannot be shared by two channels or rolled back.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    kinds = set(
        getattr(config, "layer_types", None)
        or ["sliding_attention" if window else "full_attention"]
    )
    if unknown := kinds - {"full_attention", "sliding_attention"}:
        raise BadInput(f"layers of the kind {', '.join(sorted(unknown))} cannot hold two channels")
    return {kind: window if kind == "sliding_attention" else None for kind in sorted(kinds)}


def _boolean(
    owner: Tensor, position: Tensor, key_owner: Tensor, key_position: Tensor,
    window: int | None, dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """`[1, 1, queries, slots]`, True where attention is allowed (SDPA)."""
    return visible(owner[:, None], position[:, None], key_owner, key_position, window)[None, None]


def _additive(
    owner: Tensor, position: Tensor, key_owner: Tensor, key_position: Tensor,
    window: int | None, dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """`[1, 1, queries, slots]`, 0 where attention is allowed, else the least number (eager)."""
    seen = _boolean(owner, position, key_owner, key_position, window, dtype)
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(
        ~seen, torch.finfo(dtype).min
    )


def _block(
    owner: Tensor, position: Tensor, key_owner: Tensor, key_position: Tensor,
    window: int | None, dtype: torch.dtype,
) -> Any:  # fmt: skip
    """The rule as a FlexAttention block mask over the same facts."""
    from torch.nn.attention.flex_attention import create_block_mask

    def rule(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return visible(owner[query], position[query], key_owner[key], key_position[key], window)

    return create_block_mask(
        rule, B=None, H=None, Q_LEN=len(owner), KV_LEN=len(key_owner), device=owner.device
    )


_MASK_FORMS = {"sdpa": _boolean, "eager": _additive, "flex_attention": _block}
