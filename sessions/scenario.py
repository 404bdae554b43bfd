"""Read and write scenarios: what a user says, when, and what each utterance is; YAML files.

    name: capital-of-france
    language: en
    description: A short answer and a short thank-you.
    utterances:
      - id: capital
        at: 1.0                          # the start rule, in seconds
        label: query
        kind: question
        say:
          - What is the capital
          - pause: 1.2
          - of France?
      - id: thanks
        into_answer: 1.5
        label: non_query
        kind: acknowledgement
        say: Okay, thanks.

`say` is a text, a list of texts and pauses spoken at the speaking rate, or a list of words that are
timed one by one: `{word: Okay, start: 0.0, end: 0.3}`, in seconds from the utterance's start.
`revisions` are made by the recogniser: `{after_words: 3, text: What is a, delay: 0.4}`
replaces the first three words by `text`, `delay` seconds after the third was heard (see `revised`).

A *word* (`duo.words.cut`) is what a recogniser would hand on at once: with its punctuation, and
with the blank before it, so that the words joined are the text; in Chinese it is a character. Words
follow each other without a gap; a stretch of n words at r words a minute lasts 60 n / r seconds, of
which a longer word takes a larger share.

`context` is an optional dialogue that was held before, a list of `{user: ...}` and
`{assistant: ...}`: the conversation goes on from there. A user turn that no answer follows was not
meant for the assistant.

`control_of` names the scenario whose words these are, said without interrupting anybody (see
`control`).

Start rules, of which an utterance has exactly one:

- `at`: at this time; later if the user is still speaking then.
- `after_previous`: this long after the end of the utterance before.
- `after_answer`: when the last query was answered and nobody has spoken for this long, which is at
  least `breath` seconds (see `Defaults`).
- `into_answer`: this long after that answer began; sooner, a breath after its end, if it is short.

The user goes by what is heard, whatever a system reports. If no word of an answer comes, the user
goes on when nobody has spoken for `give_up` seconds (10 by default; after a request to stop, as
after an answer), and in any case `longest_wait` seconds (45) after the last words of their own: so
a scenario goes on with a system that never answers, and with one that never ends.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
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

from duo.decoding.conversant import Turn
from duo.errors import BadInput, misfit
from duo.files import check_writable, write_text
from duo.speech import SHORTEST_PAUSE
from duo.transcript import WANT_SILENCE, Label
from duo.words import blank_between, cut
from duo.yaml_file import MarkedYaml, read_yaml, yaml_text

UtteranceKind = Literal[
    "question", "follow_up", "interruption", "correction", "repetition_request", "topic_change",
    "assent", "stop_request", "hold_request",
    "backchannel", "acknowledgement", "third_party", "self_talk", "background", "vocal_tic",
    "unfinished",
    "statement", "pause", "revision",
]  # fmt: skip
StartRule = Literal["at", "after_answer", "into_answer", "after_previous"]

KINDS: tuple[UtteranceKind, ...] = get_args(UtteranceKind)
START_RULES: tuple[StartRule, ...] = get_args(StartRule)
WAITING: tuple[StartRule, ...] = ("after_answer", "into_answer")

#: Kinds that are one label by what they mean: what is unfinished is no query yet. The others may be
#: either: a statement can call for an answer, and an utterance is of kind `pause` or `revision` for
#: how it is spoken or heard.
ALWAYS: dict[str, Label] = {
    **dict.fromkeys(KINDS[:9], "query"),
    **dict.fromkeys(KINDS[9:16], "non_query"),
}

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=2_000, allow_inf_nan=False)]
Spoken = Annotated[str, Field(min_length=1, pattern=r"\S")]


#: Languages whose speaking rate is counted in characters.
WITHOUT_BLANKS = frozenset({"zh", "yue", "ja"})

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

#: Words a minute, where nobody says otherwise.
_USUAL_RATE = 150.0

#: The share of the time that a word takes besides one for each of its letters.
_ONSET = 2


@dataclass(frozen=True)
class Hearing:
    """One thing that is heard of an utterance: a word, or all of it again.

    Attributes:
        text: the word with the blank before it; if `restates`, the whole utterance as of now.
        start: seconds from the utterance's start.
        end: when it is heard, seconds from the utterance's start.
        restates: the recogniser revises: `text` replaces all that was heard of the utterance.
    """

    text: str
    start: float
    end: float
    restates: bool = False


def paced(words: Sequence[str], *, per_minute: float, start: float = 0.0) -> tuple[Hearing, ...]:
    """Give each word its time, from `start` on, at a rate in words (Chinese: characters)."""
    shares = [_ONSET + sum(character.isalnum() for character in word) for word in words]
    second = len(words) * 60 / per_minute / max(sum(shares), 1)
    hearings = []
    done = 0
    for word, share in zip(words, shares, strict=True):
        hearings.append(Hearing(word, start + second * done, start + second * (done + share)))
        done += share
    return tuple(hearings)


def revised(
    words: Sequence[Hearing], revisions: Iterable[tuple[int, str, float]]
) -> Iterator[Hearing]:
    """Return what is heard of an utterance that its recogniser revises, in order.

    A revision (n, text, delay) falls due `delay` seconds after word n ended. `text` then stands for
    the first n words, whatever was heard of them before; the words after them stay as they are. So
    the text finally heard is that of the last revision followed by the words after its n.
    """
    waiting = list(words)
    for count, text, delay in revisions:
        due = words[count - 1].end + delay
        while waiting and waiting[0].end <= due:
            yield waiting.pop(0)
        since = "".join(word.text for word in words[count : len(words) - len(waiting)])
        yield Hearing(text + since, due, due, restates=True)
    yield from waiting


def heard_text(hearings: Iterable[Hearing]) -> str:
    """Join all that was heard of an utterance, in the end."""
    text = ""
    for hearing in hearings:
        text = hearing.text if hearing.restates else text + hearing.text
    return text


class Strict(BaseModel):
    """A part of a scenario file: no other fields, no guessed types."""

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
    """Tell the form of a part of `say`; only a mapping with a `pause` or a `word` is not text."""
    keys = part if isinstance(part, dict) else vars(part) if isinstance(part, BaseModel) else ()
    return "<pause>" if "pause" in keys else "<word>" if "word" in keys else "<text>"


def _as_parts(say: Any) -> Any:
    """Make texts in `say`, alone or in a list, the mappings that the schema knows."""
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
        """The user's words as first heard: before any revision."""
        return "".join(word.text for word in self._timed(_USUAL_RATE))

    def hearings(self, per_minute: float) -> tuple[Hearing, ...]:
        """Time what is heard of the utterance; `per_minute` is the default speaking rate."""
        rate = self.words_per_minute or self.characters_per_minute or per_minute
        changes = [(r.after_words, r.text.strip(), r.delay) for r in self.revisions]
        return tuple(revised(self._timed(rate), changes))

    def _timed(self, rate: float) -> list[Hearing]:
        """Time all words of `say`, each with the blank before it."""
        hearings: list[Hearing] = []
        now = 0.0
        for part in self.say:
            if isinstance(part, Pause):
                now += part.pause
                continue
            before = hearings[-1].text if hearings else ""
            if isinstance(part, TimedWord):
                word = " ".join(part.word.split())
                hearings.append(Hearing(blank_between(before, word) + word, part.start, part.end))
            else:
                first, *others = cut(part.text)
                words = [blank_between(before, first) + first, *others]
                hearings += paced(words, per_minute=rate, start=now)
                now = hearings[-1].end
        return hearings

    @model_validator(mode="after")
    def _possible(self) -> Self:
        given = [rule for rule in START_RULES if getattr(self, rule) is not None]
        if not given:
            raise misfit(f"has no start rule: one of {', '.join(START_RULES)}")
        if len(given) > 1:
            raise misfit(f"is a second start rule beside {given[0]}", given[1])
        self._check_say()
        if ALWAYS.get(self.kind, self.label) != self.label:
            raise misfit(f"kind {self.kind} is always a {ALWAYS[self.kind]}", "label")
        self._check_revisions()
        return self

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
                paused |= number > 0 and part.start - before >= SHORTEST_PAUSE
                before = part.end
        if self.kind == "pause" and not paused:
            raise misfit("has no pause, which its kind promises", "say")

    def _check_revisions(self) -> None:
        if self.kind == "revision" and not self.revisions:
            raise misfit("are missing, which the kind promises", "revisions")
        words = self._timed(self.words_per_minute or self.characters_per_minute or _USUAL_RATE)
        due, count = 0.0, 0
        for number, revision in enumerate(self.revisions):
            if not count < revision.after_words <= len(words):
                between = f"not between {count + 1} and {len(words)}, the words left to revise"
                raise misfit(between, "revisions", number, "after_words")
            count = revision.after_words
            if words[count - 1].end + revision.delay < due:
                raise misfit("would come before the revision above", "revisions", number, "delay")
            due = words[count - 1].end + revision.delay


class Defaults(Strict):
    """Values for every utterance that does not say otherwise.

    Attributes:
        breath: an answer is over when nobody has spoken for so many seconds. Systems pause
            inside their answers too: in 516 answers to the suite `duo` and `turn-based` for 0.5 s
            at most, and `duplex`, whose slices of two seconds may end early, for up to 1.0 s. So
            1.5 s cuts no answer in two, and is still what a patient listener waits.
    """

    words_per_minute: Rate = _USUAL_RATE
    characters_per_minute: Rate = 250
    breath: Seconds = 1.5
    give_up: Seconds = 10
    longest_wait: Seconds = 45


class Before(Strict):
    """A turn of the dialogue before: what the user or what the assistant said."""

    user: Spoken | None = None
    assistant: Spoken | None = None

    @property
    def turn(self) -> Turn:
        """The turn as a system takes it."""
        if self.user is not None:
            return Turn("user", self.user)
        return Turn("assistant", self.assistant or "")

    @model_validator(mode="after")
    def _is_one_turn(self) -> Self:
        if (self.user is None) == (self.assistant is None):
            raise misfit("must be said by one of user and assistant")
        return self


class Scenario(Strict):
    """One side of a conversation: the user's."""

    name: str = Field(pattern=rf"^{_NAME}$")
    language: str = Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")
    description: str = ""
    control_of: str = Field(default="", pattern=rf"^({_NAME})?$")
    defaults: Defaults = Defaults()
    context: Annotated[tuple[Before, ...], Field(strict=False)] = ()
    utterances: Annotated[tuple[Utterance, ...], Field(strict=False, min_length=1)]

    @property
    def per_minute(self) -> float:
        """The default speaking rate: words, or in Chinese and Japanese characters, a minute."""
        if self._unspaced:
            return self.defaults.characters_per_minute
        return self.defaults.words_per_minute

    @property
    def sha256(self) -> str:
        """A hash of all that the scenario says, however its file is laid out."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def hearings(self, utterance: Utterance) -> tuple[Hearing, ...]:
        """Time what is heard of one of the utterances, in seconds from its start."""
        return utterance.hearings(self.per_minute)

    @property
    def _unspaced(self) -> bool:
        return self.language.split("-")[0] in WITHOUT_BLANKS

    @model_validator(mode="after")
    def _possible(self) -> Self:
        earliest = 0.0  # when the utterance before can have ended
        ids: set[str] = set()
        asked = False
        foreign_rate = "words_per_minute" if self._unspaced else "characters_per_minute"
        for number, utterance in enumerate(self.utterances):
            rule, seconds = utterance.start_rule
            here: Sequence[int | str] = ("utterances", number)
            if utterance.id in ids:
                raise misfit(f"{utterance.id} is taken by an utterance above", *here, "id")
            if getattr(utterance, foreign_rate) is not None:
                raise misfit(f"is not how {self.language} is timed", *here, foreign_rate)
            if number == 0 and rule != "at":
                raise misfit("nothing comes before the first utterance: start it at", *here, rule)
            if rule in WAITING and not asked:
                raise misfit("waits for an answer, but no query comes before", *here, rule)
            if rule == "at" and seconds < earliest:
                raise misfit(
                    f"the utterance before does not end before {earliest:.3f} s", *here, rule
                )
            ids.add(utterance.id)
            asked |= utterance.label == "query"
            start = seconds if rule == "at" else earliest
            start += seconds if rule == "after_previous" else 0
            earliest = start + max(hearing.end for hearing in self.hearings(utterance))
        return self


def control(scenario: Scenario) -> Scenario | None:
    """Make the half-duplex control of a scenario: the same words, each when the answer is over.

    None if no query that wants words interrupts an answer: there is nothing to compare.

    Raises:
        BadInput: the scenario's name leaves no room for that of another.
    """
    queries = [one for one in scenario.utterances if one.label == "query"]
    if not any(one.into_answer is not None and one.kind not in WANT_SILENCE for one in queries):
        return None
    content = scenario.model_dump(exclude_defaults=True)
    for utterance in content["utterances"]:
        if utterance.pop("into_answer", None) is not None:
            utterance["after_answer"] = 0.0
    name = f"{scenario.name}-control"
    if not re.fullmatch(_NAME, name):
        raise BadInput(f"{name} is too long for the name of a control", file=scenario.name)
    return Scenario.model_validate(content | {"name": name, "control_of": scenario.name})


def parse_scenario(text: str, file: str | Path) -> Scenario:
    """Parse the scenario that a YAML text describes.

    Raises:
        BadInput: it describes none; says the file, line and field of the first mistake.
    """
    return MarkedYaml(text, file).validated(Scenario)


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file; see `parse_scenario`."""
    return read_yaml(path).validated(Scenario)


def scenario_yaml(scenario: Scenario) -> str:
    """Write the text of a scenario's file; `parse_scenario` makes the same scenario of it."""
    content = scenario.model_dump(mode="json", exclude_defaults=True)
    for utterance in content["utterances"]:
        parts = [part.get("text", part) for part in utterance["say"]]
        utterance["say"] = parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts
    return yaml_text(content)


def write_scenarios(scenarios: Sequence[Scenario], out: Path, *, force: bool = False) -> list[Path]:
    """Write each scenario to `out/NAME.yaml`.

    Args:
        force: write over files that hold something else.

    Raises:
        BadInput: such a file is there, in which case nothing is written; or none can be written.
    """
    check_writable(out)
    texts = {out / f"{scenario.name}.yaml": scenario_yaml(scenario) for scenario in scenarios}
    for path, text in texts.items():
        if not force and path.exists() and path.read_bytes() != text.encode():
            raise BadInput("holds something else: --force writes over it", file=path)
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)
