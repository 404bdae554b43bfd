"""Encode both channels in one forward pass, over one cache (the paper's section 2).

The cache is a set of slots. Fork, drop and promote move no keys or values: they edit the owners of
slots. Roll-back frees slots, and freed slots are used again, so that memory is bounded by what is
alive at once. Sessions that share a `SlotPool` can be encoded together (see `batched`).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from torch import Tensor
from transformers import PreTrainedModel

from duo.decoding.channels import Channels, Scores, Strand
from duo.decoding.mask import Owner
from duo.decoding.slots import Chunk, SlotCache, SlotPool


class FusedChannels(Channels):
    """Channels whose tokens are encoded together, whoever they belong to.

    Args:
        model: a causal LM of `transformers`.
        pool: the slots; one row of it is taken. None for slots of its own.

    Whether the model is exact so is checked by `duo.decoding.systems`.
    """

    def __init__(self, model: PreTrainedModel, pool: SlotPool | None = None) -> None:
        super().__init__()
        self.pool = SlotPool(model) if pool is None else pool
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
        return self._cache.bytes // self.pool.rows

    @property
    def _cache(self) -> SlotCache:
        return self.pool.cache

    def encode(self) -> Scores:
        """Run one forward pass for all pending tokens. Nothing pending: no pass, no logits."""
        chunk = self.begin_pass()
        if chunk is None:
            return Scores(None, None)
        return self.end_pass(chunk, *self.pool.forward([chunk]))

    def begin_pass(self) -> Chunk | None:
        """Collect all pending tokens, with slots allocated; None if there are none."""
        chunk = Chunk(self._row)
        last: dict[Owner, int] = {}  # where in the pass each strand's last token stands
        for owner, strand, base in self._strands():
            pending = strand.pending
            if not pending:
                continue
            first = base + len(strand.slots)
            fresh = self._allocate(len(pending))
            strand.slots += fresh
            chunk.ids += pending
            chunk.owners += [owner] * len(pending)
            chunk.positions += range(first, first + len(pending))
            chunk.slots += fresh
            last[owner] = len(chunk.ids) - 1
        if not chunk.ids:
            return None
        if self.speaking:
            chunk.wanted.append(last[Owner.OUTPUT if self.output.ids else Owner.PREFIX])
        if Owner.INPUT in last:
            chunk.wanted.append(last[Owner.INPUT])
        chunk.used = self._used
        return chunk

    def end_pass(self, chunk: Chunk, logits: Tensor) -> Scores:
        """Count the pass, and sort its `logits` `[wanted, vocabulary]` by channel."""
        self.forward_passes += 1
        self.tokens_processed += len(chunk.ids)
        rows = iter(logits)
        output = next(rows) if self.speaking else None
        return Scores(output, next(rows, None))

    def _strands(self) -> Iterator[tuple[Owner, Strand, int]]:
        """List owner, strand and first position of each strand there is."""
        fork = len(self.prefix.ids)
        yield Owner.PREFIX, self.prefix, 0
        yield Owner.OUTPUT, self.output, fork
        if self.input is not None:
            yield Owner.INPUT, self.input, fork

    def _own(self, slots: Sequence[int], owner: Owner) -> None:
        self.pool.own(self._row, slots, owner)

    def _release(self, slots: Sequence[int]) -> None:
        self._own(slots, Owner.FREE)
        for slot in slots:
            heapq.heappush(self._free, slot)

    def _allocate(self, count: int) -> list[int]:
        while len(self._free) < count:
            if self._capacity == self.pool.capacity:
                self.pool.grow(2 * self.pool.capacity)
            for slot in range(self._capacity, self.pool.capacity):
                heapq.heappush(self._free, slot)
            self._capacity = self.pool.capacity
        slots = [heapq.heappop(self._free) for _ in range(count)]
        self._used = max(self._used, slots[-1] + 1)
        return slots
