"""Keep keys and values of many sessions in slots, and encode all of them in one forward pass.

Each session has a row of slots. The tokens of a pass, of whichever rows and however many of each,
go through the model side by side, without padding: what is computed is what is needed. A row that
has nothing to encode takes no part and stays as it is.

A pass may be a CUDA graph: recorded once, then started by one call instead of hundreds. A graph
repeats the same kernels on the same memory, so what changes from pass to pass stands in tensors
that stay where they are, and no number is read back on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin

from duo.decoding.attention import Part, Tokens, attention_layers, in_parts, masks
from duo.decoding.channels import Chunk
from duo.decoding.mask import Owner
from duo.errors import BadInput

#: Reads and writes tensors that are always the same ones, and returns what it made.
Work = Callable[[], Tensor]
#: Turns work into work that does the same; what that returns is overwritten by the next call.
Capture = Callable[[Work], Work]

#: Numbers of tokens of a pass that graphs are recorded for: a step of that many sessions, or a
#: chunk of what was heard. A longer pass, such as that of a long context, runs without.
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


def check_graphs(model: PreTrainedModel) -> None:
    """Make sure that a model's forward passes can be CUDA graphs.

    Raises:
        BadInput: it is on another device, or has attention that no graph repeats.
    """
    if model.device.type != "cuda":
        raise BadInput(f"CUDA graphs need a model on cuda, not on {model.device}", field="graphs")
    kind = model.config._attn_implementation
    if kind == "flex_attention":  # its blocks are computed for each mask, on the host
        raise BadInput(f"CUDA graphs need sdpa or eager attention, not {kind}", field="graphs")


def cuda_graph(work: Work) -> Work:
    """Record work, all of whose tensors are on one CUDA device, as a graph."""
    device = work().device  # the first time memory is allocated, which a graph must not move
    with torch.cuda.device(device):
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):  # kernels are chosen and loaded
            work()
        here.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            made = work()

    def replay() -> Tensor:
        graph.replay()
        return made

    return replay


_FIRST_CAPACITY = 256
#: Logits of a session that a pass can be asked for: after its output and after its input.
_WANTED = 2


class SlotPool:
    """Rows of slots over one model; all rows have the same capacity, which grows as needed.

    Args:
        model: a causal LM of `transformers`.
        rows: how many sessions there are at most.
        sizes: numbers of tokens of a pass; a pass is filled up to the next of them by repeating its
            last token. With these and `capacity` all shapes are known beforehand, as compiled
            kernels want it. None: a pass is as long as it is.
        capacity: slots of a row to begin with.
        capture: makes passes of these sizes repeatable, such as `cuda_graph`;
            each is captured when it first comes, and again when rows have grown. None: nothing is.

    Raises:
        BadInput: the model's past cannot be kept in slots.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        rows: int = 1,
        *,
        sizes: Sequence[int] = (),
        capacity: int = _FIRST_CAPACITY,
        capture: Capture | None = None,
    ) -> None:
        self.model, self.rows = model, rows
        self._layers = attention_layers(model)
        self._sizes = sorted(sizes)
        self._capture = capture
        self._captured: dict[int, _Captured] = {}  # by the number of tokens
        self.cache = SlotCache(model.config.get_text_config().num_hidden_layers, rows)
        self._owner = torch.zeros(rows, 0, dtype=torch.int8, device=model.device)
        self._position = torch.zeros(rows, 0, dtype=torch.long, device=model.device)
        self._taken = 0
        self.capacity = 0
        self.forward_passes = 0
        self.grow(capacity)

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
        self._row = torch.arange(self.rows, device=self._owner.device).repeat_interleave(capacity)
        self.capacity = capacity
        self._captured.clear()  # they would go on with the memory before

    def own(self, row: int, slots: Sequence[int], owner: Owner) -> None:
        """Note that these slots of a row now belong to `owner`."""
        if slots:
            self._owner[row, torch.tensor(slots, device=self._owner.device)] = owner

    def forward(self, chunks: Sequence[Chunk]) -> list[Tensor]:
        """Encode all chunks, none of them empty, in one forward pass; return each one's logits.

        Returns:
            For each chunk `[len(wanted), vocabulary]`.
        """
        ids: list[int] = []
        owners: list[int] = []
        positions: list[int] = []
        rows: list[int] = []
        slots: list[int] = []
        wanted: list[int] = []
        parts: list[Part] = []
        for chunk in chunks:
            first, base = len(ids), chunk.row * self.capacity
            ids += chunk.ids
            owners += chunk.owners
            positions += chunk.positions
            rows += [chunk.row] * len(chunk.ids)
            slots += [base + slot for slot in chunk.slots]
            wanted += [first + place for place in chunk.wanted]
            parts.append((slice(first, len(ids)), slice(base, base + chunk.used)))
        facts = [ids, owners, positions, rows, slots]
        end = max(slots.stop for _, slots in parts)
        if self._sizes:
            self._fill_up(facts)
            parts[-1] = (slice(parts[-1][0].start, len(ids)), parts[-1][1])
            end = self.rows * self.capacity
        self.forward_passes += 1
        if self._capture is not None and len(ids) in self._sizes:
            logits = self._run_captured(self._capture, facts, wanted)
        else:
            device = self.model.device
            given = (
                torch.tensor(facts, device=device),
                torch.tensor(wanted, device=device, dtype=torch.long),
            )
            logits = self._run(*given, tuple(parts), end)
        return list(logits.split([len(chunk.wanted) for chunk in chunks]))

    def _fill_up(self, facts: list[list[int]]) -> None:
        length = len(facts[0])
        size = next((size for size in self._sizes if size >= length), length)
        for fact in facts:
            fact += fact[-1:] * (size - length)

    def _run_captured(self, capture: Capture, facts: list[list[int]], wanted: list[int]) -> Tensor:
        """Do the same through a captured pass, which sees all slots there are."""
        size, most = len(facts[0]), _WANTED * self.rows
        if size not in self._captured:
            self._captured[size] = _Captured(size, most, self.model.device)
        held = self._captured[size]
        held.facts.copy_(torch.tensor(facts))
        held.wanted.copy_(torch.tensor(wanted + [0] * (most - len(wanted))))
        if held.replay is None:
            slots = self.rows * self.capacity
            held.replay = capture(partial(self._run, held.facts, held.wanted, (), slots))
        return held.replay()[: len(wanted)].clone()

    def _run(self, facts: Tensor, wanted: Tensor, parts: tuple[Part, ...], end: int) -> Tensor:
        """Run the model; nothing of it is read back.

        Args:
            facts: `[5, tokens]`: id, owner, position, row and slot of each.
            wanted: places in the pass.
            parts: see `duo.decoding.attention`; none if every token is held against every slot.
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
        with torch.inference_mode(), in_parts(self.model):  # facts stay ordinary, editable tensors
            out = self.model(
                input_ids=token[None],
                position_ids=position[None],
                attention_mask=mask,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=wanted,
                parts=parts,
            )
        logits: Tensor = out.logits[0]
        return logits


class _Captured:
    """A captured pass of one size: what it reads, and how it is repeated once it was captured."""

    def __init__(self, size: int, wanted: int, device: torch.device) -> None:
        self.facts = torch.zeros(5, size, dtype=torch.long, device=device)
        self.wanted = torch.zeros(wanted, dtype=torch.long, device=device)
        self.replay: Work | None = None


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
