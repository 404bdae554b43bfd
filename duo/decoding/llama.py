"""Hold the channels of many sessions in llama.cpp, over the weights of a GGUF file.

A cell of its cache may belong to several sequences. Prefix and output of a session are one
sequence, prefix and input another; fork, promote and drop move no keys or values, they edit to
which sequences cells belong. A pass is one `llama_decode`, in which each token names its sequences
and its position.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from duo.decoding.channels import Chunk, OnePassChannels, Scores
from duo.decoding.llama_model import NARROW, LlamaModel
from duo.decoding.llama_states import LAST, Watch, pointer_to
from duo.decoding.mask import Owner
from duo.engine import last_words
from duo.errors import BadInput

#: Cells of a cache to begin with; it doubles when they are full.
_FIRST_CELLS = 1024
#: What `llama_decode` returns of a pass that was ended.
_ABORTED = 2


class Cancelled(Exception):
    """A pass was ended from another thread; what it was to encode is not known any more."""


def _c_function(name: str) -> Any:
    """Find a function of the C library; None where it has no such name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):
        return None


class LlamaPool:
    """Sequences of sessions in one llama.cpp context, which grows as needed.

    Args:
        cells: of the cache to begin with; a token of a session takes one.
    """

    def __init__(self, model: LlamaModel, rows: int = 1, *, cells: int = _FIRST_CELLS) -> None:
        self.model, self.rows = model, rows
        self.forward_passes = 0
        self._api = model.api
        self._members: list[LlamaChannels] = []
        if 2 * rows > (most := self._api.llama_max_parallel_sequences()):
            raise BadInput(f"llama.cpp holds {most // 2} conversations at most, not {rows}")
        self._stop = ctypes.create_string_buffer(2)
        self._open(cells)

    def _open(self, cells: int) -> None:
        model = self.model
        self._watch: Watch | None = None
        if model.rows.layer != LAST:
            self._watch = Watch(self._api, model.width, {model.rows.layer})
        self._context = model.context(cells, self.rows, watch=self._watch)
        self.cells = cells
        self._memory = self._context.memory
        if (length := _c_function("strlen")) is not None:
            # Asked after every step whether to stop. Of Python that would take as long as the step;
            # the C library's length of a string is not 0 once its first byte is set.
            asked = ctypes.cast(length, self._api.ggml_abort_callback)
            place = ctypes.cast(self._stop, ctypes.c_void_p)
            self._api.llama_set_abort_callback(self._context.pointer, asked, place)

    @property
    def bytes(self) -> int:
        """Bytes of keys and values allocated."""
        return self.cells * self.model.token_bytes

    def take_row(self, channels: LlamaChannels) -> int:
        """Add a row for one more session."""
        if len(self._members) == self.rows:
            raise RuntimeError(f"all {self.rows} rows are taken")
        self._members.append(channels)
        return len(self._members) - 1

    def cancel(self) -> None:
        """End the pass under way in another thread, and all later ones, with `Cancelled`."""
        self._stop[0] = b"1"

    # -- edits of sequences ------------------------------------------------------------------

    def fork(self, row: int, length: int) -> None:
        """Let the row's second sequence share the first `length` cells of the first."""
        self._api.llama_memory_seq_cp(self._memory, 2 * row, 2 * row + 1, 0, length)

    def cut(self, row: int, second: bool, length: int) -> None:
        """Roll one of the row's sequences back to its first `length` tokens."""
        self._context.cut(2 * row + second, length)

    def promote(self, row: int) -> None:
        """Make the row's second sequence the first."""
        self.cut(row, False, 0)
        self._api.llama_memory_seq_cp(self._memory, 2 * row + 1, 2 * row, -1, -1)
        self.cut(row, True, 0)

    def make_room(self, count: int) -> None:
        """Make sure that so many more tokens find cells."""
        needed = count + sum(channels.cells for channels in self._members)
        if needed > self.cells:
            cells = self.cells
            while cells < needed:
                cells *= 2
            self._grow(cells)

    def _grow(self, cells: int) -> None:
        """Move all sequences into a context of more cells: nothing is computed again."""
        api = self._api
        kept = [self._saved(number) for number in range(2 * self.rows)]
        self._open(cells)
        for number, data in enumerate(kept):
            if data is not None:
                api.llama_state_seq_set_data(self._context.pointer, data, len(data), number)
        for row, channels in enumerate(self._members):
            if channels.forked:  # the copy of the prefix gives way to what was shared before
                fork = len(channels.prefix.ids)
                api.llama_memory_seq_rm(self._memory, 2 * row + 1, 0, fork)
                self.fork(row, fork)

    def _saved(self, sequence: int) -> Any:
        if self._api.llama_memory_seq_pos_max(self._memory, sequence) < 0:
            return None
        context = self._context.pointer
        size = self._api.llama_state_seq_get_size(context, sequence)
        data = (ctypes.c_uint8 * size)()
        self._api.llama_state_seq_get_data(context, data, size, sequence)
        return data

    # -- a pass ------------------------------------------------------------------------------

    def forward(self, chunks: Sequence[Chunk]) -> list[Tensor]:
        """Encode all chunks, none of them empty, in one forward pass; return each one's logits.

        Returns:
            For each chunk `[len(wanted), vocabulary and rows]`, float32.
        """
        self.forward_passes += 1
        tokens = [
            (
                chunk.ids[place],
                chunk.positions[place],
                self._sequences(chunk, place),
                place in chunk.wanted,
            )
            for chunk in chunks
            for place in range(len(chunk.ids))
        ]
        width = self.model.vocabulary + self.model.rows.count
        found = [torch.empty(len(chunk.wanted), width) for chunk in chunks]
        scores = (row for one in found for row in one.numpy())
        hidden = self.model.rows.head is not None and self._watch is None
        for run in _runs(tokens, NARROW * self.rows) if hidden else [tokens]:
            self._decode(run, hidden and any(wanted for *_, wanted in run), scores)
        return found

    def _sequences(self, chunk: Chunk, place: int) -> int:
        """Say which of a row's sequences a token belongs to, as `Batch` numbers them."""
        owner = chunk.owners[place]
        if owner is Owner.PREFIX and self._members[chunk.row].forked:
            return 3 * chunk.row + 2
        return 3 * chunk.row + (owner is Owner.INPUT)

    def _decode(
        self,
        tokens: Sequence[tuple[int, int, int, bool]],
        hidden: bool,
        scores: Iterator[np.ndarray],
    ) -> None:
        """Run one `llama_decode`; write what follows each wanted token into the next of `scores`.

        Args:
            tokens: id, position, sequences as `Batch` numbers them, and whether it is wanted.
            hidden: the last hidden state is wanted, too.
            scores: `[vocabulary and rows]` each.
        """
        api, model, context = self._api, self.model, self._context
        strange = max(token[0] for token in tokens) >= model.vocabulary
        vectors = model.embedded([token[0] for token in tokens]) if strange else None
        api.llama_set_embeddings(context.pointer, hidden)
        if self._watch is not None:
            self._watch.clear()
        code = context.decode(tokens, vectors, all_wanted=hidden)
        if code == _ABORTED:
            raise Cancelled
        if code:
            raise RuntimeError(f"llama.cpp fails ({code}): {last_words()}")
        watched = None if self._watch is None else self._watch.states(model.rows.layer)
        for place, (*_, wanted) in enumerate(tokens):
            if wanted:
                state = None
                if watched is not None:
                    state = pointer_to(watched[place])
                elif hidden:
                    state = api.llama_get_embeddings_ith(context.pointer, place)
                model.write_scores(next(scores), context.logits(place), state)


def _runs(tokens: list[Any], narrow: int) -> list[list[Any]]:
    """Split a long pass where the hidden state is wanted, so that it is given there alone."""
    if len(tokens) <= narrow:
        return [tokens]
    runs: list[list[Any]] = [[]]
    for token in tokens:
        if runs[-1] and token[3] != runs[-1][-1][3]:
            runs.append([])
        runs[-1].append(token)
    return runs


class LlamaChannels(OnePassChannels):
    """Channels in two sequences of a llama.cpp context.

    A strand's slots are only counted here: llama.cpp knows where its cells are.

    Args:
        pool: the context; one row of it is taken. None for a context of its own.
        sequential: one channel after the other, in two passes where one would do.
    """

    pool: LlamaPool

    def __init__(
        self, model: LlamaModel, pool: LlamaPool | None = None, *, sequential: bool = False
    ) -> None:
        super().__init__()
        self._sequential = sequential
        self.pool = LlamaPool(model) if pool is None else pool
        self._row = self.pool.take_row(self)
        self.forked = False  # the second sequence has the prefix

    @property
    def cells(self) -> int:
        """Cells of the cache that hold a living token."""
        return sum(len(strand.slots) for _, strand, _ in self._strands())

    @property
    def cache_bytes(self) -> int:
        return self.pool.bytes // self.pool.rows

    def encode(self) -> Scores:
        if not (self._sequential and self.speaking and self.input is not None):
            return super().encode()
        heard, self.input = self.input, None
        output = super().encode().output
        self.input, self.speaking = heard, False
        found = Scores(output, super().encode().input)
        self.speaking = True
        return found

    def begin_pass(self) -> Chunk | None:
        if self.input is not None and not self.forked:
            self.pool.fork(self._row, len(self.prefix.slots))
            self.forked = True
        return super().begin_pass()

    def cancel(self) -> None:
        self.pool.cancel()

    def truncate_input(self, length: int) -> None:
        super().truncate_input(length)
        if self.forked:
            self.pool.cut(self._row, True, len(self.prefix.ids) + length)

    def drop_input(self) -> None:
        super().drop_input()
        self._close()

    def drop_output(self) -> None:
        super().drop_output()
        self.pool.cut(self._row, False, len(self.prefix.slots))

    def promote(self) -> None:
        super().promote()
        if self.forked:
            self.pool.promote(self._row)
            self.forked = False

    def _forget_cache(self) -> None:
        super()._forget_cache()
        self.pool.cut(self._row, False, 0)
        self._close()

    def _close(self) -> None:
        self.pool.cut(self._row, True, 0)
        self.forked = False

    def _allocate(self, count: int) -> list[int]:
        self.pool.make_room(count)
        return super()._allocate(count)
