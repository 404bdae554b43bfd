"""Have llama.cpp answer lm-eval's questions; what questions begin with alike is computed once.

The work is cut so that an answer depends on its question alone, not on those before it: a pass of
another width may round otherwise. Then a killed run that goes on ends with the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from duo.decoding.llama_model import LlamaModel
from duo.decoding.settings import Sampler, Sampling
from duo.engine import last_words
from duo.tokens import common_prefix
from evaluation.benchmarks.experiment import Settings
from evaluation.benchmarks.model import Answering, Loaded

#: Tokens of a pass. A question keeps whole blocks of the one before it, no more.
_BLOCK = 64
#: Cells of a context to begin with.
_FIRST_CELLS = 1024


class Reader:
    """Compute scores after token sequences, one sequence after the other.

    Args:
        model: of a GGUF file; without the rows that it lacks.
    """

    def __init__(self, model: LlamaModel) -> None:
        self._model, self._cells = model, 0
        self._ids: list[int] = []

    def read(self, ids: list[int], more: int) -> None:
        """Read `ids` from the beginning; `more` tokens can follow by `scores`."""
        if len(ids) + more > self._cells:
            self._cells = max(_FIRST_CELLS, 1 << (len(ids) + more - 1).bit_length())
            self._context = self._model.context(self._cells, 1, at_once=_BLOCK)
            self._ids = []
        same = len(common_prefix([ids, self._ids]))
        self.back(same // _BLOCK * _BLOCK)
        self._decode(ids[len(self._ids) :], wanted=False)

    def back(self, length: int) -> None:
        """Go back to the first `length` tokens."""
        self._context.cut(0, length)
        del self._ids[length:]

    def scores(self, ids: Sequence[int]) -> torch.Tensor:
        """Read on; return the logits `[len(ids), vocabulary]` after each of these tokens."""
        model, found = self._model, []
        for start in range(0, len(ids), _BLOCK):
            part = ids[start : start + _BLOCK]
            self._decode(part, wanted=True)
            first = model.api.llama_get_logits(self._context.pointer)
            found.append(np.ctypeslib.as_array(first, (len(part), model.vocabulary)).copy())
        return torch.from_numpy(np.concatenate(found))

    def _decode(self, ids: Sequence[int], *, wanted: bool) -> None:
        if not ids:
            return
        begin = len(self._ids)
        tokens = [(token, begin + place, 0, wanted) for place, token in enumerate(ids)]
        if code := self._context.decode(tokens):
            raise RuntimeError(f"llama.cpp fails ({code}): {last_words()}")
        self._ids += ids


class AnsweringLlama(Answering):
    """lm-eval's model for llama.cpp; state tokens are in neither questions nor answers.

    The tokenizer is the file's own; its template writes the chat format `style`.
    """

    def __init__(
        self,
        model: LlamaModel,
        tokenizer: Any,
        style: str,
        settings: Settings,
        on_done: Callable[[int, int], None],
    ) -> None:
        config = SimpleNamespace(max_position_embeddings=model.max_tokens, model_type="")
        asked = SimpleNamespace(device=torch.device("cpu"), config=config)  # no more is asked of it
        super().__init__(Loaded(asked, tokenizer, (), style), settings, on_done)
        self._reader, self._ends = Reader(model), model.ends

    def _ask_likelihoods(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Answer question by question, with all its options."""
        found: list[Any] = [None] * len(requests)
        cut = [self._cut_to_context(ids, more) for _, ids, more in requests]
        order = sorted(range(len(requests)), key=lambda number: cut[number])
        for question, group in groupby(order, key=lambda number: cut[number][0]):
            numbers = list(group)
            self._keep_batch()
            *before, last = question
            self._reader.read(before, 1 + max(len(cut[number][1]) for number in numbers))
            scores: dict[tuple[int, ...], torch.Tensor] = {}
            for number in numbers:
                *shown, _ = option = cut[number][1]
                if tuple(shown) not in scores:
                    self._reader.back(len(before))
                    scores = {tuple(shown): self._reader.scores([last, *shown]).log_softmax(-1)}
                likely = scores[tuple(shown)]
                tokens = torch.tensor(option)[:, None]
                value = float(likely.gather(1, tokens).sum())
                found[number] = value, bool((likely.argmax(-1, keepdim=True) == tokens).all())
                self.cache_hook.add_partial("loglikelihood", requests[number][0], found[number])
        return found

    def _cut_to_context(self, ids: list[int], more: list[int]) -> tuple[list[int], list[int]]:
        """Cut a question from the left, as lm-eval does."""
        return ids[max(0, len(ids) + len(more) - self.max_length - 1) :], list(more)

    def _set_batch(self, kind: str, longest: Sequence[Any] | None) -> None:
        self.batch_size_per_gpu = self.batch_sizes[kind] = 1

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **how: Any
    ) -> torch.Tensor:
        self._keep_batch()
        (question,) = context.tolist()
        drawn = how.get("do_sample", False)
        sampler = Sampler(
            Sampling(
                temperature=float(how.get("temperature") or 1.0) if drawn else 0.0,
                top_k=int(how.get("top_k") or 0) if drawn else 0,
                top_p=float(how.get("top_p") or 1.0) if drawn else 1.0,
                repetition_penalty=float(how.get("repetition_penalty") or 1.0),
                seed=self._seed_of(context),
            )
        )
        self._reader.read(question[:-1], 1 + max_length - len(question))
        ids = list(question)
        for token in self._answer(ids, sampler, max_length):
            ids.append(token)
            said = self.tok_decode(ids[len(question) :])
            if token in self._ends or any(text and text in said for text in stop):
                break
        return torch.tensor([ids])

    def _answer(self, ids: list[int], sampler: Sampler, max_length: int) -> Iterator[int]:
        """Choose token after token; `ids` are those before."""
        while len(ids) < max_length:
            yield int(sampler(self._reader.scores(ids[-1:])[0], ids))
