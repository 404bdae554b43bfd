"""Does a text ask for something? Rules of thumb for English, wide rather than exact.

They choose among texts whose label would otherwise be doubtful: a remark that might be a request
is not used as a remark, and a user turn that is plainly no request is not used as a query.
"""

from __future__ import annotations

import re

_WH = "what|what's|whats|who|who's|whom|whose|which|when|where|where's|why|how|how's"
_AUX = (
    "is|are|was|were|do|does|did|can|could|will|would|should|shall|may|might|have|has|had|am|"
    "isn't|aren't|wasn't|weren't|don't|doesn't|didn't|can't|couldn't|won't|wouldn't|shouldn't|"
    "haven't|hasn't"
)
#: Verbs that open a command to an assistant.
_COMMANDS = (
    "act|add|adjust|analyze|analyse|answer|apply|arrange|ask|assume|be|begin|book|brainstorm|break|"
    "build|calculate|call|cancel|change|check|choose|clarify|classify|come|compare|complete|"
    "compose|consider|continue|convert|correct|create|critique|cut|define|delete|describe|design|"
    "develop|discuss|display|do|draft|draw|edit|elaborate|enumerate|estimate|evaluate|expand|"
    "explain|explore|extend|extract|fill|find|fix|focus|forget|format|formulate|generate|get|give|"
    "go|guess|help|highlight|hold|identify|imagine|improve|include|insert|interpret|introduce|"
    "keep|let|let's|lets|limit|list|look|make|mention|modify|move|name|order|organize|outline|"
    "paraphrase|pick|plan|play|please|point|prepare|pretend|proceed|produce|proofread|propose|"
    "provide|put|quote|rank|rate|read|recommend|reduce|reformulate|remember|remove|reorganize|"
    "repeat|rephrase|replace|report|reserve|respond|restate|revise|rewrite|say|schedule|search|"
    "select|send|set|share|shorten|show|simplify|simulate|solve|sort|speak|specify|split|start|"
    "state|stop|suggest|sum|summarize|summarise|suppose|switch|take|talk|teach|tell|translate|"
    "try|turn|update|use|verify|wait|walk|write"
)
_SOFTENERS = (
    r"(?:(?:ok|okay|now|and|so|then|well|also|but|or|oh|actually|please|next|first|great|good|"
    r"alright|right|yes|no|hey|hi|hello|thanks|thank you|uh|um|just|finally|again|instead|"
    r"perfect|cool|nice|sorry|wait)\b[\s,.!]*)*"
)
_OPENS = re.compile(rf"^{_SOFTENERS}(?:(?:{_WH})\b|(?:{_AUX})\s+(?:n't\s+)?\w)", re.IGNORECASE)
_ORDERS = re.compile(rf"^{_SOFTENERS}(?:{_COMMANDS})\b", re.IGNORECASE)
_WISHES = re.compile(
    r"\b(?:(?:can|could|would|will)\s+(?:you|we|i)\b|please\b|(?:i|we)(?:'d| would)\s+"
    r"(?:also\s+)?(?:like|love|prefer)\b|(?:i|we)\s+(?:\w+\s+)?(?:want|need|wish|require)\b|"
    r"i am looking|i'm looking|looking for|tell me|help me|help with|show me|give me|let me know|"
    r"i wonder|i was wondering|i'm wondering|wondering (?:if|how|what|whether)|any (?:tips|"
    r"advice|ideas|suggestions|recommendations)|what about|how about|your (?:task|job|role)|"
    r"you are (?:a|an|going)|i will (?:give|provide)|you know (?:how|what|why)|what if|for me\b|"
    r"want you to|like you to|need you to)",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?。！？])[\"')\]]*\s+|\n+")
_TAG = re.compile(r",\s*(?:right|isn't it|don't you think|you know|huh|eh|no)\W*$", re.IGNORECASE)


def sentences(text: str) -> list[str]:
    """The sentences of a text, roughly."""
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def is_question(text: str) -> bool:
    """Whether a sentence of the text is a question, with or without its question mark."""
    return bool("?" in text or "？" in text or _TAG.search(text)) or any(
        _OPENS.match(part) for part in sentences(text)
    )


def is_command(text: str) -> bool:
    """Whether the text orders, asks for or wishes something."""
    return bool(_WISHES.search(text)) or any(_ORDERS.match(part) for part in sentences(text))


def asks(text: str) -> bool:
    """Whether the text asks the listener for anything at all."""
    return is_question(text) or is_command(text)
