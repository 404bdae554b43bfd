"""Read the design of a study, one YAML file: criteria, texts, checks, numbers (ours: `paper.yaml`).

What is asked is a comparison: each page shows the dialogues that the systems under study had with
the same user, and the rater ranks them on each criterion (see `sessions.study.views`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from duo.errors import BadInput, misfit, problems
from duo.yaml_file import read_yaml, yaml_text
from sessions.study.questionnaire import (
    Asked,
    Comprehension,
    Count,
    Criterion,
    Marks,
    Name,
    Strength,
    Strict,
    Text,
)
from sessions.study.wording import LANGUAGES, read_words, translated, words_of

#: The design that is used where none is given: the paper's five criteria (its section 4.3).
PAPER = Path(__file__).with_name("paper.yaml")
#: What differs from it in a live study.
LIVE = Path(__file__).with_name("live.yaml")

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$", max_length=35)]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Address = Annotated[str, Field(pattern=r"^https://\S+$")]
Parameter = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,39}$")]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False, strict=False)]


class Line(Strict):
    """One stretch of speech of the worked example, in seconds."""

    who: Literal["user", "assistant"]
    start: Seconds
    end: Seconds
    say: Text

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.end < self.start:
            raise misfit(f"{self.end:g} is before the start ({self.start:g})", "end")
        return self


_Lines = Annotated[tuple[Line, ...], Field(strict=False, min_length=1)]


class Example(Strict):
    """The worked example: dialogues, and how they are to be judged and why."""

    explanation: Text
    dialogues: Annotated[tuple[_Lines, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if len(self.dialogues) < 2:
            raise misfit("two dialogues or more are compared", "dialogues")
        return self


class Checks(Strict):
    """Checks on the raters; none of them discards a vote.

    Attributes:
        attention: pages for each rater on which the assistant of one dialogue asks to be chosen;
            None: as many as suit the rater's pages.
        repeats: pages for each rater that were seen before, with the sides swapped; None: as many
            as suit the rater's pages.
        exposure: what a rater must have done with each dialogue before a page is taken: "opened"
            it (on a narrow screen, where one is shown at a time), or "replayed" it; "none" is
            required by default. What was done is recorded anyway.
        least_seconds: a page rated in less time is counted as too fast.
        idle_seconds: a longer gap between two actions counts as this much time on task.
    """

    attention: Count | None = 0
    instruction: Text = (
        "This is a check that the conversations are read. Please choose this conversation as the "
        "better one for every question on this page, and then go on."
    )
    repeats: Count | None = 0
    exposure: Literal["none", "opened", "replayed"] = "none"
    least_seconds: Seconds = 6
    idle_seconds: Annotated[float, Field(gt=0, le=86_400, strict=False)] = 120

    def attention_for(self, pages: int) -> int:
        """Return how many attention checks stand among so many pages of a rater.

        Unless it is given: one for each five pages, but no more than two.
        """
        return min(2, -(-pages // 5)) if self.attention is None else self.attention

    def repeats_for(self, pages: int) -> int:
        """Return how many of so many pages of a rater are repeated.

        Unless it is given: one for each four pages, but no more than two. With fewer than four
        pages no repeat could stand far from its original.
        """
        return min(2, pages // 4) if self.repeats is None else self.repeats


class Ending(Strict):
    """What somebody gets who leaves the study before the end, to tell their panel.

    Attributes:
        text: a code, the same for all.
        return_url: an https address to go back to; `{code}` in it becomes the code, and
            `{participant}` the panel's id of the participant.
    """

    text: Code | None = None
    return_url: Address | None = None


class Completion(Strict):
    """The completion code that a rater gets at the end, and what others get.

    Attributes:
        code: "rater": a random code for each; "study": the same `text` for all; "none".
        return_url: as in `Ending`.
        screened_out: for who did not answer the comprehension questions as needed.
        declined: for who did not consent.
        full: for who came when all places were taken for good.
        withdrawn: for who withdrew after having begun.
    """

    code: Literal["rater", "study", "none"] = "rater"
    text: Code | None = None
    return_url: Address | None = None
    screened_out: Ending = Ending()
    declined: Ending = Ending()
    full: Ending = Ending()
    withdrawn: Ending = Ending()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.code == "study") != (self.text is not None):
            raise misfit("goes with code: study, and only with that", "text")
        return self


class About(Strict):
    """What people should know before they consent; stands below the text of the consent page."""

    who: Text | None = None
    contact: Text | None = None
    purpose: Text | None = None
    duration: Text | None = None
    pay: Text | None = None
    data: Text | None = None
    withdrawal: Text | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of what is not said."""
        return tuple(name for name, text in self if text is None)


class Panel(Strict):
    """How a panel's links name who comes: the parameters of the address.

    Attributes:
        participant, study, session: their names. Prolific's are the default; CloudResearch Connect
            has participantId, projectId and assignmentId.
        link: what `duo study invite --panel` adds to the link; None for the names as Prolific
            fills them in. Such as "id=%SURVEY_CODE%" for SONA; "" where the panel adds its own.
    """

    participant: Parameter = "PROLIFIC_PID"
    study: Parameter | None = "STUDY_ID"
    session: Parameter | None = "SESSION_ID"
    link: Annotated[str, Field(pattern=r"^[^\s#]*$", max_length=500)] | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        names = []
        for field in ("participant", "study", "session"):
            if name := getattr(self, field):
                names.append(name)
            if name in ("t", "admin"):
                raise misfit("is a parameter of our own links", field)
        if len(set(names)) != len(names):
            raise misfit("two parameters have the same name")
        return self

    @property
    def suffix(self) -> str:
        """What is added to a link for the panel to fill in."""
        if self.link is not None:
            return f"&{self.link.lstrip('&?')}" if self.link else ""
        names = (self.study, self.session, self.participant)
        return "".join(f"&{name}={{{{%{name}%}}}}" for name in names if name)


def _with_names(taken: set[str], what: str, part: str, named: Iterable[Any]) -> set[str]:
    """Return the names taken so far and those of a part of the design, which must be others."""
    for number, one in enumerate(named):
        if one.name in taken:
            raise misfit(f"is taken by a {what} above", part, number, "name")
        taken = taken | {one.name}
    return taken


class Topic(Strict):
    """What a participant talks about with each of the systems; `text` is what the card says."""

    name: Name
    title: Text
    text: Text


class Talker(Strict):
    """A system of a live study: its model, and its settings as of `duo talk --set`."""

    model: str = "none"
    settings: dict[str, Any] = Field(default_factory=dict)


class Topics(Strict):
    """What a file of topics holds."""

    topics: Annotated[tuple[Topic, ...], Field(strict=False, min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _different(self) -> Self:
        _with_names(set(), "topic", "topics", self.topics)
        return self


class Live(Topics):
    """Conversations that participants hold themselves, instead of recorded ones.

    Attributes:
        seconds: after which a conversation is ended.
        voice: "piper", or "none": captions alone.
        at_once: conversations at a time; each more needs the memory of all models once more.
        chat: the models' chat format, one of `duo.chatformat.STYLES`; None for their own.
        systems: as `duo study create` was told.
    """

    seconds: Annotated[float, Field(ge=10, le=3600, strict=False)] = 180
    voice: Literal["piper", "none"] = "piper"
    captions: bool = False
    at_once: Annotated[int, Field(ge=1, le=16)] = 1
    chat: Literal["template", "plain", "minicpm"] | None = None
    systems: dict[str, Talker] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.voice == "none" and not self.captions:
            raise misfit("without a voice, what is said must be shown: true", "captions")
        return self


class Design(Strict):
    """All of a study but its dialogues.

    Attributes:
        language: of the pages; several: raters choose.
        spoken: the language of the dialogues, if it is not that of the pages.
        strings: the pages' own texts in further languages, as `languages/en.yaml` has them: a file
            or its content, by language.
        translations: texts of this design in further languages, by language: a file or its content.
            At most one language of `language` has none: the one that this design is written in.
        address: where raters reach the server; links begin with it.
        withdrawal: what becomes of the answers of who withdraws: "ask": they say it.
        before, after: questions about the rater, before the instructions and after the last page.
        reserve_minutes: a page that was left so long ago is given to others, too.
        live: participants talk to the systems, and rate that.
    """

    title: Text
    language: Language | Annotated[tuple[Language, ...], Field(strict=False, min_length=1)] = "en"
    spoken: Language | None = None
    strings: dict[Language, dict[str, Any]] = Field(default_factory=dict)
    translations: dict[Language, dict[str, Any]] = Field(default_factory=dict)
    raters_per_item: Annotated[int, Field(ge=1, le=10_000)] = 3
    pages_per_rater: Annotated[int, Field(ge=1, le=10_000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    address: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    consent: Text
    about: About = About()
    withdrawal: Literal["ask", "delete", "keep"] = "ask"
    before: Annotated[tuple[Asked, ...], Field(strict=False, max_length=40)] = ()
    instructions: Text
    criteria: Annotated[tuple[Criterion, ...], Field(strict=False, min_length=1, max_length=20)]
    example: Example | None = None
    comprehension: Comprehension = Comprehension()
    strength: Strength = Strength()
    marks: Marks = Marks()
    live: Live | None = None
    after: Annotated[tuple[Asked, ...], Field(strict=False, max_length=40)] = ()
    checks: Checks = Checks()
    reserve_minutes: Annotated[float, Field(gt=0, le=100_000, strict=False)] = 60
    completion: Completion = Completion()
    panel: Panel = Panel()
    hypotheses: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    analysis: str = ""
    exclusions: str = ""

    _in: dict[str, Design] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        asked = _with_names(set(), "criterion", "criteria", self.criteria)
        for part in ("before", "after"):  # what is missing is told by its name
            asked = _with_names(asked, "criterion or question", part, getattr(self, part))
        if self.live is not None:
            self._check_live()
        self._translate()
        return self

    def _check_live(self) -> None:
        """Refuse what is about recorded dialogues."""
        for part, name, none in (
            ("checks", "attention", 0), ("checks", "repeats", 0), ("checks", "exposure", "none"),
            ("marks", "kinds", {}),
        ):  # fmt: skip
            if getattr(getattr(self, part), name) != none:
                raise misfit(f"must be {none} in a live study", part, name)

    def _translate(self) -> None:
        """Make this design in each of its languages, and check that it can be."""
        own = [name for name in self.languages if name not in self.translations]
        if len(own) > 1:
            raise misfit(f"has no translation into {' or into '.join(own)}", "language")
        for name, words in self.strings.items():
            words_of(words, "strings", name)
        for name in self.languages:
            if name not in self.strings and name not in LANGUAGES:
                message = f"the pages do not speak {name!r}: give their texts under `strings`"
                raise misfit(message, "language")
        data = self.model_dump(mode="json") | {"translations": {}, "strings": {}, "language": "en"}
        for name, over in self.translations.items():
            changed = translated(data, over, "translations", name)
            try:
                self._in[name] = Design.model_validate(changed)
            except ValidationError as error:
                first = next(problems(error))
                raise misfit(first.message, "translations", name, *first.loc) from error
            pairs = zip(
                self.comprehension.questions, self._in[name].comprehension.questions, strict=True
            )
            for number, (one, other) in enumerate(pairs):
                if one.options.index(one.answer) != other.options.index(other.answer):
                    place = ("translations", name, "comprehension", "questions", number, "answer")
                    raise misfit("is another option than in the design", *place)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that raters may choose from; the first is the default."""
        return (self.language,) if isinstance(self.language, str) else self.language

    def in_language(self, language: str) -> Design:
        """Return this design with its texts in one of its languages."""
        return self._in.get(language, self)

    @property
    def criterion_names(self) -> tuple[str, ...]:
        return tuple(criterion.name for criterion in self.criteria)

    def as_yaml(self) -> str:
        """Write the whole design, defaults included, as `read_design` reads it."""
        return yaml_text(self.model_dump(mode="json"))


def read_design(
    path: Path | None = None, *, live: Mapping[str, Any] | None = None, **changes: Any
) -> Design:
    """Read and check a design.

    Args:
        path: the file; None for the paper's design.
        live: it is to be of a live study; fields that replace those of its `live`.
        changes: top-level fields that replace the file's, such as `seed`; None leaves the file's.

    Raises:
        BadInput: cannot be read, or is no design: names file, line and field.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    base = read_yaml(LIVE).data if path is None and live is not None else {}
    path = Path(path) if path is not None else PAPER
    document = read_yaml(path)
    data = document.data
    if isinstance(data, dict):
        data = data | base | given
        is_live = isinstance(data.get("live"), dict)
        if is_live != (live is not None):
            said = "is the design of a live study: say --live" if is_live else "is missing"
            raise BadInput(said, file=path, field="live")
        if is_live:
            data["live"] = data["live"] | dict(live or {})
        readers = {"strings": read_words, "translations": lambda path: read_yaml(path).data}
        for field, read in readers.items():
            if isinstance(files := data.get(field), dict):
                data[field] = {
                    name: read(path.parent / one) if isinstance(one, str) else one
                    for name, one in files.items()
                }
    try:
        return Design.model_validate(data)
    except ValidationError as error:
        first = document.first_problem(error)
        if first.loc and first.loc[0] in given:
            raise BadInput(first.message, field=first.field) from error
        raise document.refusal(error) from error


def read_topics(path: Path) -> list[dict[str, Any]]:
    """Read what is talked about in a live study: a YAML file with `topics`, as in `live.yaml`.

    Raises:
        BadInput: cannot be read, or is none: names file, line and field.
    """
    return [one.model_dump() for one in read_yaml(path).validated(Topics).topics]
