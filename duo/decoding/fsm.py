"""Converse as a finite state machine in one stream: a text-level form of Wang et al. 2024.

"A Full-duplex Speech Dialogue Scheme Based On Large Language Models" puts what is heard and what is
said into one stream of tokens, and the model switches between two states by tokens of its own. In
LISTEN it says `<c.listen>` (go on listening) or `<s.speak>` (begin to speak), in SPEAK `<c.speak>`
or `<s.listen>`. Each chunk that is heard, here the words of a cycle, is appended, and one pass
chooses between the two tokens that the state allows; in SPEAK up to `lookahead` tokens follow. An
answer ends with `<s.listen>`, too. Silence after words is a chunk as well, `<idle>`, until the
model has decided about them.

What it is not: there are no modules of perception and of speech, and chunks are cycles of words,
not 0.6 s of audio. What was ignored stays in the stream, and the answer sees it.

Cost: one pass a token, and one a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from duo.decoding.conversant import CycleLog, Kind, Turn
from duo.decoding.stream import Streamed


class Fsm(Streamed):
    """A conversation in two states, in SPEAK while an answer is under way, else in LISTEN."""

    name = "fsm"

    def _name_controls(self, found: Sequence[int]) -> Sequence[int]:
        self._listen_on, self._begin, self._speak_on, self._stop = found
        return [self._stop]

    def _chunk(self, words: str) -> list[int]:
        if words:
            return self.context.newest(self._chat.text(words))
        return [self._states.idle] if self._undecided and self._silent else []

    def _allowed(self) -> list[int]:
        if self._answering:
            return [self._speak_on, self._stop]
        return [self._listen_on, self._begin]

    def _decide(self, control: int, log: CycleLog) -> None:
        self.context.keep(control)
        if control == self._begin:
            self._respond(log)
        elif control == self._stop:
            log.add(Kind.CUT)
            self._answering = False
        elif control == self._speak_on and self._silent:
            self._ignore("state", log)
        else:
            self._run_out(log)
        if self._answering:
            self.context.answer([*self._chat.user_close, *self._chat.assistant_open])

    def _finish(self) -> None:
        if self._answering and not self.channels.speaking:
            self.channels.speak(self._stop)
            self._answering = False

    def control_token(self, state: Literal["respond", "ignore"] | None) -> int:
        """Name the control token that says so now; see `Streamed`."""
        return self._allowed()[state == "respond"]

    def recall(self, turns: Sequence[Turn]) -> None:
        """Go on from a dialogue held before; see `duo.decoding.conversant.Recalling`."""
        chat = self._chat
        for place, turn in enumerate(turns):
            if turn.role == "user":
                answered = [after.role for after in turns[place + 1 : place + 2]] == ["assistant"]
                self.context.take([*chat.text(turn.text), self._states.idle])
                self.context.keep(self._begin if answered else self._listen_on)
                continue
            self.context.answer([*chat.user_close, *chat.assistant_open])
            self.channels.extend_prefix([*chat.text(turn.text, "assistant"), self._stop])
            self.channels.speaking, self.context.answered = False, True
