"""Plans and samples: labels, rates, cuts, and what each switch switches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.data.dialogue import Dialogue, Turn, count_words, dialogue_of
from duo.data.filters import HeldOut, usable
from duo.data.plan import ASKING, ASKING_FIRST, Draft, finish, plan
from duo.data.recipe import KINDS, MIX, Recipe, parse_mix
from duo.data.sample import AssistantTurn, Sample, UserTurn
from duo.data.writers import Extractive, Overheard
from duo.errors import BadInput
from tests.duo.data.dialogues import record, records

ALL = [
    found
    for talk in records(400)
    if (found := dialogue_of(talk, source="talk", fallback_id="")) is not None
]
HEARD = [Overheard("We went down to the sea, and it rained all day", "other", False)]
PLAIN = dict.fromkeys(("restyle", "disfluency"), 0.0)
QUIET = {
    **PLAIN,
    **dict.fromkeys(
        (
            "remarks",
            "interruptions",
            "stops",
            "go_ons",
            "hidden",
            "opening",
            "unfinished",
            "asking",
        ),
        0.0,
    ),
}


def filled(dialogue: Dialogue, recipe: Recipe, seed: int = 0, variant: int = 0) -> Draft:
    draft = plan(
        dialogue, variant=variant, recipe=recipe, seed=seed, validation=False, others=ALL[:20]
    )
    places = draft.places()
    texts = Extractive(HEARD).write(list(places.values()), 0)
    for index, text in zip(places, texts, strict=True):
        draft.turns[index].text = text
    return draft


def samples(recipe: Recipe, count: int = 400, seed: int = 0) -> Iterator[Sample]:
    for dialogue in ALL[:count]:
        if sample := finish(filled(dialogue, recipe, seed), recipe):
            yield sample


def users(sample: Sample) -> list[UserTurn]:
    return [turn for turn in sample.messages if isinstance(turn, UserTurn)]


def test_without_additions_a_sample_is_its_dialogue() -> None:
    recipe = Recipe(**QUIET)  # type: ignore[arg-type]
    for dialogue, sample in zip(ALL, samples(recipe), strict=True):
        assert [turn.content for turn in sample.messages] == [turn.text for turn in dialogue.turns]
        assert {turn.state for turn in users(sample)} == {"<1>"}
        assert all(t.complete for t in sample.messages if isinstance(t, AssistantTurn))


@given(st.integers(0, 10_000), st.sampled_from(ALL), st.integers(0, 2))
def test_every_sample_keeps_the_rules(seed: int, dialogue: Dialogue, variant: int) -> None:
    recipe = Recipe()
    draft = filled(dialogue, recipe, seed, variant)
    sample = finish(draft, recipe)
    assert sample == finish(filled(dialogue, recipe, seed, variant), recipe)  # by seed alone
    if sample is None:
        return
    for place, turn in enumerate(sample.messages):
        after = sample.messages[place + 1] if place + 1 < len(sample.messages) else None
        if isinstance(turn, UserTurn):
            assert "\n" not in turn.content
            if turn.kind in ASKING:  # whose answers nobody wrote
                assert turn.state == "<1>"
                assert after is None
            elif turn.state == "<1>":  # what is answered is followed by its answer
                assert isinstance(after, AssistantTurn)
            elif turn.state == "<2>":  # what is ignored is not
                assert not isinstance(after, AssistantTurn)
            else:
                assert after is None
                assert turn.kind.startswith("unfinished_")
            assert turn.state == {"<2>": "<2>"}.get(turn.state or "", turn.state)
            assert (turn.kind in MIX) == (turn.state == "<2>")
        elif isinstance(turn, AssistantTurn) and not turn.complete:
            assert turn.content


@given(st.integers(0, 10_000), st.sampled_from(ALL))
def test_answers_are_cut_at_words_and_what_follows_is_the_user(
    seed: int, dialogue: Dialogue
) -> None:
    recipe = Recipe(**{**QUIET, "interruptions": 1.0, "switches": 0.0})  # type: ignore[arg-type]
    draft = filled(dialogue, recipe, seed)
    whole = [turn.text for turn in dialogue.turns[1::2]]
    answers = [turn for turn in draft.turns if turn.role == "assistant"]
    assert [turn.complete for turn in answers] == [False] * (len(answers) - 1) + [True]
    for turn, text in zip(answers, whole, strict=True):
        words = text.split()
        assert turn.text.split() == words[: len(turn.text.split())]
        assert turn.complete == (turn.text == text)


def test_stop_requests_are_answered_by_silence() -> None:
    seen = 0
    for sample in samples(Recipe(**{**PLAIN, "stops": 0.6, "unfinished": 0.0})):  # type: ignore[arg-type]
        for before, turn, after in zip(
            sample.messages, sample.messages[1:], sample.messages[2:], strict=False
        ):
            if isinstance(turn, UserTurn) and turn.kind == "stop":
                seen += 1
                assert turn.state == "<1>"
                assert isinstance(before, AssistantTurn)
                assert not before.complete
                assert after == AssistantTurn(content="", complete=True)
    assert seen > 50


def test_asked_to_go_on_the_assistant_gives_the_rest() -> None:
    told = {turn.text for dialogue in ALL for turn in dialogue.turns}
    seen = 0
    for sample in samples(Recipe(**{**QUIET, "go_ons": 0.6})):  # type: ignore[arg-type]
        for before, turn, after in zip(
            sample.messages, sample.messages[1:], sample.messages[2:], strict=False
        ):
            if isinstance(turn, UserTurn) and turn.kind == "go_on":
                seen += 1
                assert f"{before.content} {after.content}" in told
    assert seen > 100


@pytest.mark.parametrize("rate", [0.0, 0.4, 1.5])
def test_the_rate_of_remarks(rate: float) -> None:
    recipe = Recipe(**{**QUIET, "remarks": rate})  # type: ignore[arg-type]
    drafts = [filled(dialogue, recipe) for dialogue in ALL]
    states = Counter(turn.state for draft in drafts for turn in draft.turns)
    assert states["<2>"] / states["<1>"] == pytest.approx(rate, rel=0.1, abs=0.001)


def test_the_share_of_unfinished_samples() -> None:
    found = list(samples(Recipe(unfinished=0.5)))
    share = sum(users(sample)[-1].state is None for sample in found) / len(found)
    assert 0.4 < share < 0.55
    kinds = Counter(users(sample)[-1].kind for sample in found)
    assert min(kinds["unfinished_query"], kinds["unfinished_remark"]) > 30


def test_some_turns_have_no_marks_among_others_that_do() -> None:
    def texts(careless: float) -> list[str]:
        recipe = Recipe(**{**QUIET, "careless": careless})  # type: ignore[arg-type]
        return [turn.content for sample in samples(recipe) for turn in users(sample)]

    written, some, bare = texts(0.0), texts(0.3), texts(1.0)
    assert all(text[-1] not in ".?!," for text in bare)
    assert 0.35 < sum(text == text.lower() for text in bare) / len(bare) < 0.65
    turns = [tuple(text.lower() for text in turn) for turn in zip(some, written, bare, strict=True)]
    assert all(text in (before, after) for text, before, after in turns)
    changed = [text == after for text, before, after in turns if before != after]
    assert 0.2 < sum(changed) / len(changed) < 0.4


def test_requests_in_passing_end_a_sample_without_an_answer() -> None:
    recipe = Recipe(asking=1.0, unfinished=0.0)
    kinds = set()
    for number in range(200):
        sample = finish(filled(ALL[number], recipe), recipe)
        assert sample
        *before, last = sample.messages
        if isinstance(last, UserTurn) and last.kind in ASKING:
            kinds.add(last.kind)
            assert last.state == "<1>"
            assert all(turn.kind not in ASKING for turn in users(sample)[:-1])
            assert not before or before[-1].role == "assistant"
            assert before or last.kind in ASKING_FIRST
    assert kinds == set(ASKING)


def test_after_a_question_only_what_cannot_be_its_answer() -> None:
    asked = Dialogue(
        "x", "x", (Turn("user", "Book a table, please."), Turn("assistant", "For how many people?"))
    )
    recipe = Recipe(**{**QUIET, "remarks": 3.0})  # type: ignore[arg-type]
    kinds = {
        turn.kind for seed in range(200) for turn in filled(asked, recipe, seed).turns if turn.kind
    }
    assert kinds == {"query", "self_talk", "third_party_talk", "third_party_question"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_switched_off(kind: str) -> None:
    rates = dict.fromkeys(("stops", "go_ons", "hidden", "opening", "interruptions"), 0.3)
    recipe = Recipe(remarks=1.0, **rates)  # type: ignore[arg-type]

    def kinds(recipe: Recipe) -> set[str]:
        found = set()
        for dialogue in ALL:
            draft = filled(dialogue, recipe)
            found |= {turn.kind for turn in draft.turns}
            found |= {"unfinished"} if draft.unfinished else set()
            found |= {"asking"} if {turn.kind for turn in draft.turns} & set(ASKING) else set()
            found |= {"opening"} if draft.turns[0].state == "<2>" and draft.turns[1:] else set()
            own = {turn.text for turn in dialogue.turns[1::2]}
            told = [
                turn.text
                for turn in draft.turns
                # An offer is added to an answer, or to the rest of one.
                if turn.role == "assistant" and turn.complete and not turn.text.endswith("?")
            ]
            found |= {"switch"} if any(t and not any(t in o for o in own) for t in told) else set()
        return found

    assert kind in kinds(recipe)
    assert kind not in kinds(recipe.without(frozenset({kind})))


def test_unknown_kinds_and_weights() -> None:
    with pytest.raises(BadInput, match="without: unknown kind 'noise'"):
        Recipe().without(frozenset({"noise"}))
    assert parse_mix("remark=2, background=0.5") == {"remark": 2.0, "background": 0.5}
    for text in ("noise=1", "remark", "remark=x", "remark=0", "remark=nan"):
        with pytest.raises(BadInput, match="mix: "):
            parse_mix(text)


@given(st.integers(20, 120), st.sampled_from(ALL), st.integers(0, 2))
def test_samples_are_no_longer_than_asked(most: int, dialogue: Dialogue, variant: int) -> None:
    recipe = Recipe(**{**QUIET, "max_words": most})  # type: ignore[arg-type]
    draft = plan(dialogue, variant=variant, recipe=recipe, seed=1, validation=False)
    assert sum(count_words(turn.text) for turn in draft.turns) <= most
    assert draft.turns


def talk(*texts: str) -> Dialogue:
    turns = [Turn("assistant" if n % 2 else "user", text) for n, text in enumerate(texts)]
    return Dialogue("x", "x", tuple(turns))


def test_what_is_usable() -> None:
    asked, told = "What is the way to the harbour?", "Down the hill."
    dropped: Counter[str] = Counter()

    def kept(dialogue: Dialogue) -> int | None:
        found = usable(dialogue, Recipe(max_query_words=10), held_out, dropped)
        return len(found.turns) if found else None

    held_out = HeldOut(["Which of these boats is mine?"])
    assert kept(talk(asked, told)) == 2
    assert kept(talk("I like the sea.", told)) is None
    assert kept(talk("I like the sea.", "Oh.", asked, told)) == 2
    assert kept(talk(asked, told, "I like the sea.", "Me too.", asked, told)) == 2
    assert kept(talk(asked, "Which harbour?", "The old one.", told)) == 4
    assert kept(talk(asked, told, "which of these boats is mine", told)) == 2
    assert kept(talk("what " * 11, told)) is None
    assert kept(talk("今天天气怎么样", "很好")) == 2  # the rules for English pass over it
    assert set(dropped) == {"query_doubtful", "query_held_out", "query_too_long"}


def test_our_small_dialogues_are_usable() -> None:
    found = dialogue_of(record(1), source="x", fallback_id="")
    assert found is not None
    assert usable(found, Recipe(), HeldOut(), Counter()) == found
