"""Write transcripts as samples of Full-Duplex-Bench v1, so that its scripts can score them.

Every event of a kind that the benchmark knows becomes a sample. Its `output.json` has the words
that count for the event (see `evaluation.interaction.events.Outcome.words`): the benchmark's
samples hold one event each, ours a whole conversation, so that an old answer is kept apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from duo.errors import BadInput
from duo.speech import Conversation
from evaluation.fdb.layout import Sample, Task, write_sample
from evaluation.interaction.events import Outcome, outcomes_of
from evaluation.interaction.results import by_name

_TASK_OF: dict[str, Task] = {
    "pause": "pause_handling",
    "turn_end": "smooth_turn_taking",
    "interruption": "user_interruption",
}


def export(conversations: Sequence[Conversation], out: Path) -> Counter[tuple[str, Task]]:
    """Write the samples to `out/SYSTEM/TASK/SCENARIO-UTTERANCE/`.

    Returns:
        How many samples there are of each system and task.

    Raises:
        BadInput: the folder is not empty, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput("is not empty: old samples would be scored too", file=out, field="--out")
    counts: Counter[tuple[str, Task]] = Counter()
    taken: set[str] = set()
    for system, held in by_name(conversations).items():
        folder = out / _free(safe_name(system), taken)
        names: set[str] = set()
        for outcome in (o for conversation in held for o in outcomes_of(conversation)):
            if outcome.kind in _TASK_OF:
                sample = sample_of(outcome)
                name = _free(f"{sample.task}/{sample.name}", names).partition("/")[2]
                write_sample(folder, replace(sample, name=name))
                counts[system, sample.task] += 1
    return counts


def sample_of(outcome: Outcome) -> Sample:
    """An event as a sample; only of the kinds pause, turn_end and interruption."""
    task = _TASK_OF[outcome.kind]
    end_of_turn = outcome.kind == "turn_end"
    return Sample(
        task=task,
        name=safe_name(f"{outcome.scenario}-{outcome.utterance}"),
        mark=(outcome.end, outcome.end) if end_of_turn else (outcome.start, outcome.end),
        output=outcome.words,
        user=outcome.user_words,
        interrupt=outcome.text if outcome.kind == "interruption" else "",
        context=outcome.context,
    )


def safe_name(text: str) -> str:
    """A text as the name of a folder or file, wherever it comes from.

    >>> safe_name("../a b")
    '-a-b'
    """
    return re.sub(r"[^\w.=,()-]+", "-", text).lstrip(".")[:100] or "-"


def _free(name: str, taken: set[str]) -> str:
    """This name, with a number if it is taken."""
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free.casefold())
    return free
