"""One utterance of a scenario's user: what is said, when, how it is heard and what it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from duo.errors import misfit
from duo.speech import blank_between, cut
from duo.transcript import Label
from sessions.timing import Hearing, paced, revised

UtteranceKind = Literal[
    "question", "follow_up", "interruption", "correction", "repetition_request", "stop_request",
    "statement", "backchannel", "acknowledgement", "third_party", "self_talk",
    "background", "unfinished",
    "pause", "revision",
]  # fmt: skip
StartRule = Literal["at", "after_answer", "into_answer", "after_previous"]

KINDS: tuple[UtteranceKind, ...] = get_args(UtteranceKind)
START_RULES: tuple[StartRule, ...] = get_args(StartRule)
WAITING: tuple[StartRule, ...] = ("after_answer", "into_answer")

#: Kinds that are one label by what they mean: what is unfinished is no query yet. The others may be
#: either: a statement can call for an answer, and an utterance is of kind `pause` or `revision` for
#: how it is spoken or heard.
_ALWAYS: dict[str, Label] = {
    **dict.fromkeys(KINDS[:6], "query"),
    **dict.fromkeys(KINDS[7:13], "non_query"),
}
#: Between words timed one by one, a gap from this length on (seconds) counts as a pause.
_PAUSE = 0.5

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=2_000, allow_inf_nan=False)]
Spoken = Annotated[str, Field(min_length=1, pattern=r"\S")]


class Strict(BaseModel):
    """What every part of a scenario file has in common: no other fields, no guessed types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Words(Strict):
    """A stretch of speech without a pause, timed by the speaking rate."""

    text: Spoken


class Pause(Strict):
    """Silence inside an utterance."""

    pause: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)]


class TimedWord(Strict):
    """One word, timed by hand in seconds from the utterance's start."""

    word: Spoken
    start: Seconds
    end: Seconds


class RevisionOfWords(Strict):
    """The recogniser replaces the first words of an utterance after they were heard."""

    after_words: int = Field(ge=1)
    text: Spoken
    delay: Seconds = 0.3


def _tag(part: Any) -> str:
    """Which form a part of `say` has; only a mapping with a `pause` or a `word` is not text."""
    keys = part if isinstance(part, dict) else vars(part) if isinstance(part, BaseModel) else ()
    return "<pause>" if "pause" in keys else "<word>" if "word" in keys else "<text>"


def _as_parts(say: Any) -> Any:
    """Texts in `say`, alone or in a list, as the mappings that the schema knows."""
    if isinstance(say, (list, tuple)):
        return tuple({"text": part} if isinstance(part, str) else part for part in say)
    if isinstance(say, str):
        return ({"text": say},)
    raise misfit("must be a text, or a list of texts and pauses")


Part = Annotated[
    Annotated[Words, Tag("<text>")]
    | Annotated[Pause, Tag("<pause>")]
    | Annotated[TimedWord, Tag("<word>")],
    Discriminator(_tag),
]


class Utterance(Strict):
    """One utterance of the user."""

    id: str = Field(pattern=r"^[\w-]{1,64}$")
    at: Seconds | None = None
    after_answer: Seconds | None = None
    into_answer: Seconds | None = None
    after_previous: Seconds | None = None
    give_up: Seconds | None = None
    label: Label
    kind: UtteranceKind
    say: Annotated[tuple[Part, ...], BeforeValidator(_as_parts), Field(min_length=1)]
    words_per_minute: Rate | None = None
    characters_per_minute: Rate | None = None
    revisions: Annotated[tuple[RevisionOfWords, ...], Field(strict=False)] = ()

    @property
    def start_rule(self) -> tuple[StartRule, float]:
        """The rule that starts the utterance, and its seconds."""
        rules = ((rule, getattr(self, rule)) for rule in START_RULES)
        return next((rule, seconds) for rule, seconds in rules if seconds is not None)

    @property
    def text(self) -> str:
        """What the user says, as first heard: before any revision."""
        return "".join(self._words())

    def hearings(self, per_minute: float) -> tuple[Hearing, ...]:
        """What is heard of the utterance and when; `per_minute` is the default speaking rate."""
        rate = self.words_per_minute or self.characters_per_minute or per_minute
        changes = [(r.after_words, r.text.strip(), r.delay) for r in self.revisions]
        return tuple(revised(self._timed(rate), changes))

    def _words(self) -> list[str]:
        """All words of `say`, each with the blank before it."""
        words: list[str] = []
        for part in self.say:
            if isinstance(part, Pause):
                continue
            text = part.text if isinstance(part, Words) else part.word
            first, *others = cut(text) if isinstance(part, Words) else [" ".join(text.split())]
            words += [blank_between(words[-1] if words else "", first) + first, *others]
        return words

    def _timed(self, rate: float) -> list[Hearing]:
        words = iter(self._words())
        hearings: list[Hearing] = []
        now = 0.0
        for part in self.say:
            if isinstance(part, Pause):
                now += part.pause
            elif isinstance(part, TimedWord):
                hearings.append(Hearing(next(words), part.start, part.end))
            else:
                stretch = [next(words) for _ in cut(part.text)]
                hearings += paced(stretch, per_minute=rate, start=now)
                now = hearings[-1].end
        return hearings

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self._check_rule()
        self._check_say()
        if _ALWAYS.get(self.kind, self.label) != self.label:
            raise misfit(f"kind {self.kind} is always a {_ALWAYS[self.kind]}", "label")
        self._check_revisions()
        return self

    def _check_rule(self) -> None:
        given = [rule for rule in START_RULES if getattr(self, rule) is not None]
        if not given:
            raise misfit(f"has no start rule: one of {', '.join(START_RULES)}")
        if len(given) > 1:
            raise misfit(f"is a second start rule beside {given[0]}", given[1])

    def _check_say(self) -> None:
        timed = [isinstance(part, TimedWord) for part in self.say]
        if any(timed) and not all(timed):
            raise misfit("words timed one by one cannot stand beside others", "say")
        for end in (0, len(self.say) - 1):
            if isinstance(self.say[end], Pause):
                raise misfit("a pause stands between words", "say", end)
        paused = any(isinstance(part, Pause) for part in self.say)
        before = 0.0
        for number, part in enumerate(self.say):
            if isinstance(part, TimedWord):
                if part.start < before:
                    raise misfit(
                        f"begins before the last word's end ({before:g} s)", "say", number, "start"
                    )
                if part.end <= part.start:
                    raise misfit(f"is not after start ({part.start:g} s)", "say", number, "end")
                paused |= number > 0 and part.start - before >= _PAUSE
                before = part.end
        if self.kind == "pause" and not paused:
            raise misfit("has no pause, which its kind promises", "say")

    def _check_revisions(self) -> None:
        if self.kind == "revision" and not self.revisions:
            raise misfit("are missing, which the kind promises", "revisions")
        words = self._timed(self.words_per_minute or self.characters_per_minute or 150)
        due, count = 0.0, 0
        for number, revision in enumerate(self.revisions):
            if not count < revision.after_words <= len(words):
                between = f"not between {count + 1} and {len(words)}, the words left to revise"
                raise misfit(between, "revisions", number, "after_words")
            count = revision.after_words
            if words[count - 1].end + revision.delay < due:
                raise misfit("would come before the revision above", "revisions", number, "delay")
            due = words[count - 1].end + revision.delay
