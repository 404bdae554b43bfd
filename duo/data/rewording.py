"""Queries in other words: as a statement that hides the request, or breaking into an answer."""

from __future__ import annotations

import re
from random import Random

from duo.data.phrases import GRAMMAR
from duo.data.requests import sentences

_HOW = re.compile(r"^how (?:do|can|should|would|could) (?:i|you|we|one) (?P<rest>.+)$", re.I)
_HOW_TO = re.compile(r"^(?P<rest>how to .+)$", re.I)
_COPULA = re.compile(r"^(?P<w>what|who|where) (?P<be>is|are|was|were) (?P<rest>[\w' -]+)$", re.I)
_DO = re.compile(r"^(?P<w>what|why|how|where|when) do (?P<rest>[\w' ,-]+)$", re.I)
_YES_NO = re.compile(r"^do (?P<rest>(?:most |some |all )?[a-z]+s .+|people .+|they .+)$", re.I)
_ORDER = re.compile(
    r"^(?:(?:can|could|would|will) you )?(?:please )?(?P<rest>(?:explain|describe|tell me|write|"
    r"give me|summari[sz]e|list|suggest|recommend|show me|create|make|compare|translate|find|"
    r"rewrite|name|outline|draft|book|help me|generate|provide|teach me|rephrase|improve) .+)$",
    re.I,
)
_LONGEST = 24


def hidden_request(query: str, random: Random) -> str | None:
    """The query as a statement ("I never understood how to ..."), or None if it has no such form.

    The answer to the query is still an answer to it.
    """
    parts = sentences(query)
    if len(parts) != 1 or len(query.split()) > _LONGEST:
        return None
    plain = query.strip().rstrip("?.! ")
    if random.random() < 0.25:  # something said first, then the request itself
        first = GRAMMAR.draw(random.choice(("lead_in", "fact")), random)
        return f"{first}. {query[:1].upper()}{query[1:]}"
    if found := _ORDER.match(plain):
        return GRAMMAR.draw("hidden_order", random, clause=_lower(found["rest"]))
    clause = _clause(plain)
    return GRAMMAR.draw("hidden", random, clause=clause) if clause else None


def _clause(question: str) -> str | None:
    """A direct question as an indirect one."""
    if found := _HOW.match(question):
        return f"how to {found['rest']}"
    if found := _HOW_TO.match(question):
        return _lower(found["rest"])
    if found := _COPULA.match(question):
        rest = found["rest"].split()
        if 1 <= len(rest) <= 8 and "that" not in rest:
            return f"{found['w'].lower()} {found['rest']} {found['be'].lower()}"
        return None
    if found := _DO.match(question):
        return f"{found['w'].lower()} {found['rest']}"
    if found := _YES_NO.match(question):
        return f"whether {found['rest']}"
    return None


def breaking_in(query: str, random: Random) -> str:
    """The query with words before it that break into what is being said."""
    opener = GRAMMAR.draw("opener", random)
    separate = opener[-1] == "."
    return f"{opener} {query[:1].upper() + query[1:] if separate else _lower(query)}"


def _lower(text: str) -> str:
    """A sentence that no longer stands at the beginning."""
    first = text.split()[0].strip("?.!,") if text.split() else ""
    keep = first == "I" or first.startswith("I'") or not first[1:].islower()
    return text if keep and len(first) != 1 else text[:1].lower() + text[1:]
