"""What a scenario of the suite is about: the parts that the phrase grammar puts together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """One topic. All its texts begin with a small letter unless with a name.

    Attributes:
        name: a word.
        about: a noun phrase.
        clauses: embedded questions ("how bees find home"), one for each kind of event: they ask
            for an explanation, so the first query of no two scenarios is about the same thing.
        asks: direct questions, with their marks, of five words or more: one for each kind of event
            that is a question (a pause in it, its end, an interruption).
        setting: a clause that such a question may follow.
        remark: a clause that calls for no answer.
    """

    name: str
    about: str
    clauses: tuple[str, str, str, str, str, str, str, str]
    asks: tuple[str, str, str]
    setting: str
    remark: str
