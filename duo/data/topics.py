"""What a dialogue is about, found by its wording alone: topics, and sentences one may repeat."""

from __future__ import annotations

import re

from duo.data.requests import asks, sentences

_FUNCTION = (
    r"and|or|but|in|of|for|to|is|are|was|were|that|which|with|on|at|by|from|as|can|will|would|"
    r"has|have|when|if|because"
)
_HEAD = re.compile(
    rf"\b(?:about|of|the|a|an|in|for|with|on|between|into|my|your)\s+"
    rf"((?:[a-z]{{4,}}\s+)?[a-z]{{4,}})(?=[.,;:?!)]|\s+(?:{_FUNCTION})\b|$)"
)
_PROPER = re.compile(r"(?<=[a-z,] )([A-Z][a-z]{2,}(?: [A-Z][a-z]+){0,2})\b")
_NO_NOUN = re.compile(
    r"(?:ly|ous|ful|ive|able|ible|less|ary|ent|ant|ical)$|^(?:this|that|these|those|them|they|"
    r"your|their|there|here|more|most|some|such|each|other|same|following|different|least|first|"
    r"second|next|last|many|much|very|well|only|also|just|what|when|where|which|while|whole|"
    r"general|please|said|make|made|need|want|like|know|show|tell|give|help|look|looking|been|"
    r"being|having|going|doing|using|above|below|user|assistant|long|short|good|great|best|"
    r"previous|example|order|addition|conclusion|language|model|something|anything|nothing|everything|total|regular|sure|question|questions|answer)$"
)

#: Words that are no names though they begin a sentence with a capital.
_STARTS = re.compile(
    r"(?:the|a|an|it|its|this|that|these|those|there|they|their|he|she|his|her|in|on|at|by|for|"
    r"from|with|to|most|some|many|all|each|every|both|if|when|while|as|after|before|since|one|"
    r"two|three|people|other|another|such|however|also|then|once|any|no|more)\b",
    re.IGNORECASE,
)


def topics(text: str, most: int = 12) -> list[str]:
    """Nouns and names in a text, in its order, each once."""
    found: dict[str, None] = {}
    for match in sorted(
        [*_HEAD.finditer(text), *_PROPER.finditer(text)], key=lambda match: match.start()
    ):
        words = match[1].split()
        if match.re is _HEAD and _NO_NOUN.search(words[0]):
            words = words[-1:]
        if _NO_NOUN.search(words[-1].lower()):
            continue
        found[" ".join(words)] = None
        if len(found) == most:
            break
    return list(found)


def repeatable(answer: str, longest: int = 14) -> list[str]:
    """Short statements of an answer that a listener might say again, in mid-sentence."""
    kept = []
    for sentence in sentences(answer)[:12]:
        words = sentence.split()
        if not 4 <= len(words) <= longest or not re.fullmatch(r"[A-Z][\w' ,-]+\.", sentence):
            continue
        if re.search(r"\b(?:I|I'm|I'd|me|my|you|your|we|let|sorry|AI)\b", sentence, re.IGNORECASE):
            continue
        if not asks(sentence):
            common = _STARTS.match(sentence)
            kept.append(sentence[:1].lower() + sentence[1:] if common else sentence)
    return kept
