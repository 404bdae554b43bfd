"""Scenarios: what a user says, when, and what each utterance is. One YAML file each.

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
`revisions` are the recogniser's second thoughts: `{after_words: 3, text: What is a, delay: 0.4}`
replaces the first three words by `text`, `delay` seconds after the third was heard (see
`sessions.timing.revised`). In Chinese a word is a character.

`context` is an optional dialogue that was held before, a list of `{user: ...}` and
`{assistant: ...}`: the conversation goes on from there. A user turn that no answer follows was not
meant for the assistant.

Start rules, of which an utterance has exactly one:

- `at`: at this time; later if the user is still speaking then.
- `after_previous`: so long after the end of the utterance before.
- `after_answer`: so long after the answer to the last query has ended.
- `into_answer`: so long after that answer began, whether or not it is still being given.

A user who waits for an answer waits until nobody has spoken for `give_up` seconds (10 by default),
and never longer than `longest_wait` seconds (45) after the last words of their own: so a scenario
goes on with a system that never answers, and with one that never ends. What exactly begins and ends
an answer is said in `sessions.floor`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from duo.decoding.conversant import Turn
from duo.errors import misfit
from duo.files import MarkedYaml, read_yaml
from sessions.timing import WITHOUT_BLANKS, Hearing
from sessions.utterance import WAITING, Rate, Seconds, Spoken, Strict, Utterance


class Defaults(Strict):
    """What holds for every utterance that does not say otherwise."""

    words_per_minute: Rate = 150
    characters_per_minute: Rate = 250
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

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    language: str = Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")
    description: str = ""
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
        """What is heard of one of the utterances, in seconds from its start."""
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


def parse_scenario(text: str, file: str | Path) -> Scenario:
    """The scenario that a YAML text describes.

    Raises:
        BadInput: it describes none; says the file, line and field of the first mistake.
    """
    return MarkedYaml(text, file).validated(Scenario)


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file; see `parse_scenario`."""
    return read_yaml(path).validated(Scenario)
