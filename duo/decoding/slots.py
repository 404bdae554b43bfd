"""Keep keys and values of many sessions in slots, and encode all of them in one forward pass.

`SlotPool` is the form for any model of `transformers` that takes a mask; `passes.py` has that for
the family of Llama, many times as fast where there are many sessions.

Each session has a row of slots. The tokens of a pass, of whichever rows and however many of each,
go through the model side by side, as one sequence, and each is held against the slots of all rows;
the mask keeps them apart. A row that has nothing to encode takes no part and stays as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin

from duo.decoding.attention import Tokens, attention_layers, masks
from duo.decoding.channels import Chunk
from duo.decoding.mask import Owner

FIRST_CAPACITY = 256


def on_device(numbers: Sequence[Any], device: torch.device) -> Tensor:
    """Copy whole numbers to a device; to a GPU from pinned memory, so that nobody waits for it."""
    pinned = device.type == "cuda"
    here = torch.tensor(numbers, dtype=torch.long, pin_memory=pinned)
    return here.to(device, non_blocking=pinned)


class RowPool(ABC):
    """Rows of slots, one for each session; all have the same capacity, which grows as needed.

    Args:
        capacity: slots of a row to begin with.
    """

    def __init__(self, device: torch.device, rows: int, capacity: int) -> None:
        self.rows, self.capacity, self.forward_passes = rows, 0, 0
        self._owner = torch.zeros(rows, 0, dtype=torch.int8, device=device)
        self._position = torch.zeros(rows, 0, dtype=torch.long, device=device)
        self._edits: dict[tuple[int, int], int] = {}  # owners of slots, not yet on the device
        self._taken = 0
        self.grow(capacity)

    @property
    @abstractmethod
    def bytes(self) -> int:
        """Bytes of keys and values allocated."""

    @abstractmethod
    def forward(self, chunks: Sequence[Chunk]) -> list[Tensor]:
        """Encode all chunks, none of them empty, in one forward pass; return each one's logits.

        Returns:
            For each chunk `[len(wanted), vocabulary]`.
        """

    def take_row(self) -> int:
        """Add a row for one more session."""
        if self._taken == self.rows:
            raise RuntimeError(f"all {self.rows} rows are taken")
        self._taken += 1
        return self._taken - 1

    def grow(self, capacity: int) -> None:
        """Grow every row to `capacity` slots."""
        more = (0, capacity - self.capacity)
        self._owner = torch.nn.functional.pad(self._owner, more)
        self._position = torch.nn.functional.pad(self._position, more)
        self.capacity = capacity

    def own(self, row: int, slots: Sequence[int], owner: Owner) -> None:
        """Note that these slots of a row now belong to `owner`."""
        self._edits.update({(row, slot): int(owner) for slot in slots})

    def _edit_owners(self) -> None:
        """Bring the device up to date, before a pass."""
        if self._edits:
            edits = [(*place, owner) for place, owner in self._edits.items()]
            row, slot, owner = on_device(edits, self._owner.device).unbind(1)
            self._owner[row, slot] = owner.to(torch.int8)
            self._edits.clear()


class SlotPool(RowPool):
    """Rows over a causal LM of `transformers`.

    Raises:
        BadInput: the model's past cannot be kept in slots.
    """

    def __init__(
        self, model: PreTrainedModel, rows: int = 1, *, capacity: int = FIRST_CAPACITY
    ) -> None:
        self.model = model
        self._layers = attention_layers(model)
        self.cache = SlotCache(model.config.get_text_config().num_hidden_layers, rows)
        super().__init__(model.device, rows, capacity)

    @property
    def bytes(self) -> int:
        return self.cache.bytes

    def grow(self, capacity: int) -> None:
        super().grow(capacity)
        self._row = torch.arange(self.rows, device=self._owner.device).repeat_interleave(capacity)

    def forward(self, chunks: Sequence[Chunk]) -> list[Tensor]:
        self._edit_owners()
        ids: list[int] = []
        owners: list[int] = []
        positions: list[int] = []
        rows: list[int] = []
        slots: list[int] = []
        wanted: list[int] = []
        end = 0
        for chunk in chunks:
            first, base = len(ids), chunk.row * self.capacity
            ids += chunk.ids
            owners += chunk.owners
            positions += chunk.positions
            rows += [chunk.row] * len(chunk.ids)
            slots += [base + slot for slot in chunk.slots]
            wanted += [first + place for place in chunk.wanted]
            end = max(end, base + chunk.used)
        facts = on_device([ids, owners, positions, rows, slots], self.model.device)
        logits = self._run(facts, on_device(wanted, self.model.device), end)
        self.forward_passes += 1
        return list(logits.split([len(chunk.wanted) for chunk in chunks]))

    def _run(self, facts: Tensor, wanted: Tensor, end: int) -> Tensor:
        """Run the model.

        Args:
            facts: `[5, tokens]`: id, owner, position, row and slot of each.
            wanted: places in the pass.
            end: slots from here on are not read.

        Returns:
            Logits `[len(wanted), vocabulary]`.
        """
        token, owner, position, row, slot = facts
        owner = owner.to(torch.int8)
        self._owner.view(-1)[slot] = owner
        self._position.view(-1)[slot] = position
        query = Tokens(owner, position, row)
        key = Tokens(*(f.view(-1)[:end] for f in (self._owner, self._position, self._row)))
        self.cache.aim(slot, end, self.capacity)
        mask = masks(self.model, self._layers, query, key)
        with torch.inference_mode():  # facts stay ordinary, editable tensors
            out = self.model(
                input_ids=token[None],
                position_ids=position[None],
                attention_mask=mask,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=wanted,
            )
        return out.logits[0]


class SlotCache(Cache):
    """Keys and values in slots: a forward pass writes where `aim` points and reads all in use."""

    def __init__(self, layers: int, rows: int = 1) -> None:
        super().__init__(layers=[_SlotLayer(rows) for _ in range(layers)])

    def aim(self, slots: Tensor, end: int, capacity: int) -> None:
        """Set what the next pass does.

        Args:
            slots: `[tokens]`, where it writes, counted through all rows.
            end: it reads the slots before this one, counted so too.
            capacity: slots of a row.
        """
        for layer in self.layers:
            layer.slots, layer.end, layer.capacity = slots, end, capacity

    @property
    def bytes(self) -> int:
        """Bytes allocated in all layers."""
        return sum(
            layer.keys.nbytes + layer.values.nbytes
            for layer in self.layers
            if layer.keys is not None
        )


class _SlotLayer(CacheLayerMixin):
    """One layer's slots: `keys` and `values` are `[1, heads, rows * capacity, head size]`."""

    is_sliding = False  # windows are the mask's business
    slots: Tensor
    end: int
    capacity: int

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys = key_states.new_zeros(*key_states.shape[:2], 0, key_states.shape[3])
        self.values = value_states.new_zeros(*value_states.shape[:2], 0, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self.keys.shape[2] < self._rows * self.capacity:
            self.keys, self.values = self._grown(self.keys), self._grown(self.values)
        self.keys.index_copy_(2, self.slots, key_states)
        self.values.index_copy_(2, self.slots, value_states)
        return self.keys[:, :, : self.end], self.values[:, :, : self.end]

    def _grown(self, held: Tensor) -> Tensor:
        """Move the slots into longer rows."""
        batch, heads, slots, size = held.shape
        rows = held.view(batch, heads, self._rows, slots // self._rows, size)
        more = self.capacity - slots // self._rows
        return torch.nn.functional.pad(rows, (0, 0, 0, more)).view(batch, heads, -1, size)

    def get_seq_length(self, *args: Any) -> int:
        return self.end if self.is_initialized else 0

    def get_mask_sizes(self, *args: Any) -> tuple[int, int]:
        return self.end, 0

    def get_max_length(self) -> int:
        return -1

    get_max_cache_shape = get_max_length  # its name before transformers 5.20
