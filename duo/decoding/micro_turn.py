"""Converse in short turns with control tokens: a text-level form of DuplexCascade (2603.09180).

Each cycle is a turn of the chat: what was heard in it, or `<silence>`, and then a control token and
what is said in it, up to `lookahead` tokens. `<listen>` says nothing, `<speak>` begins an answer or
goes on with it, `<stop>` gives it up, `<backchannel>` takes what was heard for no query, and an
answer under way goes on. The cache is kept from turn to turn. An answer is over when it ends within
a turn, or when `<listen>` follows it.

What it is not: there is no recogniser and no voice; a turn is a cycle, one second of words.

Cost: one pass a cycle, in silence too, and one a token; about ten tokens a second that only mark
turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from duo.decoding.conversant import CycleLog, Kind, Turn
from duo.decoding.stream import Streamed


class MicroTurn(Streamed):
    """A conversation in turns of one cycle."""

    name = "micro-turn"
    _pauses = True

    def _name_controls(self, found: Sequence[int]) -> Sequence[int]:
        self._silence, self._listen, self._speak, self._stop, self._pass_over = found
        return []

    def _chunk(self, words: str) -> list[int]:
        marks = (*self._chat.user_close, *self._chat.assistant_open)
        return self.context.newest(self._chat.text(words) if words else [self._silence], marks)

    def _allowed(self) -> list[int]:
        if self._answering:
            return [self._speak, self._stop, self._pass_over, self._listen]
        return [self._listen, self._speak, self._pass_over]

    def _decide(self, control: int, log: CycleLog) -> None:
        self.context.keep(control)
        if control == self._speak and not self._answering:
            self._respond(log)
        elif control == self._stop:
            log.add(Kind.CUT)
            self._answering = False
        elif control == self._listen and self._answering:
            self._speaker.end(log)
            self._answering = False
        elif control == self._pass_over and self._undecided:
            self._ignore("state", log)
        self._run_out(log)
        self.context.answer()
        self.channels.speaking = self._answering

    def _finish(self) -> None:
        # The speaker has ended the answer, or the turn is full and the answer goes on in the next.
        self._answering &= self.channels.speaking
        self.channels.speaking = False
        self.context.answered = True

    def control_token(self, state: Literal["respond", "ignore"] | None) -> int:
        """Name the control token that says so now; see `Streamed`."""
        if not self._undecided or state is None:
            return self._allowed()[0]
        return self._pass_over if state == "ignore" else self._allowed()[1]

    def recall(self, turns: Sequence[Turn]) -> None:
        """Go on from a dialogue held before; see `duo.decoding.conversant.Recalling`."""
        chat, size = self._chat, self.settings.lookahead
        for place, turn in enumerate(turns):
            ids = chat.text(turn.text, turn.role)
            answered = [after.role for after in turns[place + 1 : place + 2]] == ["assistant"]
            if turn.role == "user":
                self._recall(ids, self._listen if answered else self._pass_over)
                continue
            for start in range(0, max(1, len(ids)), size):
                self._recall([self._silence], self._speak)
                self.channels.extend_prefix(ids[start : start + size])

    def _recall(self, heard: Sequence[int], control: int) -> None:
        self.context.take([*heard, *self._chat.user_close, *self._chat.assistant_open])
        self.context.keep(control)
        self.context.answer()
        self.channels.speaking, self.context.answered = False, True
