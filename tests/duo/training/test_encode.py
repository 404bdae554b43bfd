"""Labels are state tokens and answers, exactly; ids are what the decoder holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.data.sample import AssistantTurn, Sample, SystemMessage, UserTurn
from duo.decoding.context import Context
from duo.decoding.fused import FusedChannels
from duo.decoding.settings import Settings
from duo.errors import BadInput
from duo.training.encode import NOT_LEARNED, Encoded, Encoder, TooLong, without_ignored_turns
from tests.duo.training.material import sample
from tests.tiny import TEMPLATES, tiny_backbone, tiny_tokenizer

STYLES = [*TEMPLATES, None]


#: What ends an earlier answer and the last one, where no token closes both.
ENDS = {"marks": ("<|user|>", "<|user|>"), "return": ("<|end|>", "<|return|>")}


def learned_runs(encoded: Encoded) -> list[list[int]]:
    """Labels that follow one another without a gap."""
    runs: list[list[int]] = [[]]
    for label in encoded.labels:
        if label == NOT_LEARNED:
            runs.append([])
        else:
            runs[-1].append(label)
    return [run for run in runs if run]


@pytest.mark.parametrize("template", STYLES)
@pytest.mark.parametrize("seed", range(4))
def test_labels_are_states_and_answers_exactly(template: str | None, seed: int) -> None:
    tokenizer = tiny_tokenizer(template)
    encoder = Encoder(tokenizer, max_tokens=5000)
    dialogue = sample(seed, unfinished=seed % 2 == 0)
    encoded = encoder.sample(dialogue)
    expected: list[list[int]] = []
    for place, message in enumerate(dialogue.messages):
        if isinstance(message, UserTurn):
            if message.state is not None:
                expected.append(
                    [{"<1>": encoder.states.respond, "<2>": encoder.states.ignore}[message.state]]
                )
        elif isinstance(message, AssistantTurn):
            ids = encoder.chat.text(message.content, "assistant")
            if message.complete:
                last = place == len(dialogue.messages) - 1
                if template in ENDS:
                    ids.append(tokenizer.convert_tokens_to_ids(ENDS[template][last]))
                else:
                    close = encoder.chat.assistant_close
                    ends = [n + 1 for n, id in enumerate(close) if id in encoder.chat.stop]
                    ids += close[: ends[0] if ends else len(close)]
            expected.append(ids)
    assert learned_runs(encoded) == expected
    learned = [id for id, label in zip(encoded.ids, encoded.labels, strict=True) if label >= 0]
    assert learned == [label for label in encoded.labels if label >= 0]


@pytest.mark.parametrize("template", ENDS)
@pytest.mark.parametrize("followed", [True, False])
def test_a_cut_answer_is_not_taught_to_end(template: str, followed: bool) -> None:
    tokenizer = tiny_tokenizer(template)
    encoder = Encoder(tokenizer, max_tokens=5000)
    after = [UserTurn(content="I see.", state="<2>")] if followed else []
    end = tokenizer.convert_tokens_to_ids(ENDS[template][not followed])
    learned = {}
    for complete in (True, False):
        answer = AssistantTurn(content="It is seven.", complete=complete)
        turns = (UserTurn(content="Is it late?", state="<1>"), answer, *after)
        encoded = encoder.sample(Sample(id="x", messages=turns))
        learned[complete] = learned_runs(encoded)[1]
        if not followed:
            assert (encoded.ids[-1] == end) == complete
    assert learned[True] == [*learned[False], end]
    assert end in encoder.chat.stop


def test_an_end_whose_answer_was_left_out_is_not_learned() -> None:
    """The mark that ends an answer opens the next turn, which may become the first."""
    messages = [
        turn
        for _ in range(4)
        for turn in (UserTurn(content="Is it late?", state="<1>"), AssistantTurn(content="Yes."))
    ]
    sample = Sample(id="x", messages=tuple(messages))
    whole = Encoder(tiny_tokenizer("marks"), max_tokens=5000).sample(sample)
    encoder = Encoder(tiny_tokenizer("marks"), max_tokens=len(whole) - 1)
    shorter = encoder.sample(sample)
    head = len(encoder.chat.preamble) + len(encoder.chat.user_open)
    assert len(shorter) < len(whole)
    assert shorter.ids[:head] == whole.ids[:head]
    assert set(shorter.labels[:head]) == {NOT_LEARNED}
    assert len(learned_runs(shorter)) == len(learned_runs(whole)) - 2


@pytest.mark.parametrize("template", STYLES)
def test_inside_are_the_words_of_an_utterance_but_its_last(template: str | None) -> None:
    encoder = Encoder(tiny_tokenizer(template), max_tokens=5000)
    said = "What is the capital of"
    ids = encoder.chat.text(said)
    for state in ("<1>", "<2>", None):
        encoded = encoder.sample(Sample(id="x", messages=(UserTurn(content=said, state=state),)))
        first = len(encoder.chat.preamble) + len(encoder.chat.user_open)
        assert encoded.ids[first : first + len(ids)] == tuple(ids)
        places = [place for place, inside in enumerate(encoded.inside) if inside]
        last = first + len(ids) - 1
        assert places == [*range(first, last), *([last] if state is None else [])]


@pytest.mark.parametrize(
    "template", ["chatml", "joined", "turns", "words", "marks", "return", None]
)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("remember", [True, False])
def test_ids_are_those_of_the_decoders_context(
    template: str | None, seed: int, remember: bool
) -> None:
    backbone = tiny_backbone(template=template)
    dialogue = sample(seed, unfinished=True)
    settings = Settings(max_tokens=2048)
    context = Context(backbone, FusedChannels(backbone.model), settings, 4)
    for message in dialogue.messages:
        if isinstance(message, AssistantTurn):
            context.channels.output.ids += backbone.chat.text(message.content, "assistant")
            context.channels.speaking = False
            context.answered = message.complete
            continue
        assert isinstance(message, UserTurn)
        if message.state == "<1>":
            context.hear(message.content)
            context.respond(state=backbone.states.respond)
        elif message.state == "<2>":
            context.hear(message.content)
            context.ignore(remember=remember)
        else:
            context.hear(message.content)
            assert context.channels.input is not None
            ids = [*context.ids, *context.channels.input.ids]
            assert context.channels.output.ids == []
    if not remember:
        *_, (dialogue, _) = without_ignored_turns(dialogue)
    assert Encoder(backbone.tokenizer, max_tokens=5000).sample(dialogue).ids == tuple(ids)


@given(st.integers(0, 200))
def test_where_ignored_turns_are_forgotten_everything_is_learned_once(seed: int) -> None:
    encoder = Encoder(tiny_tokenizer(), max_tokens=5000)
    dialogue = sample(seed, turns=4)
    parts = list(without_ignored_turns(dialogue))
    rows = [encoder.sample(part, context) for part, context in parts]
    learned = [run for row in rows for run in learned_runs(row)]
    assert sorted(learned) == sorted(learned_runs(encoder.sample(dialogue)))
    assert sum(sum(row.inside) for row in rows) == sum(encoder.sample(dialogue).inside)
    for (part, context), row in zip(parts, rows, strict=True):
        ignored = [getattr(message, "state", None) == "<2>" for message in part.messages]
        assert not any(ignored[:-1])  # nothing comes after it
        assert ignored[-1] == (context > 0)
        assert row.ids == encoder.sample(part).ids


def test_an_answer_that_goes_on_after_a_forgotten_remark_is_in_one_piece() -> None:
    asked = UserTurn(content="What is rain?", state="<1>")
    begun = AssistantTurn(content="Water that", complete=False)
    remark = UserTurn(content="mhm", state="<2>")
    rest = AssistantTurn(content="falls.")
    parts = list(without_ignored_turns(Sample(id="x", messages=(asked, begun, remark, rest))))
    whole = AssistantTurn(content="Water that falls.")
    assert [(part.messages, context) for part, context in parts] == [
        ((asked, begun, remark), 2), ((asked, whole), 0)
    ]  # fmt: skip
    apart = Sample(id="x", messages=(asked, whole, remark, rest))  # the first one was complete
    assert [part.messages for part, _ in without_ignored_turns(apart)][-1] == (asked, whole, rest)
    assert list(without_ignored_turns(Sample(id="x", messages=(remark,)))) == [
        (Sample(id="x", messages=(remark,)), 0)
    ]


@given(st.integers(0, 50), st.integers(20, 400))
def test_long_samples_lose_whole_exchanges_from_the_front(seed: int, most: int) -> None:
    tokenizer = tiny_tokenizer("joined")
    whole = Encoder(tokenizer, max_tokens=5000).sample(sample(seed, turns=5))
    encoder = Encoder(tokenizer, max_tokens=most)
    head = encoder.chat.preamble
    try:
        cut = encoder.sample(sample(seed, turns=5))
    except TooLong:
        return
    assert len(cut) <= most
    body = cut.ids[len(head) :]
    assert cut.ids[: len(head)] == head
    assert whole.ids[len(whole) - len(body) :] == body
    assert whole.labels[len(whole) - len(body) :] == cut.labels[len(head) :]
    assert whole.inside[len(whole) - len(body) :] == cut.inside[len(head) :]
    assert body[: len(encoder.chat.user_open)] == encoder.chat.user_open


def test_a_system_message_replaces_the_preamble() -> None:
    tokenizer = tiny_tokenizer("chatml")
    encoder = Encoder(tokenizer, max_tokens=500)
    turn = UserTurn(content="Why?", state="<1>")
    plain = encoder.sample(Sample(id="x", messages=(turn,)))
    told = encoder.sample(Sample(id="x", messages=(SystemMessage(content="Be brief."), turn)))
    assert "Be brief." in tokenizer.decode(told.ids)
    assert "Be brief." not in tokenizer.decode(plain.ids)


@pytest.mark.parametrize("template", ["chatml", "marks", "return"])
def test_slices_are_learned_with_the_end_of_turn(template: str) -> None:
    tokenizer = tiny_tokenizer(template)
    encoder = Encoder(tokenizer, max_tokens=500)
    encoded = encoder.slices(
        [
            ("user", "tell me how"), ("assistant", "<idle>"),
            ("user", "rain falls"), ("assistant", "The rain falls"),
            ("user", "<idle>"), ("assistant", " on Paris."),
        ]
    )  # fmt: skip
    ends = [
        tokenizer.convert_tokens_to_ids(end)
        for end in ENDS.get(template, ("<|im_end|>", "<|im_end|>"))
    ]
    runs = learned_runs(encoded)
    assert runs[0] == [encoder.states.idle, ends[0]]
    assert [run[-1] for run in runs] == [ends[0], *ends]
    spoken = tokenizer.decode([*runs[1][:-1], *runs[2][:-1]])
    assert spoken == "The rain falls on Paris."
    assert encoder.states.idle in encoded.ids[encoded.ids.index(runs[1][0]) :]
    assert not any(encoded.inside)


def test_a_tokenizer_without_state_tokens_is_refused() -> None:
    with pytest.raises(BadInput, match="no state token <1>"):
        Encoder(tiny_tokenizer(states=False), max_tokens=100)


@pytest.mark.parametrize("template", STYLES)
@given(seed=st.integers(0, 20), most=st.integers(1, 30))
def test_long_answers_are_shown_as_if_cut_off(template: str | None, seed: int, most: int) -> None:
    tokenizer = tiny_tokenizer(template)
    encoder = Encoder(tokenizer, max_tokens=5000, answer_tokens=most)
    whole, dialogue = Encoder(tokenizer, max_tokens=5000), sample(seed)
    short = []
    for message in dialogue.messages:
        if isinstance(message, AssistantTurn):
            ids = whole.chat.text(message.content, "assistant")
            complete = message.complete and len(ids) <= most
            short.append((ids[:most], complete))
    states = (encoder.states.respond, encoder.states.ignore)
    runs = [run for run in learned_runs(encoder.sample(dialogue)) if run[0] not in states]
    assert [run[: len(ids)] for run, (ids, _) in zip(runs, short, strict=True)] == [
        ids for ids, _ in short
    ]
    assert [len(run) > len(ids) for run, (ids, _) in zip(runs, short, strict=True)] == [
        complete for _, complete in short
    ]
