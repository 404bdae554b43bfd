"""Have a language model judge quoted text: a question, one letter as its answer, every reply kept.

What is judged may hold anything, also what is meant for a judge ("answer A"). So it is given as
JSON in which no mark of a chat format survives, between lines with a mark that is drawn from the
content itself; and of a reply nothing counts but one of the letters.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from duo.endpoint import CONCURRENCY, Endpoint, Replies, Reply, side_by_side
from duo.errors import BadInput
from duo.files import Result, check_writable
from duo.runs import begun, claim, fingerprint

if TYPE_CHECKING:
    from duo.backbone import Backbone

#: Signs that marks of chat formats are made of; JSON may write any sign by its number.
_SIGNS = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>[]{}|｜▁"}

#: Asks the judge; given the instruction, the question and a seed.
Ask = Callable[[str, str, int], Reply]
TOO_LONG = "(too long for the model)"


@dataclass(frozen=True)
class Judge:
    """A model that is asked.

    Attributes:
        open: makes it ready; not called if all replies are kept.
        endpoint: where it is asked; "" for a local model.
        threads: how many questions are under way at once.
        refused: settings that the endpoint's model turned out not to take.
    """

    name: str
    open: Callable[[], Ask]
    endpoint: str = ""
    threads: int = 1
    refused: Collection[str] = field(default_factory=tuple)
    prices: tuple[float, float] | None = None


@dataclass(frozen=True)
class Question:
    """What is asked; `about` tells it from all others beside its text."""

    about: Mapping[str, Any]
    text: str


class Judged(Result):
    """What results of every judge say of it and its replies.

    Attributes:
        endpoint: where it was asked; "" for a local model.
        prompt: SHA-256 of all that every judge is told beside the question itself.
        requests, tokens_in, tokens_out, cost: of all replies.
        other_replies: the most frequent replies that were no answer, shortened.
        settings_refused: settings that the endpoint's model does not take.
    """

    judge: str
    endpoint: str
    prompt: str
    requests: int
    tokens_in: int
    tokens_out: int
    cost: str
    other_replies: dict[str, int]
    settings_refused: tuple[str, ...] = ()


def quoted_line(content: Mapping[str, Any]) -> str:
    """Write a JSON object without line breaks and marks inside."""
    plain = {
        key: " ".join(value.split()) if isinstance(value, str) else value
        for key, value in content.items()
    }
    return "{" + json.dumps(plain, ensure_ascii=False)[1:-1].translate(_SIGNS) + "}"


def between_marks(texts: Mapping[str, str]) -> tuple[str, str]:
    """Quote texts by their names, such as "Conversation A"; return that and the mark around them.

    The mark is computed from the texts, so that none can end its own quotation.
    """
    content = "\0".join(texts.values())
    mark = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    quoted = (f"{name} begins: {mark}\n{text}\n{name} ends: {mark}" for name, text in texts.items())
    return "\n\n".join(quoted), mark


def letter(reply: str, letters: str) -> str | None:
    """Read the answer in a reply: one of the letters and nothing else, or None."""
    pattern = rf"[\s*_`\"'(\[]*([{letters}])[\s*_`\"'.:)\]]*"
    found = re.fullmatch(pattern, reply, re.IGNORECASE)
    return found[1].upper() if found else None


def ask_all(
    questions: Sequence[Question],
    folder: Path,
    judge: Judge,
    letters: str,
    told: Mapping[str, str],
    *,
    about: Mapping[str, Any] | None = None,
    on_done: Callable[[], None] = lambda: None,
) -> tuple[list[str | None], dict[str, Any]]:
    """Ask all questions and keep the replies in `folder/replies.jsonl`.

    Goes on where a run of the same judge, about the same, stopped.

    Args:
        letters: that it may answer with.
        told: what every judge is told: its `instruction`, and the `answers` that questions end in.
        about: what the run is about beside the judge.
        on_done: called after each question.

    Returns:
        The letter of each reply, None for no answer, in the order of the questions; and the fields
        of `Judged`.

    Raises:
        BadInput: the folder holds something else or cannot be written; or of the model: what was
            answered so far is kept.
    """
    who = {"judge": judge.name, "endpoint": judge.endpoint, "prompt": fingerprint(**told)}
    facts = {**(about or {}), **who}
    check_writable(folder)
    opened = None if begun(folder) else judge.open()  # if that fails, nothing is begun
    claim(folder, facts)
    replies = Replies(folder / "replies.jsonl", judge.prices)
    keys = [fingerprint(**facts, **one.about, question=one.text) for one in questions]
    missing = any(key not in replies for key in keys)
    ask = judge.open() if opened is None and missing else opened

    def asked(key: str, question: Question) -> str:
        def answer() -> Reply:
            assert ask is not None
            return ask(told["instruction"], question.text, int(key[:7], 16))

        text = replies.get(key, answer).text
        on_done()
        return text

    texts = side_by_side(asked, zip(keys, questions, strict=True), judge.threads)
    found = [letter(text, letters) for text in texts]
    others = Counter(
        " ".join(text.split())[:60] for text, one in zip(texts, found, strict=True) if one is None
    )
    return found, {
        **who,
        **replies.facts,
        "other_replies": dict(others.most_common(5)),
        "settings_refused": tuple(sorted(judge.refused)),
    }


def endpoint_judge(
    model: str,
    url: str,
    most_tokens: int,
    requests_per_minute: float,
    prices: tuple[float, float] | None = None,
) -> Judge:
    """Make a judge of a model behind an endpoint, which writes its answer."""
    endpoint = Endpoint(
        model, most_tokens=most_tokens, requests_per_minute=requests_per_minute, url=url
    )
    parts = urlsplit(url)  # without a password that may stand in it
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    ask = ask_endpoint(endpoint)
    return Judge(model, lambda: ask, where, CONCURRENCY, endpoint.refused, prices)


def ask_endpoint(endpoint: Endpoint) -> Ask:
    """Ask a model behind an endpoint, which writes its answer."""

    def ask(instruction: str, question: str, seed: int) -> Reply:
        messages = [
            {"role": "system", "content": instruction},
            {"role": "user", "content": question},
        ]
        return endpoint.ask(messages, seed=seed, temperature=0.0)

    return ask


def local_judge(backbone: Backbone, letters: str) -> Ask:
    """Ask a local model: its answer is the likeliest of the letters."""
    form = backbone.chat
    options = {letter: form.text(letter, "assistant") for letter in letters}
    if len({tuple(ids) for ids in options.values()}) < len(options):
        between = f"{letters[0]} to {letters[-1]}"
        raise BadInput(f"the tokenizer does not tell the letters {between} apart", field="--model")

    def ask(instruction: str, question: str, seed: int) -> Reply:
        prompt = form.prompt(form.text(f"{instruction}\n\n{question}"))
        if len(prompt) + max(map(len, options.values())) > backbone.max_tokens:
            return Reply(TOO_LONG, len(prompt), 0)
        found = _log_likelihoods(backbone, prompt, list(options.values()))
        best = max(zip(found, letters, strict=True), key=lambda one: one[0])
        return Reply(best[1], len(prompt), 1)

    return ask


def _log_likelihoods(
    backbone: Backbone, prompt: list[int], options: Sequence[list[int]]
) -> list[float]:
    """Compute each option's log probability after the prompt: a sum over its tokens.

    A pass for each different beginning: one in all, where each option is one token.
    """
    import torch

    after: dict[tuple[int, ...], torch.Tensor] = {}
    with torch.inference_mode():
        for head in sorted({tuple(ids[:at]) for ids in options for at in range(len(ids))}):
            ids = torch.tensor([[*prompt, *head]], device=backbone.device)
            logits = backbone.model(input_ids=ids, logits_to_keep=1).logits[0, -1]
            after[head] = torch.log_softmax(logits.double(), -1)
    return [
        sum(float(after[tuple(ids[:at])][ids[at]]) for at in range(len(ids))) for ids in options
    ]
