"""Export what people preferred for training: JSON Lines in the form that TRL's DPO trainer reads.

Two systems talked with the same scripted user; people said whose side of the dialogue was better.
A row has that dialogue twice, as messages in the order in which they began: `prompt` is what both
have in common, up to the user's words before the assistants part; `chosen` and `rejected` is how it
went on with each of them. When somebody spoke is not in it: people may have preferred the rhythm.

The form is TRL's "preference" type, conversational, with an explicit prompt
(https://huggingface.co/docs/trl/dataset_formats). Further columns say where a row comes from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from duo.errors import BadInput, check_choice
from duo.files import write_json_lines
from sessions.study.blinding import Dialogue
from sessions.study.study import Study, need_recorded, shown_dialogues
from sessions.study.votes import Vote, votes

#: What makes a row: the majority of a pair's votes, or each vote.
BY = ("majority", "vote")
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Preferences:
    """Rows, and what was left out.

    Attributes:
        ties: pairs (or votes) without a winner.
        unusable: pairs (or votes) whose dialogues cannot be a prompt and two answers to it, as one
            of the assistants says nothing, or both say the same, where they part.
    """

    rows: tuple[dict[str, Any], ...]
    ties: int
    unusable: int


def export_preferences(
    study: Study, path: Path, criterion: str, *, by: str = "majority", synthetic: bool = False
) -> Preferences:
    """Write the preferences on a criterion; see `preferences`.

    Raises:
        BadInput: no such criterion; nothing to write; or the file cannot be written.
    """
    found = preferences(study, criterion, by=by, synthetic=synthetic)
    if not found.rows:
        raise BadInput(
            f"no preferences of people on {criterion} ({found.ties} ties, {found.unusable} of "
            "dialogues that cannot be used)"
        )
    write_json_lines(path, found.rows)
    return found


def preferences(
    study: Study, criterion: str, *, by: str = "majority", synthetic: bool = False
) -> Preferences:
    """Make rows of the first votes of people on a criterion.

    Args:
        by: "majority": a row for each pair of dialogues that won more votes than it lost; "vote":
            a row for each vote that is no tie.
        synthetic: take the votes of programs, too.

    Raises:
        BadInput: no such criterion.
    """
    need_recorded(study)
    check_choice("criterion", criterion, study.design.criterion_names)
    check_choice("by", by, BY)
    with study.database.read() as connection:
        shown = shown_dialogues(connection, study, "item")
    rows, left_out = [], Counter[str]()
    for cast in _pairs(votes(study), criterion, synthetic=synthetic):
        for winner, facts in _decided(cast, by):
            if not winner:
                left_out["ties"] += 1
                continue
            (loser,) = {*cast[0].pair} - {winner}
            dialogues = shown[cast[0].item]
            parted = _parted(messages(dialogues[winner]), messages(dialogues[loser]))
            if parted is None:
                left_out["unusable"] += 1
                continue
            rows.append(
                dict(zip(("prompt", "chosen", "rejected"), parted, strict=True))
                | {"study": study.name, "item": cast[0].item, "criterion": criterion}
                | {"chosen_system": winner, "rejected_system": loser}
                | facts
            )
    return Preferences(tuple(rows), left_out["ties"], left_out["unusable"])


def _pairs(cast: Iterable[Vote], criterion: str, *, synthetic: bool) -> Iterator[list[Vote]]:
    """Yield the first votes on each pair of dialogues."""
    held = [
        vote
        for vote in cast
        if vote.criterion == criterion
        and not (vote.attention or vote.repeat or vote.revoked)
        and (synthetic or not vote.synthetic)
    ]
    about = attrgetter("item", "pair")
    for _, group in groupby(sorted(held, key=lambda vote: (*about(vote), vote.rater)), about):
        yield list(group)


def _decided(cast: list[Vote], by: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield winners ("" for a tie) with the votes behind them."""
    count = Counter(vote.winner for vote in cast)
    first, second = (count[system] for system in cast[0].pair)
    tied = len(cast) - first - second

    def facts(rater: str, chosen: int, rejected: int, ties: int) -> dict[str, Any]:
        return {
            "rater": rater,
            "votes_chosen": chosen,
            "votes_rejected": rejected,
            "votes_tied": ties,
        }

    if by == "majority":
        winner = "" if first == second else cast[0].pair[first < second]
        yield winner, facts("", max(first, second), min(first, second), tied)
        return
    for vote in cast:
        yield (vote.winner if vote.winner in vote.pair else ""), facts(vote.rater, 1, 0, 0)


def messages(dialogue: Dialogue) -> Messages:
    """Write a dialogue as messages that alternate, in the order in which they begin."""
    spoken = groupby((one for one in dialogue.utterances if one.text), attrgetter("who"))
    return [{"role": who, "content": "\n".join(one.text for one in group)} for who, group in spoken]


def _parted(chosen: Messages, rejected: Messages) -> tuple[Messages, Messages, Messages] | None:
    """Part two dialogues into what they have in common and how they go on with the assistant.

    Returns:
        Prompt, chosen, rejected; None if they do not part at words of both assistants.
    """
    common = 0
    while common < min(len(chosen), len(rejected)) and chosen[common] == rejected[common]:
        common += 1
    while common and chosen[common - 1]["role"] != "user":
        common -= 1
    ends = chosen[common:], rejected[common:]
    if not common or not all(ends) or ends[0] == ends[1]:
        return None
    return chosen[:common], *ends
