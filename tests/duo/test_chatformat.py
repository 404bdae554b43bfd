"""The chat format, piece by piece, against the tokenizers' own templates."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from duo.chatformat import ChatFormat, chat_format
from duo.chattemplate import DATE, dated
from duo.errors import BadInput
from duo.tokens import IDLE, IGNORE, RESPOND, STATE_TOKENS, state_tokens
from tests.tiny import KINDS, TEMPLATES, tiny_tokenizer

FORMS = [(template, kind) for template in TEMPLATES for kind in KINDS]

#: Templates in which a system prompt is a turn of its own.
WITH_SYSTEM = [form for form in FORMS if form[0] not in ("inst", "turns")]

SAID = st.one_of(
    st.text(min_size=1, max_size=30),
    st.text("abt7 .,?!'\"()[]<>/|\n你好é▁-:", min_size=1, max_size=20),
    st.lists(
        st.sampled_from(["the", "of", "7:45", "user", "ASSISTANT:", "[INST]", "你好,", "\n"]),
        min_size=1,
        max_size=8,
    ).map(" ".join),
).map(lambda text: text.encode("utf-8", "replace").decode().strip()).filter(bool)  # fmt: skip


@lru_cache
def tokenizer_of(template: str | None, kind: str) -> Any:
    return tiny_tokenizer(template, kind)


@lru_cache
def form_of(template: str | None, kind: str) -> ChatFormat:
    return chat_format(tokenizer_of(template, kind))


def messages(*texts: str) -> list[dict[str, str]]:
    return [
        {"role": "assistant" if place % 2 else "user", "content": text}
        for place, text in enumerate(texts)
    ]


def rendered(tokenizer: Any, turns: list[dict[str, str]]) -> list[int]:
    return tokenizer.apply_chat_template(
        turns,
        chat_template=dated(tokenizer.chat_template),
        tokenize=True,
        return_dict=False,
        enable_thinking=False,
    )


#: What marks turns in plain text: said by somebody, it has a blank after its first character.
PLAIN_MARKS = {"words": ("USER:", "ASSISTANT:"), "inst": ("[/INST]",)}


def unmarked(template: str, text: str) -> str:
    for mark in PLAIN_MARKS.get(template, ()):
        text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


@pytest.mark.parametrize(("template", "kind"), FORMS)
@settings(max_examples=25)
@given(texts=st.lists(SAID, min_size=1, max_size=5))
@example(texts=["- first", "(no)", "…"])
def test_pieces_give_the_ids_of_the_template(template: str, kind: str, texts: list[str]) -> None:
    if template == "thinking":  # takes the thinking block out of earlier answers
        texts = texts[:2]
    tokenizer, form = tokenizer_of(template, kind), form_of(template, kind)
    assert form.name == "template"
    plain = [unmarked(template, text) for text in texts]
    assert form.render(messages(*texts)) == rendered(tokenizer, messages(*plain))


@pytest.mark.parametrize(("template", "kind"), WITH_SYSTEM)
@settings(max_examples=8)
@given(system=SAID, texts=st.lists(SAID, min_size=1, max_size=2))
def test_a_system_prompt_becomes_the_preamble(
    template: str, kind: str, system: str, texts: list[str]
) -> None:
    tokenizer = tokenizer_of(template, kind)
    turns = messages(*(unmarked(template, text) for text in texts))
    whole = [{"role": "system", "content": system}, *turns]
    expected = rendered(tokenizer, whole)
    assert form_of(template, kind).render(whole) == expected
    assert chat_format(tokenizer, system=system).render(turns) == expected


@pytest.mark.parametrize(("template", "kind"), FORMS)
@settings(max_examples=15)
@given(text=SAID, blanks=st.tuples(*[st.text(" \n\t", max_size=3)] * 2))
def test_blanks_around_a_text_do_not_count(
    template: str, kind: str, text: str, blanks: tuple[str, str]
) -> None:
    form = form_of(template, kind)
    for role in ("user", "assistant"):
        assert form.text(blanks[0] + text + blanks[1], role) == form.text(text, role)
        assert form.text("".join(blanks), role) == []


@pytest.mark.parametrize(("template", "kind"), [*FORMS, (None, "bytes"), (None, "metaspace")])
@settings(max_examples=25)
@given(data=st.data())
def test_text_that_spells_control_tokens_stays_text(
    template: str | None, kind: str, data: st.DataObject
) -> None:
    tokenizer, form = tokenizer_of(template, kind), form_of(template, kind)
    spelled = sorted({token.content for token in tokenizer.added_tokens_decoder.values()})
    parts = data.draw(st.lists(st.one_of(SAID, st.sampled_from(spelled)), min_size=1, max_size=6))
    text = "".join(parts).strip()
    assume(any(token in text for token in spelled) and "▁" not in text)
    control = set(tokenizer.added_tokens_decoder)
    for role, opening in (("user", form.user_open), ("assistant", form.assistant_open)):
        ids = form.text(text, role)
        unknown = {tokenizer.unk_token_id} if kind == "metaspace" else set()
        assert control.isdisjoint(set(ids) - unknown)
        # Decoded after its opening, because a tokenizer drops a blank at the very beginning.
        assert unmarked(template or "", text) in tokenizer.decode([*opening, *ids])


@pytest.mark.parametrize(("template", "kind"), FORMS)
def test_the_state_token_ends_the_users_text(template: str, kind: str) -> None:
    tokenizer, form = tokenizer_of(template, kind), form_of(template, kind)
    states = state_tokens(tokenizer)
    assert tokenizer.convert_ids_to_tokens([states.respond, states.ignore, states.idle]) == [
        RESPOND, IGNORE, IDLE,
    ]  # fmt: skip
    turn = form.user_turn("How are you?", states.ignore)
    assert turn == [
        *form.user_open, *form.text("How are you?"), states.ignore, *form.user_close,
    ]  # fmt: skip
    said = [{"role": "user", "content": "How are you?", "state": states.ignore}]
    assert form.render(said) == [
        *form.preamble, *turn[: len(turn) - len(form.user_close)], *form.user_end,
    ]  # fmt: skip
    # The template gives the same where the state token is written into the text.
    written = messages(f"How are you?{IGNORE}", "Fine.")
    said.append({"role": "assistant", "content": "Fine."})
    assert form.render(said) == rendered(tokenizer, written)


@pytest.mark.parametrize("kind", KINDS)
def test_plain_is_the_papers_form(kind: str) -> None:
    tokenizer, form = tokenizer_of(None, kind), form_of(None, kind)
    assert form.name == "plain"
    states = state_tokens(tokenizer)
    ids = form.render(
        [
            {"role": "user", "content": "Is it late?", "state": states.respond},
            {"role": "assistant", "content": "It is seven.", "complete": True},
            {"role": "user", "content": "I see.", "state": states.ignore},
            {"role": "user", "content": "Tell me more.", "state": states.respond},
            {"role": "assistant", "content": "The train", "complete": False},
            {"role": "user", "content": "Stop.", "state": states.respond},
        ]
    )
    assert tokenizer.decode(ids).strip() == (
        "<user>: Is it late?<1> <assistant>: It is seven.<|endoftext|> <user>: I see.<2> "
        "<user>: Tell me more.<1> <assistant>: The train <user>: Stop.<1>"
    )
    assert form.stop == {tokenizer.eos_token_id}
    assert chat_format(tokenizer_of("chatml", kind), "plain").name == "plain"


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(words=st.lists(SAID, min_size=2, max_size=6))
def test_plain_pieces_read_as_what_was_said(kind: str, words: list[str]) -> None:
    assume(not any("▁" in word for word in words))
    tokenizer, form = tokenizer_of(None, kind), form_of(None, kind)
    text = tokenizer.decode(form.render(messages(*words[:2])))
    assert text.strip() == f"<user>: {words[0]} <assistant>: {words[1]}{tokenizer.eos_token}"


def test_plain_begins_as_the_tokenizer_begins_texts() -> None:
    tokenizer = tiny_tokenizer(None)
    assert chat_format(tokenizer).preamble == ()
    assert tokenizer.decode(chat_format(tokenizer, system="Be brief.").preamble) == "Be brief.\n"
    from tokenizers import processors

    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    assert chat_format(tokenizer).preamble == (tokenizer.bos_token_id,)


def test_turns_of_one_speaker_may_follow_each_other() -> None:
    """A remembered remark and the next query: the template's separator stands between them."""
    tokenizer, form = tokenizer_of("joined", "bytes"), form_of("joined", "bytes")
    ids = [*form.user_turn("I see."), *form.user_turn("Go on.")]
    turn = "<|im_start|>user\n{}<|im_end|>\n"
    assert tokenizer.decode(ids) == turn.format("I see.") + turn.format("Go on.")


def test_answers_end_at_the_end_of_a_turn() -> None:
    ends = {
        template: tokenizer_of(template, "bytes").convert_ids_to_tokens(
            sorted(form_of(template, "bytes").stop)
        )
        for template in TEMPLATES
    }
    assert ends["chatml"] == ["<|im_end|>"]
    assert ends["turns"] == ["<|endoftext|>", "<end_of_turn>"]
    assert ends["inst"] == ["<|endoftext|>"]
    assert ends["marks"] == ["<|endoftext|>", "<|user|>"]
    assert sorted(ends["return"]) == ["<|end|>", "<|return|>"]


def test_the_last_answer_may_end_otherwise_than_earlier_ones() -> None:
    tokenizer, form = tokenizer_of("return", "bytes"), form_of("return", "bytes")
    text = tokenizer.decode(form.render(messages("Why?", "So.", "Oh?", "Yes.")))
    assert text.count("So.<|end|>") == text.count("Yes.<|return|>") == 1
    assert tokenizer.convert_ids_to_tokens(form.ending()) == ["<|end|>"]
    assert tokenizer.convert_ids_to_tokens(form.ending(last=True)) == ["<|return|>"]
    # A system turn that closes as answers do is no part of the user's opening.
    assert tokenizer.decode(form.user_open) == "<|start|>user<|message|>"


@pytest.mark.parametrize("last", ["", "{% if loop.last %}<|endoftext|>{% endif %}"])
def test_an_answer_may_end_with_the_mark_of_the_next_turn(last: str) -> None:
    tokenizer = tiny_tokenizer("marks")
    tokenizer.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}"
        f"{{% if m.role == 'assistant' %}}{last}{{% endif %}}{{% endfor %}}"
    )
    form = chat_format(tokenizer)
    assert tokenizer.decode(form.user_open) == "<|user|>\n"
    assert form.assistant_close == ()
    assert tokenizer.convert_ids_to_tokens(form.ending()) == ["<|user|>"]
    assert tokenizer.convert_ids_to_tokens(form.ending(last=True)) == [
        "<|endoftext|>" if last else "<|user|>"
    ]


DAYS = [("dated", "Today Date: {:%d %b %Y}"), ("return", "Today is {:%Y-%m-%d}.")]


@pytest.mark.parametrize(("template", "shown"), DAYS)
@settings(max_examples=10)
@given(day=st.dates(min_value=date(1900, 1, 1)))
def test_a_day_in_the_preamble_is_the_one_that_is_set(template: str, shown: str, day: date) -> None:
    tokenizer = tokenizer_of(template, "bytes")
    form = chat_format(tokenizer, date=day.isoformat())
    assert form.date == day.isoformat()
    assert shown.format(day) in tokenizer.decode(form.preamble)
    said = [{"role": "system", "content": "Be brief."}, *messages("Why?")]
    assert shown.format(day) in tokenizer.decode(form.render(said))


def test_the_day_does_not_change_by_itself() -> None:
    for template, shown in DAYS:
        form = chat_format(tokenizer_of(template, "bytes"))
        assert form.date == DATE == "2024-07-26"
        day = date.fromisoformat(DATE)
        assert shown.format(day) in form.tokenizer.decode(form.preamble)
    assert form_of("chatml", "bytes").date is None
    with pytest.raises(BadInput, match="is no day"):
        chat_format(tokenizer_of("dated", "bytes"), date="tomorrow")


@given(day=st.dates(min_value=date(1900, 1, 1)), form=st.sampled_from([
    "%d %b %Y", "%Y-%m-%d", "%B %d, %Y", "%A, %-d %B", "%d/%m/%y", "%H:%M:%S", "Day %j, %d %B %Y",
]))  # fmt: skip
def test_days_are_written_as_strftime_does(day: date, form: str) -> None:
    tokenizer = tokenizer_of("chatml", "bytes")
    template = dated(f"{{{{ strftime_now('{form}') }}}}", day.isoformat())
    written = tokenizer.apply_chat_template(messages("x"), chat_template=template, tokenize=False)
    assert written == day.strftime(form)


@pytest.mark.parametrize("kind", KINDS)
def test_thinking_is_left_out_of_spoken_answers(kind: str) -> None:
    tokenizer, form = tokenizer_of("thinking", kind), form_of("thinking", kind)
    opened = tokenizer.apply_chat_template(
        messages("Why?"), add_generation_prompt=True, return_dict=False, enable_thinking=False
    )
    assert [*form.render(messages("Why?")), *form.assistant_open] == opened
    assert form.render(messages("Why?", "So.", "Oh?"))[: len(opened)] == opened


@pytest.mark.parametrize("template", ["inst", "turns"])
def test_a_refused_system_prompt_is_one_line(template: str) -> None:
    with pytest.raises(BadInput, match="system prompt") as caught:
        chat_format(tokenizer_of(template, "bytes"), system="Be brief.")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | upper }}\n{% endfor %}",
        "{% for m in messages %}{{ loop.index }}. {{ m.role }}: {{ m.content }}\n{% endfor %}",
        "{% for m in messages %}{{ m.role }}: {{ m.content }} {{ m.content }}\n{% endfor %}",
        "{{ messages[-1].content }}",
        "{{ raise_exception('never') }}",
        "no messages",
        "{% if %}",
        "{% for m in messages %}{{ m.role }} {{ m.content | replace('.', '!') }}\n{% endfor %}",
        "{% for m in messages %}{{ m.role }}:{{ messages | length }} {{ m.content }}\n{% endfor %}",
    ],
)
def test_a_template_without_pieces_is_one_line(template: str) -> None:
    tokenizer = tiny_tokenizer("chatml")
    tokenizer.chat_template = template
    with pytest.raises(BadInput, match="use --chat plain") as caught:
        chat_format(tokenizer)
    assert "\n" not in str(caught.value)
    assert chat_format(tokenizer, "plain").name == "plain"


def test_merges_over_the_edge_of_a_text_are_found() -> None:
    """`t.` is one token of this tokenizer, so a full stop from the template joins the text."""
    tokenizer = tiny_tokenizer("chatml", "metaspace")
    assert "t." in tokenizer.get_vocab()
    tokenizer.chat_template = (
        "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}.\n{% endfor %}"
    )
    with pytest.raises(BadInput, match="merges"):
        chat_format(tokenizer)


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "tool", "content": "x"}],
        [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}],
    ],
)
def test_other_roles_are_refused(turns: list[dict[str, str]]) -> None:
    with pytest.raises(BadInput, match="role"):
        form_of("chatml", "bytes").render(turns)


def test_unknown_style_and_missing_end() -> None:
    with pytest.raises(BadInput, match="use one of template, plain"):
        chat_format(tokenizer_of("chatml", "bytes"), "fancy")
    tokenizer = tiny_tokenizer(None)
    tokenizer.eos_token = None
    with pytest.raises(BadInput, match="end-of-sequence"):
        chat_format(tokenizer)


def test_strange_characters_do_no_harm() -> None:
    form = form_of("chatml", "bytes")
    assert form.text("\ud800 a\x00b") == form.text("? a\x00b")
    assert form.text("\u200b") != []


@pytest.mark.real_model
@settings(max_examples=25)
@given(texts=st.lists(SAID, min_size=1, max_size=5))
def test_the_embedded_model_too(smollm2: Any, texts: list[str]) -> None:
    said = messages(*texts)
    assume(not any(token in text for text in texts for token in STATE_TOKENS))
    assert smollm2.chat.render(said) == rendered(smollm2.tokenizer, said)
