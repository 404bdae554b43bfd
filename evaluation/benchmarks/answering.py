"""A model that answers lm-eval's requests: lm-eval's own Hugging Face model, in resumable chunks.

Requests are put in the order in which lm-eval would batch them, and cut into chunks of whole
batches. So every batch is the one that lm-eval would have made, every number is the same, and a
chunk that is in the journal is not computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM

from duo.errors import BadInput
from evaluation.benchmarks.journal import Journal
from evaluation.benchmarks.models import Loaded

#: Requests of a chunk, about: what a killed run loses at most.
_CHUNK = 16

#: Batch size that "auto" means on a processor, where no memory error tells what is too much.
_PROCESSOR_BATCH = 8


class Answering(HFLM):
    """lm-eval's model for `transformers`, around a loaded one.

    Args:
        loaded: the model.
        batch_size: a number, or "auto".
        ban_states: whether the model is kept from generating state tokens.
        on_done: told how many more requests are answered, and how many there are in all.

    Attributes:
        journal: where answers are kept while a benchmark runs; None for nowhere.
        seed: of sampling.
        generated, leaked: answers generated, and those of them with a state token in them.
        cut: questions that lost their beginning, for they are longer than the model's context.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        batch_size: str = "auto",
        ban_states: bool = True,
        on_done: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        super().__init__(
            pretrained=loaded.model,
            tokenizer=loaded.tokenizer,
            backend="causal",
            batch_size=1,
        )
        self._asked_batch_size = batch_size
        self._states = list(loaded.states)
        self._ban = ban_states
        self._on_done = on_done
        self._leaks = 0
        self.journal: Journal | None = None
        self.seed = 0
        self.generated = self.leaked = self.cut = 0
        _join_processes(self)

    def begin(self, journal: Journal | None, seed: int) -> None:
        """Begin a benchmark."""
        self.journal, self.seed = journal, seed
        self.generated = self.leaked = self.cut = 0
        self.batch_sizes: dict[str, int] = {}

    @property
    def logit_bias(self) -> None:
        """State tokens are banned by their ids, see `_model_generate`."""
        return None

    def leak_rate(self) -> float | None:
        """The share of generated answers with a state token in them; None if none were generated.

        Of all processes together, which must all ask.
        """
        counts = torch.tensor([[self.generated, self.leaked]], device=self.device)
        generated, leaked = self.all_gather(counts).sum(dim=0).tolist()
        return leaked / generated if generated else None

    def truncated(self) -> int:
        """How many questions were cut, of all processes together, which must all ask.

        lm-eval cuts them from the left with no more than a message.
        """
        return int(self.all_gather(torch.tensor([self.cut], device=self.device)).sum())

    def get_model_info(self) -> dict[str, Any]:
        """Nothing that would have to be asked from the hub."""
        return {}

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        groups: dict[tuple[int, ...], list[int]] = {}
        for number, (_, context, continuation) in enumerate(requests):
            groups.setdefault(tuple(context + continuation[:-1]), []).append(number)

        def length(numbers: list[int]) -> tuple[int, tuple[int, ...]]:
            longest = max(numbers, key=lambda number: len(requests[number][2]))
            ids = requests[longest][1] + requests[longest][2]
            return -len(ids), tuple(ids)

        ordered = sorted(groups.values(), key=length)
        longest_option = max((len(more) for _, _, more in requests), default=0)
        if longest_option > self.max_length:  # lm-eval would stop with an assertion
            raise BadInput(
                f"an answer of {longest_option} tokens does not fit into a context of "
                f"{self.max_length}",
                field="model",
            )
        room = self.max_length + 1
        self.cut += len({tuple(ids) for _, ids, more in requests if len(ids) + len(more) > room})
        longest = [requests[numbers[0]] for numbers in ordered[:1]]
        size = self._batch("likelihood", longest)
        found: list[Any] = [None] * len(requests)
        for place, chunk in _chunks(ordered, size):
            numbers = [number for group in chunk for number in group]
            asked = [requests[number] for number in numbers]
            answers = self._chunk(
                f"likelihood {place}",
                [(list(context), list(continuation)) for _, context, continuation in asked],
                partial(HFLM._loglikelihood_tokens, self, asked, disable_tqdm=True),
            )
            for number, (value, greedy) in zip(numbers, answers, strict=True):
                found[number] = (value, greedy)
            self._on_done(len(numbers), len(requests))
        return found

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        groups: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(number)

        def length(number: int) -> tuple[int, str]:
            text = requests[number].args[0]
            return -len(self.tok_encode(text)), text

        for request in requests:
            room = self._room(request.args[1])
            self.cut += len(self.tok_encode(request.args[0])) > room
        found: list[str] = [""] * len(requests)
        size = self._batch("answer", None)
        for settings, numbers in groups.items():
            ordered = [[number] for number in sorted(numbers, key=length)]
            for place, chunk in _chunks(ordered, size):
                members = [number for group in chunk for number in group]
                asked = [requests[number] for number in members]
                leaks = self._leaks
                answers = self._chunk(
                    f"answer {hashlib.sha256(settings.encode()).hexdigest()[:8]} {place}",
                    [list(request.args) for request in asked],
                    partial(HFLM.generate_until, self, asked, disable_tqdm=True),
                )
                for number, text in zip(members, answers, strict=True):
                    found[number] = text
                self.generated += len(members)
                self.leaked += self._leaks - leaks
                self._on_done(len(members), len(requests))
        return found

    def _room(self, settings: dict[str, Any]) -> int:
        """Tokens that a question may have; where there are none lm-eval stops with an assertion."""
        longest = int(settings.get("max_gen_toks") or self.max_gen_toks)
        if longest >= self.max_length:
            raise BadInput(
                f"answers of up to {longest} tokens leave no room for questions in a context of "
                f"{self.max_length}: set a lower cap",
                field="max-new-tokens",
            )
        return self.max_length - longest

    def _chunk(self, name: str, asked: Any, answer: Callable[[], list[Any]]) -> list[Any]:
        """The answers of a chunk, from the journal or from the model."""
        digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        kept = self.journal.get(name) if self.journal else None
        if kept is not None and kept["asked"] == digest:
            self._leaks += kept["leaks"]
            return kept["answers"]
        # Sampling begins anew in each chunk, so that a run that goes on draws what it would have.
        start = hashlib.sha256(f"{self.seed} {self.rank} {name} {digest}".encode()).digest()
        torch.manual_seed(int.from_bytes(start[:7], "big"))
        leaks = self._leaks
        try:
            answers = answer()
        except torch.OutOfMemoryError:
            raise BadInput(
                f"does not fit into the memory of {self.device}: use a smaller one, or a smaller "
                "model",
                field="batch-size",
            ) from None
        if self.journal is not None:
            self.journal.put(name, asked=digest, answers=answers, leaks=self._leaks - leaks)
        return answers

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **settings: Any
    ) -> torch.Tensor:
        if self._ban and self._states:
            settings["suppress_tokens"] = self._states
        found = super()._model_generate(context, max_length, stop, **settings)
        if self._states:
            states = torch.tensor(self._states, device=found.device)
            answers = found[:, context.shape[1] :]
            self._leaks += int(torch.isin(answers, states).any(dim=1).sum())
        return found

    def _batch(self, kind: str, longest: Sequence[Any] | None) -> int:
        """The batch size; where it is found out, a run that goes on keeps the one it began with."""
        if self._asked_batch_size != "auto":
            size = int(self._asked_batch_size)
        elif self.device.type == "cpu":
            size = _PROCESSOR_BATCH
        else:
            size = self._detect_batch_size(longest)
        if self.journal is not None:
            size = int(self.journal.fact(f"batch size, {kind}", size))
        self.batch_size_per_gpu = size
        self.batch_sizes[kind] = size
        return size


def _chunks(groups: Sequence[list[int]], batch: int) -> Iterable[tuple[int, Sequence[list[int]]]]:
    """Groups in chunks of whole batches, each with its place."""
    size = batch * max(1, _CHUNK // batch)
    for start in range(0, len(groups), size):
        yield start, groups[start : start + size]


def _join_processes(lm: Answering) -> None:
    """Take part in a data-parallel run, if `accelerate launch` started several processes.

    lm-eval does this only for models that it loads itself.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return
    from accelerate import Accelerator

    lm.accelerator = Accelerator(cpu=lm.device.type == "cpu")
    lm._rank = lm.accelerator.process_index
    lm._world_size = lm.accelerator.num_processes
