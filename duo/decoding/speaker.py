"""Choose the tokens of an answer by their scores, and decode them to spoken text."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from duo.backbone import Backbone
from duo.decoding.channels import Asked
from duo.decoding.context import Context
from duo.decoding.conversant import LIMIT, CycleLog, Kind
from duo.decoding.settings import Sampler, Settings
from duo.fusion import token_of

_BROKEN = "\N{REPLACEMENT CHARACTER}"
#: So many tokens before it are decoded with a new one, up to some twice as many: decoders look at
#: what is around. All of a long answer would take longer with each token.
_AROUND = 16


class Speech:
    """The text of one answer as its tokens come.

    The pieces joined are the text of all ids decoded at once: a token that holds only a part of a
    character waits for the rest of it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.ids: list[int] = []
        self._first = 0  # the token that decoding begins with
        self._next = 0  # a later one that it may begin with: no character goes on there
        self._said = 0  # characters from the first on

    def add(self, token: int) -> str:
        """Append a token; return the text that it completes, "" if none."""
        self.ids.append(token)
        text = self._text(self._first)
        if text.endswith(_BROKEN):
            return ""
        piece = self._say(text)
        # Decoders treat the first text there is in a way of its own, so that some has to be left.
        if len(self.ids) - self._next >= _AROUND and (around := self._text(self._next)):
            self._first, self._next, self._said = self._next, len(self.ids), len(around)
        return piece

    def rest(self) -> str:
        """Return what is left at the end of the answer: a character that was never completed."""
        return self._say(self._text(self._first))

    def tail(self, text: str) -> list[int]:
        """Return the last tokens, from that with the first character of `text`, the answer's end.

        Blanks do not count: a voice has its own.
        """
        left = len("".join(self._text().split())) - len("".join(text.split()))
        count = 0
        while count < len(self.ids) and len("".join(self._text(0, count).split())) > left:
            count += 1
        return self.ids[len(self.ids) - count :]

    def _say(self, text: str) -> str:
        piece = text[self._said :]
        self._said = max(self._said, len(text))
        return piece

    def _text(self, first: int = 0, without: int = 0) -> str:
        """Decode the tokens from the `first` on, `without` so many at the end."""
        text: str = self._tokenizer.decode(
            self.ids[first : len(self.ids) - without],
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        return text


class Speaker:
    """Gives answers token by token into the output channel of a context.

    Control tokens are never spoken; `ends` are those that end an answer, beside the end of a turn.
    """

    def __init__(
        self,
        backbone: Backbone,
        context: Context,
        settings: Settings,
        tokens_per_cycle: int,
        ends: frozenset[int] = frozenset(),
    ) -> None:
        self._context = context
        self._tokenizer = backbone.tokenizer
        self._stop = backbone.chat.stop | ends
        self._longest = settings.max_answer_tokens(tokens_per_cycle)
        self._sampler = Sampler(
            settings.sampling,
            banned=set(backbone.states.all) - ends,
            marks=self._stop,
        )
        self._speech = Speech(self._tokenizer)

    def reset(self) -> None:
        """Begin a new conversation: the same random numbers again."""
        self._sampler.reset()
        self.begin()

    def begin(self) -> None:
        """Begin a new answer."""
        self._speech = Speech(self._tokenizer)

    def unheard(self, text: str) -> int:
        """Count the tokens of `text`, the end of the answer, if the context ends with them."""
        tail = self._speech.tail(text)
        return len(tail) if tail and self._context.ids[-len(tail) :] == tail else 0

    def choose(self, scores: Tensor) -> Tensor | Asked:
        """Choose the next token by its `scores` `[vocabulary]`; see `Sampler`."""
        before = self._context.ids if self._sampler.reads_context else ()
        return self._sampler.ask(scores, [token_of(id) for id in before])

    def speak(self, token: int, log: CycleLog) -> None:
        """Say a token, or end the answer by it."""
        if token in self._stop:
            self._context.answered = True
            self.end(log)
            return
        self._context.channels.speak(token)
        log.speech(self._speech.add(token))
        if len(self._speech.ids) >= self._longest:
            self.end(log, by=LIMIT)

    def end(self, log: CycleLog, *, by: str = "") -> None:
        """End the answer: it is complete, or has to end, as `by` says."""
        self._context.channels.speaking = False
        log.speech(self._speech.rest())
        log.add(Kind.ANSWER_END, by=by)

    def make_room(self, log: CycleLog) -> None:
        """Let the context make room for one more cycle and note what gave way."""
        speaking = self._context.channels.speaking
        for note in self._context.make_room():
            log.add(Kind.NOTE, note)
        if speaking and not self._context.channels.speaking:
            self.end(log)
