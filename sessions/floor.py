"""Who has the floor: when the answer to the user's last query began, and when it ended.

Start rules hang on these two moments. They must mean the same for systems that listen while they
speak, that are deaf while they speak, that answer in slices, and that never answer:

- A query (an utterance labelled so) opens the wait for its answer when its first word is spoken.
- What is spoken before the query's end is not its answer. Nor is what a system speaks after it that
  reports decisions (fork, respond, ignore) and has made none since: it may be the old answer, still
  going on while the new words are being weighed.
- The answer *began* with the first speech after that. If the system then responds to something else
  that it heard, a backchannel say, what follows counts as the answer, and begins anew.
- The answer *ended* when the system says so (`answer_end`, possibly without a word: a stop request
  is answered by silence). A system that never says so has ended when it is no longer busy, unless
  it was cut off: a user waits for the rest of an answer that broke off.

If none of this comes, waiting ends after some seconds in which nobody spoke.
"""

from __future__ import annotations

from collections.abc import Iterable

from duo.transcript import TranscriptEvent

_DECISIONS = ("respond", "ignore")


class Floor:
    """Follows a conversation and knows about the answer to its last query.

    Attributes:
        began: when that answer began, in seconds; None if it has not.
        ended: when it ended; None if it has not.
        quiet_since: when somebody was last heard speaking, or 0.
        busy: whether the system is still giving an answer.
        decides: whether the system has ever reported a decision or a fork.
    """

    def __init__(self) -> None:
        self.began: float | None = None
        self.ended: float | None = None
        self.quiet_since = 0.0
        self.busy = False
        self.decides = False
        self._last_speech = 0.0
        self._query_end = float("inf")  # nothing was asked yet
        self._decided = False
        self._cut = False
        self._heard_anew = False  # words have come since the last decision

    def user_speaks(self, end: float, *, query: bool) -> None:
        """The user begins an utterance that will end at `end`."""
        self.quiet_since = max(self.quiet_since, end)
        if query:
            self._query_end = end
            self._decided = False
            self._expect_answer()

    def words_are_heard(self) -> None:
        """The system hears something in this cycle."""
        self._heard_anew = True

    def system_acts(self, events: Iterable[TranscriptEvent], *, busy: bool) -> None:
        """What the system did in a cycle, in order."""
        self.busy = busy
        for event in events:
            if event.kind == "speech":
                self._speech(event)
            elif event.kind in _DECISIONS:
                self._decision(event)
            elif event.kind == "fork":
                self.decides = True
            elif event.kind == "cut":
                self._cut = True
            elif event.kind == "answer_end" and self._answers(event.start):
                self.ended = max(event.start, self._last_speech)
        if not busy and self.ended is None and self.began is not None and not self._cut:
            self.ended = self._last_speech

    def _answers(self, moment: float) -> bool:
        """Whether what the system says at this moment is about the last query."""
        return moment >= self._query_end and (self._decided or not self.decides)

    def _speech(self, event: TranscriptEvent) -> None:
        self.quiet_since = max(self.quiet_since, event.end)
        self._last_speech = event.end
        self._cut = False
        if self._answers(event.start):
            self.ended = None
            if self.began is None:
                self.began = event.start

    def _decision(self, event: TranscriptEvent) -> None:
        self.decides = True
        if event.start < self._query_end:
            return
        if event.kind == "respond" and self._heard_anew:
            self._expect_answer()
        self._decided = True
        self._heard_anew = False

    def _expect_answer(self) -> None:
        self.began = self.ended = None
        self._cut = False
