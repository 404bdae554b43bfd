"""Listen while speaking, and let two state tokens decide: DUO (the paper's section 2).

A conversation runs in cycles. In a cycle the words newly heard come in, at most `lookahead` forward
passes run, and at most `lookahead` tokens go out. Each pass carries both channels: the output
channel's last token, and of the input channel first all that is new and then, one by one, the words
expected next. Among those the model announces what the utterance is:

- `<1>`, a query: the input channel becomes the context, the old answer ends, a new one begins;
- `<2>`, not a query: the input channel is dropped, the answer goes on as if nothing had been said.

Neither counts while the user speaks: a decision is taken in silence. There are two rules. The
paper's waits for a state token among the words expected. Ours (`decide_at`) goes by what the model
knows after the last word heard: p(<1>) + p(<2>) says whether somebody is done, and which of the two
is likelier what to do about it.

Speech goes on until the decision, or is held before it (`yielding`): what the model knows after the
words so far already tells an interruption from a hum. It goes on exactly where it was if the words
are ignored, and falls if they are answered.

What is expected after the same words is always the same (look-ahead is greedy; only the output may
be sampled), so it is computed once, in passes that the output needed anyway. A decision then costs
no pass of its own: the first one after it already yields the first token of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import PositiveFloat, PositiveInt
from transformers import PreTrainedModel

from duo.backbone import Backbone
from duo.decoding.channels import Asked, Channels, Scores
from duo.decoding.context import Context
from duo.decoding.conversant import (
    CycleLog,
    CycleResult,
    Frames,
    Heard,
    Kind,
    Revision,
    Steps,
    System,
    Turn,
    run,
)
from duo.decoding.fused import FusedChannels
from duo.decoding.monitor import MonitoredContext
from duo.decoding.settings import Chance, Chances, Settings
from duo.decoding.speaker import Speaker
from duo.errors import BadInput
from duo.fusion import FrameTable
from duo.tokens import decision
from duo.words import cut

#: Rules of the published code: the pieces of `<1>` as text, and the silent cycles after which it
#: answers, while an answer is being given and while none is.
_STATE_PIECES, _PATIENCE_SPEAKING, _PATIENCE_SILENT = 3, 3, 2


@dataclass(frozen=True, kw_only=True)
class DuoSettings(Settings):
    """Settings of a conversation with two channels. The defaults are the paper's, where it says.

    Attributes:
        lookahead: forward passes a cycle, and so tokens spoken a cycle and words looked ahead (the
            paper's alpha).
        decide_at: the least p(<1>) + p(<2>) after the last word heard at which silence decides, for
            the likelier of the two. Where that is `<2>` and nothing is being said, ignoring takes
            `<2>` as the likeliest token of all: half a question is not forgotten. None is the
            paper's rule: a state token among the words looked ahead.
        answer_at: the least share of p(<1>) in p(<1>) + p(<2>) at which that answers what was said
            over an answer: more than one half, to talk on where it is in doubt.
        silence: seconds without a word after which that may decide, in whole cycles. Words come
            when they are over, so that less than a long word's length cuts users off.
        patience: seconds of silence without such a decision after which `on_silence` decides.
        patience_speaking: the same over an answer: few pause to think while another is speaking.
        on_silence: "likelier": what the likelier of the two state tokens said after the last word
            that was heard. A model that is in doubt whether somebody is done may well know that a
            hum is no question. If it leans towards ignoring and says nothing meanwhile, it waits
            on: that costs nothing, and half a question is not forgotten. "respond" is what the
            authors' code does.
        forget_after: seconds of silence after which an utterance that is still waited on is
            ignored, so that what is said minutes later does not join it.
        ignored_utterances: "forget" them (the paper's decoder), or "remember": re-encode the remark
            after the finished answer, as the paper's training samples have it.
        monitor: name of a model that decides in this one's place: it hears, and this one answers;
            see `duo.decoding.monitor`.
        yielding: "decide": speech goes on until something is answered (the paper). "pause": it is
            held until the decision, once `hold_words` words were heard and `hold_at` allows it, or
            after `hold_after`. No token is computed meanwhile, so that nothing is said that the
            user does not hear.
        hold_words: words of an utterance, in any of which speech can be held.
        hold_at: the least share of p(<1>) in p(<1>) + p(<2>) after the words so far at which speech
            is held; None to hold it whatever the model knows.
        hold_after: seconds since an utterance's first word after which its next word holds speech
            whatever the model knows, as few remarks are that long; None for never.
        after_interruption: "drop" what was spoken between the interruption's first words and the
            decision (the paper), or "merge" it into the context, as the user did hear it; "pause"
            always merges.
        published: decide by the rules of the published code, in place of those above, and stop the
            voice at any word, as its client does; see `duo.decoding.sequential`.
    """

    lookahead: PositiveInt = 4
    decide_at: Chance | None = 0.05
    answer_at: Chance = 0.5
    silence: PositiveFloat = 0.6
    patience: PositiveFloat = 4.0
    patience_speaking: PositiveFloat = 2.0
    on_silence: Literal["likelier", "respond"] = "likelier"
    forget_after: PositiveFloat = 10.0
    ignored_utterances: Literal["forget", "remember"] = "forget"
    yielding: Literal["decide", "pause"] = "decide"
    hold_words: PositiveInt = 2
    hold_at: Chance | None = 0.7
    hold_after: PositiveFloat | None = 0.75
    after_interruption: Literal["drop", "merge"] = "drop"
    published: bool = False
    monitor: str = ""


def usual_decide_at(hears: Backbone) -> float | None:
    """Choose `decide_at` where nobody sets it: that of the model's state rows, or the usual one."""
    return DuoSettings.decide_at if hears.decide_at is None else hears.decide_at


class Duo(System):
    """The paper's system. With `SequentialChannels` it is the published code, corrected."""

    _chances: tuple[float, float]  # of `<1>` and `<2>` after the last word heard

    def __init__(
        self,
        backbone: Backbone,
        settings: DuoSettings | None = None,
        *,
        channels: Callable[[PreTrainedModel], Channels] = FusedChannels,
        name: str = "duo",
        monitor: Backbone | None = None,
        monitor_channels: Callable[[PreTrainedModel], Channels] | None = None,
    ) -> None:
        self.name = name
        self.settings = settings = settings or DuoSettings()
        super().__init__(settings)
        self.context = Context(backbone, channels(backbone.model), settings, settings.lookahead)
        hears = backbone
        if monitor is not None:
            own = monitor_channels or channels
            its = Context(monitor, own(monitor.model), Settings(), settings.lookahead)
            # It has all that is used of a context here.
            self.context = cast(Context, MonitoredContext(backbone, monitor, self.context, its))
            hears = monitor
        self.channels = self.context.channels
        self._tokenizer, self._heard_tokenizer = backbone.tokenizer, hears.tokenizer
        self._states = hears.states
        self._look = Chances((self._states.respond, self._states.ignore))
        self._turn_ends = hears.chat.stop
        self._speaker = Speaker(backbone, self.context, settings, settings.lookahead)
        self._model, self._frames = backbone.model, list[int]()  # frames of this conversation
        self.reset()

    def reset(self) -> None:
        """Forget the conversation; the next one draws the same random numbers."""
        self.context.reset()
        self._speaker.reset()
        if self._frames:
            self._table.release(self._frames)
            self._frames.clear()
        self._unheard = ""
        self._cycles_heard = 0  # since the utterance's first words
        self._holding = False  # speech is held
        self._next: int | None = None  # what follows it
        self._expect_nothing()

    def recall(self, turns: Sequence[Turn]) -> None:
        """Go on from a dialogue held before; see `duo.decoding.conversant.Recalling`."""
        self.context.recall(turns, states=True)

    def unheard(self, text: str) -> None:
        """Forget this end of the answer if it is cut; see `duo.decoding.conversant.Voiced`."""
        self._unheard = text

    def cycle(self, heard: Heard | Frames) -> CycleResult:
        return run(self.steps(heard))

    def steps(self, heard: Heard | Frames) -> Steps:
        log = CycleLog(self.channels, self.settings.lookahead)
        if self.context.refused:
            return log.result(busy=False)
        self._cycles_heard = self._cycles_heard + 1 if self.context.listening else 0
        silent = self._hear(heard, log)
        log.mute = self.settings.published and not silent
        self._speaker.make_room(log)
        if not self.channels.speaking:  # the context was full: nothing to hold, any more
            self._holding, self._next = False, None
        if silent and self.context.listening:
            self._decide(log)
        looked = 0
        for _ in range(self.settings.lookahead):
            looking = self._looks_ahead()
            speaks = self.channels.speaking and not self._holding
            if not (looking or speaks):
                break
            if speaks and self._next is not None:  # known since speech was held
                token, self._next = self._next, None
                log.step += 1
                self._speaker.speak(token, log)
                continue
            scores: Scores = yield self.channels
            log.step += 1
            wanted = []
            if scores.output is not None:
                wanted.append(self._speaker.choose(scores.output))
            if looks := looking and scores.input is not None:
                wanted.append(Asked(self._look, scores.input))
            numbers = yield wanted
            if looks:
                expected, respond, ignore = numbers[-1]
                if not self._expected:
                    self._chances = respond, ignore
                self._expected.append(int(expected))
                looked += 1
                self._hold(log)
            if scores.output is not None:
                token = int(numbers[0][0])
                if self._holding:
                    self._next = token
                else:
                    self._speaker.speak(token, log)
        if looked and (text := self._expected_text()):
            log.add(Kind.PREDICTED, text)
        if log.unheard:
            log.add(Kind.NOTE, f"the voice was stopped by the user's words before: {log.unheard}")
        return log.result(busy=self.channels.speaking)

    @property
    def _table(self) -> FrameTable:
        """The model's frames.

        Raises:
            BadInput: the model was not prepared for any, or another one hears.
        """
        found = getattr(self._model, "duo_frames", None)
        if found is None or self.settings.monitor:
            raise BadInput("frames need duo.fusion.take_in(model) before, and no monitor")
        return found

    # -- hearing and deciding ----------------------------------------------------------------

    def _hear(self, heard: Heard | Frames, log: CycleLog) -> bool:
        """Take in what was heard; return whether the user is silent in this cycle."""
        listening = self.context.listening
        if isinstance(heard, Frames):
            frames = self._table.add(heard.vectors)
            self._frames += frames
            if not listening:
                log.add(Kind.FORK)
            self._expect_nothing()
            self.context.hear(self.context.text, frames)
            return False
        if isinstance(heard, Revision):
            text = heard.text
            if listening and not text.strip():  # the recogniser takes back all that it had heard
                self._ignore("revision", log)
        else:
            text = self.context.text + heard
            if listening and not heard.strip():  # a blank belongs to the utterance, yet is silence
                self.context.text = text
                return True
        if not text.strip():
            return True
        if not listening:
            log.add(Kind.FORK)
        self._expect_nothing()
        self.context.hear(text)
        return False

    def _decide(self, log: CycleLog) -> None:
        """Act on silence: by what the model knows or expects, or without that by patience."""
        self.silent_cycles += 1
        if self.settings.published:
            self._decide_as_published(log)
            return
        settings = self.settings
        patience = settings.patience_speaking if self._answering else settings.patience
        if self.silence >= settings.silence and self._obey(self._announced(), log):
            return
        if self.silence >= patience:
            self._run_out(log)

    def _obey(self, state: int | None, log: CycleLog) -> bool:
        """Do what a state token says, if it is one; return whether it is."""
        if state == self._states.respond:
            self._respond("state", log)
        elif state == self._states.ignore:
            self._ignore("state", log)
        else:
            return False
        return True

    def _announced(self) -> int | None:
        """Return the state token that decides in silence, or what says that there is none."""
        if not self._expected:
            return None
        if self.settings.decide_at is None:
            return self._expected[-1]
        said = decision(
            *self._chances,
            decide_at=self.settings.decide_at,
            answer_at=self.settings.answer_at if self._answering else 0.5,
            hold=not self._answering and self._expected[0] != self._states.ignore,
        )
        return {"respond": self._states.respond, "ignore": self._states.ignore}.get(said)

    def _decide_as_published(self, log: CycleLog) -> None:
        """Read a state only while an answer is given, and only if all its pieces were expected."""
        speaking = self.channels.speaking
        fits = len(self._expected) + _STATE_PIECES - 1 <= self.settings.lookahead
        state = self._expected[-1] if speaking and fits and self._expected else None
        if self._obey(state, log):
            return
        if self.silent_cycles >= (_PATIENCE_SPEAKING if speaking else _PATIENCE_SILENT):
            self._respond("patience", log)

    def _run_out(self, log: CycleLog) -> None:
        if self.settings.on_silence == "respond" or decision(*self._chances) == "respond":
            self._respond("patience", log)
        elif self.silence >= self.settings.forget_after or self._answering:
            self._ignore("patience", log)

    def _hold(self, log: CycleLog) -> None:
        """Hold speech if the words so far may well be answered, or go on for long."""
        settings, (respond, ignore) = self.settings, self._chances
        if settings.yielding == "decide" or self._holding or not self.channels.speaking:
            return
        heard = self._cycles_heard * self.cycle_seconds
        long = settings.hold_after is not None and heard >= settings.hold_after
        enough = len(cut(self.context.text)) >= settings.hold_words
        likely = settings.hold_at is None or respond >= settings.hold_at * (respond + ignore)
        if long or (enough and likely):
            self._holding = True
            log.add(Kind.HOLD)

    @property
    def _answering(self) -> bool:
        """Whether an answer is being given, or has ended since the user began to speak."""
        return self.channels.speaking or bool(self.channels.output.ids)

    def _respond(self, by: str, log: CycleLog) -> None:
        pauses = self.settings.yielding == "pause"
        merge = pauses or self.settings.after_interruption == "merge"
        since_fork = self.channels.output.ids
        forgotten = "" if merge else self._tokenizer.decode(since_fork, skip_special_tokens=True)
        log.respond(by, self.channels.speaking, forgotten)
        state = self._states.respond if by == "state" else None
        unheard = self._speaker.unheard(self._unheard)
        self.context.respond(state=state, merge=merge, unheard=unheard)
        self._speaker.begin()
        self._unheard = ""
        self._holding, self._next = False, None
        self._expect_nothing()

    def _ignore(self, by: str, log: CycleLog) -> None:
        log.add(Kind.IGNORE, by=by)
        if self._holding:
            log.add(Kind.RESUME)
        self._holding = False
        remember = self.settings.ignored_utterances == "remember" and by != "revision"
        self.context.ignore(remember=remember)
        self._expect_nothing()

    def _expect_nothing(self) -> None:
        """Reset the look-ahead: nothing is known of how the utterance goes on, or it is over."""
        self._expected: list[int] = []
        self._chances = (0.0, 0.0)
        self.silent_cycles = 0

    # -- looking ahead and speaking ----------------------------------------------------------

    def _looks_ahead(self) -> bool:
        """Decide whether one more word is expected; the last one joins the channel."""
        by_words = self.settings.decide_at is None or self.settings.published
        looks = self.settings.lookahead if by_words else 1
        if not self.context.listening or len(self._expected) >= looks:
            return False
        if self._expected:
            last = self._expected[-1]
            if last in (self._states.respond, self._states.ignore) or last in self._turn_ends:
                return False
            self.context.expect(last)
        return True

    def _expected_text(self) -> str:
        """Decode the look-ahead: words, and a state token if one is expected; no end of turn."""
        words = [token for token in self._expected if token not in self._turn_ends]
        return self._heard_tokenizer.decode(words, clean_up_tokenization_spaces=False)
