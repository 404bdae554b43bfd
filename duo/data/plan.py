"""Plan what each dialogue becomes: which answers are cut off, where remarks go, how it ends.

A draft is planned from the dialogue alone; its turns to be ignored are open, each with a kind. A
writer fills them, for many drafts at a time, and `finish` writes the sample down the way a
recogniser would. All chance comes from seeds made of the data set's seed and the dialogue's name,
so a sample depends on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from duo.data.dialogue import Dialogue, Role, Turn, count_words, word_spans
from duo.data.english import (
    Case,
    Style,
    asks,
    breaking_in,
    cut_short,
    draw_style,
    hidden_request,
    like,
    topics,
    trail_off,
)
from duo.data.phrases import ANYTHING, grammar
from duo.data.recipe import Recipe
from duo.data.sample import AssistantTurn, Message, Sample, UserTurn
from duo.tokens import IGNORE, RESPOND

#: Kinds that cannot be taken for the answer to a question that was just asked.
AFTER_QUESTION = ("self_talk", "third_party_talk", "third_party_question")
#: Kinds that may come before anything was said.
OPENING = (
    "statement", "story", "self_talk", "muttering",
    "third_party_talk", "third_party_question", "background",
)  # fmt: skip
#: Kinds of requests that data sets hardly have, with the weight of each: a claim that is wrong or
#: dangerous, an order in passing, a short follow-up, an answer to what the assistant has offered.
#: They end a sample, with `<1>` and no answer: a written answer would teach its own phrases.
ASKING: dict[str, float] = {"claim": 4.0, "order": 5.0, "follow_up": 4.0, "assent": 3.0}
#: Those that may come before anything was said.
ASKING_FIRST = ("claim",)

#: Answers are cut off within their first 100 words, some 40 seconds of speech, if they have 8.
_CUT_WITHIN, _CUT_FROM = 100, 8
#: Kinds of turns that are too short to be cut, or mean the same when they are.
_WHOLE = frozenset({"backchannel", "acknowledgement", "stop", "go_on"})
#: Shares of the utterances broken off that are statements: with nothing before them, or after an
#: answer. The others are the dialogue's own queries and remarks.
_FRESH_START, _FRESH = 0.12, 0.35
_BREAKABLE = ("statement", "background", "remark", "third_party_talk")


@dataclass(frozen=True)
class Place:
    """The place of a turn to be ignored, as its writer sees it.

    Attributes:
        kind: of turn, a key of `MIX`.
        group: the conversation's group, see `Dialogue.group`.
        validation: which side of the split the sample is on.
        seed: of this place alone.
    """

    kind: str
    before: tuple[Turn, ...]
    group: str
    validation: bool
    seed: str


@dataclass
class DraftTurn:
    """A turn of a draft; `text` is empty until a writer has filled it."""

    role: Role
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
    turns: list[DraftTurn] = field(default_factory=list)
    unfinished: bool = False

    def places(self) -> dict[int, Place]:
        """List the open turns, by their index."""
        return {
            index: Place(
                kind=turn.kind,
                before=tuple(
                    Turn(said.role, said.text, said.complete)
                    for said in self.turns[:index]
                    if said.text
                ),
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
    """Plan what sample a dialogue becomes.

    Args:
        variant: 0, 1, 2 ... for several samples of one dialogue.
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
    """Adds the turns of one draft, drawing what comes between a dialogue's own."""

    def __init__(
        self, draft: Draft, recipe: Recipe, random: Random, others: Sequence[Dialogue]
    ) -> None:
        self.draft, self.turns = draft, draft.turns
        self.recipe, self.random, self.others = recipe, random, others
        self.phrases = grammar(draft.validation)

    def chance(self, rate: float) -> bool:
        """Draw whether something with this chance happens."""
        return self.random.random() < rate

    def run(self, dialogue: Dialogue, fresh: bool) -> None:
        """Fill the draft from a dialogue, taken from another place than its start if `fresh`."""
        exchanges = _window(dialogue, self.recipe.max_words, self.random, fresh)
        if self.recipe.paper:
            self.add_as_they_stand(exchanges)
            return
        if self.chance(self.recipe.opening):
            self.open_turn(OPENING)
        self.add_exchanges(exchanges)
        end = self.random.random()
        if end < self.recipe.unfinished:
            self.break_off()
        elif end < self.recipe.unfinished + self.recipe.asking:
            self.ask_in_passing()

    def add_as_they_stand(self, exchanges: list[tuple[str, Turn]]) -> None:
        """Add queries and answers, and a remark after some of the answers that are whole."""
        for query, answer in exchanges:
            self.add_user("query", query)
            said = DraftTurn("assistant", answer.text, complete=answer.complete)
            self.turns.append(said)
            if said.complete and not _asks_back(said) and self.chance(self.recipe.remarks):
                self.open_turn()

    def add_exchanges(self, exchanges: list[tuple[str, Turn]]) -> None:
        """Add queries and answers, and what comes between them."""
        queue, switched, broken_into = list(exchanges), False, False
        while queue:
            query, answer = queue.pop(0)
            if broken_into and not switched and self.others and self.chance(self.recipe.switches):
                switched = True
                other = self.random.choice(self.others)
                if other.group != self.draft.group:
                    queue = [exchange for exchange in other.exchanges[:2] if _size(exchange) < 250]
                    if not queue:
                        break
                    query, answer = queue.pop(0)
            self.add_query(query, broken_into)
            broken_into = self.add_answer(answer, queue[0][0] if queue else None)

    def add_query(self, query: str, broken_into: bool) -> None:
        """Add a query, in other words or with words before it where the recipe has it so."""
        kind = "interruption" if broken_into else "query"
        if broken_into and self.chance(self.recipe.openers):
            query = breaking_in(query, self.random)
        elif asks(query) and self.chance(self.recipe.hidden):
            hidden = hidden_request(query, self.random)
            query, kind = (hidden, "hidden_request") if hidden else (query, kind)
        self.add_user(kind, query)

    def add_answer(self, answer: Turn, following: str | None) -> bool:
        """Add an answer and what cuts it off; return whether the next query does."""
        broken_into = False
        recipe, said = self.recipe, DraftTurn("assistant", answer.text, complete=answer.complete)
        self.turns.append(said)
        may_cut = answer.complete and count_words(answer.text) >= _CUT_FROM
        free = may_cut and (following is None or asks(following))
        event = self.random.random()
        if free and event < recipe.stops:
            self.cut(said)
            self.add_user("stop", self.drawn("stop"))
            self.turns.append(DraftTurn("assistant", ""))
            return False
        if may_cut and event < recipe.stops + recipe.go_ons:
            rest = self.cut(said)
            self.add_user("go_on", self.phrases.draw("go_on", self.random))
            said = DraftTurn("assistant", rest)
            self.turns.append(said)
            free = False
        elif free and following is not None and self.chance(recipe.interruptions):
            self.cut(said)
            broken_into = True
        while self.chance(recipe.remarks / (1 + recipe.remarks)):
            if free and said.complete and self.chance(recipe.into_answer):
                self.cut(said)
            self.open_turn(AFTER_QUESTION if _asks_back(said) else ())
        return broken_into

    def add_user(self, kind: str, text: str, state: str = RESPOND) -> None:
        self.turns.append(DraftTurn("user", text, kind, state))

    def open_turn(self, among: Sequence[str] = ()) -> None:
        """Add a turn that a writer will fill, of one of the given kinds or of any."""
        mix = {k: w for k, w in self.recipe.mix.items() if not among or k in among}
        if mix:
            [kind] = self.random.choices(list(mix), list(mix.values()))
            self.add_user(kind, "", IGNORE)

    def cut(self, said: DraftTurn) -> str:
        """Cut an answer off at a word; return what was left unsaid."""
        ends = [end for _, end in word_spans(said.text)]
        end = ends[self.random.randint(2, min(len(ends) - 2, _CUT_WITHIN))]
        said.text, rest, said.complete = said.text[:end], said.text[end:], False
        return rest.strip()

    def ask_in_passing(self) -> None:
        """End the draft with a request of `ASKING`, after an answer or before anything."""
        [kind] = self.random.choices(list(ASKING), list(ASKING.values()))
        answers = self.answers()
        if kind == "assent":
            answers = [place for place in answers if self.turns[place].complete]
        if kind in ASKING_FIRST and (not answers or self.chance(0.5)):
            self.turns.clear()
        elif not answers:
            return
        elif kind == "assent":
            del self.turns[self.random.choice(answers) + 1 :]
            self.turns[-1].text += f" {self.drawn('offer')}"
        else:
            self.end_at(self.random.choice(answers))
        self.add_user(kind, self.drawn(kind))

    def drawn(self, symbol: str) -> str:
        """Draw what is said now, about something of the last turns."""
        said = " ".join(turn.text[:600] for turn in self.turns[-4:])
        topic = self.random.choice(topics(said) or [ANYTHING])
        return self.phrases.draw(symbol, self.random, topic=topic)

    def answers(self) -> list[int]:
        """List where answers stand that are no questions."""
        return [
            index
            for index, turn in enumerate(self.turns)
            if turn.role == "assistant" and turn.text and not turn.text.endswith("?")
        ]

    def end_at(self, index: int) -> None:
        """Make this answer the last turn, cut off where that is possible."""
        if self.turns[index].complete and count_words(self.turns[index].text) >= _CUT_FROM:
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
            self.add_user(self.random.choice(kinds), "", IGNORE)
            return
        if answers and breakable and self.chance(_FRESH):
            self.end_at(self.random.choice(answers))
            self.add_user(self.random.choice(breakable), "", IGNORE)
            return
        users = [
            index
            for index, turn in enumerate(self.turns)
            if turn.role == "user"
            and turn.kind not in _WHOLE
            and (not turn.text or count_words(turn.text) >= 3)
        ]
        if not users:
            self.draft.unfinished = False
            return
        del self.turns[self.random.choice(users) + 1 :]


def finish(draft: Draft, recipe: Recipe) -> Sample | None:
    """Make the sample of a draft whose open turns are filled; those left empty are dropped.

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
        if (drawn := careless.random()) < recipe.careless:
            case: Case = "lower" if drawn < recipe.careless / 2 else "written"
            written = Style(case, "none", style.disfluency)
        elif style.case == style.marks == "written" and not recipe.paper:
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


def _asks_back(answer: DraftTurn) -> bool:
    """Judge whether an answer ends in a question, to which what follows would be the answer."""
    return answer.complete and answer.text.rstrip("\"') ").endswith(("?", "？"))


def _size(exchange: tuple[str, Turn]) -> int:
    """Count the words of a query with its answer."""
    return count_words(exchange[0]) + count_words(exchange[1].text)


def _window(dialogue: Dialogue, most: int, random: Random, fresh: bool) -> list[tuple[str, Turn]]:
    """Choose consecutive exchanges of at most `most` words, from a query that can come first.

    A dialogue that fits is taken whole, the first time; otherwise the start is drawn.
    """
    exchanges = dialogue.exchanges
    starts = [0]
    if fresh or sum(map(_size, exchanges)) > most:
        starts = [
            place
            for place, (query, _) in enumerate(exchanges)
            if place == 0 or (asks(query) and count_words(query) > 3)
        ]
    window: list[tuple[str, Turn]] = []
    words = 0
    for exchange in exchanges[random.choice(starts) :]:
        words += _size(exchange)
        if words > most and window:
            break
        window.append(exchange)
    query, answer = window[0]
    if words > most and len(window) == 1:  # too long by itself: it ends in the middle
        ends = [end for _, end in word_spans(answer.text)]
        end = ends[max(0, min(len(ends), most - count_words(query)) - 1)]
        window = [(query, replace(answer, text=answer.text[:end], complete=False))]
    return window
