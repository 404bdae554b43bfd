"""Read the features of state rows: what a model holds where an utterance ends, and where not.

The hidden states stand in files of `SHARD` samples each, so that a run that was stopped goes on
with the next file; the same run gives the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from duo.backbone import Backbone
from duo.decoding.reading import Row, read_states
from duo.errors import BadInput
from duo.files import read_tensors, write_tensors
from duo.terminal import Bar
from duo.tokens import StateTokens
from duo.training.encode import Target
from duo.training.samples import Samples

#: What a place wants, as the classes are numbered.
WAIT, RESPOND, IGNORE = range(3)
#: Samples of a file.
SHARD = 50
#: How byte-level and SentencePiece tokenizers write the blank before a word.
_BLANKS = ("Ġ", "▁", " ")


@dataclass(frozen=True)
class Features:
    """Hidden states at places of samples.

    Attributes:
        states: `[places, width]`, float16.
        wanted: `[places]`, the class of each: `WAIT`, `RESPOND` or `IGNORE`.
        within: `[places]`, whether it is inside an utterance, neither at its end nor at a pause.
        samples: `[places]`, the number of the sample that each is in.
    """

    states: np.ndarray
    wanted: np.ndarray
    within: np.ndarray
    samples: np.ndarray

    def __len__(self) -> int:
        return len(self.wanted)


def places_of(
    targets: Sequence[tuple[int, int, int]],
    states: StateTokens,
    tokenizer: Any,
    *,
    inside: int,
    draw: random.Random,
) -> list[tuple[int, int, bool]]:
    """List the places of a sample: after which token, what is wanted there, whether it is within.

    Args:
        targets: of the sample; see `duo.training.encode.targets`.
        inside: places within each finished utterance, after whole words, as the decoder hears no
            others.
    """
    found: list[tuple[int, int, bool]] = []
    words: list[int] = []

    def choose() -> None:
        chosen = draw.sample(words, min(inside, len(words)))
        found.extend((place, WAIT, True) for place in chosen)
        words.clear()

    for place, label, kind in targets:
        if kind == Target.STATE:
            found.append((place, RESPOND if label == states.respond else IGNORE, False))
        elif kind == Target.PAUSE:
            found.append((place, WAIT, False))
            words.clear()
        if kind != Target.INSIDE:
            choose()
        elif tokenizer.convert_ids_to_tokens(label).startswith(_BLANKS):
            words.append(place)
    return sorted(found)


def extract(
    backbone: Backbone,
    samples: Samples,
    folder: Path,
    bar: Bar,
    *,
    inside: int,
    seed: int,
    layer: int,
) -> Features:
    """Read the hidden states of samples, or those that were read before.

    Args:
        folder: where they are kept, for this model and these samples alone.
        bar: is advanced by tokens.
    """
    parts = []
    for start in range(0, len(samples), SHARD):
        numbers = range(start, min(start + SHARD, len(samples)))
        path = folder / f"{start:07}.safetensors"
        if not path.is_file():
            _write(path, backbone, samples, numbers, inside, seed, layer)
        if path.is_file():  # else nobody has a turn in these samples
            parts.append(_opened(path))
        bar.advance(int(samples.lengths[numbers].sum()))
    if not parts:
        raise BadInput("no sample has a turn of the user that is decided about", file=folder)
    names = "states", "wanted", "within", "samples"
    return Features(*(np.concatenate([part[name] for part in parts]) for name in names))


def _write(
    path: Path,
    backbone: Backbone,
    samples: Samples,
    chosen: range,
    inside: int,
    seed: int,
    layer: int,
) -> None:
    rows, facts = [], []
    for number in chosen:
        draw = random.Random(seed + number)
        ids, targets = samples.sample(number)
        places = places_of(targets, backbone.states, backbone.tokenizer, inside=inside, draw=draw)
        if places:
            rows.append(Row(ids, tuple(place for place, *_ in places)))
        facts += [(wanted, within, number) for _, wanted, within in places]
    if not facts:
        return
    states = [found[:, 0] for found in read_states(backbone, rows, (layer,))]
    wanted, within, numbers = (np.array(fact) for fact in zip(*facts, strict=True))
    content = {
        "states": np.concatenate(states).astype(np.float16),
        "wanted": wanted.astype(np.int8),
        "within": within.astype(np.bool_),
        "samples": numbers.astype(np.int32),
    }
    write_tensors(path, content)


def _opened(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_tensors(path)[0]
    except BadInput as error:
        advice = f"{error.message}; remove it, and it is made again"
        raise BadInput(advice, file=path) from None
