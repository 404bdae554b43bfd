"""Hold the token ids of two channels, and make the edits of a conversation to them.

The ids are the truth and the cache is a memory of it. The edits here change only the ids (and tell
the cache which of them moved or died); `encode` then brings the cache up to date in as few forward
passes as its kind of cache needs, and returns the logits after the last token of each channel.
`FusedChannels` and `LlamaChannels` need one pass for both channels, `OnePassChannels`;
`SequentialChannels` one for each, and stands beside them as the slow, obvious reference.

A system may hold more than one conversation at once, such as two that take turns in speaking:
`Together` is what it hands over then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from duo.decoding.mask import Owner
from duo.tokens import common_prefix


@dataclass
class Strand:
    """One run of tokens.

    Attributes:
        ids: the token ids.
        slots: where the first `len(slots)` of them are cached; the rest waits to be encoded.
    """

    ids: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)

    @property
    def pending(self) -> list[int]:
        """The ids that are not in the cache yet."""
        return self.ids[len(self.slots) :]


@dataclass(frozen=True)
class Scores:
    """Next-token logits, float `[vocabulary]`; None where nothing new was encoded or is wanted.

    `output` follows the last token of the output channel or, where that is still empty, of the
    prefix; `input` follows the last token of the input channel.
    """

    output: Tensor | None
    input: Tensor | None


class Channels(ABC):
    """A shared prefix, an output channel and at times an input channel.

    Positions continue from the prefix in both channels: token i of a channel has the position
    `len(prefix.ids) + i`.

    Attributes:
        prefix, output, input: the three strands; `input` is None while nobody is listened to.
        speaking: an answer is being given, so the logits of the output channel are wanted.
        forward_passes: passes through the model so far.
        tokens_processed: tokens that those passes carried.
    """

    def __init__(self) -> None:
        self.prefix, self.output = Strand(), Strand()
        self.input: Strand | None = None
        self.speaking = False
        self.forward_passes = 0
        self.tokens_processed = 0

    # -- edits -------------------------------------------------------------------------------

    def extend_prefix(self, ids: Sequence[int]) -> None:
        """Append to the shared prefix. The output so far, if any, becomes part of it first."""
        self.settle()
        self.prefix.ids += ids

    def settle(self) -> None:
        """Make what was said part of the prefix: nothing is recomputed, slots change owner."""
        if self.input is not None:
            raise RuntimeError("the output cannot be settled while an input channel is open")
        self._own(self.output.slots, Owner.PREFIX)
        self.prefix.ids += self.output.ids
        self.prefix.slots += self.output.slots
        self.output = Strand()

    def fork(self, ids: Sequence[int]) -> None:
        """Open an input channel at the present end of the output, beginning with `ids`."""
        self.settle()
        self.input = Strand(ids=list(ids))

    def speak(self, token: int) -> None:
        """Append a token to the output channel."""
        self.output.ids.append(token)

    def listen(self, ids: Sequence[int]) -> None:
        """Make `ids` the content of the input channel, keeping what the cache shares with it.

        The channel is rolled back to the longest common prefix. At least its last token is encoded
        again, as its logits are wanted.
        """
        strand = self._open_input()
        kept = len(common_prefix([strand.ids, list(ids[:-1])]))
        self.truncate_input(kept)
        strand.ids += ids[kept:]

    def truncate_input(self, length: int) -> None:
        """Roll the input channel back to its first `length` tokens."""
        strand = self._open_input()
        self._release(strand.slots[length:])
        del strand.slots[length:], strand.ids[length:]

    def drop_input(self) -> None:
        """Close the input channel as if it had never been opened."""
        self._release(self._open_input().slots)
        self.input = None

    def drop_output(self) -> None:
        """Forget what was said since the fork."""
        self._release(self.output.slots)
        self.output = Strand()

    def promote(self) -> None:
        """Make the input channel the context; drop the output since the fork."""
        strand = self._open_input()
        self.drop_output()
        self._own(strand.slots, Owner.PREFIX)
        self.prefix.ids += strand.ids
        self.prefix.slots += strand.slots
        self.input = None

    def truncate_prefix(self, length: int) -> None:
        """Keep the first `length` tokens of the prefix, the output so far included, as encoded."""
        self.settle()
        prefix = self.prefix
        self.output = Strand(prefix.ids[length:], prefix.slots[length:])
        self._own(self.output.slots, Owner.OUTPUT)
        del prefix.ids[length:], prefix.slots[length:]
        self.drop_output()

    def cut_prefix(self, start: int, stop: int) -> None:
        """Remove `prefix.ids[start:stop]`. All positions after it change: all is encoded again."""
        del self.prefix.ids[start:stop]
        self._forget_cache()

    def clear(self) -> None:
        """Forget everything but the counts."""
        self._forget_cache()
        self.prefix, self.output, self.input = Strand(), Strand(), None
        self.speaking = False

    @property
    def length(self) -> int:
        """Positions in use: the prefix and the longer of the two channels."""
        heard = len(self.input.ids) if self.input is not None else 0
        return len(self.prefix.ids) + max(len(self.output.ids), heard)

    @property
    @abstractmethod
    def cache_bytes(self) -> int:
        """Bytes of keys and values allocated."""

    # -- encoding ----------------------------------------------------------------------------

    @abstractmethod
    def encode(self) -> Scores:
        """Encode all that is pending and return the logits that follow it."""

    def cancel(self) -> None:  # noqa: B027 - where it cannot be, a pass goes on to its end
        """End the pass under way in another thread, where that can be; nothing can follow."""

    # -- what a cache must follow ------------------------------------------------------------

    def _own(self, slots: Sequence[int], owner: Owner) -> None:  # noqa: B027 - or only counted
        """Note that these slots now belong to `owner`."""

    def _release(self, slots: Sequence[int]) -> None:  # noqa: B027
        """Free these slots: nobody needs them any more."""

    def _forget_cache(self) -> None:
        for strand in (self.prefix, self.output, self.input):
            if strand is not None:
                self._release(strand.slots)
                strand.slots.clear()

    def _open_input(self) -> Strand:
        if self.input is None:
            raise RuntimeError("no input channel is open")
        return self.input


@dataclass
class Chunk:
    """Tokens of one session that are to be encoded.

    Attributes:
        row: of the session.
        used: its slots from here on were never written.
        ids, owners, positions, slots: of each token.
        wanted: which of them logits are wanted after: one of the output, one of the input.
    """

    row: int
    used: int = 0
    ids: list[int] = field(default_factory=list)
    owners: list[Owner] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)


class Pool(Protocol):
    """Encodes chunks of several sessions in one pass."""

    forward_passes: int

    def forward(self, chunks: Sequence[Chunk]) -> list[Tensor]:
        """Encode all chunks, none empty, in a pass; return each one's logits `[wanted, vocab]`."""


class OnePassChannels(Channels):
    """Channels whose tokens are encoded together, whoever they belong to.

    Sessions that share a pool can be encoded together (see `batched`).

    Attributes:
        pool: what encodes them, and has a row for this session.
    """

    pool: Pool
    _row: int

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
        end = Owner.OUTPUT if self.output.ids else Owner.PREFIX
        if self.speaking and end in last:  # it is not where speech is held
            chunk.wanted.append(last[end])
        if Owner.INPUT in last:
            chunk.wanted.append(last[Owner.INPUT])
        return chunk

    def end_pass(self, chunk: Chunk, logits: Tensor) -> Scores:
        """Count the pass, and sort its `logits` `[wanted, vocabulary]` by channel."""
        self.forward_passes += 1
        self.tokens_processed += len(chunk.ids)
        heard = [chunk.owners[place] is Owner.INPUT for place in chunk.wanted]
        found = dict(zip(heard, logits, strict=True))
        return Scores(found.get(False), found.get(True))

    def _strands(self) -> Iterator[tuple[Owner, Strand, int]]:
        """List owner, strand and first position of each strand there is."""
        fork = len(self.prefix.ids)
        yield Owner.PREFIX, self.prefix, 0
        yield Owner.OUTPUT, self.output, fork
        if self.input is not None:
            yield Owner.INPUT, self.input, fork

    def _allocate(self, count: int) -> list[int]:
        """Find slots for so many tokens."""
        return [0] * count  # only counted


class Together:
    """Several channels that a step encodes at once: one speaks, another one listens.

    Where they are rows of one pool, they share the pass, and it is counted once.

    Args:
        members: at most one of them speaks, and at most one has an input channel.
    """

    def __init__(self, *members: Channels) -> None:
        self.members = members
        self._shared = 0  # passes that more than one of them counted

    @property
    def input(self) -> Strand | None:
        """The input channel of the one that listens."""
        return next((one.input for one in self.members if one.input is not None), None)

    @property
    def forward_passes(self) -> int:
        return sum(one.forward_passes for one in self.members) - self._shared

    @property
    def tokens_processed(self) -> int:
        return sum(one.tokens_processed for one in self.members)

    @property
    def cache_bytes(self) -> int:
        return sum(one.cache_bytes for one in self.members)

    def encode(self) -> Scores:
        """Encode all that is pending; return what follows what is said, and what is heard."""
        return encode_together([self])[0]

    def cancel(self) -> None:
        """End the pass under way in another thread."""
        for one in self.members:
            one.cancel()

    def joined(self, scores: Sequence[Scores], pools: Sequence[Pool]) -> Scores:
        """Put the scores of the members together, whose passes went through these pools."""
        self._shared += len(pools) - len(set(map(id, pools)))
        output = next((one.output for one in scores if one.output is not None), None)
        return Scores(output, next((one.input for one in scores if one.input is not None), None))


class Ask(Protocol):
    """A question about scores, equal to another one that asks the same."""

    def __hash__(self) -> int: ...

    def __call__(self, scores: Tensor) -> Tensor:
        """Compute `[rows, numbers]` of scores `[rows, vocabulary]`, which may be overwritten."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A question about one session's `scores` `[vocabulary]`."""

    ask: Ask
    scores: Tensor


#: What is to be read: tensors, or answers to questions.
Wanted: TypeAlias = Sequence[Tensor | Asked]
#: What a conversation waits for: channels to encode, or what is to be read.
Waiting: TypeAlias = Channels | Together | list[Tensor | Asked]


def read_together(wanted: Sequence[Wanted]) -> list[list[list[float]]]:
    """Read the numbers of tensors, waiting for each device once.

    What several sessions ask is asked once: on a GPU hundreds of small kernels take longer than
    the pass before them.

    Args:
        wanted: by different sessions; whole numbers below 2**24, or of single precision.
    """
    asked: dict[tuple[Any, ...], list[Asked]] = {}
    for one in chain.from_iterable(wanted):
        if isinstance(one, Asked):
            alike = one.ask, one.scores.device, one.scores.dtype, one.scores.shape
            asked.setdefault(alike, []).append(one)
    answers: dict[Asked, Tensor] = {}
    for (ask, *_), same in asked.items():
        made = ask(torch.stack([one.scores for one in same]))
        answers |= zip(same, made, strict=True)
    held: dict[torch.device, list[Tensor]] = {}
    sizes: list[list[tuple[torch.device, int]]] = []
    for session in wanted:
        tensors = [answers[one] if isinstance(one, Asked) else one for one in session]
        for tensor in tensors:
            held.setdefault(tensor.device, []).append(tensor.flatten())
        sizes.append([(tensor.device, tensor.numel()) for tensor in tensors])
    numbers = {device: iter(torch.cat(tensors).tolist()) for device, tensors in held.items()}
    return [[list(islice(numbers[device], size)) for device, size in own] for own in sizes]


def encode_together(waiting: Sequence[Channels | Together]) -> list[Scores]:
    """Encode what is pending: in one pass all channels of a pool, one by one those without.

    Each session counts the pass, as it would alone.

    Args:
        waiting: what different sessions handed over.
    """
    groups = [one.members if isinstance(one, Together) else (one,) for one in waiting]
    found = [[Scores(None, None)] * len(group) for group in groups]
    passes: list[list[Pool]] = [[] for _ in groups]
    pools: dict[Pool, list[tuple[int, int, OnePassChannels, Chunk]]] = {}
    for place, group in enumerate(groups):
        for member, channels in enumerate(group):
            if not isinstance(channels, OnePassChannels):
                found[place][member] = channels.encode()
            elif (chunk := channels.begin_pass()) is not None:
                pools.setdefault(channels.pool, []).append((place, member, channels, chunk))
                passes[place].append(channels.pool)
    for pool, pending in pools.items():
        logits = pool.forward([chunk for *_, chunk in pending])
        for (place, member, channels, chunk), rows in zip(pending, logits, strict=True):
            found[place][member] = channels.end_pass(chunk, rows)
    return [
        one.joined(scores, used) if isinstance(one, Together) else scores[0]
        for one, scores, used in zip(waiting, found, passes, strict=True)
    ]
