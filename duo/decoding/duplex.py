"""Converse in time slices: the baseline, MiniCPM-Duplex (Zhang et al. 2024).

Time is cut into slices of two seconds. After each, the model is asked for a short slice of answer
to what was heard in it, the words or `<idle>`; the whole history is encoded again every time. A
model that has nothing to say answers `<idle>`. Written after the published decoder, whose nine
steps are the comments here; its chat markers are those of whatever model is used.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from transformers import PreTrainedModel

from duo.backbone import Backbone
from duo.decoding.channels import Channels, Scores, Waiting
from duo.decoding.conversant import (
    LIMIT,
    CycleLog,
    Heard,
    Kind,
    Revision,
    Steps,
    System,
    Turn,
    heard_so_far,
)
from duo.decoding.fused import FusedChannels
from duo.decoding.settings import Sampler, Settings
from duo.decoding.speaker import Speech
from duo.tokens import IDLE

_END = "</s>"  # stands for the end-of-turn token in the rules about silence below
_RECALLED_WORDS = 5  # of a user slice: what is said in two seconds
_SAYS_NOTHING = {IDLE, f"{IDLE}{_END}", _END, "idle", f"idle{_END}"}


@dataclass(frozen=True, kw_only=True)
class DuplexSettings(Settings):
    """Settings of the baseline; the defaults are those of its published evaluation.

    Sampling is greedy here like everywhere; the published server draws at temperature 0.8 and
    top-p 0.8.

    Attributes:
        silence: when a slice is silent under greedy sampling. "odds": if `<idle>` is likelier than
            all other tokens together; "token": if it is the likeliest token. An answer can begin
            with many words, none of which alone is as likely as `<idle>`: by "token" a model that
            would speak in two of three draws says nothing.
        slice_tokens: tokens of an answer slice (10 in the evaluation, 15 in the server).
        short_slice: an answer slice that ends within this many tokens completes the answer.
    """

    cycle_seconds: PositiveFloat = 2.0
    silence: Literal["odds", "token"] = "odds"
    slice_tokens: PositiveInt = 10
    short_slice: PositiveInt = 6
    when_full: Literal["drop", "refuse"] = "refuse"


@dataclass
class _Pair:
    """A user slice and the answer slice to it."""

    user: str | None  # what was heard; None for silence: a typed `<idle>` is text
    answer: list[int] = field(default_factory=list)
    ended: bool = False  # the answer ends with the end-of-turn token


class Duplex(System):
    """A conversation in time slices."""

    name = "duplex"

    def __init__(
        self,
        backbone: Backbone,
        settings: DuplexSettings | None = None,
        *,
        channels: Callable[[PreTrainedModel], Channels] = FusedChannels,
    ) -> None:
        self.settings = settings or DuplexSettings()
        super().__init__(self.settings)
        self.channels = channels(backbone.model)
        self._tokenizer = backbone.tokenizer
        self._chat, self._states = backbone.chat, backbone.states
        self._by_odds = self.settings.silence == "odds" and self.settings.sampling.temperature == 0
        most = backbone.max_tokens - self.settings.slice_tokens
        self._limit = min(self.settings.max_tokens or most, most)
        self._longest = self.settings.max_answer_tokens(self.settings.slice_tokens)
        self._sampler = Sampler(
            self.settings.sampling,
            banned=(self._states.respond, self._states.ignore),
            marks=(*self._chat.stop, self._states.idle),
        )
        self.reset()

    def reset(self) -> None:
        """Forget the conversation; the next one draws the same random numbers."""
        self.channels.clear()
        self._sampler.reset()
        self._history: list[_Pair] = []
        self._active = False
        self._refused = False
        self._speech = Speech(self._tokenizer)

    def recall(self, turns: Sequence[Turn]) -> None:
        """Go on from a dialogue held before, as slices; see `duo.decoding.conversant.Recalling`.

        Each slice of the user's words is answered by `<idle>` but the last, which the answer's
        first slice follows: the form of the baseline's training data.
        """
        for turn in turns:
            if turn.role == "user":
                words = turn.text.split()
                self._history += [
                    _Pair(" ".join(words[at : at + _RECALLED_WORDS]), [self._states.idle], True)
                    for at in range(0, len(words), _RECALLED_WORDS)
                ]
                continue
            ids, size = self._chat.text(turn.text, "assistant"), self.settings.slice_tokens
            slices = [ids[at : at + size] for at in range(0, len(ids), size)]
            if self._history and self._history[-1].answer == [self._states.idle] and slices:
                self._history[-1].answer = slices.pop(0)
            self._history += [_Pair(None, answer, True) for answer in slices]

    def steps(self, heard: Heard) -> Steps:
        log = CycleLog(self.channels, self.settings.slice_tokens)
        # 1. The slice is the text that came in, or `<idle>`. Slices that were already answered
        #    cannot be revised, so a revision is heard as what it says now, if that is new.
        words = heard_so_far("", heard).strip()
        if isinstance(heard, Revision) and self._were_heard(words):
            words = ""
        # 2. Nothing is under way and nothing was said: no model call.
        if self._refused or (not self._active and not words):
            return log.result(busy=False)
        # 3. Tidy the history; if that leaves nothing under way and nothing was said, stop.
        if self._active:
            self._active = self._tidy()
            if not self._active and not words:
                self._end_answer(log)
                return log.result(busy=False)
        # 4. Words set the conversation going.
        if words:
            self._active = True
            self._speech = Speech(self._tokenizer)
        # 5. The prompt is encoded from nothing for each slice.
        self._history.append(_Pair(words or None))
        # 6. A context that is full ends the session.
        prompt = self._prompt(log)
        if prompt is None:
            return log.result(busy=False)
        self.channels.clear()
        self.channels.extend_prefix(prompt)
        yield from self._answer_slice(log)
        return log.result(busy=self._active)

    def _answer_slice(self, log: CycleLog) -> Generator[Waiting, Any, None]:
        """7. to 9. Sample a slice; a piece that stops it is kept too; say what stands before it."""
        pair = self._history[-1]
        self.channels.speaking = True
        for count in range(1, self.settings.slice_tokens + 1):
            scores: Scores = yield self.channels
            log.step += 1
            assert scores.output is not None
            context = self.channels.prefix.ids + pair.answer if self._sampler.reads_context else ()
            logits = scores.output
            if count == 1 and self._by_odds:
                logits = self._silent_or_not(logits)
            ((chosen,),) = yield [self._sampler.ask(logits, context)]
            token = int(chosen)
            if token in self._chat.stop:
                pair.ended = True
                if count <= self.settings.short_slice:  # 8. a short slice: the answer is complete
                    self._active = False
                    self._end_answer(log)
                break
            pair.answer.append(token)
            if token == self._states.idle or IDLE in self._tokenizer.decode([token]):
                break
            self.channels.speak(token)
            log.speech(self._speech.add(token))  # 9.
            if len(self._speech.ids) >= self._longest:
                self._active = False
                self._end_answer(log, by=LIMIT)
                break
        self.channels.speaking = False

    def _silent_or_not(self, logits: Tensor) -> Tensor:
        """Edit the logits `[vocabulary]`, with `<idle>` the only token left or taken away."""
        idle = self._states.idle
        others, alone = logits.clone(), torch.full_like(logits, -torch.inf)
        others[idle], alone[idle] = -torch.inf, 0.0
        return torch.where(logits[idle] > others.logsumexp(0), alone, others)

    def _were_heard(self, words: str) -> bool:
        """Tell whether these are the last words that the user said, in whatever slices."""
        said = " ".join(pair.user for pair in self._history if pair.user)
        return " ".join(said.split()).endswith(" ".join(words.split()))

    def _end_answer(self, log: CycleLog, *, by: str = "") -> None:
        log.speech(self._speech.rest())
        if self._speech.ids:
            log.add(Kind.ANSWER_END, by=by)
        self._speech = Speech(self._tokenizer)

    def _tidy(self) -> bool:
        """Step 3: end the last answer slice and remove pairs in which nobody said anything.

        Returns:
            Whether the last pair is still there, so something is under way.
        """
        last = self._history[-1]
        last.ended = True
        self._history = [pair for pair in self._history if not self._is_silent(pair)]
        return bool(self._history) and self._history[-1] is last

    def _is_silent(self, pair: _Pair) -> bool:
        said = self._tokenizer.decode(pair.answer) + (_END if pair.ended else "")
        return pair.user is None and said.strip(" .\n,") in _SAYS_NOTHING

    def _prompt(self, log: CycleLog) -> list[int] | None:
        """Encode the history, open for the next answer slice; None if there is no room."""
        while True:
            ids = list(self._chat.preamble)
            for pair in self._history[:-1]:
                ids += self._user_slice(pair)
                ids += [*pair.answer, *self._chat.assistant_close]
            ids += self._user_slice(self._history[-1])
            if len(ids) < self._limit:
                return ids
            if self.settings.when_full == "refuse" or len(self._history) == 1:
                self._refused, self._active = True, False
                log.add(
                    Kind.NOTE, f"the context of {self._limit} tokens is full: the conversation ends"
                )
                return None
            half = max(1, len(self._history) // 2)
            self._history = self._history[half:]
            log.add(Kind.NOTE, f"the context is full: the {half} oldest slices were dropped")

    def _user_slice(self, pair: _Pair) -> list[int]:
        chat = self._chat
        words = [self._states.idle] if pair.user is None else chat.text(pair.user)
        return [*chat.user_open, *words, *chat.user_close, *chat.assistant_open]
