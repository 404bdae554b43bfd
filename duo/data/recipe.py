"""Define the mix that training samples are made to: rates, and weights of kinds of turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from duo.errors import BadInput

#: Kinds of turns that call for no answer, with the weight that each has unless told otherwise.
#: `remark` is what the paper inserts; a writer other than `extractive` writes these.
MIX: dict[str, float] = {
    "backchannel": 6.0,
    "acknowledgement": 3.0,
    "remark": 3.0,
    "statement": 3.0,
    "story": 2.0,
    "self_talk": 2.0,
    "muttering": 1.0,
    "third_party_talk": 2.5,
    "third_party_question": 1.5,
    "background": 2.0,
}

#: Kinds of sample content beyond the paper's, with the rate of the recipe that is 0 without each.
BEYOND_PAPER: Mapping[str, str] = {
    "unfinished": "unfinished",
    "hidden_request": "hidden",
    "stop": "stops",
    "go_on": "go_ons",
    "interruption": "interruptions",
    "switch": "switches",
    "opening": "opening",
    "asking": "asking",
}
#: Kinds that can be switched off.
KINDS = (*MIX, *BEYOND_PAPER)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The mix that samples are made to; rates are chances or means between 0 and 1.

    Attributes:
        remarks: mean number of non-query turns for each query (the paper's Figure 6: about 2 in 5).
        into_answer: share of non-query turns that come while the answer is being given.
        interruptions: share of answers that the next query cuts off.
        openers: share of interrupting queries that say so ("Hold on, ...").
        switches: share of interruptions that go on with the dialogue of somebody else.
        stops: share of answers that a request to stop cuts off: `<1>` and an empty answer.
        go_ons: share of answers cut off and then asked for again: `<1>` and the rest.
        hidden: share of queries put as statements, where their form allows it.
        opening: share of samples that begin with a non-query turn.
        unfinished: share of samples whose last user turn is not over (state null).
        asking: share of samples whose last user turn is a request that data sets hardly have
            (`ASKING`), with `<1>` and no answer.
        restyle: share of samples in a recogniser's style instead of as written.
        careless: share of user turns without marks, half of them without case too, whatever the
            style of the sample (see `duo.spelling`), so that a missing mark alone does not say that
            somebody is not done.
        disfluency: share of user turns with hesitations.
        mix: weights of the kinds of non-query turns.
        max_words: of a sample; dialogues are cut between exchanges.
        max_query_words: dialogues end before a longer query, which nobody would speak.
        max_remark_words: longer texts of a writer are dropped.
        paper: dialogues as they stand, every user turn of them a query, and remarks after whole
            answers; of the rates only `remarks` counts. See `duo.data.paper`.
    """

    remarks: float = 0.4
    into_answer: float = 0.6
    interruptions: float = 0.25
    openers: float = 0.5
    switches: float = 0.2
    stops: float = 0.05
    go_ons: float = 0.05
    hidden: float = 0.2
    opening: float = 0.15
    unfinished: float = 0.4
    asking: float = 0.2
    restyle: float = 0.6
    careless: float = 0.0
    disfluency: float = 0.15
    mix: Mapping[str, float] = field(default_factory=lambda: dict(MIX))
    max_words: int = 1500
    max_query_words: int = 80
    max_remark_words: int = 60
    paper: bool = False

    def without(self, kinds: frozenset[str]) -> Recipe:
        """Switch some kinds off.

        Raises:
            BadInput: an unknown kind.
        """
        for kind in sorted(kinds - set(KINDS)):
            raise BadInput(f"unknown kind {kind!r}: use {', '.join(KINDS)}", field="without")
        rates = {rate: 0.0 for kind, rate in BEYOND_PAPER.items() if kind in kinds}
        mix = {kind: weight for kind, weight in self.mix.items() if kind not in kinds}
        return replace(self, mix=mix, **rates)  # type: ignore[arg-type]


def parse_mix(text: str) -> dict[str, float]:
    """Read weights such as `remark=3,backchannel=1`; kinds that are not named get none.

    Raises:
        BadInput: an unknown kind, or a weight that is no number above 0.
    """
    mix: dict[str, float] = {}
    for part in text.split(","):
        kind, _, weight = (piece.strip() for piece in part.partition("="))
        if kind not in MIX:
            raise BadInput(f"unknown kind {kind!r}: use {', '.join(MIX)}", field="mix")
        try:
            mix[kind] = float(weight)
        except ValueError:
            mix[kind] = -1.0
        if not 0 < mix[kind] < 1e6:
            raise BadInput(f"the weight of {kind} must be a number above 0", field="mix")
    return mix
