"""Encode one channel after the other, each on a cache of its own, as the published code does.

It runs the same conversation with the same tokens as `FusedChannels`, at the price of two passes
where that needs one and of a copy of the whole cache at each fork. It uses transformers' own cache
and causal mask and nothing of ours, which makes it the reference that the fused form is held to.

The published code decides by other rules than the paper. With the setting `published` they are:

- A state token is a string of three pieces, which must all be among the tokens looked ahead. So a
  look-ahead of 4 leaves room for one word before it, where our single tokens leave room for three.
- While an answer is given, silence alone forces a new one after three silent cycles; while none is,
  after two, and no state is read then: whatever was said is answered, a remark as well.
- The client stops the voice at any word of the user and throws away what waits to be spoken; the
  server is not told and goes on. Here text is spoken as it is decoded and nothing waits, so what is
  decoded in a cycle that brings words is what is lost: it stays in the context, and nobody hears
  it. Without the setting the voice goes on until a decision.

Not reproduced, with the setting or without: the predicted words that stay in the input channel when
the next slice arrives, after which the code stops with an assertion; the search that misses a state
at the very end of the look-ahead.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from duo.decoding.channels import Channels, Scores, Strand


class SequentialChannels(Channels):
    """Channels that are encoded one after the other.

    A strand's slots are only counted here: slot n of a strand is its n-th token, in the cache of
    whichever channel holds it.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self._model = model
        self._main = DynamicCache()  # prefix and output
        self._side: DynamicCache | None = None  # prefix and input

    @property
    def cache_bytes(self) -> int:
        return sum(
            layer.keys.nbytes + layer.values.nbytes
            for cache in (self._main, self._side)
            if cache is not None
            for layer in cache.layers
            if layer.keys is not None
        )

    def encode(self) -> Scores:
        """Run one pass for the output channel while it speaks, then one for the input channel."""
        output = self._advance(self._main, self.output) if self.speaking else None
        if self.input is None:
            return Scores(output, None)
        if self._side is None:
            self._side = copy.deepcopy(self._main)
        _crop(self._side, len(self.prefix.ids) + len(self.input.slots))
        return Scores(output, self._advance(self._side, self.input))

    @torch.inference_mode()
    def _advance(self, cache: DynamicCache, strand: Strand) -> Tensor | None:
        """Encode what `cache` lacks of prefix and strand; return logits after the last token."""
        cached = cache.get_seq_length()
        missing = [*self.prefix.ids, *strand.ids][cached:]
        self.prefix.slots = list(range(len(self.prefix.ids)))
        strand.slots = list(range(len(strand.ids)))
        if not missing:
            return None
        out = self._model(
            input_ids=torch.tensor([missing], device=self._model.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.forward_passes += 1
        self.tokens_processed += len(missing)
        return out.logits[0, -1]

    def promote(self) -> None:
        super().promote()
        if self._side is not None:
            self._main, self._side = self._side, None
            _crop(self._main, len(self.prefix.slots))

    def drop_output(self) -> None:
        super().drop_output()
        _crop(self._main, len(self.prefix.ids))

    def drop_input(self) -> None:
        super().drop_input()
        self._side = None

    def _forget_cache(self) -> None:
        super()._forget_cache()
        self._main, self._side = DynamicCache(), None


def _crop(cache: DynamicCache, length: int) -> None:
    """Keep at most the first `length` tokens (a negative argument counts tokens to remove)."""
    surplus = cache.get_seq_length() - length
    if surplus > 0:
        cache.crop(-surplus)
