"""Choose what may be trained on: queries, their answers, and what may be said to be ignored.

Held-out utterances must never be trained on: no text that equals one of them after folding case
and dropping punctuation is used. Texts of up to three words are exempt from that rule: everybody
says "okay" and "oh I see", and to ban what people say all the time would leave nothing to learn.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from duo.data.dialogue import Dialogue, count_words, has_wide
from duo.data.english import asks, is_command, is_question
from duo.data.recipe import Recipe
from duo.errors import BadInput
from duo.files import read_json_lines, read_text

#: Texts of up to three words count as said by everybody: exempt from the rules about copies.
COMMON_WORDS = 3

_WORD = re.compile(r"\w+(?:['’]\w+)?")


def normalised(text: str) -> str:
    """Keep the words of a text in folded case, without punctuation."""
    return " ".join(_WORD.findall(text.casefold().replace("’", "'")))


class HeldOut:
    """Utterances that are kept for evaluation; `text in held_out` compares words alone."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = {text for text in map(normalised, texts) if text.count(" ") >= COMMON_WORDS}

    def __contains__(self, text: str) -> bool:
        return normalised(text) in self._texts

    def __len__(self) -> int:
        return len(self._texts)


def read_held_out(paths: Iterable[Path]) -> HeldOut:
    """Read held-out utterances: JSON Lines with `text`, or a text on each line; also gzipped.

    Raises:
        BadInput: a file cannot be read, or a line of JSON has no `text`.
    """
    texts: list[str] = []
    for path in paths:
        if not path.name.removesuffix(".gz").endswith((".jsonl", ".json")):
            texts += read_text(path).splitlines()
            continue
        for line, record in read_json_lines(path):
            if not isinstance(record.get("text"), str):
                raise BadInput("is missing or no text", file=path, line=line, field="text")
            texts.append(record["text"])
    return HeldOut(texts)


def usable(
    dialogue: Dialogue, recipe: Recipe, held_out: HeldOut, dropped: Counter[str]
) -> Dialogue | None:
    """Cut a dialogue to the part from its first usable query to the last before one that is not.

    Not usable are queries longer than anybody says, held-out utterances, and user turns that may
    or may not want an answer: those that neither ask for anything nor follow a question. (The
    other side did say something, but the label `<1>` would be a guess.) The last rule knows English
    only, passes over scripts without blanks, such as Chinese, and does not hold for the paper's
    samples, all of whose user turns are queries.

    Args:
        dropped: counts why dialogues were cut or left out, under `query_...`.

    Returns:
        None if no query is usable.
    """
    first: int | None = None
    last = 0
    exchanges = dialogue.exchanges
    for place, (query, answer) in enumerate(exchanges):
        before = exchanges[place - 1][1].text if place and first is not None else ""
        reason = ""
        if count_words(query) > recipe.max_query_words:
            reason = "query_too_long"
        elif query in held_out:
            reason = "query_held_out"
        elif not answer.text or not count_words(query):
            reason = "query_empty"
        elif not recipe.paper and _is_doubtful(query, before):
            reason = "query_doubtful"
        if reason:
            dropped[reason] += 1
            if first is not None:
                break
            continue
        first = place if first is None else first
        last = place
    if first is None:
        return None
    return replace(dialogue, turns=dialogue.turns[2 * first : 2 * last + 2])


def _is_doubtful(query: str, before: str) -> bool:
    """Tell whether a turn seems neither to ask for anything nor to follow a question."""
    return not (has_wide(query) or asks(query) or before.rstrip("\"') ").endswith("?"))


def may_be_overheard(text: str, longest: int = 30) -> bool:
    """Judge whether a text of a dialogue can stand alone as speech that is nobody's request."""
    return (
        3 <= len(text.split()) <= longest
        and text.isprintable()
        and not any(mark in text for mark in "*#|`{}[]<>=\\_:")
        and any(character.isalpha() for character in text)
        and not asks(text)
    )


class RemarkFilter:
    """Judges texts that are to be ignored one after the other, and counts why it drops some.

    Args:
        memory: how many texts are remembered for the near-duplicate rule.
    """

    #: Kinds of text that may ask: it is somebody else who is asked.
    MAY_ASK = frozenset({"third_party_talk", "third_party_question", "self_talk"})
    #: Kinds that everybody says again and again.
    MAY_REPEAT = frozenset({"backchannel", "acknowledgement"})

    def __init__(self, held_out: HeldOut, *, longest: int = 40, memory: int = 4096) -> None:
        self._held_out = held_out
        self._longest = longest
        self._recent: deque[frozenset[str]] = deque(maxlen=memory)
        self._known: set[frozenset[str]] = set()
        self.dropped: Counter[str] = Counter()

    def keeps(self, text: str, kind: str) -> bool:
        """Judge whether a text may be used as a non-query of this kind; remember it if so."""
        reason = self._reason(text, kind)
        if reason:
            self.dropped[reason] += 1
        return not reason

    def _reason(self, text: str, kind: str) -> str:
        if not normalised(text):
            return "empty"
        if text in self._held_out:
            return "held_out"
        if len(text.split()) > self._longest:
            return "too_long"
        if kind not in self.MAY_ASK:
            if is_question(text):
                return "question"
            if is_command(text):
                return "command"
        if kind not in self.MAY_REPEAT and self._is_near_duplicate(text):
            return "near_duplicate"
        return ""

    def _is_near_duplicate(self, text: str) -> bool:
        """Tell whether a recent text had the same content words, in any order; else remember it."""
        words = normalised(text).split()
        if len(words) <= COMMON_WORDS:
            return False
        key = frozenset(word for word in words if len(word) > 3) or frozenset(words)
        if key in self._known:
            return True
        if len(self._recent) == self._recent.maxlen:
            self._known.discard(self._recent[0])
        self._recent.append(key)
        self._known.add(key)
        return False
