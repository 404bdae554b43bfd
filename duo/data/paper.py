"""Make the paper's own training data (Xu et al. 2024, section 2.3), as `--recipe paper` does.

A sample is a dialogue as it stands, with `<1>` after every user turn, into which remarks with `<2>`
are inserted: about two to five turns of the user. Nothing that this package adds is in it: nobody
is cut off who is not in the source, no utterance is unfinished, and nothing is written otherwise
than it is there, but that what a user says is on one line. The plain text of a sample (Figure 6) is
made by training, with `chat=plain`.

Dialogues come from Duplex-UltraChat, whose time slices are joined to turns, or from UltraChat. The
paper does not say what becomes of Duplex-UltraChat's types in which the user interrupts. Every
record is read alike, by who speaks when, as `duo.data.dialogue.merge_slices` says; so

- plain slicing gives UltraChat's dialogue back;
- generation termination: the answer ends with the last word spoken, and as nobody finished it, the
  model does not learn to end it there (`complete` is false); the words that broke in, transition
  sentence and all, are a query;
- regeneration: the dissatisfied repetition is a query, with an answer of its own;
- topic interweaving and dialogue reset: each turn of the user is a query, whatever dialogue it was
  taken from, and all stand in one sample, in the order in which they were spoken;
- back on topic: the side question is a query. An answer that is resumed after it with words of the
  user in between is the answer to these; one resumed by itself is one turn with the side answer.

A remark stands after a whole answer, one at most: after an answer that was cut off it would be what
had cut in, and after one that asks something back it would be the reply.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from duo.data.recipe import Recipe
from duo.errors import BadInput

#: Samples that the paper trains on.
SAMPLES = 10_000

#: Rates of what is not in the paper's data.
_BEYOND = (
    "into_answer", "interruptions", "openers", "switches", "stops", "go_ons", "hidden", "opening",
    "unfinished", "asking", "restyle", "careless", "disfluency",
)  # fmt: skip

#: Dialogues are cut near the training's 4,096 tokens; a query may take half of that.
PAPER = Recipe(
    paper=True,
    mix={"remark": 1.0},
    max_words=2500,
    max_query_words=1250,
    **dict.fromkeys(_BEYOND, 0.0),  # type: ignore[arg-type]
)

#: What a model is asked, the whole conversation before it: the paper's instruction in our words.
INSTRUCTION = (
    "You are shown a conversation of several turns between a user and an assistant. Write what the "
    "user could say at this point that needs no response: a coherent statement from the user's "
    "perspective that belongs to the conversation and is in its language. Make it declarative, "
    "never a question or a request. Give the statement alone, on one line, and nothing else."
)


def check_options(given: Mapping[str, Any]) -> None:
    """Make sure that no option asks for what is not in the paper's data.

    Raises:
        BadInput: one does; names it.
    """
    for name in (*_BEYOND, "mix", "without"):
        if given.get(name):
            raise BadInput(
                "is no part of the paper's data: leave it out, or build without --recipe paper",
                field=name,
            )
    if given.get("remarks", 0.0) > 1:
        raise BadInput("must be at most 1 with --recipe paper", field="remarks")


def check_endpoint() -> None:
    """Make sure that there is an endpoint for the remarks.

    Raises:
        BadInput: the environment names none.
    """
    if not os.environ.get("OPENAI_API_KEY"):
        raise BadInput(
            "the paper's remarks are written by a model at an endpoint: set OPENAI_API_KEY (and "
            "OPENAI_BASE_URL, if it is not OpenAI's), or choose --writer model or extractive",
            field="writer",
        )
