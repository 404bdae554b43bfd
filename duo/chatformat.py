"""Convert turns of a dialogue to token ids: one chat format for decoding and for training.

A duplex decoder builds a dialogue piece by piece: it opens a user turn while the answer is still
being given, adds words as they are heard, and closes the turn once it is known to be a query. So
it needs the pieces of the model's chat format, not whole rendered dialogues. `chat_format` derives
them from the tokenizer's own chat template (`duo.chattemplate`), and a check on many texts makes
sure that together they give exactly the template's ids. Two other styles are known by name:

- "plain", the paper's plain text form (Figure 6), for models without a template:
  `<user>: question<1> <assistant>: answer</s> <user>: ...`
- "minicpm", the form of MiniCPM and MiniCPM-duplex as published, which their template writes in
  part only: `<s><用户>question<1><AI>answer</s><用户>...`

In all, the state token stands at the end of the user's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from duo.chattemplate import (
    DATE,
    PROBES,
    TEXTS,
    Pieces,
    Unsplittable,
    alternating,
    render_template,
    template_pieces,
)
from duo.errors import BadInput, check_choice
from duo.tokens import TextEncoder, control_ids, encode, opening_ids

STYLES = ("template", "plain", "minicpm")


@dataclass(frozen=True)
class ChatFormat:
    """The pieces of a chat format, as token ids.

    Attributes:
        name: one of `STYLES`.
        preamble: before the first user turn's opening: BOS, default or given system prompt.
        user_open: opens a user turn.
        user_close: closes a user turn, after its state token if there is one.
        assistant_open: opens an assistant turn; the answer's first token follows.
        assistant_close: closes a complete answer.
        assistant_cut: closes an answer that was broken off (plain style: nothing).
        user_end, assistant_end: what closes the last turn of a whole dialogue, instead.
        stop: ids that end an answer; never part of its text. Where nothing closes an answer but the
            mark of the next turn (as in GLM-4), this mark.
        date: the day that stands in the preamble, "2024-07-26"; None if the template has none.
    """

    name: str
    preamble: tuple[int, ...]
    user_open: tuple[int, ...]
    user_close: tuple[int, ...]
    assistant_open: tuple[int, ...]
    assistant_close: tuple[int, ...]
    assistant_cut: tuple[int, ...]
    user_end: tuple[int, ...]
    assistant_end: tuple[int, ...]
    stop: frozenset[int]
    encoder: TextEncoder = field(repr=False, compare=False)
    tokenizer: Any = field(repr=False, compare=False)
    date: str | None = None

    @property
    def shown_day(self) -> dict[str, str]:
        """The date in the preamble, among the versions of a recording; empty without one."""
        return {} if self.date is None else {"chat_template_date": self.date}

    def ending(self, last: bool = False) -> tuple[int, ...]:
        """Find what a complete answer ends with, up to the token at which generation stops.

        It may be the beginning of the next turn's opening, and another token for the last answer
        of a dialogue than for earlier ones. If there is no such token, it is all that closes one.
        """
        close = (*self.assistant_close, *self.user_open)
        if last and not self.stop.isdisjoint(self.assistant_end):
            close = self.assistant_end
        for place, id in enumerate(close):
            if id in self.stop:
                return close[: place + 1]
        return self.assistant_close

    def text(self, text: str, role: str = "user") -> list[int]:
        """Encode a turn's text without the blanks around it; never a control token's id.

        Args:
            text: what is said. Strings such as `<1>` or `<|im_end|>` in it stay plain text.
            role: "user" or "assistant": the opening that the text stands behind.
        """
        return self.encoder(text, role)

    def user_turn(self, text: str, state: int | None = None) -> list[int]:
        """Encode a whole user turn, with the id of its state token at the end of its text."""
        return [*self._user(text, state), *self.user_close]

    def prompt(self, question: Sequence[int]) -> list[int]:
        """Put a question's ids into a dialogue of its own, up to where its answer begins."""
        return [*self.preamble, *self.user_open, *question, *self.user_close, *self.assistant_open]

    def render(self, messages: Iterable[Mapping[str, Any]]) -> list[int]:
        """Encode a whole dialogue, as `apply_chat_template` gives them.

        Args:
            messages: `role` and `content`; a user's may have `state` (a state token's id), an
                assistant's `complete`. The first may be the system's, in place of the preamble's.

        Raises:
            BadInput: an unknown role, a system message later than first, or one that the chat
                template refuses.
        """
        messages = list(messages)
        if messages and messages[0]["role"] == "system":
            form = chat_format(self.tokenizer, self.name, messages[0]["content"], self.date or DATE)
            return form.render(messages[1:])
        ids = list(self.preamble)
        for place, message in enumerate(messages):
            last = place == len(messages) - 1
            if message["role"] == "user":
                ids += self._user(message["content"], message.get("state"))
                ids += self.user_end if last else self.user_close
            elif message["role"] == "assistant":
                ids += self._assistant(message["content"])
                if not message.get("complete", True):
                    ids += self.assistant_cut
                else:
                    ids += self.assistant_end if last else self.assistant_close
            else:
                raise BadInput(f"unexpected here: {message['role']!r}", field="role")
        return ids

    def _user(self, text: str, state: int | None) -> list[int]:
        return [*self.user_open, *self.text(text), *(() if state is None else (state,))]

    def _assistant(self, text: str) -> list[int]:
        return [*self.assistant_open, *self.text(text, "assistant")]


def chat_format(
    tokenizer: Any, style: str = "template", system: str | None = None, date: str = DATE
) -> ChatFormat:
    """Derive the chat format of a tokenizer, whose state tokens must be in it already.

    Args:
        style: "template" (the tokenizer's own; plain if it has none), "plain" (the paper's) or
            "minicpm".
        system: a system prompt; None for the template's default, if it has one.
        date: today's, for a template that asks: year, month and day, as in "2024-07-26".

    Raises:
        BadInput: an unknown style, no such day, a template that refuses the system prompt, or one
            that cannot be split into turns.
    """
    check_choice("chat", style, STYLES)
    if style == "minicpm":
        return _minicpm(tokenizer, system)
    plain = style == "plain" or not tokenizer.chat_template
    try:
        if plain:
            return _plain(tokenizer, system)
        pieces = template_pieces(tokenizer, system, date)
        form = _format(tokenizer, pieces)
        _check(tokenizer, pieces, form)
        other = render_template(tokenizer, system, "1999-12-31", PROBES[0])
        if other != render_template(tokenizer, system, date, PROBES[0]):
            form = replace(form, date=date)
    except Unsplittable as error:
        what, advice = (
            ("plain chat format", "") if plain else ("chat template", ": use --chat plain")
        )
        raise BadInput(
            f"the {what} cannot be split into turns ({error}){advice}",
            file=tokenizer.name_or_path or None,
        ) from None
    return form


#: What opens a user turn and an answer of the paper's plain form.
_PLAIN_USER, _PLAIN_ASSISTANT = "<user>:", "<assistant>:"
PLAIN_OPENING = f" {_PLAIN_ASSISTANT} "


def _plain(tokenizer: Any, system: str | None) -> ChatFormat:
    """Make the paper's plain text form (Figure 6)."""
    end = tokenizer.eos_token
    if not end:
        raise BadInput(
            "the tokenizer has no end-of-sequence token, which the plain chat format needs",
            file=tokenizer.name_or_path or None,
        )
    # Models trained without a BOS token have tokenizers that add none.
    starts = tokenizer("a", verbose=False)["input_ids"][:1] == [tokenizer.bos_token_id]
    pieces = Pieces(
        preamble=(tokenizer.bos_token if starts else "") + (f"{system}\n" if system else ""),
        user_open=f" {_PLAIN_USER} ",
        user_close="",
        assistant_open=PLAIN_OPENING,
        assistant_close=end,
        user_end="",
        assistant_end=end,
    )
    return replace(_format(tokenizer, pieces), name="plain", assistant_cut=())


#: What opens a user turn and an answer of MiniCPM.
_MINICPM_USER, _MINICPM_ASSISTANT = "<用户>", "<AI>"


def _minicpm(tokenizer: Any, system: str | None) -> ChatFormat:
    """Make the form of MiniCPM: BOS, marks in plain text, EOS after every answer and every slice.

    Marks and texts are encoded by themselves: in one piece `<AI>"` would end in the token `>"`, and
    the mark would be another one before each answer.
    """
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if start is None or end is None:
        raise BadInput(
            "the tokenizer has no token that begins or ends a sequence, which the minicpm chat "
            "format needs",
            file=tokenizer.name_or_path or None,
        )
    user, assistant = (
        tuple(encode(tokenizer, mark)) for mark in (_MINICPM_USER, _MINICPM_ASSISTANT)
    )
    encoder = TextEncoder(
        tokenizer,
        {"user": "", "assistant": ""},
        (start, end),
        marks=(_MINICPM_USER, _MINICPM_ASSISTANT),
    )
    return ChatFormat(
        name="minicpm",
        preamble=(start, *((*encoder(system, "user"), *encode(tokenizer, "\n")) if system else ())),
        user_open=user,
        user_close=(),
        assistant_open=assistant,
        assistant_close=(end,),
        assistant_cut=(end,),
        user_end=(),
        assistant_end=(end,),
        stop=frozenset({end}),
        encoder=encoder,
        tokenizer=tokenizer,
    )


def write_style(tokenizer: Any, style: str) -> None:
    """Give a tokenizer a template of "plain" or "minicpm", for programs of others; in place.

    They render a dialogue first and encode it as a whole. So that MiniCPM's marks have the ids that
    they have by themselves even then, nothing merges across them any more; that is not saved with
    the tokenizer.
    """
    tokenizer.chat_template = style_template(tokenizer, style)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if style == "minicpm" and backend is not None:
        from tokenizers import Regex, pre_tokenizers

        marks = pre_tokenizers.Split(Regex(f"{_MINICPM_USER}|{_MINICPM_ASSISTANT}"), "isolated")
        others = [backend.pre_tokenizer] if backend.pre_tokenizer is not None else []
        backend.pre_tokenizer = pre_tokenizers.Sequence([marks, *others])


def style_template(tokenizer: Any, style: str) -> str:
    """Make a Jinja chat template that writes "plain" or "minicpm", for programs of others.

    State tokens are no part of it. A text that spells a mark is changed as `duo.tokens` says.
    """
    start = chat_format(tokenizer, style).preamble[:1] == (tokenizer.bos_token_id,)
    plain = style == "plain"
    marks = (_PLAIN_USER, _PLAIN_ASSISTANT) if plain else (_MINICPM_USER, _MINICPM_ASSISTANT)
    said = "m.content|trim" + "".join(
        f"|replace('{mark}','{mark[0]} {mark[1:]}')" for mark in marks
    )
    user, assistant = (f" {mark} " for mark in marks) if plain else marks
    return (
        f"{'{{ bos_token }}' if start else ''}"
        "{% for m in messages %}{% if m.role == 'system' %}"
        "{{ m.content|trim }}{{ '\n' }}{% elif m.role == 'user' %}"
        f"{{{{ '{user}' + ({said}) }}}}{{% else %}}"
        f"{{{{ '{assistant}' + ({said}) + eos_token }}}}{{% endif %}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ '{assistant}' }}}}{{% endif %}}"
    )


def _plain_marks(tokenizer: Any, fixed: Iterable[int], pieces: Pieces) -> list[str]:
    """List what opens and closes turns without a control token, and so could be spelled."""
    control = control_ids(tokenizer, fixed)
    marks = (
        pieces.user_open, pieces.user_close, pieces.assistant_open, pieces.assistant_close
    )  # fmt: skip
    return [
        mark.strip()
        for mark in marks
        if control.isdisjoint(encode(tokenizer, mark)) and len(mark.strip()) > 1
    ]


def _format(tokenizer: Any, pieces: Pieces) -> ChatFormat:
    """Encode the pieces: each is what it adds to the ids of the dialogue before it."""

    def ids(text: str) -> list[int]:
        return encode(tokenizer, text)

    def added(before: str, piece: str, text_follows: bool = False) -> tuple[int, ...]:
        start = ids(before)
        whole = opening_ids(ids, before + piece) if text_follows else ids(before + piece)
        if whole[: len(start)] != start:
            raise Unsplittable("the tokenizer merges a piece with the text before it")
        return tuple(whole[len(start) :])

    head = pieces.preamble + pieces.user_open
    query = head + PROBES[0]
    asked = query + pieces.user_close
    answer = asked + pieces.assistant_open + PROBES[1]
    answered = answer + pieces.assistant_close
    user_open = added(answered, pieces.user_open, text_follows=True)
    user_close = added(query, pieces.user_close)
    assistant_open = added(asked, pieces.assistant_open, text_follows=True)
    assistant_close = added(answer, pieces.assistant_close)
    # A tokenizer may mark the very beginning of a text; where it does, the preamble takes the mark.
    start = tuple(opening_ids(ids, head))
    marked = start[-len(user_open) :] == user_open
    preamble = start[: -len(user_open)] if marked else tuple(ids(pieces.preamble))
    fixed = {*preamble, *user_open, *user_close, *assistant_open, *assistant_close}
    contexts = {"user": head, "assistant": asked + pieces.assistant_open}
    marks = _plain_marks(tokenizer, fixed, pieces)
    encoder = TextEncoder(tokenizer, contexts, fixed, marks)
    assistant_end = added(answer, pieces.assistant_end)
    ends = {id for id in assistant_close if id in encoder.control}
    if not ends:  # the next turn's opening ends an answer, if it begins with a token of its own
        ends = set(user_open[:1]) & encoder.control
    ends |= {id for id in assistant_end if id in encoder.control}
    return ChatFormat(
        name="template",
        preamble=preamble,
        user_open=user_open,
        user_close=user_close,
        assistant_open=assistant_open,
        assistant_close=assistant_close,
        assistant_cut=assistant_close,
        user_end=added(query, pieces.user_end),
        assistant_end=assistant_end,
        stop=frozenset(ends | {tokenizer.eos_token_id} - {None}),
        encoder=encoder,
        tokenizer=tokenizer,
    )


def _check(tokenizer: Any, pieces: Pieces, form: ChatFormat) -> None:
    """Compare pieces of ids with the ids of the whole, whatever a text begins and ends with."""
    characters = map(chr, range(ord("!"), ord("~") + 1))
    for one, other in pairwise((*TEXTS, *characters, *PROBES)):
        whole = encode(tokenizer, pieces.dialogue(one, other, one))
        if form.render(alternating(one, other, one)) != whole:
            raise Unsplittable("the tokenizer merges a turn's text with what stands around it")
