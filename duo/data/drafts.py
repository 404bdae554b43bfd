"""Dialogues to samples: which answers are cut off, where remarks go, and which sample ends early.

A draft is planned from the dialogue alone; its non-query turns are holes, each with a kind. A
writer fills them, for many samples at a time, and `finish` writes the sample down the way a
recogniser would. All chance comes from seeds made of the data set's seed and the dialogue's name,
so a sample depends on nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from duo.data.asking import ASKING, FRESH
from duo.data.dialogue import Dialogue, Turn
from duo.data.nonqueries import AFTER_QUESTION, OPENING, Place
from duo.data.phrases import GRAMMAR
from duo.data.recipe import Recipe
from duo.data.recogniser import Style, draw_style, like
from duo.data.requests import asks
from duo.data.rewording import breaking_in, hidden_request
from duo.data.sample import AssistantTurn, Message, Sample, UserTurn
from duo.data.topics import topics
from duo.data.unfinished import cut_short, trail_off
from duo.tokens import IGNORE, RESPOND

#: A spoken piece: a word, or a character of a script without blanks.
_PIECE = re.compile(r"[\u2e80-\u9fff\uff00-\uffef]|[^\s\u2e80-\u9fff\uff00-\uffef]+")
#: Answers are cut off within so many words, some 40 seconds of speech, and not shorter ones.
_CUT_WITHIN, _CUT_FROM = 100, 8
#: Kinds of turns that are too short to be cut, or mean the same when they are.
_WHOLE = frozenset({"backchannel", "acknowledgement", "stop", "go_on"})
#: Shares of the utterances broken off that are statements: with nothing before them, or after an
#: answer. The others are the dialogue's own queries and remarks.
_FRESH_START, _FRESH = 0.12, 0.35
_BREAKABLE = ("statement", "background", "remark", "third_party_talk")


@dataclass
class Said:
    """A turn of a draft; `text` is empty until the writer has filled it."""

    role: str
    text: str
    kind: str = ""
    state: str | None = None
    complete: bool = True


@dataclass
class Draft:
    """A planned sample; see `plan` and `finish`."""

    id: str
    source: str
    group: str
    validation: bool
    seed: str
    turns: list[Said] = field(default_factory=list)
    unfinished: bool = False

    def places(self) -> dict[int, Place]:
        """The holes, by the index of the turn."""
        return {
            index: Place(
                kind=turn.kind,
                before=tuple(_turn(said) for said in self.turns[:index] if said.text),
                group=self.group,
                validation=self.validation,
                seed=f"{self.seed}/{index}",
            )
            for index, turn in enumerate(self.turns)
            if turn.role == "user" and not turn.text
        }


def plan(
    dialogue: Dialogue,
    *,
    variant: int,
    recipe: Recipe,
    seed: int,
    validation: bool,
    others: Sequence[Dialogue] = (),
    attempt: int = 0,
) -> Draft:
    """Plan a sample.

    Args:
        dialogue: a usable one, see `duo.data.usable`.
        variant: 0, 1, 2 ... for several samples of one dialogue.
        recipe: rates.
        seed: of the data set.
        validation: the side of the split.
        others: dialogues of the same side, for changes of topic.
        attempt: another number gives another plan of the same sample.
    """
    key = f"{seed}/{dialogue.source}/{dialogue.id}/{variant}/{attempt}"
    draft = Draft(
        id=f"{dialogue.id}#{variant}",
        source=dialogue.source,
        group=dialogue.group,
        validation=validation,
        seed=key,
    )
    _Planner(draft, recipe, Random(f"{key}/plan"), others).run(dialogue, fresh=variant > 0)
    return draft


class _Planner:
    """The plan of one draft as it grows."""

    def __init__(
        self, draft: Draft, recipe: Recipe, random: Random, others: Sequence[Dialogue]
    ) -> None:
        self.draft, self.turns = draft, draft.turns
        self.recipe, self.random, self.others = recipe, random, others

    def chance(self, rate: float) -> bool:
        return self.random.random() < rate

    def run(self, dialogue: Dialogue, fresh: bool) -> None:
        exchanges = _window(dialogue, self.recipe.max_words, self.random, fresh)
        if self.chance(self.recipe.opening):
            self.hole(OPENING)
        self.talk(exchanges)
        end = self.random.random()
        if end < self.recipe.unfinished:
            self.break_off()
        elif end < self.recipe.unfinished + self.recipe.asking:
            self.ask_in_passing()

    def talk(self, exchanges: list[tuple[str, Turn]]) -> None:
        """Queries and answers, and what comes between them."""
        queue, switched, broken_into = list(exchanges), False, False
        while queue:
            query, answer = queue.pop(0)
            if broken_into and not switched and self.others and self.chance(self.recipe.switches):
                switched = True
                other = self.random.choice(self.others)
                if other.group != self.draft.group:
                    queue = [exchange for exchange in other.exchanges[:2] if size(exchange) < 250]
                    if not queue:
                        break
                    query, answer = queue.pop(0)
            self.ask(query, broken_into)
            broken_into = self.answer(answer, queue[0][0] if queue else None)

    def ask(self, query: str, broken_into: bool) -> None:
        kind = "interruption" if broken_into else "query"
        if broken_into and self.chance(self.recipe.openers):
            query = breaking_in(query, self.random)
        elif asks(query) and self.chance(self.recipe.hidden):
            hidden = hidden_request(query, self.random)
            query, kind = (hidden, "hidden_request") if hidden else (query, kind)
        self.turns.append(Said("user", query, kind, RESPOND))

    def answer(self, answer: Turn, following: str | None) -> bool:
        """The answer and what it meets; whether the next query breaks into it."""
        broken_into = False
        recipe, said = self.recipe, Said("assistant", answer.text, complete=answer.complete)
        self.turns.append(said)
        may_cut = answer.complete and pieces(answer.text) >= _CUT_FROM
        free = may_cut and (following is None or asks(following))
        event = self.random.random()
        if free and event < recipe.stops:
            self.cut(said)
            self.turns.append(Said("user", GRAMMAR.draw("stop", self.random), "stop", RESPOND))
            self.turns.append(Said("assistant", ""))
            return False
        if may_cut and event < recipe.stops + recipe.go_ons:
            rest = self.cut(said)
            self.turns.append(Said("user", GRAMMAR.draw("go_on", self.random), "go_on", RESPOND))
            said = Said("assistant", rest)
            self.turns.append(said)
            free = False
        elif free and following is not None and self.chance(recipe.interruptions):
            self.cut(said)
            broken_into = True
        while self.chance(recipe.remarks / (1 + recipe.remarks)):
            if free and said.complete and self.chance(recipe.into_answer):
                self.cut(said)
            asked = said.text.rstrip("\"') ").endswith(("?", "？")) and said.complete
            self.hole(AFTER_QUESTION if asked else ())
        return broken_into

    def hole(self, among: Sequence[str]) -> None:
        """A turn that a writer will fill, of one of the given kinds or of any."""
        mix = {k: w for k, w in self.recipe.mix.items() if not among or k in among}
        if mix:
            [kind] = self.random.choices(list(mix), list(mix.values()))
            self.turns.append(Said("user", "", kind, IGNORE))

    def cut(self, said: Said) -> str:
        """Cut an answer off at a word; returns what was left unsaid."""
        ends = [found.end() for found in _PIECE.finditer(said.text)]
        end = ends[self.random.randint(2, min(len(ends) - 2, _CUT_WITHIN))]
        said.text, rest, said.complete = said.text[:end], said.text[end:], False
        return rest.strip()

    def ask_in_passing(self) -> None:
        """End the draft with a request of the grammar, after an answer or before anything."""
        [kind] = self.random.choices(list(ASKING), list(ASKING.values()))
        answers = self.answers()
        if kind in FRESH and (not answers or self.chance(0.5)):
            self.turns.clear()
        elif answers:
            self.end_at(self.random.choice(answers))
        else:
            return
        said = " ".join(turn.text[:600] for turn in self.turns[-4:])
        topic = self.random.choice(topics(said) or ["that thing"])
        self.turns.append(Said("user", GRAMMAR.draw(kind, self.random, topic=topic), kind, RESPOND))

    def answers(self) -> list[int]:
        """Where answers stand that are no questions."""
        return [
            index
            for index, turn in enumerate(self.turns)
            if turn.role == "assistant" and turn.text and not turn.text.endswith("?")
        ]

    def end_at(self, index: int) -> None:
        """Make this answer the last turn, cut off where that is possible."""
        if self.turns[index].complete and pieces(self.turns[index].text) >= _CUT_FROM:
            self.cut(self.turns[index])
        del self.turns[index + 1 :]

    def break_off(self) -> None:
        """End the draft with a user turn that is not over."""
        self.draft.unfinished = True
        answers = self.answers()
        breakable = [kind for kind in _BREAKABLE if kind in self.recipe.mix]
        if breakable and self.chance(_FRESH_START):  # nothing was said before
            self.turns.clear()
            kinds = [kind for kind in breakable if kind in OPENING] or breakable
            self.turns.append(Said("user", "", self.random.choice(kinds), IGNORE))
            return
        if answers and breakable and self.chance(_FRESH):
            self.end_at(self.random.choice(answers))
            self.turns.append(Said("user", "", self.random.choice(breakable), IGNORE))
            return
        users = [
            index
            for index, turn in enumerate(self.turns)
            if turn.role == "user"
            and turn.kind not in _WHOLE
            and (not turn.text or pieces(turn.text) >= 3)
        ]
        if not users:
            self.draft.unfinished = False
            return
        del self.turns[self.random.choice(users) + 1 :]


def finish(draft: Draft, recipe: Recipe) -> Sample | None:
    """The sample of a draft whose holes are filled; those left empty are dropped.

    Returns:
        The sample, or None if nothing is left: its only turn was to be cut and cannot be.
    """
    random = Random(f"{draft.seed}/style")
    style = draw_style(random, restyle=recipe.restyle, disfluency=recipe.disfluency)
    careless = Random(f"{draft.seed}/careless")
    model = next((turn.text for turn in draft.turns if turn.kind == "query"), "")
    messages: list[Message] = []
    for index, turn in enumerate(draft.turns):
        if turn.role == "assistant":
            messages.append(AssistantTurn(content=turn.text, complete=turn.complete))
            continue
        text = " ".join(turn.text.split())
        if not text:
            continue
        last = index == len(draft.turns) - 1
        written = style
        if careless.random() < recipe.careless:
            written = Style("lower", "none", style.disfluency)
        elif style.case == style.marks == "written":
            text = like(text, model)
        if not (last and draft.unfinished):
            messages.append(_user(written.apply(text, random), turn.state, turn.kind))
            continue
        query = turn.state == RESPOND
        short = cut_short(text, random, query=query)
        if short is not None:
            marks = written.marks != "none" and text[-1:] in ".?!,"
            short = trail_off(written.apply(short, random), random, marks=marks)
            kind = "unfinished_query" if query else "unfinished_remark"
            messages.append(_user(short, None, kind))
    if not any(message.role == "user" for message in messages):
        return None
    return Sample(id=draft.id, source=draft.source, messages=tuple(messages))


def _user(text: str, state: str | None, kind: str) -> UserTurn:
    return UserTurn.model_validate({"content": text, "state": state, "kind": kind})


def _turn(said: Said) -> Turn:
    return Turn("user" if said.role == "user" else "assistant", said.text, said.complete)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of a text stand, or the characters of a script without blanks."""
    return [found.span() for found in _PIECE.finditer(text)]


def pieces(text: str) -> int:
    """Length of a text in words, or characters of a script without blanks."""
    return sum(1 for _ in _PIECE.finditer(text))


def has_wide(text: str) -> bool:
    """Whether a text has characters of a script without blanks, such as Chinese."""
    return any(len(found[0]) == 1 and found[0] >= "\u2e80" for found in _PIECE.finditer(text))


def size(exchange: tuple[str, Turn]) -> int:
    """Length of a query with its answer, in words."""
    return pieces(exchange[0]) + pieces(exchange[1].text)


def _window(dialogue: Dialogue, most: int, random: Random, fresh: bool) -> list[tuple[str, Turn]]:
    """Consecutive exchanges of at most so many words, from a query that can stand at the start.

    A dialogue that fits is taken whole, the first time; otherwise the start is drawn.
    """
    exchanges = dialogue.exchanges
    starts = [0]
    if fresh or sum(map(size, exchanges)) > most:
        starts = [
            place
            for place, (query, _) in enumerate(exchanges)
            if place == 0 or (asks(query) and pieces(query) > 3)
        ]
    window: list[tuple[str, Turn]] = []
    words = 0
    for exchange in exchanges[random.choice(starts) :]:
        words += size(exchange)
        if words > most and window:
            break
        window.append(exchange)
    query, answer = window[0]
    if words > most and len(window) == 1:  # too long by itself: it ends in the middle
        ends = [found.end() for found in _PIECE.finditer(answer.text)]
        end = ends[max(0, min(len(ends), most - pieces(query)) - 1)]
        window = [(query, replace(answer, text=answer.text[:end], complete=False))]
    return window
