"""Encode samples as the decoder meets them, with what is learned at each token.

A sample becomes the preamble and its turns: a user turn is opened, spoken, given its state token
and closed; an answer is opened, spoken and, if it was completed, ended. Learned are the state
tokens, the answers' tokens and the token that ends a complete answer, nothing else (the paper's
"loss on state tokens and output only"). Beside that, `inside` marks the places where the user is
not done, at which no state token may come; see `duo.training.loss`.

A sample is one row of turns, so that all that comes after an ignored remark sees it. The decoder
with `ignored_utterances="forget"` (`duo.decoding.duo.DuoSettings`, the default) drops the remark
from its context, and nothing that follows sees it: `without_ignored_turns` makes such samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Any

from duo.chatformat import ChatFormat, chat_format
from duo.data.sample import AssistantTurn, Message, Sample, SystemMessage, UserTurn
from duo.errors import BadInput
from duo.runs import fingerprint
from duo.tokens import CONTROL_TOKENS, IDLE, StateTokens, state_tokens

#: The label of a token that is not learned; the number that torch's cross entropy passes over.
NOT_LEARNED = -100


class Target(IntEnum):
    """The kinds of places where something is learned."""

    STATE = 0  #: the state token that comes next
    OUTPUT = 1  #: the answer's token that comes next
    INSIDE = 2  #: that no state token comes next: the user is in the middle of an utterance
    PAUSE = 3  #: the same where the user breaks off


@dataclass(frozen=True)
class Encoded:
    """A sample as the model sees it.

    Attributes:
        labels: for each token its id where it is learned (predicted from the tokens before it),
            else `NOT_LEARNED`.
        inside: for each token whether the user is in the middle of an utterance after it: more
            words of it follow, or the sample ends there because the user only paused.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    inside: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.ids)


def targets(sample: Encoded, states: StateTokens) -> list[tuple[int, int, int]]:
    """List what a sample teaches: place of the last token seen, id of the next one, `Target`.

    The next id is `NOT_LEARNED` where a sample ends in the middle of an utterance.
    """
    found = []
    for place in range(len(sample)):
        last = place == len(sample) - 1
        label = NOT_LEARNED if last else sample.labels[place + 1]
        if label != NOT_LEARNED:
            state = label in states.decisions
            found.append((place, label, int(Target.STATE if state else Target.OUTPUT)))
        elif sample.inside[place]:
            following = NOT_LEARNED if last else sample.ids[place + 1]
            found.append((place, following, int(Target.PAUSE if last else Target.INSIDE)))
    return found


class TooLong(Exception):
    """The last exchange alone is longer than the maximum."""


class Row:
    """An `Encoded` that grows."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.labels: list[int] = []
        self.inside: list[bool] = []

    def context(self, ids: Iterable[int]) -> None:
        ids = list(ids)
        self.ids += ids
        self.labels += [NOT_LEARNED] * len(ids)
        self.inside += [False] * len(ids)

    def learned(self, ids: Iterable[int]) -> None:
        ids = list(ids)
        self.ids += ids
        self.labels += ids
        self.inside += [False] * len(ids)

    def add(self, row: Row, learned: bool = True) -> None:
        if not learned:
            self.context(row.ids)
            return
        self.ids += row.ids
        self.labels += row.labels
        self.inside += row.inside

    def utterance(self, ids: Sequence[int], finished: bool) -> None:
        self.context(ids)
        if ids:
            self.inside[-len(ids) :] = [*[True] * (len(ids) - 1), not finished]


class Encoder:
    """Encodes samples for one tokenizer.

    Args:
        max_tokens: longer samples lose whole exchanges from the front until they fit.
        answer_tokens: longer answers of the `duo` recipe are cut off there; 0 for none.
        recipe: of `duo.training.settings`; the state token of `vita` begins the answer.

    Raises:
        BadInput: the tokenizer has no state tokens, or its chat template cannot be used.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        max_tokens: int,
        chat: str = "template",
        answer_tokens: int = 0,
        recipe: str = "duo",
    ) -> None:
        try:
            self.states: StateTokens = state_tokens(tokenizer)
        except KeyError as error:
            raise BadInput(f"the tokenizer has no state token {error.args[0]}") from None
        self._tokenizer, self._state_answers = tokenizer, recipe == "vita"
        if names := CONTROL_TOKENS.get(recipe):
            self.states = replace(self.states, others=self.control(names))
        self.max_tokens, self._answer_tokens = max_tokens, answer_tokens
        self._format = lru_cache(maxsize=64)(lambda system: chat_format(tokenizer, chat, system))
        self.chat: ChatFormat = self._format(None)
        #: What ends an answer and opens the user's turn, where the template has one mark for both.
        self._shared = self.chat.ending()[len(self.chat.assistant_close) :]

    def control(self, names: Sequence[str]) -> tuple[int, ...]:
        """Look up control tokens that the tokenizer has."""
        known = self._tokenizer.get_added_vocab()
        return tuple(known[name] for name in names)

    @property
    def key(self) -> str:
        """A hash of all that makes this encoder what it is."""
        return fingerprint(
            vocabulary=self._tokenizer.get_vocab(),
            state_answers=self._state_answers,
            chat=repr(self.chat),
            max_tokens=self.max_tokens,
            answer_tokens=self._answer_tokens,
        )

    def sample(self, sample: Sample, context: int = 0) -> Encoded:
        """Encode a sample of the `duo` recipe.

        Args:
            context: how many of its messages, from the first, teach nothing.

        Raises:
            TooLong: its last exchange does not fit.
            BadInput: the chat template refuses its system message.
        """
        first = sample.messages[0]
        system = first.content if isinstance(first, SystemMessage) else None
        exchanges: list[Row] = []
        ended = False  # the turn before is a complete answer that is learned
        for number, message in enumerate(sample.messages):
            turn = Row()
            if isinstance(message, UserTurn):
                self._user(turn, message, ended)
                ended = False
            elif isinstance(message, AssistantTurn):
                following = sample.messages[number + 1 : number + 2]
                asked = any(isinstance(after, UserTurn) for after in following)
                follows = isinstance(sample.messages[number - 1], UserTurn) and number > 0
                ended = self._assistant(turn, message, asked, follows) and number >= context
            else:
                continue
            if isinstance(message, UserTurn) or not exchanges:
                exchanges.append(Row())
            exchanges[-1].add(turn, learned=number >= context)
        return self.fitted(self._format(system).preamble, exchanges)

    def slices(self, slices: Sequence[tuple[str, str]]) -> Encoded:
        """Encode a dialogue of the `duplex` recipe, slices of both sides (Zhang et al. 2024).

        Every answer slice is learned, with the end of turn after it; silence is `<idle>`.

        Raises:
            TooLong: the last pair of slices does not fit.
        """
        pairs: list[Row] = []
        answer: list[int] = []  # of this turn so far, whose words go over the ends of slices
        said = ""
        for place, (role, text) in enumerate(slices):
            if role == "user":
                pairs.append(Row())
                self._open(pairs[-1], ended=place > 0 and slices[place - 1][0] != "user")
                idle = text.strip() == IDLE
                pairs[-1].context([self.states.idle] if idle else self.chat.text(text))
                pairs[-1].context(self.chat.user_close)
                if not idle:
                    answer, said = [], ""
                continue
            if not pairs:
                pairs.append(Row())
            pairs[-1].context(self.chat.assistant_open)
            if text.strip() == IDLE:
                pairs[-1].learned([self.states.idle])
            else:
                said += text
                whole = self.chat.text(said, "assistant")
                more = whole[len(answer) :] if whole[: len(answer)] == answer else None
                pairs[-1].learned(more or self.chat.text(text, "assistant"))
                answer = whole
            self.end(
                pairs[-1], asked=any(after == "user" for after, _ in slices[place + 1 : place + 2])
            )
        return self.fitted(self.chat.preamble, pairs)

    def _open(self, row: Row, ended: bool) -> None:
        """Open a user turn: learned as far as the answer before is `ended` by it."""
        shared = len(self._shared) if ended else 0
        row.learned(self.chat.user_open[:shared])
        row.context(self.chat.user_open[shared:])

    def _user(self, row: Row, turn: UserTurn, ended: bool) -> None:
        self._open(row, ended)
        row.utterance(self.chat.text(turn.content), finished=turn.state is not None)
        if turn.state is not None:
            state = {"<1>": self.states.respond, "<2>": self.states.ignore}[turn.state]
            if self._state_answers:
                row.context([*self.chat.user_close, *self.chat.assistant_open])
                row.learned([state])
            else:
                row.learned([state])
                row.context(self.chat.user_close)

    def _assistant(self, row: Row, turn: AssistantTurn, asked: bool, follows: bool) -> bool:
        """Encode an answer, which `follows` a user turn or not; return whether it is complete."""
        if not (self._state_answers and follows):
            row.context(self.chat.assistant_open)
        ids = self.chat.text(turn.content, "assistant")
        short = ids[: self._answer_tokens] if self._answer_tokens else ids
        row.learned(short)
        if turn.complete and len(short) == len(ids):
            self.end(row, asked)
            return True
        row.context(self.chat.assistant_cut)
        return False

    def end(self, row: Row, asked: bool) -> None:
        """Close an answer: learned up to the token that ends it, as generation stops there.

        If the user is `asked` next, that token may be the first one of the user's turn.
        """
        close = self.chat.assistant_close
        if asked and self._shared:
            row.learned(close)
            return
        ending = self.chat.ending(last=not asked)
        row.learned(ending)
        if close[: len(ending)] == ending:
            row.context(close[len(ending) :])

    def fitted(self, preamble: Sequence[int], exchanges: list[Row]) -> Encoded:
        """Put exchanges together, those at the end that fit; none teach nothing.

        Raises:
            TooLong: not even the last one does.
        """
        room = self.max_tokens - len(preamble)
        kept: list[Row] = []
        for exchange in reversed(exchanges):
            room -= len(exchange.ids)
            if room < 0:
                break
            kept.insert(0, exchange)
        if exchanges and not kept:
            raise TooLong
        if len(kept) < len(exchanges):  # what its opening ended is not there any more
            shared = len(self._shared)
            kept[0].labels[:shared] = [NOT_LEARNED] * shared
        row = Row()
        row.context(preamble)
        for exchange in kept:
            row.add(exchange)
        return Encoded(tuple(row.ids), tuple(row.labels), tuple(row.inside))


def without_ignored_turns(sample: Sample) -> Iterator[tuple[Sample, int]]:
    """Split a sample: up to each ignored turn, then the conversation without any of them.

    What a sample teaches is shared out among them: each turn is learned in one of them, and in none
    does anything come after an ignored turn. An answer that goes on after one is in one piece.

    Yields:
        A sample, and how many of its messages, from the first, are context alone.
    """
    kept: list[Message] = []
    for message in sample.messages:
        if isinstance(message, UserTurn) and message.state == "<2>":
            yield _with(sample, [*kept, message]), len(kept)
            continue
        begun = kept[-1] if kept else None
        if (
            isinstance(message, AssistantTurn)
            and isinstance(begun, AssistantTurn)
            and not begun.complete
        ):
            words = f"{begun.content} {message.content}".strip()
            kept[-1] = AssistantTurn(content=words, complete=message.complete)
        else:
            kept.append(message)
    if any(message.role != "system" for message in kept):
        yield _with(sample, kept), 0


def _with(sample: Sample, messages: Sequence[Message]) -> Sample:
    return sample.model_copy(update={"messages": tuple(messages)})
