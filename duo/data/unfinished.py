"""Utterances that are not over: cut where a speaker pauses, stops to think, or is cut off."""

from __future__ import annotations

import re
from random import Random


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words after which nobody is done.
_DANGLING = _words(
    "a an the of to and or but if because so that which who with without for from in on at by "
    "into about between than as is are was were be been am do does did can could will would "
    "should shall may might must have has had i you he she we they it's i'm you're we're they're "
    "my your his her its our their this these those some any every each very really quite too "
    "not don't doesn't didn't can't couldn't won't wouldn't when while where why how what whose "
    "whether like just also only even more most less maybe um uh let's there's that's what's i'd "
    "i've i'll"
)
#: What is no beginning of anything when it is all that was said, but the hum of a listener.
_HUMS = _words("um uh")
#: Words before which what was said may well be a whole question already.
_MAY_STOP_BEFORE = _words(
    "and or but if because so that which who with without for from in on at by into about of to "
    "than as when while where since before after during like using under over please again then "
    "instead now today right"
)
_CLAUSE_STARTS = _words("and but because so which that when while where if since or as")
_SUBORDINATE = re.compile(
    r"^(?:if|when|since|because|as|while|given|although|though|after|before|once|considering|"
    r"unless|suppose|imagine|in|for|with)\b",
    re.IGNORECASE,
)
_MARK = ".,;:!?…\"“”'()"


def cut_short(text: str, random: Random, *, query: bool) -> str | None:
    """The beginning of an utterance that plainly goes on, without a mark at its end.

    A query is cut inside a phrase or after a leading clause ("If it rains tomorrow"), not where
    the words so far would be a question of their own. A statement is cut at a clause or anywhere.

    Returns:
        The beginning, at least a word shorter; None if there is no good place.
    """
    words = text.split()
    dangling, clauses, others = [], [], []
    start = 0  # of the sentence that the word is in
    for place in range(1, len(words)):
        last, following = words[place - 1], words[place].lower().strip(_MARK)
        if last[-1] in ".!?…:":
            start = place
            continue
        sentence = " ".join(words[start:place])
        if last.lower().strip(_MARK) in _DANGLING:
            if place == 1 and last.lower() in _HUMS:
                continue
            dangling.append(place)
        elif last[-1] == "," or following in _CLAUSE_STARTS:
            if place - start >= 3 and (not query or _SUBORDINATE.match(sentence)):
                clauses.append(place)
        elif place - start >= 2 and (not query or following not in _MAY_STOP_BEFORE):
            others.append(place)
    kinds = [(dangling, 0.4), (clauses, 0.25 if query else 0.4), (others, 0.35)]
    kinds = [(places, weight) for places, weight in kinds if places]
    if not kinds:
        return None
    [places] = random.choices([found for found, _ in kinds], [weight for _, weight in kinds])
    return " ".join(words[: random.choice(places)]).rstrip(_MARK + " ")


def trail_off(text: str, random: Random, *, marks: bool) -> str:
    """How a recogniser writes the end of what is not over.

    Args:
        text: the beginning of an utterance, without a mark at its end.
        random: drawn from.
        marks: whether this recogniser writes punctuation at all.
    """
    word = text.rpartition(" ")[2]
    if random.random() < 0.08 and len(word) > 4 and word.isalpha():
        return text[: -random.randint(1, len(word) - 2)] + "-"
    if not marks:
        return text
    return text + random.choices(("", ".", ",", "...", "-"), (40, 25, 15, 15, 5))[0]
