"""Train state rows: `duo train --recipe rows`, the least training there is.

The model is frozen. What it holds after a turn of the user, and within one, is read once
(`Features`), and a logistic regression learns from it which of three things is wanted:
an answer, none, or to wait. Its weights are two rows, those of `<1>` and `<2>` against "not yet".
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from duo.backbone import Backbone, load
from duo.decoding.reading import Row, read_states
from duo.errors import BadInput, check_types
from duo.files import check_writable, read_tensors, write_tensors
from duo.runs import MANIFEST, Stopwatch, claim, versions, write_manifest
from duo.state_rows import Reaction, RowsRecord, Strength, check_layer, weights_sha256, write_rows
from duo.terminal import Bar, progress
from duo.training.encode import Target
from duo.training.samples import Samples, read_split
from duo.training.settings import Natural, TrainSettings
from duo.training.train import ENCODED, encoder_for
from duo.training.weights import base_name

#: What a place wants, as the classes are numbered.
WAIT, RESPOND, IGNORE = range(3)
#: Samples of a file of features.
SHARD = 50
#: How byte-level and SentencePiece tokenizers write the blank before a word.
_BLANKS = ("Ġ", "▁", " ")
#: Inverse strengths of the regularisation that are tried, on standardised features.
_STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


@dataclass(frozen=True, kw_only=True)
class RowsSettings:
    """Settings of state rows; `duo train --recipe rows --set NAME=VALUE` changes one.

    Attributes:
        chat: see `duo.training.settings.TrainSettings`, also of the next two.
        max_tokens, answer_tokens: of a sample, and of an answer in it.
        samples: to learn from, the first ones; 0 for all.
        validation: samples to choose the regularisation by, the first ones.
        inside: places within each utterance at which "not yet" is learned, beside the pauses.
        answered: the operating point, the share of validation turns that want an answer for which
            `<1>` is likelier than `<2>`; 0 for that of the calibrated probabilities.
        decide_at: kept for the decoder (`duo.state_rows.RowsRecord`). Rows are calibrated, unlike
            an adapter, so that half the chance means as likely over as not.
        layer: the block after which the hidden state is taken, from 0 on (in llama.cpp alone); -1
            for the last one, which the output head sees.
        seed: of what is drawn.

    Raises:
        BadInput: a value of another type or out of range.
    """

    chat: Literal["auto", "template", "plain", "minicpm"] = "auto"
    max_tokens: Natural = 192
    answer_tokens: Natural = 12
    samples: Natural = 0
    validation: Natural = 300
    inside: Natural = 3
    answered: Annotated[float, Field(ge=0, lt=1)] = 0.95
    decide_at: Annotated[float, Field(ge=0, le=1)] = 0.4
    layer: Annotated[int, Field(ge=-1)] = -1
    seed: Natural = 0

    def __post_init__(self) -> None:
        check_types(self)


def train_rows(
    *, settings: RowsSettings, model: str, data: Path, out: Path, engine: str = "auto"
) -> RowsRecord:
    """Train state rows, or go on with a run that was stopped.

    The features stay in the folder. The same command with another operating point takes seconds.

    Args:
        data: folder with `train.jsonl` and `validation.jsonl`.
        out: where the rows go, `features` beside them.

    Raises:
        BadInput: bad data or settings, or a folder with another run's features.
    """
    watch = Stopwatch()
    chat = None if settings.chat == "auto" else settings.chat
    backbone = load(model, chat=chat, engine=engine)
    check_layer(backbone, settings.layer)
    hashed = weights_sha256(model)
    shown = TrainSettings(max_tokens=settings.max_tokens, answer_tokens=settings.answer_tokens)
    encoder = encoder_for(backbone, shown)
    learning, choosing = (
        read_split(data / f"{name}.jsonl", encoder, shown, out / ENCODED / name, limit)
        for name, limit in (("train", settings.samples or None),
                            ("validation", settings.validation))
    )  # fmt: skip
    check_writable(out)
    own = {name: getattr(settings, name) for name in ("max_tokens", "answer_tokens", "inside",
                                                      "layer", "seed")}  # fmt: skip
    identity = {"model": base_name(model), "sha256": hashed, "engine": backbone.engine,
                "chat": backbone.chat.name, "settings": own}  # fmt: skip
    found = {}
    with progress("reading", learning.facts["tokens"] + choosing.facts["tokens"]) as bar:
        for name, split in (("train", learning), ("validation", choosing)):
            folder = out / "features" / name
            claim(folder, {**identity, "data": split.facts["sha256"]})
            found[name] = extract(backbone, split, folder, bar, settings)
    for name in ("train", "validation"):
        _check_enough(found[name], data / f"{name}.jsonl")
    fitted = fit(found["train"], found["validation"], settings.answered)
    facts = {"train": learning.facts, "validation": choosing.facts}
    record = RowsRecord(
        model=base_name(model),
        sha256=hashed,
        chat=backbone.chat.name,
        layer=settings.layer,
        settings=asdict(settings),
        strengths=fitted.strengths,
        temperature=fitted.temperature,
        shift=fitted.shift,
        decide_at=settings.decide_at,
        validation=fitted.reactions(found["validation"]),
        places=_counts(found["train"]),
        data=facts,
        versions=versions() | backbone.chat.shown_day,
    )
    write_rows(out, record, fitted.head, fitted.bias)
    write_manifest(
        out / MANIFEST, watch=watch, model=model, recipe="rows", seed=settings.seed, data=facts
    )
    shutil.rmtree(out / ENCODED)
    return record


def _check_enough(features: Features, file: Path) -> None:
    for wanted, name in ((RESPOND, "want an answer"), (IGNORE, "are to be ignored"),
                         (WAIT, "are not over")):  # fmt: skip
        if not (features.wanted == wanted).any():
            raise BadInput(f"has no turns that {name}: state rows need all three", file=file)


def _counts(features: Features) -> dict[str, int]:
    names = {WAIT: "pause", RESPOND: "respond", IGNORE: "ignore"}
    kinds = Counter(
        "within" if within else names[wanted]
        for wanted, within in zip(features.wanted.tolist(), features.within.tolist(), strict=True)
    )
    return dict(sorted(kinds.items()))


# What the model holds where an utterance ends, and where not.


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
    targets: Sequence[tuple[int, int, int]], backbone: Backbone, inside: int, draw: random.Random
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
            found.append((place, RESPOND if label == backbone.states.respond else IGNORE, False))
        elif kind == Target.PAUSE:
            found.append((place, WAIT, False))
            words.clear()
        if kind != Target.INSIDE:
            choose()
        elif backbone.tokenizer.convert_ids_to_tokens(label).startswith(_BLANKS):
            words.append(place)
    return sorted(found)


def extract(
    backbone: Backbone, samples: Samples, folder: Path, bar: Bar, settings: RowsSettings
) -> Features:
    """Read the hidden states of samples, or those that were read before.

    They stand in files of `SHARD` samples each, so that a run that was stopped goes on with the
    next file; the same run gives the same bytes.

    Args:
        folder: where they are kept, for this model and these samples alone.
        bar: is advanced by tokens.

    Raises:
        BadInput: a file in the folder is damaged, or there is not one place.
    """
    parts = []
    for start in range(0, len(samples), SHARD):
        numbers = range(start, min(start + SHARD, len(samples)))
        path = folder / f"{start:07}.safetensors"
        if not path.is_file():
            _write_features(path, backbone, samples, numbers, settings)
        if path.is_file():  # else nobody has a turn in these samples
            try:
                parts.append(read_tensors(path)[0])
            except BadInput as error:
                advice = f"{error.message}; remove it, and it is made again"
                raise BadInput(advice, file=path) from None
        bar.advance(int(samples.lengths[numbers].sum()))
    if not parts:
        raise BadInput("no sample has a turn of the user that is decided about", file=folder)
    names = "states", "wanted", "within", "samples"
    return Features(*(np.concatenate([part[name] for part in parts]) for name in names))


def _write_features(
    path: Path, backbone: Backbone, samples: Samples, chosen: range, settings: RowsSettings
) -> None:
    rows, facts = [], []
    for number in chosen:
        ids, targets = samples.sample(number)
        draw = random.Random(settings.seed + number)
        places = places_of(targets, backbone, settings.inside, draw)
        if places:
            rows.append(Row(ids, tuple(place for place, *_ in places)))
        facts += [(wanted, within, number) for _, wanted, within in places]
    if not facts:
        return
    states = [found[:, 0] for found in read_states(backbone, rows, (settings.layer,))]
    wanted, within, numbers = (np.array(fact) for fact in zip(*facts, strict=True))
    content = {
        "states": np.concatenate(states).astype(np.float16),
        "wanted": wanted.astype(np.int8),
        "within": within.astype(np.bool_),
        "samples": numbers.astype(np.int32),
    }
    write_tensors(path, content)


# The regression.


@dataclass(frozen=True)
class Fitted:
    """Rows of `<1>` and `<2>` against "not yet", and how they were found.

    Attributes:
        head: `[2, width]`.
        bias: `[2]`.
        strengths, temperature, shift: see `duo.state_rows.RowsRecord`.
    """

    head: np.ndarray
    bias: np.ndarray
    strengths: tuple[Strength, ...]
    temperature: float
    shift: float

    def odds(self, states: np.ndarray) -> np.ndarray:
        """Compute the log odds of `<1>` and `<2>` against waiting, `[places, 2]`."""
        return states.astype(np.float32) @ self.head.T + self.bias

    def reactions(self, features: Features) -> dict[str, Reaction]:
        """Positive how places of each kind are reacted to."""
        odds = self.odds(features.states)
        best = np.concatenate([np.zeros((len(odds), 1)), odds], 1).argmax(1)
        found = {}
        for name, chosen in (
            ("respond", features.wanted == RESPOND),
            ("ignore", features.wanted == IGNORE),
            ("pause", (features.wanted == WAIT) & ~features.within),
            ("within", features.within),
        ):
            if chosen.any():
                shares = [float((best[chosen] == kind).mean()) for kind in (RESPOND, IGNORE, WAIT)]
                names = ("respond", "ignore", "wait")
                found[name] = Reaction(**dict(zip(names, shares, strict=True)), n=int(chosen.sum()))
        return found


def fit(learning: Features, choosing: Features, answered: float) -> Fitted:
    """Fit a multinomial logistic regression; choose its regularisation, calibrate it, shift it.

    Args:
        answered: operating point; see `RowsSettings`.
    """
    from scipy.optimize import minimize_scalar
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    given = learning.states.astype(np.float32)
    mean, deviation = given.mean(0), given.std(0) + 1e-6
    given -= mean
    given /= deviation
    other = (choosing.states.astype(np.float32) - mean) / deviation
    made: list[tuple[float, Any, np.ndarray]] = []
    with progress("fitting", len(_STRENGTHS)) as bar:
        for strength in _STRENGTHS:
            one = LogisticRegression(C=strength, max_iter=1000).fit(given, learning.wanted)
            scores = one.decision_function(other)
            loss = float(log_loss(choosing.wanted, _chances(scores), labels=one.classes_))
            made.append((loss, one, scores))
            bar.advance()
    _, best, scores = min(made, key=lambda one: one[0])
    temperature = float(
        minimize_scalar(
            lambda log: log_loss(choosing.wanted, _chances(scores / np.exp(log))),
            bounds=(-2, 2),
            method="bounded",
        ).x
    )
    temperature = float(np.exp(temperature))
    rows = (best.coef_[[RESPOND, IGNORE]] - best.coef_[WAIT]) / temperature
    bias = (best.intercept_[[RESPOND, IGNORE]] - best.intercept_[WAIT]) / temperature
    head = rows / deviation
    bias = bias - head @ mean
    shift = 0.0
    if answered:
        wants = choosing.states[choosing.wanted == RESPOND].astype(np.float32)
        margins = wants @ (head[0] - head[1]) + (bias[0] - bias[1])
        shift = -float(np.quantile(margins, 1 - answered))
        bias[0] += shift
    tried = tuple(
        Strength(inverse=strength, loss=loss)
        for strength, (loss, *_) in zip(_STRENGTHS, made, strict=True)
    )
    return Fitted(head.astype(np.float32), bias.astype(np.float32), tried, temperature, shift)


def _chances(scores: np.ndarray) -> np.ndarray:
    from scipy.special import softmax

    return softmax(scores, axis=1)
