"""Read the hidden states of a model at places of texts, in either engine.

    for found in read_states(backbone, [Row(ids, (4, 9))], layers=(LAST,)):
        found.shape  # [2 places, 1 layer, width]

Each text is read as the decoder would read it. In torch rows of about the same length are read side
by side. In llama.cpp they are read one after the other, each keeping what it has in common with the
one before; the hidden states are taken while they are computed, by its evaluation callback.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from duo.backbone import Backbone
from duo.decoding.llama_states import LAST, Watch, pointer_to
from duo.engine import last_words
from duo.errors import BadInput
from duo.tokens import common_prefix

if TYPE_CHECKING:
    from duo.decoding.llama_model import LlamaModel

#: Padded tokens that are read side by side in torch.
AREA = 2048
#: Tokens that are computed at once in llama.cpp; more where a text has more places.
_AT_ONCE = 256


@contextmanager
def logits_only_where(model: Any, where: Tensor) -> Iterator[None]:
    """Compute, within, logits for the places `where` alone.

    They come as `[1, places, vocabulary]`. With a large vocabulary that saves much of the time and
    most of the memory.

    Args:
        where: boolean `[rows, tokens]`; or numbers of places, counted over all rows, in any order,
            which a GPU need not stop to count.
    """
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, inputs: (_at(inputs[0], where), *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def states_only_where(model: Any, where: Tensor) -> Iterator[None]:
    """Leave out the output head, within: in place of logits come the states that it would take.

    A model that multiplies its logits by something does that to the states, so that the head makes
    the same logits of them; see `duo.training.speed.check_head`.

    Args:
        model: a causal LM, or a PEFT model.
        where: see `logits_only_where`. They come as `[1, places, width]`.
    """
    head = model.get_output_embeddings()
    head.forward = lambda states: _at(states, where)
    try:
        yield
    finally:
        del head.forward


def _at(states: Tensor, where: Tensor) -> Tensor:
    """Take states `[rows, tokens, width]` at some places; see `logits_only_where`."""
    return states.flatten(0, -2)[where.flatten()][None]


def batches_of_area(lengths: Sequence[int], area: int) -> list[list[int]]:
    """Batch rows of about the same length, the longest first.

    Args:
        lengths: of the rows, in tokens.
        area: padded tokens of a batch at most, unless one row alone is longer.

    Returns:
        Places in `lengths`.
    """
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= area:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches


@dataclass(frozen=True)
class Row:
    """A text and places in it.

    Attributes:
        places: of the tokens after which something is wanted; in order.
    """

    ids: tuple[int, ...]
    places: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)


def read_states(
    backbone: Backbone, rows: Sequence[Row], layers: Sequence[int]
) -> Iterator[np.ndarray]:
    """Read the hidden states at all places of all rows.

    Args:
        rows: texts that fit into its context.
        layers: numbers of blocks after which they are taken, from 0 on; or `LAST`.

    Yields:
        Of each row, in order, float32 `[places, layers, width]`.
    """
    if backbone.engine == "llama":
        reader = LlamaReader(backbone.model, rows, layers)
        for row in rows:
            yield reader.read(row).states
    else:
        yield from _read_in_torch(backbone, rows, layers)


@torch.inference_mode()
def _read_in_torch(
    backbone: Backbone, rows: Sequence[Row], layers: Sequence[int]
) -> list[np.ndarray]:
    found: dict[int, np.ndarray] = {}
    for batch in batches_of_area([len(row) for row in rows], AREA):
        made = [torch.tensor(rows[number].ids) for number in batch]
        ids = torch.nn.utils.rnn.pad_sequence(made, batch_first=True).to(backbone.device)
        nowhere = torch.zeros_like(ids, dtype=torch.bool)
        with logits_only_where(backbone.model, nowhere):
            states = backbone.model(ids, use_cache=False, output_hidden_states=True).hidden_states
        chosen = [states[LAST if layer == LAST else layer + 1] for layer in layers]
        for place, number in enumerate(batch):
            where = list(rows[number].places)
            taken = torch.stack([layer[place, where] for layer in chosen], 1)
            found[number] = taken.float().cpu().numpy()
    return [found[number] for number in range(len(rows))]


@dataclass(frozen=True)
class Read:
    """What a model in llama.cpp makes of a row.

    Attributes:
        scores: `[places, vocabulary and rows]`, logits, float32.
        states: `[places, layers, width]`.
    """

    scores: np.ndarray
    states: np.ndarray


class LlamaReader:
    """Reads texts one after the other in a llama.cpp context of its own.

    Args:
        rows: all that will be read, for whose longest it has room.
        layers: whose hidden states are taken; see `read_states`.
        lookahead: tokens that branches are extended by at most; see `branch`.
    """

    def __init__(
        self,
        model: LlamaModel,
        rows: Sequence[Row],
        layers: Sequence[int] = (),
        *,
        lookahead: int = 0,
    ) -> None:
        self._model, self._layers = model, tuple(layers)
        own = model.rows.layer
        self._watch = Watch(model.api, model.width, {LAST, own, *layers})
        places = max((len(row.places) for row in rows), default=0)
        branches = places if lookahead else 0
        longest = max((len(row) + lookahead * len(row.places) for row in rows), default=0)
        # llama.cpp needs as many outputs as sequences, of which there is an even number.
        at_once = max(_AT_ONCE, places + 2)
        self._sequences = branches + 1
        self._context = model.context(
            max(longest, at_once), branches // 2 + 1, at_once, self._watch
        )
        self._ids: tuple[int, ...] = ()

    def read(self, row: Row) -> Read:
        """Read a text; what it has in common with the one before is not computed again."""
        most = min(row.places, default=len(row))
        kept = len(common_prefix([list(row.ids[:most]), list(self._ids)]))
        self._context.cut(0, kept)
        for number in range(1, self._sequences):  # branches
            self._context.cut(number, 0)
        wanted = set(row.places)
        tokens = [
            (token, kept + number, 0, kept + number in wanted)
            for number, token in enumerate(row.ids[kept:])
        ]
        self._ids = row.ids
        return self._decoded(tokens, [place - kept for place in row.places])

    def branch(self, places: Sequence[int]) -> None:
        """Begin a branch after each of these places of the text that was read last."""
        for number, place in enumerate(places, 1):
            self._model.api.llama_memory_seq_cp(self._context.memory, 0, number, 0, place + 1)

    def extend(self, tokens: Sequence[tuple[int, int, int]]) -> np.ndarray:
        """Add tokens to branches, each of which sees the text up to its place, and itself.

        Args:
            tokens: id, position and number of the branch, from 0 on.

        Returns:
            `[tokens, vocabulary and rows]`, the logits after each.
        """
        numbered = [
            (token, position, 3 * ((number + 1) // 2) + (number + 1) % 2, True)
            for token, position, number in tokens
        ]
        return self._decoded(numbered, list(range(len(tokens)))).scores

    def _decoded(self, tokens: list[tuple[int, int, int, bool]], places: list[int]) -> Read:
        model = self._model
        self._watch.clear()
        ids = [token[0] for token in tokens]
        vectors = model.embedded(ids) if max(ids) >= model.vocabulary else None
        if code := self._context.decode(tokens, vectors):
            self._ids = ()
            raise BadInput(f"llama.cpp cannot read a text ({code}): {last_words()}")
        last = self._watch.states(LAST)

        def states_after(layer: int) -> np.ndarray:
            return last if layer == LAST else self._watch.states(layer)[places]

        scores = np.empty((len(places), model.vocabulary + model.rows.count), np.float32)
        own = states_after(model.rows.layer)
        for place, found, hidden in zip(places, scores, own, strict=True):
            model.write_scores(found, self._context.logits(place), pointer_to(hidden))
        chosen = [states_after(layer) for layer in self._layers]
        nothing = np.zeros((len(places), 0, model.width), np.float32)
        return Read(scores, np.stack(chosen, 1) if chosen else nothing)
