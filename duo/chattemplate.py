"""Find the pieces of a chat template: what stands before, between and after a dialogue's turns.

Three short probe dialogues say how turns open and close; a check on many texts makes sure that the
pieces put together are what the template writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date as Date
from itertools import pairwise
from typing import Any

from duo.errors import BadInput, time_limit
from duo.tokens import OPENERS, control_ids, encode

#: The day that templates with a date are told, so that it does not depend on when they are asked.
#: It is the one that Llama's templates have where they know no other.
DATE = "2024-07-26"

#: Probe texts that no template contains.
_A, _B, _C = PROBES = ("KESTREL", "HERON", "PLOVER")

#: Texts on which pieces are checked: ways to begin and ways to end.
TEXTS = (*OPENERS, "So what?", "Hm, 3.5!", "[x]", "a/b", "1\n\n2", "e.g. <b>", "d'accord…", "好。")


class Unsplittable(Exception):
    """A chat template whose pieces put together are not what it renders."""


@dataclass(frozen=True)
class Pieces:
    """The pieces as text; see `duo.chatformat.ChatFormat`."""

    preamble: str
    user_open: str
    user_close: str
    assistant_open: str
    assistant_close: str
    user_end: str
    assistant_end: str
    #: Whether the template opens an earlier answer as it opens the last one. If not, it takes an
    #: (empty) thinking block out of earlier answers, which a decoder with a cache cannot.
    uniform: bool = True

    def dialogue(self, *texts: str) -> str:
        """Put texts of user and assistant, in turn, together."""
        whole, end = self.preamble, ""
        for place, text in enumerate(texts):
            if place % 2 == 0:
                whole += end + self.user_open + text
                end, last = self.user_close, self.user_end
            else:
                whole += end + self.assistant_open + text
                end, last = self.assistant_close, self.assistant_end
        return whole + last


def dated(template: str, date: str = DATE) -> str:
    """Fix the day that a chat template shows, by a `strftime_now` and a `date_string` of its own.

    A template that asks for neither stays as it is.

    Raises:
        BadInput: it is no day.
    """
    try:
        day = Date.fromisoformat(date)
    except ValueError:
        raise BadInput(
            f"{date!r} is no day such as {DATE} (year, month, day)", field="date"
        ) from None
    head = ""
    if "strftime_now" in template:
        parts = "".join(f"|replace('{part}','{day.strftime(part)}')" for part in _PARTS)
        parts += f"|replace('%-d','{day.day}')|replace('%-m','{day.month}')"
        head += f"{{% macro strftime_now(format) %}}{{{{ format{parts} }}}}{{% endmacro %}}"
    if "date_string" in template:
        head += f"{{% set date_string = '{day.strftime('%d %b %Y')}' %}}"
    return head + template


#: Seconds that a template may take for a dialogue of a few words; others take milliseconds.
_RENDERING = 5.0
#: What a format of `strftime` can ask for; the time is midnight.
_PARTS = [f"%{letter}" for letter in "cxXYmdBbAaHIMSpyjUWuwFDTRehGVZz"]


def template_pieces(tokenizer: Any, system: str | None, date: str = DATE) -> Pieces:
    """Find the pieces of the tokenizer's chat template.

    Raises:
        BadInput: the template refuses or ignores the system prompt, or hides it in a turn.
        Unsplittable: there are no such pieces.
    """
    pieces = _probed(tokenizer, system, date)
    for one, other in pairwise((*TEXTS, *PROBES)):
        for texts in ((one,), (one, other), (one, other, one)):
            known = pieces.uniform or len(texts) < 3
            if known and pieces.dialogue(*texts) != render_template(
                tokenizer, system, date, *texts
            ):
                raise Unsplittable("it changes what is said")
    return pieces


def _probed(tokenizer: Any, system: str | None, date: str) -> Pieces:
    """Derive the pieces from three probe dialogues."""
    one, two, three = (
        render_template(tokenizer, system, date, *(_A, _B, _C)[:count]) for count in (1, 2, 3)
    )
    head, user_end = _split(one, _A)
    again, to_answer, assistant_end = _split(two, _A, _B)
    first, earlier, to_user, end = _split(three, _A, _B, _C)
    if not (head == again == first and end == user_end):
        raise Unsplittable("a turn's form depends on the turns after it")
    if system is not None and system.strip() not in head:
        raise BadInput("the chat template ignores the system prompt: leave it out")
    over = tokenizer.eos_token or ""
    for assistant_close in _closings(tokenizer, assistant_end, to_user):
        user_open = to_user.removeprefix(assistant_close)
        # Turns may be joined by blanks rather than end in them: then the first has none before it.
        while user_open[:1].isspace() and not head.endswith(user_open):
            user_open = user_open[1:]
        if user_open and head.endswith(user_open):
            break
    else:
        if system is not None:
            raise BadInput(
                "the chat template puts the system prompt into a user turn: leave it out"
            )
        raise Unsplittable("the first turn does not open as later ones do")
    blanks = to_user.removesuffix(user_open).removeprefix(assistant_close)
    user_close = _common(user_end, to_answer, over)
    if to_answer.startswith(user_close + blanks):
        user_close += blanks
    return Pieces(
        preamble=head.removesuffix(user_open),
        user_open=user_open,
        user_close=user_close,
        assistant_open=to_answer.removeprefix(user_close),
        assistant_close=assistant_close + blanks,
        user_end=user_end,
        assistant_end=assistant_end,
        uniform=earlier == to_answer,
    )


def _closings(tokenizer: Any, end: str, between: str) -> list[str]:
    """List how an answer may close, from what follows the last one and what stands before a turn.

    The last may end with another token than earlier ones (in gpt-oss, `<|return|>` and `<|end|>`).
    """
    try:
        found = [_common(end, between, tokenizer.eos_token or "")]
    except Unsplittable:
        found = []
    ids = encode(tokenizer, between)
    control = control_ids(tokenizer, ids[:2])
    if ids and ids[0] in control:
        token = tokenizer.convert_ids_to_tokens(ids[0])
        # It closes an answer if the last one is closed too and another such token opens the turn;
        # else it may itself be what opens the turn.
        closes = end and found == [""] and not control.isdisjoint(ids[1:2])
        found.insert(0 if closes else len(found), token)
    if not found:
        raise Unsplittable("a turn's closing depends on the turn after it")
    return found


def _common(end: str, between: str, over: str) -> str:
    """Find how a turn closes, from what follows it at the end of a dialogue and in its middle.

    A template may write `over`, the end of all text, after the last turn of any role.
    """
    for close in (end, end.removesuffix(over)):
        if between.startswith(close):
            return close
    raise Unsplittable("a turn's closing depends on the turn after it")


def render_template(tokenizer: Any, system: str | None, date: str, *texts: str) -> str:
    """Render a dialogue, user and assistant in turn, by the template."""
    messages = alternating(*texts)
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    try:
        with time_limit(
            _RENDERING, "rendering its chat template", file=tokenizer.name_or_path or None
        ):
            # Templates that know no thinking take no notice of the switch.
            return tokenizer.apply_chat_template(
                messages,
                chat_template=dated(tokenizer.get_chat_template(), date),
                tokenize=False,
                enable_thinking=False,
            )
    except BadInput:
        raise
    except Exception as error:  # a template is a program of somebody else's and may raise anything
        if system is not None:
            render_template(tokenizer, None, date, *texts)  # does it fail without it as well?
            raise BadInput(f"the chat template refuses the system prompt: {error}") from None
        raise Unsplittable(str(error)) from None


def alternating(*texts: str) -> list[dict[str, str]]:
    """Make messages of user and assistant in turn."""
    return [
        {"role": "assistant" if place % 2 else "user", "content": text}
        for place, text in enumerate(texts)
    ]


def _split(rendered: str, *texts: str) -> list[str]:
    """Split off what stands before, between and after the texts; each must occur once."""
    pieces = []
    for text in texts:
        if rendered.count(text) != 1:
            raise Unsplittable("it does not show each message once, in order")
        piece, _, rendered = rendered.partition(text)
        pieces.append(piece)
    return [*pieces, rendered]
