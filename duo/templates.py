"""The pieces of a chat template as text, found by rendering probe dialogues.

A chat template is a program (Jinja) from a dialogue to a text. What stands before, between and
after the messages of three short dialogues says how turns open and close; a check on many texts
then makes sure that nothing else is done to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from duo.errors import BadInput
from duo.tokens import OPENERS

#: Probe texts that no template contains.
_A, _B, _C = PROBES = ("KESTREL", "HERON", "PLOVER")

#: Texts on which pieces are checked: ways to begin and ways to end.
TEXTS = (*OPENERS, "So what?", "Hm, 3.5!", "[x]", "a/b", "1\n\n2", "e.g. <b>", "d'accord…", "好。")


class Unsplittable(Exception):
    """A template for which piece by piece is not the whole."""


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
        """User and assistant in turn."""
        whole, end = self.preamble, ""
        for place, text in enumerate(texts):
            if place % 2 == 0:
                whole += end + self.user_open + text
                end, last = self.user_close, self.user_end
            else:
                whole += end + self.assistant_open + text
                end, last = self.assistant_close, self.assistant_end
        return whole + last


def template_pieces(tokenizer: Any, system: str | None) -> Pieces:
    """The pieces of the tokenizer's chat template.

    Raises:
        BadInput: the template refuses or ignores the system prompt, or hides it in a turn.
        Unsplittable: there are no such pieces.
    """
    pieces = _probed(tokenizer, system)
    for one, other in pairwise((*TEXTS, *PROBES)):
        for texts in ((one,), (one, other), (one, other, one)):
            known = pieces.uniform or len(texts) < 3
            if known and pieces.dialogue(*texts) != _render(tokenizer, system, *texts):
                raise Unsplittable("it changes what is said")
    return pieces


def _probed(tokenizer: Any, system: str | None) -> Pieces:
    """The pieces that three probe dialogues show."""
    one, two, three = (_render(tokenizer, system, *(_A, _B, _C)[:count]) for count in (1, 2, 3))
    head, user_end = _split(one, _A)
    again, to_answer, assistant_end = _split(two, _A, _B)
    first, earlier, to_user, end = _split(three, _A, _B, _C)
    if not (head == again == first and end == user_end):
        raise Unsplittable("a turn's form depends on the turns after it")
    if system is not None and system.strip() not in head:
        raise BadInput("the chat template ignores the system prompt: leave it out")
    over = tokenizer.eos_token or ""
    assistant_close = _common(assistant_end, to_user, over)
    user_open = to_user.removeprefix(assistant_close)
    # Turns may be joined by blanks rather than end in them: then the first has none before it.
    while user_open[:1].isspace() and not head.endswith(user_open):
        user_open = user_open[1:]
    if not user_open or not head.endswith(user_open):
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


def _common(end: str, between: str, over: str) -> str:
    """How a turn closes, from what follows it at the end of a dialogue and in its middle.

    A template may write `over`, the end of all text, after the last turn of any role.
    """
    for close in (end, end.removesuffix(over)):
        if between.startswith(close):
            return close
    raise Unsplittable("a turn's closing depends on the turn after it")


def _render(tokenizer: Any, system: str | None, *texts: str) -> str:
    """What the template makes of a dialogue, user and assistant in turn, as text."""
    messages = alternating(*texts)
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    try:
        # Templates that know no thinking take no notice of the switch.
        return tokenizer.apply_chat_template(messages, tokenize=False, enable_thinking=False)
    except Exception as error:  # a template is a program of somebody else's and may raise anything
        if system is not None:
            _render(tokenizer, None, *texts)  # does it fail without the system prompt as well?
            raise BadInput(f"the chat template refuses the system prompt: {error}") from None
        raise Unsplittable(str(error)) from None


def alternating(*texts: str) -> list[dict[str, str]]:
    """Messages of user and assistant in turn."""
    return [
        {"role": "assistant" if place % 2 else "user", "content": text}
        for place, text in enumerate(texts)
    ]


def _split(rendered: str, *texts: str) -> list[str]:
    """What stands before, between and after the texts, each of which must occur once."""
    pieces = []
    for text in texts:
        if rendered.count(text) != 1:
            raise Unsplittable("it does not show each message once, in order")
        piece, _, rendered = rendered.partition(text)
        pieces.append(piece)
    return [*pieces, rendered]
