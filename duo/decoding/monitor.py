"""Let one model decide and another one answer: the input channel on one, the output on the other.

A small model that was trained to decide expects words and state tokens; a larger one that was not
gives the answers. Both take in every word as it is heard, so that an answer begins one pass after
the decision, and hold the whole conversation in their own tokens. The state machine is that of
`duo.decoding.duo`: it sees one context and one pair of channels, and what the two models make of
them is arranged here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from duo.backbone import Backbone
from duo.decoding.channels import Channels, Scores, Strand
from duo.decoding.context import Context
from duo.decoding.conversant import Turn
from duo.tokens import common_prefix
from duo.words import whole_words


class MonitoredChannels:
    """The channels of two models: what is said is the speaker's, what is expected the monitor's.

    Both take in what is heard, so that the speaker can answer as soon as it is decided.

    Args:
        silence: scores `[vocabulary]` of the speaker by which an answer ends at once.
        ends: tokens of the monitor that end an answer.
    """

    def __init__(
        self, speaker: Channels, monitor: Channels, silence: Tensor, ends: frozenset[int]
    ) -> None:
        self.speaker, self.monitor = speaker, monitor
        self._silence, self._ends = silence, ends

    @property
    def speaking(self) -> bool:
        return self.speaker.speaking

    @speaking.setter
    def speaking(self, value: bool) -> None:
        self.speaker.speaking = value

    @property
    def output(self) -> Strand:
        return self.speaker.output

    @property
    def input(self) -> Strand | None:
        return self.monitor.input

    def speak(self, token: int) -> None:
        """Append a token to the output channel."""
        self.speaker.speak(token)

    @property
    def forward_passes(self) -> int:
        """Passes through both models."""
        return self.speaker.forward_passes + self.monitor.forward_passes

    @property
    def tokens_processed(self) -> int:
        return self.speaker.tokens_processed + self.monitor.tokens_processed

    @property
    def cache_bytes(self) -> int:
        return self.speaker.cache_bytes + self.monitor.cache_bytes

    def cancel(self) -> None:
        """End the pass under way in another thread."""
        self.speaker.cancel()
        self.monitor.cancel()

    def encode(self) -> Scores:
        """Run a pass of the speaker while it speaks, and one of the monitor for what it heard.

        The monitor begins each answer too. If it would say nothing, the user has asked for silence
        (a stop request is a query whose answer is empty), which the speaker was not taught.
        """
        if self.monitor.speaking:
            first = self.monitor.encode().output
            self.monitor.speaking = False
            if first is not None and int(first.argmax()) in self._ends:
                return Scores(self._silence.clone(), None)
        hears = self.speaker.input is not None and self.speaker.input.pending
        output = self.speaker.encode().output if self.speaking or hears else None
        heard = self.monitor.encode().input if self.input is not None else None
        return Scores(output, heard)


class MonitoredContext:
    """The conversation as both models have it; to `Duo` it is one `Context`."""

    def __init__(self, speaker: Backbone, monitor: Backbone, mine: Context, its: Context) -> None:
        self._speaker, self._monitor = speaker, monitor
        self._mine, self._its = mine, its
        silence = torch.full((len(speaker.tokenizer),), -torch.inf)
        silence[min(speaker.chat.stop)] = 0.0  # whatever the temperature, nothing else is drawn
        self.channels = MonitoredChannels(mine.channels, its.channels, silence, monitor.chat.stop)
        self._begin()

    def _begin(self) -> None:
        self._answer = len(self._mine.ids)  # where the present answer begins
        self._followed: list[int] = []  # what the monitor has of it

    def reset(self) -> None:
        """Begin a new conversation."""
        self._mine.reset()
        self._its.reset()
        self._begin()

    def recall(self, turns: Sequence[Turn], *, states: bool) -> None:
        """Begin after these turns; the speaker was not trained on state tokens."""
        self._mine.recall(turns, states=False)
        self._its.recall(turns, states=states)
        self._begin()

    @property
    def ids(self) -> list[int]:
        return self._mine.ids

    @property
    def answered(self) -> bool:
        return self._mine.answered

    @answered.setter
    def answered(self, value: bool) -> None:
        self._mine.answered = value

    @property
    def refused(self) -> bool:
        return self._mine.refused

    @property
    def listening(self) -> bool:
        return self._its.listening

    @property
    def text(self) -> str:
        return self._its.text

    @text.setter
    def text(self, value: str) -> None:
        self._its.text = value

    def hear(self, text: str) -> None:
        """Let both hear `text`, the whole utterance so far."""
        if not self.listening:
            self._follow()
        self._mine.hear(text)
        self._its.hear(text)

    def expect(self, token: int) -> None:
        """Append a word that the monitor expects."""
        self._its.expect(token)

    def ignore(self, *, remember: bool = False) -> None:
        """Drop the utterance; `remember` re-encodes it once the answer is finished."""
        self._mine.ignore(remember=remember)
        self._its.ignore(remember=remember)

    def respond(self, *, state: int | None, merge: bool = False, unheard: int = 0) -> None:
        """Make the utterance, with the words expected if a state token ends it, both's query.

        What the user never heard of the answer is forgotten by the speaker alone.
        """
        text = self.text if state is None else self._its.completed_text(self._monitor.tokenizer)
        if merge:
            self._its.ignore()
            self._follow()
            self._its.hear(text)
        self._its.respond(state=state)
        if text != self._mine.text:  # words that are expected complete it
            self._mine.hear(text)
        self._mine.respond(state=None, merge=merge, unheard=unheard)
        self._begin()

    def make_room(self) -> list[str]:
        """Make sure that one more cycle fits, in both contexts."""
        before = len(self._mine.channels.prefix.ids)
        notes = self._mine.make_room()
        self._answer -= before - len(self._mine.channels.prefix.ids)
        if not self._mine.in_answer:  # nothing is left of it
            self._answer = len(self._mine.ids)
        began, self._its.channels.speaking = self._its.channels.speaking, False
        notes += [f"(monitor) {note}" for note in self._its.make_room()]
        self._its.channels.speaking = began
        if not self._its.in_answer:  # of the answer it has nothing any more
            self._followed = []
        return notes

    def _follow(self) -> None:
        """Append to the monitor's context what was answered since, as far as words are whole."""
        self._its.answered = self.answered
        if not self._its.in_answer:
            return
        said = self._mine.ids[self._answer :]
        text: str = self._speaker.tokenizer.decode(
            said, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        if not self.answered and self.channels.speaking:
            text = whole_words(text)
        ids = self._monitor.chat.text(text, "assistant")
        kept = len(common_prefix([ids, self._followed]))
        channels = self._its.channels
        end = len(channels.prefix.ids)
        if kept < len(self._followed):  # the last word goes on otherwise than it began
            channels.cut_prefix(end - len(self._followed) + kept, end)
        channels.extend_prefix(ids[kept:])
        self._followed = ids
