"""Ask a duplex model the questions of benchmarks in time slices, as Zhang et al. 2024 did.

A question comes a few words at a time, each a turn of the user; what the model answers to each but
`<idle>`, and after the last until it is done, is joined to the answer. It takes as many prompts as
there are slices, one question after the other.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from duo.backbone import Backbone
from duo.decoding.conversant import Kind
from duo.decoding.duplex import Duplex
from duo.decoding.systems import build
from duo.errors import BadInput
from evaluation.benchmarks.experiment import Settings
from evaluation.benchmarks.model import Answering, Loaded

#: Fewest and most words of a slice (Zhang et al. 2024: what is said in two seconds).
WORDS = (4, 6)


class Slicing(Answering):
    """lm-eval's model for `transformers` that is asked in slices."""

    def __init__(
        self, backbone: Backbone, settings: Settings, on_done: Callable[[int, int], None]
    ) -> None:
        super().__init__(Loaded(backbone.model, backbone.tokenizer, ()), settings, on_done)
        self._backbone = backbone

    def _loglikelihood_tokens(self, *args: Any, **how: Any) -> list[tuple[float, bool]]:
        raise BadInput(
            "answers that are compared by their likelihood cannot be asked for in slices: use "
            "--profile ultraeval, or leave slices out",
            field="slices",
        )

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        self._generated += len(requests)
        self.batch_sizes["answer"] = 1
        return self._answered(
            "generate_until", requests, [request.args for request in requests], self._ask_all
        )

    def _ask_all(self, requests: list[Any]) -> list[str]:
        answers = []
        for request in requests:
            self._keep_batch()
            answers.append(self._ask(*request.args))
            self.cache_hook.add_partial("generate_until", request.args, answers[-1])
        return answers

    def _ask(self, question: str, how: dict[str, Any]) -> str:
        """Put one question."""
        digest = sha256(f"{self._seed} {question}".encode()).digest()
        seed = int.from_bytes(digest[:7], "big")
        drawn = bool(how.get("do_sample"))
        system = build(
            "duplex",
            self._backbone,
            seed=seed,
            temperature=float(how["temperature"]) if drawn else 0.0,
            top_p=float(how.get("top_p", 1.0)) if drawn else 1.0,
        )
        assert isinstance(system, Duplex)
        answer, full, busy = "", False, False
        tokens = int(how.get("max_gen_toks") or self.max_gen_toks)
        silent = ["" for _ in range(0, tokens, system.settings.slice_tokens)]
        for words in (*slices(question, random.Random(seed)), *silent):
            if not words and not busy:
                break
            result = system.cycle(words)
            busy = result.busy
            full = full or any(event.kind is Kind.NOTE for event in result.events)
            said = result.spoken
            apart = words and answer and not answer[-1].isspace() and said[:1].strip()
            answer += f" {said}" if apart else said
        self._cut += full
        for stop in how.get("until") or ():
            answer = answer.partition(stop)[0]
        return answer


def slices(text: str, draws: random.Random) -> Iterator[str]:
    """Cut a text into slices of `WORDS` words; line breaks between its words stay.

    Yields:
        Slices, none of them blank; joined they are the text, but for blanks at its ends.
    """
    words = re.findall(r"\S+\s*", text)
    while words:
        size = draws.randint(*WORDS)
        yield "".join(words[:size])
        words = words[size:]
