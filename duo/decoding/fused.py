"""Encode both channels in one forward pass, over one cache (the paper's section 2).

The cache is a set of slots. Fork, drop and promote move no keys or values: they edit the owners of
slots. Roll-back frees slots, and freed slots are used again, so that memory is bounded by what is
alive at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel

from duo.decoding.channels import Chunk, OnePassChannels
from duo.decoding.mask import Owner
from duo.decoding.passes import StaticPool, cuda_graphs, next_slots, whole_graph
from duo.decoding.slots import RowPool, SlotPool
from duo.decoding.static import FAMILY, StaticModel
from duo.errors import BadInput

#: Rows up to which a GPU is faster with `SlotPool` where kernels are launched one by one: it has
#: half as many, but a pass grows with the square of the rows (reports/reference/gpu).
_FEW_ROWS = 64


class FusedChannels(OnePassChannels):
    """Channels in the slots of a model of `transformers`.

    Args:
        pool: the slots; one row of it is taken. None for slots of its own.

    Whether the model is exact so is checked by `duo.decoding.systems`.
    """

    pool: RowPool

    def __init__(self, model: PreTrainedModel, pool: RowPool | None = None) -> None:
        super().__init__()
        self.pool = make_pool(model) if pool is None else pool
        self._row = self.pool.take_row()
        self._free: list[int] = []  # a heap: low slots first keeps the used range short
        self._capacity = 0  # slots that are known to be there
        self._used = 0  # slots from here on were never written

    @property
    def slots_in_use(self) -> int:
        """Slots that hold a living token."""
        return self._capacity - len(self._free)

    @property
    def cache_bytes(self) -> int:
        return self.pool.bytes // self.pool.rows

    def begin_pass(self) -> Chunk | None:
        chunk = super().begin_pass()
        if chunk is not None:
            chunk.used = self._used
        return chunk

    def _own(self, slots: Sequence[int], owner: Owner) -> None:
        self.pool.own(self._row, slots, owner)

    def _release(self, slots: Sequence[int]) -> None:
        self._own(slots, Owner.FREE)
        for slot in slots:
            heapq.heappush(self._free, slot)

    def _allocate(self, count: int) -> list[int]:
        while len(self._free) < count:
            if self._capacity == self.pool.capacity:
                self.pool.grow(next_slots(self.pool.capacity + 1, least=1))
            for slot in range(self._capacity, self.pool.capacity):
                heapq.heappush(self._free, slot)
            self._capacity = self.pool.capacity
        slots = [heapq.heappop(self._free) for _ in range(count)]
        self._used = max(self._used, slots[-1] + 1)
        return slots


def make_pool(model: PreTrainedModel, rows: int = 1, *, graphs: bool = False) -> RowPool:
    """Make slots for sessions: those of a `StaticModel` where that is the model, and is faster.

    Args:
        graphs: whether passes are compiled and CUDA graphs; see `check_graphs`.
    """
    from duo.decoding.check import is_static

    launched = model.device.type == "cuda" and not graphs
    if (launched and rows <= _FEW_ROWS) or not is_static(model):  # which runs the model to see
        return SlotPool(model, rows)
    how: dict[str, Any] = {}
    if graphs:
        how = {"compiler": whole_graph, "capture": cuda_graphs()}
    return StaticPool(StaticModel(model), rows, **how)


def check_graphs(model: PreTrainedModel) -> None:
    """Make sure that a model's forward passes can be CUDA graphs.

    Raises:
        BadInput: it is on another device, or none that `StaticModel` computes.
    """
    from duo.decoding.check import is_static

    if model.device.type != "cuda":
        raise BadInput(f"CUDA graphs need a model on cuda, not on {model.device}", field="graphs")
    if not is_static(model):
        raise BadInput(
            f"CUDA graphs are for models of the kinds {', '.join(FAMILY)} with sdpa attention",
            field="graphs",
        )
