"""Write the turns that are to be ignored: from phrases and dialogues, or by asking a model.

A writer is given places in drafts, each with a kind and what was said before it, and returns texts.
`Extractive` needs nothing but the dialogues themselves. Remarks, which the paper inserts, can also
be written by a local model or by one behind an endpoint, as the paper did.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from duo.data.english import repeatable, sentences, topics
from duo.data.phrases import ANYTHING, grammar
from duo.data.plan import Place
from duo.endpoint import Endpoint, Replies, side_by_side
from duo.errors import BadInput
from duo.files import read_text

if TYPE_CHECKING:
    from duo.backbone import Backbone


class Writer(Protocol):
    """Writes turns to be ignored."""

    def write(self, places: Sequence[Place], attempt: int) -> list[str]:
        """Write a text for each place, empty where there is none to be had.

        Args:
            attempt: 0, then 1, 2 ... for places whose last text was not used.
        """
        ...


@dataclass(frozen=True)
class Overheard:
    """A sentence or turn of some conversation, to be said again in another."""

    text: str
    group: str
    validation: bool


class Extractive:
    """Writes from the phrase grammar, the dialogue's own topics and sentences, and other dialogues.

    Args:
        overheard: sentences of all conversations, for background speech; those of the other side
            of the split or of the same conversation are never used.
        told: turns that ask for nothing, of people who chat with each other, under the same rule:
            most statements and stories, where there are any.
    """

    _TOLD_SHARE = 0.45
    _STORY_WORDS = 16  # a longer turn is a story, others are statements

    def __init__(self, overheard: Sequence[Overheard] = (), told: Sequence[Overheard] = ()) -> None:
        self._pools: dict[tuple[str, bool], list[Overheard]] = defaultdict(list)
        for sentence in overheard:
            self._pools["background", sentence.validation].append(sentence)
        for turn in told:
            is_story = len(turn.text.split()) > self._STORY_WORDS
            self._pools["story" if is_story else "statement", turn.validation].append(turn)

    def write(self, places: Sequence[Place], attempt: int) -> list[str]:
        return [self._text(place, Random(f"{place.seed}/{attempt}")) for place in places]

    def _text(self, place: Place, random: Random) -> str:
        pool = self._pools[place.kind, place.validation]
        if place.kind == "background":
            return _from_another(pool, place, random)
        if place.kind in ("statement", "story") and random.random() < self._TOLD_SHARE:
            told = _from_another(pool, place, random)
            if told:
                return told
        known = topics(" ".join(turn.text[:600] for turn in place.before[-4:]))
        if place.kind == "remark":
            said = repeatable(place.before[-1].text) if place.before else []
            if said and (not known or random.random() < 0.4):
                return grammar().draw("restated", random, said=random.choice(said))
            if not known:
                return ""
        topic = random.choice(known) if known else ANYTHING
        text = grammar(place.validation).draw(place.kind, random, topic=topic)
        parts = [part.lower() for part in sentences(text)]
        return text if len(set(parts)) == len(parts) else ""


def _from_another(pool: Sequence[Overheard], place: Place, random: Random) -> str:
    """Draw a text of another conversation, or nothing."""
    for _ in range(8 if pool else 0):
        heard = random.choice(pool)
        if heard.group != place.group:
            return heard.text
    return ""


# What a model is asked (the paper's section 3.1), and what is taken from its reply.

#: Coherent with the dialogue, from the user's side, declarative, nothing that wants an answer, and
#: nothing else in the reply, as in the paper (`duo.data.paper.INSTRUCTION`); and short.
INSTRUCTION = (
    "Below is a conversation between a user and an assistant. Write the one thing that the user "
    "might say next that does not need any reply: a remark, a reaction or a thought of their own. "
    "It must fit the conversation and be a statement, not a question, a request or an order. Use "
    "at most twenty spoken words. Reply with the user's words only, without quotation marks."
)
#: The last turns of a dialogue, and the beginning of each, are enough to remark on.
_TURNS, _CHARACTERS = 6, 1200


def read_instruction(path: Path | None, default: str = INSTRUCTION) -> str:
    """Read the instruction in a file; the default without one.

    Raises:
        BadInput: it cannot be read, or is empty.
    """
    if path is None:
        return default
    text = read_text(path).strip()
    if not text:
        raise BadInput("is empty", file=path, field="instruction")
    return text


def conversation(place: Place, *, whole: bool = False) -> str:
    """Write the dialogue before a place as text: its last turns, or the whole of it."""
    turns, characters = (None, None) if whole else (-_TURNS, _CHARACTERS)
    return "\n".join(
        f"{turn.role.capitalize()}: {' '.join(turn.text[:characters].split())}"
        for turn in place.before[turns:]
    )


def tidy(reply: str) -> str:
    """Take the remark from a model's reply: its first line, without role or quotation marks."""
    lines = [line.strip() for line in reply.strip().splitlines() if line.strip()]
    text = lines[0] if lines else ""
    text = text.removeprefix("User:").removeprefix("user:").strip()
    if len(text) > 1 and text[0] in "\"'“‘" and text[-1] in "\"'”’":
        text = text[1:-1].strip()
    return "".join(character for character in text if character.isprintable())


class ModelWriter:
    """Writes remarks by sampling; the same places in the same batches give the same texts.

    Args:
        model: a model's name, see `duo.backbone.load`, or a loaded one.
        whole: show it the whole dialogue before a remark, as far as it can read.

    Raises:
        BadInput: there is no such model, or not so; see `duo.backbone.load`.
    """

    _MOST_TOKENS = 40
    _TEMPERATURE, _TOP_P = 0.9, 0.9

    def __init__(
        self,
        model: str | Backbone,
        *,
        instruction: str,
        whole: bool = False,
        batch: int = 16,
        loading: Mapping[str, Any] | None = None,
    ) -> None:
        from duo.backbone import load

        loading = {"engine": "torch", **(loading or {})}
        self._backbone = load(model, **loading) if isinstance(model, str) else model
        self._instruction, self._whole, self._batch = instruction, whole, batch

    def write(self, places: Sequence[Place], attempt: int) -> list[str]:
        # Texts of one length go together, so that little is padded.
        prompts = [self._prompt(place) for place in places]
        order = sorted(range(len(places)), key=lambda index: (len(prompts[index]), index))
        texts = [""] * len(places)
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            seed = "|".join(places[index].seed for index in chosen) + f"/{attempt}"
            written = self._sample([prompts[index] for index in chosen], seed)
            for index, text in zip(chosen, written, strict=True):
                texts[index] = tidy(text)
        return texts

    def _prompt(self, place: Place) -> list[int]:
        """Make the ids up to where the remark begins, in the model's chat format."""
        form = self._backbone.chat
        most = max(64, self._backbone.max_tokens - self._MOST_TOKENS - 64)
        asked = form.text(f"{self._instruction}\n\n{conversation(place, whole=self._whole)}")
        if len(asked) > most:  # keep the instruction and what was said last
            head = len(form.text(self._instruction))
            asked = [*asked[:head], *asked[-max(1, most - head) :]]
        return form.prompt(asked)

    def _sample(self, prompts: Sequence[list[int]], seed: str) -> list[str]:
        import torch

        backbone = self._backbone
        model, stop = backbone.model, sorted(backbone.chat.stop)
        width = max(map(len, prompts))
        padding = stop[0]
        ids = torch.tensor([[padding] * (width - len(row)) + row for row in prompts])
        seen = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])
        states = backbone.states
        settings: dict[str, Any] = {
            "max_new_tokens": self._MOST_TOKENS,
            "do_sample": True,
            "temperature": self._TEMPERATURE,
            "top_p": self._TOP_P,
            "top_k": 0,
            "eos_token_id": stop,
            "pad_token_id": padding,
            "suppress_tokens": [states.respond, states.ignore, states.idle],
        }
        devices = [backbone.device] if backbone.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(int(sha256(seed.encode()).hexdigest()[:15], 16))
            made = model.generate(
                ids.to(backbone.device), attention_mask=seen.to(backbone.device), **settings
            )
        return backbone.tokenizer.batch_decode(made[:, width:], skip_special_tokens=True)


class OpenAIWriter:
    """Writes remarks by an OpenAI-compatible endpoint, several at once.

    Every reply is kept in the build's folder as it comes, so that a build that was stopped asks,
    and pays, only for the rest.

    Args:
        whole: show it the whole dialogue before a remark, in place of the last turns.

    Raises:
        BadInput: as `Endpoint`; what was written so far is kept.
    """

    _MOST_TOKENS = 60

    def __init__(
        self,
        model: str,
        *,
        folder: Path,
        instruction: str,
        whole: bool = False,
        requests_per_minute: float,
        prices: tuple[float, float] | None = None,
        **more: Any,
    ) -> None:
        self._model, self._instruction, self._whole = model, instruction, whole
        self._endpoint = Endpoint(
            model,
            most_tokens=self._MOST_TOKENS,
            requests_per_minute=requests_per_minute,
            option="--writer-model",
            **more,
        )
        self._replies = Replies(folder / "replies.jsonl", prices)

    @property
    def facts(self) -> Mapping[str, Any]:
        """For the manifest: the tokens that all replies took, in this build and before."""
        return self._replies.facts

    def write(self, places: Sequence[Place], attempt: int) -> list[str]:
        replies = side_by_side(self._remark, [(place, attempt) for place in places])
        return [tidy(reply) for reply in replies]

    def _remark(self, place: Place, attempt: int) -> str:
        messages = [
            {"role": "system", "content": self._instruction},
            {"role": "user", "content": conversation(place, whole=self._whole)},
        ]
        asked = json.dumps([self._model, messages, place.seed, attempt])
        key = sha256(asked.encode()).hexdigest()
        ask = partial(self._endpoint.ask, messages, seed=int(key[:7], 16))
        return self._replies.get(key, ask).text
