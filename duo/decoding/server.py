"""Hold the channels of sessions on a server: vLLM, or what speaks its protocol, or SGLang.

A step is a request for each channel: all its token ids, and one token with the likeliest ones'
log-probabilities in return. The server keeps nothing of ours. Its prefix cache makes a request cost
no more than its new tokens, and its scheduler takes both channels, and those of all sessions, in
the same passes of the model, over as many cards as it was told to use.

    vllm serve runs/merged --tensor-parallel-size 2
    duo record --model runs/merged --engine http://localhost:8000/v1 --systems duo ...

Scores are log-probabilities, as far as the server tells them: the twenty likeliest tokens', which
is enough to choose one. After words were heard those of the state tokens are needed, however small.
SGLang gives those of any tokens; vLLM is asked once more for one that is not among the likeliest.
SGLang is asked by its own protocol: by OpenAI's it names tokens by their texts, which several may
share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from duo.backbone import Backbone, open_tokenizer
from duo.chatformat import chat_format
from duo.decoding.channels import Chunk, OnePassChannels
from duo.endpoint import open_client, plain_errors
from duo.errors import BadInput
from duo.model_folder import chat_style, model_folder
from duo.terminal import quiet
from duo.tokens import StateTokens, state_tokens

#: Tokens whose log-probabilities are asked for: as many as vLLM gives unless it is told otherwise.
_LIKELIEST = 20
#: Seconds that a request may take; requests of all sessions that are under way at once.
_TIMEOUT, _AT_ONCE = 120.0, 64
#: What is added to a token's score so that it is the likeliest of all.
_BIAS = 100
_ROUNDING = 0.05
#: How token ids are written where texts would be ambiguous (vLLM's `return_tokens_as_token_ids`).
_ID = "token_id:"
_LACKING = "the server's replies lack the log-probabilities of tokens"


def load(name: str, url: str, *, chat: str | None, system: str | None, date: str) -> Backbone:
    """Find a model on a server, and load its tokenizer and chat format here.

    Args:
        name: of the folder or hub id that the server was started with.
        url: of the server, with its version, such as `http://localhost:8000/v1`.
        chat, system, date: see `duo.backbone.load`.

    Raises:
        BadInput: the server cannot be reached or has no such model; or its tokenizer lacks the
            state tokens.
    """
    folder = model_folder(name)
    with quiet():
        tokenizer = open_tokenizer(folder)
        form = chat_format(tokenizer, chat_style(folder, chat), system, date)
    try:
        states = state_tokens(tokenizer)
    except KeyError as error:
        raise BadInput(
            f"its tokenizer lacks {error.args[0]}, and a server's model gets no new rows: "
            "train it, or save one with its adapter merged (docs/engines.md)",
            file=folder,
        ) from None
    model = ServerModel(name, url, len(tokenizer), states)
    return Backbone(model, tokenizer, name, states, form, engine="server")


class ServerModel:
    """A model on a server.

    Args:
        states: whose log-probabilities are needed after words were heard.

    Raises:
        BadInput: see `load`.
    """

    device, dtype = torch.device("cpu"), torch.float32  # of the scores

    def __init__(self, name: str, url: str, vocabulary: int, states: StateTokens) -> None:
        self._name, self._url = name, url
        self._vocabulary = vocabulary
        self._states = (states.respond, states.ignore)
        self._client = open_client(url, "--engine", _TIMEOUT)
        self._requests = ThreadPoolExecutor(_AT_ONCE)
        with plain_errors("--engine", "--model", self._url):
            served = {card.id: card for card in self._client.models.list()}
        if name not in served:
            named = ", ".join(sorted(served)) or "none"
            raise BadInput(f"the server has no model {name!r}; it has {named}", field="model")
        sglang = getattr(served[name], "owned_by", "") == "sglang"
        self._generate = f"{url.rstrip('/').removesuffix('/v1')}/generate" if sglang else ""
        self.max_tokens = int(getattr(served[name], "max_model_len", None) or 2048)

    def scores(self, prompts: Sequence[Prompt]) -> list[Tensor]:
        """Ask for the log-probabilities `[vocabulary]` after each prompt, all at once."""
        return list(self._requests.map(self._after, prompts))

    def _after(self, prompt: Prompt) -> Tensor:
        found = torch.full((self._vocabulary,), -torch.inf)
        with plain_errors("--engine", "--model", self._url):
            if self._generate:
                likeliest = self._ask_sglang(prompt)
            else:
                _, likeliest = self._ask(prompt.ids, logprobs=_LIKELIEST)
            # Some models have scores beyond their tokenizer, of nothing that could be said.
            known = {token: value for token, value in likeliest.items() if token < len(found)}
            if not known:
                raise BadInput(
                    "none of the server's likeliest tokens is one of the tokenizer's: it has "
                    "another model",
                    field="engine",
                )
            if prompt.decides:
                least = min(known.values())
                for state in {*self._states} - known.keys():
                    known[state] = self._chance(prompt.ids, state, least)
                rest = 1 - sum(map(math.exp, known.values()))  # shared by all others
                found.fill_(math.log(max(rest, 1e-30) / (self._vocabulary - len(known))))
            found[list(known)] = torch.tensor(list(known.values()))
        return found

    def _chance(self, ids: Sequence[int], token: int, least: float) -> float:
        """Ask for the log-probability of a token that is not among the likeliest."""
        (chosen, value), _ = self._ask(ids, logprobs=1, logit_bias={str(token): _BIAS})
        if chosen != token or value > least + _ROUNDING:
            raise BadInput(
                "the server's log-probabilities are not the model's own: those before a logit_bias "
                "are needed, as vLLM's usual --logprobs-mode raw_logprobs gives them",
                field="engine",
            )
        return value

    def _ask(self, ids: Sequence[int], **more: Any) -> tuple[tuple[int, float], dict[int, float]]:
        """Ask for one token; return it and the likeliest ones, with their log-probabilities."""
        reply = self._client.completions.create(
            model=self._name,
            prompt=list(ids),
            max_tokens=1,
            temperature=0,
            extra_body={"return_tokens_as_token_ids": True, "ignore_eos": True},
            **more,
        )
        try:
            found = reply.choices[0].logprobs
            likeliest = {_number(one): float(value) for one, value in found.top_logprobs[0].items()}
            return (_number(found.tokens[0]), float(found.token_logprobs[0])), likeliest
        except (AttributeError, IndexError, TypeError, ValueError):
            raise BadInput(_LACKING, field="engine") from None

    def _ask_sglang(self, prompt: Prompt) -> dict[int, float]:
        """Ask for the log-probabilities of the likeliest tokens, and of the states if needed."""
        wanted: dict[str, Any] = {
            "input_ids": prompt.ids,
            "sampling_params": {"max_new_tokens": 1, "temperature": 0, "ignore_eos": True},
            "return_logprob": True,
            "top_logprobs_num": _LIKELIEST,
        }
        names = ["output_top_logprobs"]
        if prompt.decides:
            wanted["token_ids_logprob"] = list(self._states)
            names.append("output_token_ids_logprobs")
        reply: Any = self._client.post(self._generate, cast_to=object, body=wanted)
        try:
            found = chain.from_iterable(reply["meta_info"][name][0] for name in names)
            return {int(token): float(value) for value, token, *_ in found}
        except (IndexError, KeyError, TypeError, ValueError):
            raise BadInput(_LACKING, field="engine") from None


def _number(token: str) -> int:
    if not token.startswith(_ID):
        raise BadInput(
            "the server names tokens by their texts, which are ambiguous: it must know "
            "return_tokens_as_token_ids, as vLLM does",
            field="engine",
        )
    return int(token.removeprefix(_ID))


@dataclass(frozen=True)
class Prompt:
    """What a request asks about: the tokens so far, and whether the state tokens are needed."""

    ids: list[int]
    decides: bool


@dataclass
class _Requests(Chunk):
    """What a session asks for in a step; its tokens are those that the server has not seen."""

    prompts: list[Prompt] = field(default_factory=list)


class ServerPool:
    """Asks for the steps of many sessions at once."""

    def __init__(self, model: ServerModel) -> None:
        self.model = model
        self.forward_passes = 0

    def forward(self, chunks: Sequence[_Requests]) -> list[Tensor]:
        """Ask for all chunks; return the scores of each `[requests, vocabulary]`."""
        self.forward_passes += 1
        scores = iter(self.model.scores([prompt for chunk in chunks for prompt in chunk.prompts]))
        return [
            torch.stack([next(scores) for _ in chunk.prompts]) if chunk.prompts else torch.empty(0)
            for chunk in chunks
        ]


class ServerChannels(OnePassChannels):
    """Channels on a server. Slots are only counted; a session forgets nothing that it must keep."""

    def __init__(self, model: ServerModel, pool: ServerPool | None = None) -> None:
        super().__init__()
        self.pool: Any = ServerPool(model) if pool is None else pool
        self._row = 0
        self._heard = False  # since the last step

    @property
    def cache_bytes(self) -> int:
        return 0

    def listen(self, ids: Sequence[int]) -> None:
        super().listen(ids)
        self._heard = True

    def begin_pass(self) -> Chunk | None:
        chunk = super().begin_pass()
        if chunk is None:
            return None
        prompts = []
        if self.speaking:
            prompts.append(Prompt([*self.prefix.ids, *self.output.ids], decides=False))
        if len(chunk.wanted) > len(prompts):
            assert self.input is not None
            prompts.append(Prompt([*self.prefix.ids, *self.input.ids], decides=self._heard))
            self._heard = False
        return _Requests(**vars(chunk), prompts=prompts)
