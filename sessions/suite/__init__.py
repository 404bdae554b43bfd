"""Make the scenario suite: 256 short conversations, each for one event.

Half of them (`dev`) are for tuning; the other half (`report`) is kept for figures that are
published. The halves share no topic, no wording and no name of a person. They are made, not stored:
`plan.py` says which there are, `dev.yaml` and `report.yaml` hold topics and phrases, and draws with
a fixed seed choose. They are found as `suite:dev`, `suite:report`, `suite:dev-pause`,
`suite:*-lower` (see `suite_scenarios`) and written out by `duo scenario write`.

What is said. A topic gives an embedded question for each kind of event, some direct questions, a
setting and a remark. The symbols of the phrases put them together:

- `long`, `brief`: a first query that asks for an explanation, or for a short answer where the
  scenario waits until it is over. `{clause}` is the topic's.
- `turn_end`, `follow_up`: a question at the beginning, or after an answer.
- `pause`: a question with a pause where the words before it cannot be all; `|` is the pause.
- `interruption`: another question, often without any word of apology.
- `stop_request`: silence is wanted, not an answer.
- `backchannel`: at most three words that show one is listening.
- `third_party`: order, question or news for somebody else in the room.
- `background`: radio, announcements, shops; nobody in the room speaks.
- `statement`: something told that calls for no answer.

When. An event stands at the `opening` (about a second after the start), `during` the answer to a
first query (1.5 to 3 seconds after that answer began) or `after` it (about a second after its end).
These are start rules of a scenario, so they hold for any system and any length of answer. An answer
may be over before an event that is meant to fall into it; the event is what it is then too, and the
transcript shows that nobody was speaking. A system that has not answered after ten seconds, or does
not end its answer in thirty, gets the event all the same.

What is wanted. `pause`, `turn_end`, `interruption` and `stop_request` are queries, the others are
not. In a transcript the event is the utterance with the id `event`, and its category is the kind of
event; a `turn_end` is of the category `question` or `follow_up`, as is the first query, `first`,
which ends a turn just as well.

The training data of this package have none of these sentences: a test compares the suite with the
phrases that they are drawn from (`duo/data/phrases.yaml`).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache

from duo.errors import BadInput
from sessions.scenario import Scenario
from sessions.suite.generate import generate

#: To be raised whenever a scenario changes, as figures from another suite are not comparable.
VERSION = 1


def suite_scenarios(pattern: str = "") -> tuple[Scenario, ...]:
    """Find the scenarios whose names begin with a pattern.

    Args:
        pattern: the beginning of names, such as "dev" or "report-pause-110"; `*` and `?` stand for
            any characters and for one.

    Raises:
        BadInput: no name begins so.
    """
    found = tuple(scenario for scenario in _all() if fnmatchcase(scenario.name, f"{pattern}*"))
    if not found:
        examples = "suite:dev, suite:report, suite:dev-pause, suite:*-lower"
        raise BadInput(f"no scenario of the suite is called {pattern!r}: try {examples}")
    return found


@cache
def _all() -> tuple[Scenario, ...]:
    return tuple(generate(VERSION))
