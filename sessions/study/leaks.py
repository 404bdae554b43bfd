"""Test whether raters could tell the systems apart by what they are not asked to judge.

Two sorts of evidence, on exactly what the pages show:

- **plain traces**: control tokens or a system's name in the words. One is one too many.
- **signals**: one number for each dialogue, and an exact or random permutation test of whether it
  separates the systems: the systems' labels are swapped within each item, in all ways or in
  16,384 random ones (Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005).
  Holm's correction over all signals. Signals of the *machinery* (slice-shaped text, answers that
  begin on the clock's beat) should not differ: mend the transcripts, or say so in the report.
  Signals of the *behaviour* (who waits, who overlaps, how much is said) are judged, and may.

Beside them stands how long the scripted user waits for each system (`duo.waits`). Where that
differs, raters may be judging the user.

With few items nothing can be shown: n pairs cannot give a p below 2/2^n, which `Leaks.floor` says.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from duo.table import Cell, Column, Table
from duo.waits import Waits, unequal
from duo.words import length
from sessions.study.blinding import Dialogue
from sessions.study.study import Study, shown_dialogues

Kind = Literal["machinery", "behaviour"]
Values = NDArray[np.float64]

PERMUTATIONS = 2**14  # of two systems and 14 items that is all of them
_LEVEL = 0.05

#: What looks like a control token, known or not.
_TOKEN = re.compile(r"<[^<>\s]{1,24}>|<\||\|>|\[/?INST\]|###|<s>|</s>")
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’)]*$")


@dataclass(frozen=True)
class Trace:
    """Something in the words that gives the system away."""

    item: str
    system: str
    what: str
    text: str


@dataclass(frozen=True)
class Signal:
    """A number by which systems may be told apart.

    Attributes:
        means: of each system, in the study's order.
        guessed: share of the items in which guessing by this number alone finds the system.
        p: of the permutation test; `adjusted` by Holm over all signals.
        items: how many have the number for all systems.
    """

    name: str
    kind: Kind
    meaning: str
    means: tuple[float, ...]
    guessed: float
    p: float
    adjusted: float
    items: int

    @property
    def separates(self) -> bool:
        return self.adjusted < _LEVEL


@dataclass(frozen=True)
class Leaks:
    """The traces and signals of a study's dialogues.

    Attributes:
        floor: the smallest p that so few items can give.
        waits: of the user, by system.
    """

    systems: tuple[str, ...]
    traces: tuple[Trace, ...]
    signals: tuple[Signal, ...]
    floor: float
    waits: Mapping[str, Waits]

    @property
    def clean(self) -> bool:
        """No plain trace, and no signal of the machinery that separates the systems."""
        return not self.traces and not any(
            signal.separates for signal in self.signals if signal.kind == "machinery"
        )


def leaks_tables(leaks: Leaks) -> list[Table]:
    """Return the traces, if there are any, and the signals as tables."""
    traces = Table(
        "Traces",
        ("item", "system", "gives away", "by"),
        [[one.item, one.system, one.what, one.text] for one in leaks.traces],
    )
    signals = Table(
        "Signals",
        (
            "signal",
            *(Column(system, "number", ".2f") for system in leaks.systems),
            Column("guessed", "number", ".0%"),
            Column("p", "number", ".3f"),
            Column("Holm", "number", ".3f"),
            "sort",
        ),
        [
            [
                f"{one.name}: {one.meaning}",
                *(one.means or [None] * len(leaks.systems)),
                one.guessed,
                one.p,
                Cell(one.adjusted, mark="*" if one.separates else ""),
                one.kind,
            ]
            for one in leaks.signals
        ],
        notes=["* separates the systems"] if any(one.separates for one in leaks.signals) else [],
    )
    waits = Table(
        "The user's waits after answers, in seconds",
        (
            "system",
            Column("waits", "number"),
            Column("median", "number", ".2f"),
            Column("p90", "number", ".2f"),
            Column("gave up", "number"),
        ),
        [
            [name, *(one.spread or (0, None, None)), one.given_up]
            for name, one in leaks.waits.items()
        ],
    )
    return [traces, signals, waits] if leaks.traces else [signals, waits]


def leaks_verdict(leaks: Leaks) -> list[str]:
    """Return what the tables say, in sentences."""
    said = [] if leaks.traces else ["no control tokens and no systems' names in the words"]
    enough = leaks.floor <= _LEVEL / max(len(leaks.signals), 1)
    if not enough:
        said.append(
            f"so few items cannot show a difference (no p can be less than {leaks.floor:.2g}): "
            "look at the numbers"
        )
    if not leaks.clean:
        said.append("LEAKS: the words or the machinery give the systems away")
    elif enough:
        said.append("nothing of the machinery separates the systems")
    said += unequal({name: one.spread for name, one in leaks.waits.items()})
    return said


def find_leaks(study: Study) -> Leaks:
    """Look for what gives the systems away, in the dialogues as the pages show them."""
    with study.database.read() as connection:
        shown = shown_dialogues(connection, study, "item")
    return leaks_of(shown, study.systems)


def leaks_of(shown: dict[str, dict[str, Dialogue]], systems: Sequence[str]) -> Leaks:
    """Look at dialogues by item and system."""
    from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

    traces = [
        trace
        for item, group in shown.items()
        for system in systems
        for trace in _traces(item, system, group[system], systems)
    ]
    by_item = [[measures(group[system]) for system in systems] for group in shown.values()]
    values_of = {}  # an item a row, a system a column, without items that lack the number
    for name, *_ in SIGNALS:
        rows = [[one[name] for one in row] for row in by_item]
        whole = [row for row in rows if None not in row]
        values_of[name] = np.array(whole, np.float64).reshape(-1, len(systems))
    tests = [separation(values) for values in values_of.values()]
    adjusted = multipletests([p for _, p in tests], method="holm")[1]
    signals = tuple(
        Signal(
            name,
            kind,
            meaning,
            tuple(float(mean) for mean in values.mean(axis=0)) if len(values) else (),
            guessed,
            p,
            float(corrected),
            len(values),
        )
        for (name, kind, meaning), values, (guessed, p), corrected in zip(
            SIGNALS, values_of.values(), tests, adjusted, strict=True
        )
    )
    waits = {
        system: Waits.together(_waits(group[system]) for group in shown.values())
        for system in systems
    }
    return Leaks(tuple(systems), tuple(traces), signals, _floor(len(shown), len(systems)), waits)


def separation(values: Values, *, seed: int = 0) -> tuple[float, float]:
    """Compute how well a number tells systems apart: share guessed right, p of a permutation test.

    The statistic is the variance of the systems' means. If there are more than `PERMUTATIONS` ways
    to swap the systems' labels within the items, p = (1 + hits) / (1 + `PERMUTATIONS`) of random
    ones.

    Args:
        values: one row an item, one column a system.
    """
    from scipy.stats import permutation_test

    values = values[(values != values[:, :1]).any(axis=1)] if len(values) else values
    if not len(values):
        return 1 / max(values.shape[1], 1), 1.0
    centred = values - values.mean(axis=1, keepdims=True)
    if len(centred) == 1:  # two systems can be swapped, and nothing is gained
        p = 1.0
    else:
        test = permutation_test(
            tuple(centred.T),
            lambda *systems, axis: np.var([one.mean(axis=axis) for one in systems], axis=0),
            permutation_type="samples",
            vectorized=True,
            n_resamples=PERMUTATIONS,
            alternative="greater",
            rng=np.random.default_rng(seed),
        )
        p = float(test.pvalue)
    most = centred == centred.max(axis=1, keepdims=True)
    return float((most / most.sum(axis=1, keepdims=True)).mean(axis=0).max()), p


def _traces(item: str, system: str, dialogue: Dialogue, systems: Sequence[str]) -> list[Trace]:
    said = " ".join(utterance.text for utterance in dialogue.of("assistant"))
    names = "|".join(re.escape(name) for name in systems)
    named = re.finditer(rf"(?<![\w-])(?:{names})(?![\w-])", said, re.IGNORECASE)
    found = [("control token", match[0]) for match in _TOKEN.finditer(said)]
    found += [("name of a system", match[0]) for match in named]
    return [Trace(item, system, what, text) for what, text in dict.fromkeys(found)]


def _waits(dialogue: Dialogue) -> Waits:
    return Waits.of(
        [(one.start, one.end) for one in dialogue.of("user")],
        [(word.start, word.end) for word in dialogue.words if word.who == "assistant"],
    )


def _floor(n: int, k: int) -> float:
    """Return the smallest p of `separation` for n items and k systems."""
    ways = math.factorial(k) ** n
    return math.factorial(k) / ways if ways <= PERMUTATIONS else 1 / (1 + PERMUTATIONS)


def measures(dialogue: Dialogue) -> dict[str, float | None]:
    """Measure each of `SIGNALS`; None where the dialogue has nothing to measure it by."""
    answers = dialogue.of("assistant")
    starts = [one.start for one in answers]
    lengths = [len(one.words) for one in answers]
    words = [word.text.strip() for one in answers for word in one.words]
    inner = [  # words that no sentence begins with: a slice may, with a capital
        word[:1].isupper() and word not in ("I", "I'm", "I'll", "I've", "I'd")
        for before, word in itertools.pairwise(words)
        if not _SENTENCE_END.search(before)
    ]
    spoken = sum(one.end - one.start for one in answers)
    reactions = [
        min(after) - user.end
        for user in dialogue.of("user")
        if (after := [start for start in starts if start >= user.end])
    ]
    lower = [word.lower() for word in words]
    runs = [tuple(lower[place : place + 4]) for place in range(len(lower) - 3)]
    return {
        "on the beat": _mean([abs(at - round(at)) < 0.01 for at in starts]),
        "answer": _mean(lengths),
        "same length": max(Counter(lengths).values()) / len(lengths) if len(lengths) > 1 else None,
        "unfinished": _mean([not _SENTENCE_END.search(one.text) for one in answers]),
        "inner capitals": _mean(inner),
        "pace": len(words) / spoken if spoken > 0 else None,
        "reaction": _mean(reactions),
        "said": float(len(words)),
        "overlap": length(dialogue.overlaps),
        "repeated": 1 - len(set(runs)) / len(runs) if runs else None,
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


#: Name, sort and meaning of each signal.
SIGNALS: tuple[tuple[str, Kind, str], ...] = (
    ("on the beat", "machinery", "share of answers that begin at a whole second"),
    ("answer", "machinery", "words of an answer"),
    ("same length", "machinery", "share of answers of the commonest length"),
    ("unfinished", "machinery", "share of answers that end inside a sentence"),
    ("inner capitals", "machinery", "capitals where no sentence begins"),
    ("pace", "machinery", "words a second while speaking"),
    ("reaction", "behaviour", "seconds from the user's last word to the answer"),
    ("said", "behaviour", "words of the assistant"),
    ("overlap", "behaviour", "seconds in which both speak"),
    ("repeated", "behaviour", "share of four words in a row said before"),
)
