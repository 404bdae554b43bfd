"""The minutes of a conversation: all that was said and decided, line by line, for a table."""

from __future__ import annotations

from dataclasses import dataclass

from duo.speech import Answer, Conversation, Utterance, conversation_of, joined
from duo.transcript import Transcript
from reports.plots.lanes import decision_text

_OUTCOMES = {"complete": "answer", "cut": "answer, cut short", "open": "answer, not ended"}


@dataclass(frozen=True)
class Minute:
    """One line: when (seconds), who ("user" or the system's name), what, and the words."""

    at: float
    who: str
    what: str
    words: str = ""
    spoken: bool = False


def minutes(transcript: Transcript) -> list[Minute]:
    """The minutes, in the order of time."""
    lanes = conversation_of(transcript)
    lines = [_utterance(utterance) for utterance in lanes.utterances]
    lines += [Minute(r.at, "user", "heard anew", r.text, spoken=True) for r in lanes.revisions]
    lines += _decisions(lanes)
    lines += [_answer(answer, lanes.system) for answer in (*lanes.answers, *lanes.wordless)]
    lines += [Minute(note.at, lanes.system, "note", note.text) for note in lanes.notes]
    return sorted(lines, key=lambda line: line.at)


def _utterance(utterance: Utterance) -> Minute:
    label = (utterance.label or "says").replace("_", "-")
    kind = utterance.category.replace("_", " ")
    what = f"{label} · {kind}" if kind else label
    words = joined(utterance.shown)
    return Minute(utterance.start, "user", what, words, spoken=True)


def _decisions(lanes: Conversation) -> list[Minute]:
    return [
        Minute(
            decision.at,
            lanes.system,
            decision_text(decision),
            f"expected next: {decision.expected}" if decision.expected else "",
        )
        for decision in lanes.decisions
    ]


def _answer(answer: Answer, system: str) -> Minute:
    what = _OUTCOMES[answer.ending] if answer.words else "answer without words"
    return Minute(answer.start, system, what, answer.text, spoken=bool(answer.text))
