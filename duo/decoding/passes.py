"""Encode the tokens of many sessions in one pass of a `StaticModel`, compiled and as a CUDA graph.

`SlotPool` is the simple form of the same. A pass is laid out on the host first: which tokens there
are, which rows they belong to, how many slots of these are in use. All of that goes to the device
as one tensor.

Compiled code and graphs want few shapes. So a regular pass, a few tokens of each session, is filled
up to the next of a few sizes, in tokens as in slots. One that is not regular, as a session reads a
long text, runs without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch._dynamo import mark_static
from torch.fx.experimental import _config as sizes

from duo.decoding.channels import Chunk
from duo.decoding.slots import FIRST_CAPACITY, RowPool, on_device
from duo.decoding.static import StaticModel

#: Reads and writes tensors that are always the same ones, and returns what it made.
Work = Callable[[], Tensor]
#: Turns work into work that does the same; what that returns is overwritten by the next call.
Capture = Callable[[Work], Work]
#: Compiles a function of tensors.
Compile = Callable[[Callable[..., Any]], Callable[..., Any]]

#: Tokens of a row up to which it is laid beside others; longer ones attend by themselves. So many
#: open a turn and bring a few words; not more, as all rows are filled up to the longest.
_SHORT = 16
#: Tokens up to which the pass of a single row is regular.
_SINGLE = 128
#: With so few queries of a head, products and a softmax are faster on a GPU than a fused kernel,
#: which would read the slots of a head one after the other.
_FEW_QUERIES = 32


def cuda_graphs() -> Capture:
    """Make a way to capture work, all of whose tensors are on one CUDA device, as a graph.

    The graphs share their memory, as only one runs at a time.
    """
    graphs: WeakSet[torch.cuda.CUDAGraph] = WeakSet()
    memory = None

    def capture(work: Work) -> Work:
        nonlocal memory
        if not graphs:  # torch gives a memory up when the last graph in it is gone
            memory = torch.cuda.graph_pool_handle()
        device = work().device  # the first time code is compiled, which a graph must not see
        with torch.cuda.device(device):
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):  # kernels are chosen and loaded
                work()
            here.wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=memory):
                made = work()
        graphs.add(graph)

        def replay() -> Tensor:
            graph.replay()
            return made

        return replay

    return capture


def whole_graph(
    function: Callable[..., Any], backend: str = "inductor", **options: Any
) -> Callable[..., Any]:
    """Compile a function as one graph for all sizes; see `torch.compile`."""
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend=backend, **options)

    def call(*given: Any) -> Any:
        # Sizes that are equal once need not stay so.
        with sizes.patch(use_duck_shape=False):  # type: ignore[attr-defined]
            return compiled(*given)

    return call


@dataclass(frozen=True)
class _Rows:
    """Rows whose tokens attend together: how many tokens of each, and how many of their slots.

    `tokens` is None where the whole pass is of one row. `products`: see `StaticModel.layer`.
    """

    first: int
    rows: int
    tokens: int | None
    slots: int
    products: bool


@dataclass(frozen=True)
class _Layout:
    """All shapes of a pass, and whether it is a regular one."""

    tokens: int
    wanted: int
    parts: tuple[_Rows, ...]
    regular: bool


class StaticPool(RowPool):
    """Rows over a `StaticModel`.

    Args:
        model: the weights and the forward pass.
        rows, capacity: see `RowPool`.
        compiler: compiles the functions of a regular pass, such as `whole_graph`. None: nothing is.
        capture: makes regular passes repeatable, such as `cuda_graphs()`; each size is captured
            when it first comes, and again when rows have grown. None: nothing is.
    """

    def __init__(
        self,
        model: StaticModel,
        rows: int = 1,
        *,
        capacity: int = FIRST_CAPACITY,
        compiler: Compile | None = None,
        capture: Capture | None = None,
    ) -> None:
        self.model = model
        self._capture = capture
        self._captured: dict[_Layout, tuple[Tensor, Work]] = {}  # what it reads, and the work
        self._scores: Tensor | None = None  # where all captured passes leave their logits
        self._fixed = compiler is not None or capture is not None
        self._together = self._fixed or model.device.type != "cpu"
        self._products = model.device.type == "cuda"
        self._plain: list[Callable[..., Any]] = [model.begin, model.layer, model.end]
        self._compiled = self._plain
        if compiler is not None:
            self._compiled = [compiler(function) for function in self._plain]
            for weight in model.weights():
                mark_static(weight)
        empty = torch.zeros(
            rows, model.key_heads, 0, model.size, dtype=model.dtype, device=model.device
        )
        self.keys, self.values = [empty] * len(model.layers), [empty] * len(model.layers)
        super().__init__(model.device, rows, capacity)

    @property
    def bytes(self) -> int:
        return sum(kept.nbytes for kept in (*self.keys, *self.values))

    def grow(self, capacity: int) -> None:
        more = capacity - self.capacity
        super().grow(capacity)
        for buffers in (self.keys, self.values):
            for number, kept in enumerate(buffers):
                buffers[number] = torch.nn.functional.pad(kept, (0, 0, 0, more))
                mark_static(buffers[number], [1, 3])
        self._captured.clear()  # they would go on with the memory before

    @torch.no_grad()
    def forward(self, chunks: Sequence[Chunk]) -> list[Tensor]:
        layout, facts = self._lay_out(chunks)
        self._edit_owners()
        self.forward_passes += 1
        count = sum(len(chunk.wanted) for chunk in chunks)
        given = on_device(facts, self.model.device)
        if self._capture is not None and layout.regular:
            logits = self._repeat(self._capture, layout, given)[:count].clone()
        else:
            logits = self._run(layout, given)[:count]
        return list(logits.split([len(chunk.wanted) for chunk in chunks]))

    # -- the layout of a pass ----------------------------------------------------------------

    def _lay_out(self, chunks: Sequence[Chunk]) -> tuple[_Layout, list[int]]:
        """Choose a pass's shapes, and list its facts: see `_run`."""
        short: list[Chunk] = []  # which are laid side by side
        if self._together and self.rows > 1:
            short = [chunk for chunk in chunks if len(chunk.ids) <= _SHORT]
        groups = [short] if short else []
        groups += [[chunk] for chunk in chunks if not short or len(chunk.ids) > _SHORT]
        whole = len(groups) == 1 and not short
        few = bool(short) or (self.rows == 1 and len(chunks[0].ids) <= _SINGLE)
        regular = self._fixed and len(groups) == 1 and few
        parts = tuple(self._part(group, whole, regular) for group in groups)
        # each token: id, owner, position, row, slot
        tokens = [
            fact
            for chunk in chunks
            for fact in zip(
                chunk.ids, chunk.owners, chunk.positions, [chunk.row] * len(chunk.ids), chunk.slots,
                strict=True,
            )
        ]  # fmt: skip
        starts: dict[int, int] = {}  # row -> its first token
        wanted: list[int] = []
        total = 0
        for chunk in chunks:
            starts[chunk.row] = total
            wanted += [total + place for place in chunk.wanted]
            total += len(chunk.ids)
        size = next_size(total, 2) if regular else total
        tokens += tokens[-1:] * (size - total)
        facts = [number for column in zip(*tokens, strict=True) for number in column]
        most = len(wanted)
        if regular:
            most = max(2, self.rows) if most <= self.rows else 2 * self.rows
        facts += wanted + [0] * (most - len(wanted))
        if not whole:
            place = [0] * size
            tables: list[int] = []
            for group, part in zip(groups, parts, strict=True):
                assert part.tokens is not None
                table = [0] * (part.rows * part.tokens)
                for chunk in group:
                    begin = (chunk.row - part.first) * part.tokens
                    start, length = starts[chunk.row], len(chunk.ids)
                    table[begin : begin + length] = range(start, start + length)
                    first = len(tables) + begin
                    place[start : start + length] = range(first, first + length)
                tables += table
            place[total:] = place[total - 1 : total] * (size - total)
            facts += place + tables
        return _Layout(size, most, parts, regular), facts

    def _part(self, group: Sequence[Chunk], whole: bool, regular: bool) -> _Rows:
        rows = [chunk.row for chunk in group]
        used = max(chunk.used for chunk in group)
        tokens = max(len(chunk.ids) for chunk in group)
        first, last = min(rows), max(rows)
        if regular:
            used = min(self.capacity, next_slots(used))
            tokens = next_size(tokens, 2)
            if not whole:
                first, last = 0, min(self.rows, next_size(last + 1, 2)) - 1
        # All regular passes attend in the same way, so that layers are compiled for that one alone.
        few = regular or tokens * self.model.groups <= _FEW_QUERIES
        return _Rows(
            first, last - first + 1, None if whole else tokens, used, self._products and few
        )

    # -- a pass ------------------------------------------------------------------------------

    def _repeat(self, capture: Capture, layout: _Layout, facts: Tensor) -> Tensor:
        """Run a captured pass; what it returns is overwritten by the next one."""
        if layout not in self._captured:
            kept = facts.clone()
            self._captured[layout] = kept, capture(partial(self._leave, layout, kept))
        kept, replay = self._captured[layout]
        kept.copy_(facts)
        return replay()

    def _leave(self, layout: _Layout, facts: Tensor) -> Tensor:
        """Run the model, and leave the logits where all captured passes do.

        Each would otherwise keep memory of its own for them, and there are many sizes.
        """
        logits = self._run(layout, facts)
        if self._scores is None:  # made when a pass first runs, which is before it is captured
            self._scores = logits.new_empty(2 * self.rows, logits.shape[1])
        return self._scores[: layout.wanted].copy_(logits)

    def _run(self, layout: _Layout, facts: Tensor) -> Tensor:
        """Run the model; nothing of it is read back.

        Args:
            layout: all shapes.
            facts: ids, owners, positions, rows and slots of all tokens; which tokens' logits are
                wanted; and, unless the pass is of one row, the places of the tokens among those of
                all parts, and for each part the places of its tokens in the pass.

        Returns:
            Logits `[wanted, vocabulary]`.
        """
        begin, layer, end = self._compiled if layout.regular else self._plain
        model, count = self.model, layout.tokens
        tables = [(part.rows, part.tokens) for part in layout.parts if part.tokens is not None]
        lengths = [5 * count, layout.wanted, *([count] if tables else [])]
        lengths += [rows * tokens for rows, tokens in tables]
        of_tokens, *rest = facts.split(lengths)
        of_tokens = of_tokens.view(5, count)
        wanted, *rest = (table.clone() for table in rest)  # a compiler sees that a tensor is a view
        row, slot = of_tokens[3], of_tokens[4]
        self._owner[row, slot] = of_tokens[1].to(torch.int8)
        self._position[row, slot] = of_tokens[2]
        place = rest.pop(0) if tables else None
        tokens = [table.view(shape) for table, shape in zip(rest, tables, strict=True)] or [None]
        views = [
            [
                kept[part.first : part.first + part.rows, : part.slots].clone(
                    memory_format=torch.contiguous_format
                )
                for part in layout.parts
            ]
            for kept in (self._owner, self._position)
        ]
        x, heard, rotations, parts = begin(of_tokens, tokens, *views)
        added = torch.zeros_like(x)
        for number, (weights, kind) in enumerate(zip(model.layers, model.layer_kinds, strict=True)):
            x, added = layer(
                x,
                added,
                heard,
                weights,
                rotations[kind],
                of_tokens,
                (self.keys[number], self.values[number]),
                [
                    (part.tokens, part.masks[kind], rows.first, rows.products)
                    for part, rows in zip(parts, layout.parts, strict=True)
                ],
                place,
            )
        logits: Tensor = end(x, added, wanted)
        return logits


def next_size(number: int, least: int) -> int:
    """Find the next power of two."""
    return max(least, 1 << (number - 1).bit_length())


def next_slots(number: int, least: int = 256) -> int:
    """Find the next of 256, 384, 512, 768, 1024 ... slots: half as many again as the one before."""
    whole = next_size(number, least)
    return whole * 3 // 4 if whole > least and number <= whole * 3 // 4 else whole
