"""A first look at all sources: what there is, and what dialogues lend to one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Generic, TypeVar

from duo.data.dialogue import Dialogue
from duo.data.filters import HeldOut
from duo.data.nonqueries import Overheard, may_be_overheard
from duo.data.recipe import Recipe
from duo.data.requests import sentences
from duo.data.sources import BACKGROUND_ONLY, Source
from duo.data.usable import usable
from duo.errors import BadInput

#: Sentences and dialogues kept for each side of the split: what bounds the memory.
_SENTENCES, _DIALOGUES = 6000, 300
#: Nobody's conversation has so many pieces: a source that is one by its ids has other ids.
_PIECES = 50
_TOLD_WORDS = 60  # most words of a turn that is told again

T = TypeVar("T")


class Reservoir(Generic[T]):
    """A uniform sample of a stream of unknown length."""

    def __init__(self, size: int, seed: str) -> None:
        self.kept: list[T] = []
        self._size, self._seen, self._random = size, 0, Random(seed)

    def offer(self, item: T) -> None:
        self._seen += 1
        if len(self.kept) < self._size:
            self.kept.append(item)
        elif (place := int(self._random.random() * self._seen)) < self._size:
            self.kept[place] = item


@dataclass
class Survey:
    """What the sources hold.

    Attributes:
        found: dialogues that can be trained on, by source.
        bad: records that are no dialogues, by source.
        dropped: why dialogues were cut or left out.
        overheard: sentences for background speech.
        told: whole turns of people who chat with each other, for statements and stories.
        others: by side of the split, dialogues for changes of topic.
        groups: conversations by source; the first two are enough to know that there are several.
    """

    found: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    overheard: list[Overheard] = field(default_factory=list)
    told: list[Overheard] = field(default_factory=list)
    others: dict[bool, list[Dialogue]] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)


def in_validation(group: str, share: float, seed: int) -> bool:
    """The side of the split: by a hash of the conversation's group, so that it stays together."""
    digest = sha256(f"{seed}/split/{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def usable_dialogues(
    sources: Sequence[Source],
    recipe: Recipe,
    held_out: HeldOut,
    *,
    skip_bad: bool,
    survey: Survey | None = None,
    look: Callable[[Dialogue], None] | None = None,
) -> Iterator[Dialogue]:
    """The dialogues of all sources that can be trained on, in order; the same each time.

    Args:
        sources: read one after the other.
        recipe: limits.
        held_out: utterances never to be used.
        skip_bad: pass over what is no dialogue.
        survey: counts what was found and what was not.
        look: called with every dialogue, usable or not.

    Raises:
        BadInput: a record is no dialogue and `skip_bad` is False.
    """
    survey = survey or Survey()
    for source in sources:

        def count(_: BadInput, name: str = source.name) -> None:
            survey.bad[name] += 1

        for dialogue in source.dialogues(count if skip_bad else None):
            if look is not None:
                look(dialogue)
            if source.name in BACKGROUND_ONLY:
                continue
            found = usable(dialogue, recipe, held_out, survey.dropped)
            if found is not None:
                survey.found[source.name] += 1
                groups = survey.groups.setdefault(source.name, set())
                if len(groups) < 2:
                    groups.add(found.group)
                yield found


def survey_sources(
    sources: Sequence[Source],
    recipe: Recipe,
    held_out: HeldOut,
    *,
    seed: int,
    validation: float,
    split_seed: int,
    skip_bad: bool,
) -> Survey:
    """Read all sources once, in constant memory.

    Args:
        sources, recipe, held_out, skip_bad: see `usable_dialogues`.
        seed: of what is drawn from all that is said.
        validation, split_seed: of the split, see `in_validation`.

    Raises:
        BadInput: as `usable_dialogues`; no dialogue can be trained on; a source is one conversation
            by its ids, and so cannot be split.
    """
    survey = Survey()
    sides = (False, True)
    heard = {side: Reservoir[Overheard](_SENTENCES, f"{seed}/heard/{side}") for side in sides}
    told = {side: Reservoir[Overheard](_SENTENCES, f"{seed}/told/{side}") for side in sides}
    others = {side: Reservoir[Dialogue](_DIALOGUES, f"{seed}/others/{side}") for side in sides}

    def listen(dialogue: Dialogue) -> None:
        side = in_validation(dialogue.group, validation, split_seed)
        # One sentence of each turn, so that long answers do not drown speech.
        for turn in dialogue.turns[:12]:
            said = [text for text in sentences(turn.text)[:6] if may_be_overheard(text)]
            if said:
                heard[side].offer(Overheard(said[len(turn.text) % len(said)], dialogue.group, side))
        if dialogue.source not in BACKGROUND_ONLY:
            return
        for turn in dialogue.turns:
            text = " ".join(turn.text.split())
            if may_be_overheard(text, _TOLD_WORDS) and text not in held_out:
                told[side].offer(Overheard(text, dialogue.group, side))

    for dialogue in usable_dialogues(
        sources, recipe, held_out, skip_bad=skip_bad, survey=survey, look=listen
    ):
        others[in_validation(dialogue.group, validation, split_seed)].offer(dialogue)
    if not survey.found:
        bad = f" ({survey.bad.total()} bad records)" if survey.bad else ""
        names = ", ".join(source.path for source in sources)
        raise BadInput(f"no dialogue here can be trained on{bad}", file=names)
    for source in sources:
        found = survey.found[source.name]
        if 0 < validation < 1 and found >= _PIECES and len(survey.groups[source.name]) == 1:
            raise BadInput(
                f"its {found} dialogues count as pieces of one conversation, as their ids differ "
                "in nothing but a number after _: change the ids, or build with --validation 0",
                file=source.path,
                field="id",
            )
    survey.overheard = [text for side in sides for text in heard[side].kept]
    survey.told = [text for side in sides for text in told[side].kept]
    survey.others = {side: others[side].kept for side in sides}
    return survey
