"""Lay the turns of a conversation, in the model's chat format, over channels.

Here stands how turns open and close, what becomes of an interrupted answer or an ignored remark,
and what gives way when the context is full. Who decides what, and when, is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from duo.backbone import Backbone
from duo.decoding.channels import Channels, Strand
from duo.decoding.conversant import Turn
from duo.decoding.settings import Settings
from duo.errors import BadInput

#: The shortest utterance, in tokens, that a context must have room for.
_LEAST_ROOM = 32


class Context:
    """The turns so far, and the utterance that is being heard.

    Attributes:
        channels: the tokens and their cache.
        text: the utterance being heard, so far; "" while nobody is listened to.
        frames: of it, that were heard in place of words.
        heard: tokens of the input channel that were heard; those after them are expected words.
        answered: the answer in progress came to its own end, rather than being cut off.
        in_answer: the prefix ends inside an assistant turn.
        refused: the context was full and the conversation is over.

    Args:
        settings: how long it may be, and what happens when it is full.
        pace: tokens that are said, or looked ahead, in a cycle at most.

    Raises:
        BadInput: `max_tokens` is more than the model allows or too short for this chat format.
    """

    def __init__(
        self, backbone: Backbone, channels: Channels, settings: Settings, pace: int
    ) -> None:
        self.channels = channels
        self._chat, self._states = backbone.chat, backbone.states
        chat = self._chat
        pieces = (chat.assistant_close, chat.user_open, chat.user_close, chat.assistant_open)
        # What one cycle can add besides the words that it hears.
        self._reserve = sum(map(len, pieces)) + 2 * pace + 1
        self._limit = settings.max_tokens or backbone.max_tokens
        self._refuses = settings.when_full == "refuse"
        least = len(chat.preamble) + self._reserve + _LEAST_ROOM
        if not least <= self._limit <= backbone.max_tokens:
            raise BadInput(
                f"{self._limit} is not between {least} and {backbone.max_tokens}, what the chat "
                f"format needs and the model allows",
                field="max_tokens",
            )
        self.reset()

    def reset(self) -> None:
        """Begin a new conversation."""
        self.channels.clear()
        self.channels.extend_prefix(self._chat.preamble)
        self.heard = 0
        self.answered = False
        self.refused = False
        self.text = ""
        self.frames: list[int] = []
        self._opening: list[int] = []
        self._turns: list[int] = []  # where in the prefix each user turn begins
        self.in_answer = False
        self._remarks: list[str] = []  # ignored, to be remembered after the answer

    def recall(self, turns: Sequence[Turn], *, states: bool, opening: Sequence[int] = ()) -> None:
        """Begin after these turns instead of with nothing; call it right after `reset`.

        Args:
            turns: a user's that no answer follows was ignored.
            states: whether user turns end with the state token that they got.
            opening: what each answer begins with.
        """
        for place, turn in enumerate(turns):
            self.channels.extend_prefix(self._close_answer())
            if turn.role == "assistant":
                text = self._chat.text(turn.text, "assistant")
                self.channels.extend_prefix([*self._chat.assistant_open, *opening, *text])
                self.in_answer = self.answered = True
                continue
            answered = turns[place + 1 : place + 2] and turns[place + 1].role == "assistant"
            state = self._states.respond if answered else self._states.ignore
            self._turns.append(len(self.channels.prefix.ids))
            self.channels.extend_prefix(self._chat.user_turn(turn.text, state if states else None))
            self.in_answer = False

    @property
    def listening(self) -> bool:
        """An utterance is being heard and not decided."""
        return self.channels.input is not None

    @property
    def ids(self) -> list[int]:
        """Prefix and output: what the next output token follows."""
        return self.channels.prefix.ids + self.channels.output.ids

    def follow(self, other: Context) -> None:
        """Take over the conversation of another context of the same model.

        What both have in common stays in the cache; what this one said beyond it is forgotten.
        """
        ids = other.ids
        self.channels.drop_output()
        if ids[: len(self.channels.prefix.ids)] != self.channels.prefix.ids:
            self.channels.clear()
        self.channels.extend_prefix(ids[len(self.channels.prefix.ids) :])
        self._turns, self.in_answer = list(other._turns), other.in_answer
        self.answered, self._remarks = other.answered, list(other._remarks)

    # -- the utterance -----------------------------------------------------------------------

    def hear(self, text: str, frames: Sequence[int] = ()) -> None:
        """Hear `text`, the whole utterance so far: open an input channel or correct it.

        More `frames` (see `duo.fusion`) are appended to those heard; they stand before the text.

        All of it is tokenised again, so the ids are those of the whole utterance however it was
        sliced; expected words are rolled back.
        """
        if not self.listening:
            if not self.channels.speaking:
                self._lay_remarks()
            self._opening = self._open_user_turn()
            self.channels.fork(self._opening)
            self.heard, self.frames = 0, []
        self.text = text
        self.frames = [*self.frames, *frames]
        ids = [*self._opening, *self.frames, *self._chat.text(text)]
        # A fresh channel holds the opening already, uncached, and `listen` finds it in common.
        self.channels.truncate_input(max(self.heard, len(self._opening)))
        self.channels.listen(ids)
        self.heard = len(ids)

    def expect(self, token: int) -> None:
        """Append an expected word to what was heard, so that the next one can follow."""
        self._input().ids.append(token)

    def ignore(self, *, remember: bool = False) -> None:
        """Drop the utterance; `remember` re-encodes it once the answer is finished."""
        if remember:
            self._remarks.append(self.text)
        self.channels.drop_input()
        self.text = ""

    def completed_text(self, tokenizer: Any) -> str:
        """Return the utterance with the words that are expected after it."""
        ids = self._input().ids[len(self._opening) :]
        return tokenizer.decode(ids, clean_up_tokenization_spaces=False)

    def respond(
        self,
        *,
        state: int | None,
        merge: bool = False,
        opened: bool = False,
        unheard: int = 0,
    ) -> None:
        """Make the utterance the query and open an answer to it.

        Args:
            state: the state token that ends the query; the expected words before it stay part of
                the query. None if silence alone decided: then only what was heard counts.
            merge: keep what was spoken since the fork in the context, before the query.
            opened: what closes the query and opens the answer was expected already; it is kept.
            unheard: tokens at the end of the answer that the user never heard: they are forgotten.
        """
        channels, chat = self.channels, self._chat
        if state is None and not opened:
            channels.truncate_input(self.heard)
        words = self._input().ids[len(self._opening) :]
        lost = unheard if merge else max(0, unheard - len(channels.output.ids))
        if (
            merge or self._remarks or lost
        ):  # the query follows something else than it was heard after
            channels.drop_input()
            if not merge:
                channels.drop_output()
            if lost:
                channels.truncate_prefix(len(self.ids) - lost)
                self.answered = False
            self._lay_remarks()
            opening = self._open_user_turn()
            channels.extend_prefix(opening)
            self._turns.append(len(channels.prefix.ids) - len(chat.user_open))
            channels.extend_prefix(words)
        else:
            start = len(channels.prefix.ids) + len(self._opening) - len(chat.user_open)
            channels.promote()
            self._turns.append(start)
        if not opened:
            close = [] if state is None else [state]
            channels.extend_prefix([*close, *chat.user_close, *chat.assistant_open])
        channels.speaking = self.in_answer = True
        self.answered = False
        self.text = ""

    def _open_user_turn(self) -> list[int]:
        return [*self._close_answer(), *self._chat.user_open]

    def _close_answer(self) -> tuple[int, ...]:
        """Find what ends the assistant turn that the context ends in, if it does."""
        if not self.in_answer:
            return ()
        return self._chat.assistant_close if self.answered else self._chat.assistant_cut

    def _lay_remarks(self) -> None:
        """Append remembered remarks after the answer as turns of their own, marked as no query."""
        for remark in self._remarks:
            self.channels.extend_prefix(self._close_answer())
            self._turns.append(len(self.channels.prefix.ids))
            self.channels.extend_prefix(self._chat.user_turn(remark, self._states.ignore))
            self.in_answer = False
        self._remarks.clear()

    def _input(self) -> Strand:
        if self.channels.input is None:
            raise RuntimeError("nobody is being listened to")
        return self.channels.input

    # -- a full context ----------------------------------------------------------------------

    def make_room(self) -> list[str]:
        """Make sure that one more cycle fits; say in words what had to give way.

        In this order: the oldest turns, until a quarter of the context is free (so that it is not
        encoded again in every cycle); the present answer, which ends; the exchange it belongs to;
        the first half of what is being heard. With `when_full="refuse"` nothing gives way: the
        conversation ends and `refused` is set.
        """
        if self._fits(self._reserve):
            return []
        if self._refuses:
            self.refused, self.channels.speaking = True, False
            if self.listening:
                self.ignore()
            return [f"the context of {self._limit} tokens is full: the conversation ends here"]
        notes = []
        if dropped := self._drop_oldest_turns():
            notes.append(f"the context is full: the {dropped} oldest user turns were dropped")
        if self.channels.speaking and not self._fits(self._reserve):
            self.channels.speaking = False
            notes.append("the context is full: the answer was ended")
        if self.listening and self._turns and not self._fits(self._reserve):
            self._drop_all_turns()
            notes.append("the context is full: all turns before this utterance were dropped")
        while self.listening and not self._fits(self._reserve):
            self.frames = self.frames[(len(self.frames) + 1) // 2 :]
            self.hear(self.text[len(self.text) // 2 :])
            notes.append("the utterance is too long: its first half was forgotten")
        return notes

    def _fits(self, more: int) -> bool:
        return self.channels.length + more <= self._limit

    def _drop_oldest_turns(self) -> int:
        """Drop turns before the present exchange; return their number."""
        last = len(self._turns) - 1
        count, length = 0, self.channels.length
        while count < last and length > self._limit * 3 // 4:
            length -= self._turns[count + 1] - self._turns[count]
            count += 1
        if count:
            start, stop = self._turns[0], self._turns[count]
            self.channels.cut_prefix(start, stop)
            self._turns = [turn - (stop - start) for turn in self._turns[count:]]
        return count

    def _drop_all_turns(self) -> None:
        """Keep nothing but the preamble and the utterance that is being heard."""
        text, frames = self.text, self.frames
        self.channels.drop_input()
        self.channels.drop_output()
        self.channels.cut_prefix(len(self._chat.preamble), len(self.channels.prefix.ids))
        self._turns, self.in_answer, self._remarks = [], False, []
        self.hear(text, frames)
