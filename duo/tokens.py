"""Add the state tokens to a tokenizer, and encode text so that it never spells a control token.

A chat model is steered by control tokens: those that open and close turns, end a text, and here
the state tokens of the paper's section 2 (`<1>`: answer this, `<2>`: ignore it; `<idle>` is the
time-slice baseline's silence). Other schemes name more. They are real special tokens of the
tokenizer. What a user types or a recogniser hears must never become one, whatever it spells.

Some forms mark turns by plain text, such as the paper's `<user>:` or MiniCPM's `<AI>`. Where what
is said spells such a mark, a blank is put after the mark's first character: `< user>:`, `< AI>`.
The rule is the same in training and in decoding, and text that spells no mark stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

RESPOND, IGNORE, IDLE = "<1>", "<2>", "<idle>"
STATE_TOKENS = (RESPOND, IGNORE, IDLE)
#: Control tokens of the schemes that name others beside these, by the recipe that trains them.
CONTROL_TOKENS: dict[str, tuple[str, ...]] = {
    "fsm": ("<c.listen>", "<s.speak>", "<c.speak>", "<s.listen>"),
    "micro-turn": ("<silence>", "<listen>", "<speak>", "<stop>", "<backchannel>"),
    "lslm-early": ("<irq>",),
    "lslm-middle": ("<irq>",),
    "lslm-late": ("<irq>",),
}

#: Texts that begin in every way that matters to a tokenizer: what their ids have in common after
#: a given opening belongs to the opening.
OPENERS = ("A", "a", "I", "the", "7", "?", '"', "(", "-", "é", "Ω", "你", "。", "🙂")


#: How often a mark is broken up for a tokenizer that puts it together again.
_TRIES = 3


@dataclass(frozen=True)
class StateTokens:
    """Ids of the state tokens `<1>`, `<2>` and `<idle>`, and of `others` that a scheme names."""

    respond: int
    ignore: int
    idle: int
    others: tuple[int, ...] = ()

    @property
    def decisions(self) -> tuple[int, ...]:
        """The tokens that say what becomes of what was heard."""
        return self.respond, self.ignore, *self.others

    @property
    def all(self) -> tuple[int, ...]:
        """All of them: none is ever spoken."""
        return *self.decisions, self.idle


def decision(
    respond: float,
    ignore: float,
    *,
    decide_at: float = 0.0,
    answer_at: float = 0.5,
    hold: bool = False,
) -> Literal["respond", "ignore", "wait"]:
    """Say what silence decides by the probabilities of `<1>` and `<2>` after the last word heard.

    Args:
        respond, ignore: the probabilities.
        decide_at: the least sum of them that decides.
        answer_at: the least share of `<1>` in it that answers.
        hold: whether what would be ignored is waited on: while nothing is being said and another
            token is likelier than `<2>`, so that half a question is not forgotten.

    >>> decision(0.3, 0.2), decision(0.2, 0.3), decision(0.01, 0.02, decide_at=0.05)
    ('respond', 'ignore', 'wait')
    """
    if respond + ignore < decide_at:
        return "wait"
    if respond >= answer_at * (respond + ignore):
        return "respond"
    return "wait" if hold else "ignore"


def state_tokens(tokenizer: Any) -> StateTokens:
    """Look up the state tokens of a tokenizer that has them.

    Raises:
        KeyError: the tokenizer lacks one; see `add_state_tokens`.
    """
    known = tokenizer.get_added_vocab()
    return StateTokens(*(known[token] for token in STATE_TOKENS))


def encode(tokenizer: Any, text: str) -> list[int]:
    """Encode a text in which control tokens count, as in a rendered chat template."""
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def opening_ids(encoder: Callable[[str], list[int]], before: str) -> list[int]:
    """Find the ids of `before` that stay the same whatever text follows.

    A trailing blank, say, is left out where the tokenizer puts it into the first word.
    """
    return common_prefix([encoder(before + text) for text in OPENERS])


def common_prefix(sequences: Sequence[list[int]]) -> list[int]:
    """Find the longest list that all sequences begin with."""
    first, last = min(sequences), max(sequences)
    for place, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return first[:place]
    return first


class TextEncoder:
    """Encodes what is said in a turn, as they stand after the turn's opening.

    A tokenizer may treat the beginning of a text differently after different openings (a word
    after a blank, at the start of a line, after a special token), so the text is encoded behind
    its opening, and the opening's ids are taken off.

    Args:
        contexts: by role, the text before a turn's text.
        fixed: ids of the chat format's own pieces; tokens added to the vocabulary that occur there
            are control tokens even where the tokenizer does not call them special.
        marks: of the turns, where they are plain text.
    """

    def __init__(
        self,
        tokenizer: Any,
        contexts: Mapping[str, str],
        fixed: Iterable[int],
        marks: Iterable[str] = (),
    ) -> None:
        broken = [f"{re.escape(mark[0])}(?={re.escape(mark[1:])})" for mark in sorted(set(marks))]
        self._marks = re.compile("|".join(broken)) if broken else None
        self._tokenizer = tokenizer
        self._contexts = dict(contexts)
        self._fixed = frozenset(fixed)
        self.renew()
        self._openings = {
            role: opening_ids(lambda text: encode(tokenizer, text), before)
            for role, before in self._contexts.items()
        }

    def renew(self) -> None:
        """Look up the control tokens again; to be called when the tokenizer has got more."""
        self.control = control_ids(self._tokenizer, self._fixed)
        self.__dict__.pop("_control_strings", None)
        self.__dict__.pop("_plain", None)

    def __call__(self, text: str, role: str) -> list[int]:
        """Encode `text` without the blanks around it, none of them a control token or a mark."""
        text = text.encode("utf-8", "replace").decode("utf-8").strip()
        if self._marks is None:
            return self._encoded(text, role)
        # What counts is what the ids say: a tokenizer may normalise a text to a mark.
        for _ in range(_TRIES):
            ids = self._encoded(self._marks.sub(r"\g<0> ", text), role)
            text = self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            if not self._marks.search(text):
                return ids
        return self._encoded(self._marks.sub("", text), role)

    def _encoded(self, text: str, role: str) -> list[int]:
        if not text:
            return []
        before, opening = self._contexts[role], self._openings[role]
        ids = encode(self._tokenizer, before + text)
        ids = ids[len(opening) :] if ids[: len(opening)] == opening else self._plain(text)
        return ids if self.control.isdisjoint(ids) else self._spelled_out(text, role)

    def _spelled_out(self, text: str, role: str) -> list[int]:
        """Encode a text that spells a control token, with that token as ordinary characters."""
        before = self._contexts[role]
        for token in self._control_strings:
            before = before.rpartition(token)[2]
        opening = opening_ids(self._plain, before)
        ids = self._plain(before + text)
        ids = ids[len(opening) :] if ids[: len(opening)] == opening else self._plain(text)
        steering = self.control - {self._tokenizer.unk_token_id}  # here it is a strange character
        if steering.isdisjoint(ids):
            return ids
        # A tokenizer that finds the token even so: one character at a time it cannot.
        ids = [found for character in text for found in self._plain(character)]
        return [found for found in ids if found not in steering]

    @cached_property
    def _control_strings(self) -> list[str]:
        tokens = self._tokenizer.convert_ids_to_tokens(sorted(self.control))
        return [token for token in tokens if token]

    @cached_property
    def _plain(self) -> Callable[[str], list[int]]:
        """Make an encoder for which the control tokens, and only they, are ordinary characters."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return lambda text: list(
                self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
                    "input_ids"
                ]
            )
        content = json.loads(backend.to_str())
        for token in content["added_tokens"]:
            token["special"] = token["id"] in self.control
        twin = type(backend).from_str(json.dumps(content))
        twin.encode_special_tokens = True
        return lambda text: twin.encode(text, add_special_tokens=False).ids


def control_ids(tokenizer: Any, fixed: Iterable[int] = ()) -> frozenset[int]:
    """List ids that steer the model: special tokens and added ones among `fixed`; no blanks."""
    fixed = set(fixed)
    return frozenset(
        number
        for number, token in tokenizer.added_tokens_decoder.items()
        if (token.special or number in fixed) and token.content.strip()
    )


def add_state_tokens(model: Any, tokenizer: Any) -> StateTokens:
    """Make the state tokens control tokens of a model; see `add_control_tokens`."""
    add_control_tokens(model, tokenizer, STATE_TOKENS)
    return state_tokens(tokenizer)


def add_control_tokens(model: Any, tokenizer: Any, names: Sequence[str]) -> tuple[int, ...]:
    """Make tokens special tokens of the tokenizer, with rows in the matrices; return their ids.

    Those already there are left alone. A new row is the mean of the rows there are, in the input
    embedding and, where it has its own, in the output head: so the logit of an untrained control
    token is the mean of the other logits and never the greatest, and nothing depends on chance.
    The matrices grow only if they have no spare rows.

    Args:
        model: a causal LM of `transformers`; changed in place.
        tokenizer: its tokenizer; changed in place.
    """
    known = tokenizer.get_vocab()
    rows = model.get_input_embeddings().weight.shape[0]
    trained = min(len(tokenizer), rows)
    add_special(tokenizer, names)
    found = tokenizer.get_added_vocab()
    numbers = tuple(found[token] for token in names)
    if max(numbers) >= rows:
        model.resize_token_embeddings(max(numbers) + 1, mean_resizing=False)
    fresh = [
        number
        for token, number in zip(names, numbers, strict=True)
        if token not in known or number >= trained
    ]
    if fresh:
        make_mean(model, fresh, trained)
    return numbers


def add_special(tokenizer: Any, names: Sequence[str]) -> None:
    """Make tokens special tokens of a tokenizer; those that are already there stay."""
    from tokenizers import AddedToken

    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    new = [AddedToken(n, special=True, normalized=False) for n in names if n not in special]
    tokenizer.add_tokens(new, special_tokens=True)


def make_mean(model: Any, rows: list[int] | slice, trained: int) -> None:
    """Make rows of a model's vocabulary matrices the mean of their first `trained` rows."""
    import torch

    matrices = (model.get_input_embeddings(), model.get_output_embeddings())
    weights = {id(w): w for matrix in matrices if matrix is not None for w in matrix.parameters()}
    for weight in weights.values():  # tied ones once
        wide = torch.promote_types(weight.dtype, torch.float32)
        weight.data[rows] = weight.data[:trained].mean(0, dtype=wide).to(weight.dtype)


def trainable_rows(model: Any, states: StateTokens) -> dict[str, list[int]]:
    """List the control tokens' rows as PEFT's `trainable_token_indices` wants them.

    With this an adapter stores a few rows of each matrix instead of whole matrices.
    """
    ids = sorted(states.all)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    matrices = [embedding] if head.weight is embedding.weight else [embedding, head]
    names = {id(module): name.rpartition(".")[2] for name, module in model.named_modules()}
    return {names[id(matrix)]: ids for matrix in matrices}
