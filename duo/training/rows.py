"""Train state rows: `duo train --recipe rows`, the least training there is.

The model is frozen. What it holds after a turn of the user, and within one, is read once
(`duo.training.features`), and a logistic regression learns from it which of three things is wanted:
an answer, none, or to wait. Its weights are two rows, those of `<1>` and `<2>` against "not yet".
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from duo.backbone import load
from duo.errors import BadInput, check_types
from duo.files import check_writable
from duo.runs import MANIFEST, RUN, Stopwatch, begun, check_same, claim, versions, write_manifest
from duo.state_rows import Reaction, RowsRecord, Strength, check_layer, weights_sha256, write_rows
from duo.terminal import progress
from duo.training.features import IGNORE, RESPOND, WAIT, Features, extract
from duo.training.samples import read_split
from duo.training.settings import TrainSettings
from duo.training.train import ENCODED, encoder_for
from duo.training.weights import base_name

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
    """

    chat: Literal["auto", "template", "plain", "minicpm"] = "auto"
    max_tokens: int = 192
    answer_tokens: int = 12
    samples: int = 0
    validation: int = 300
    inside: int = 3
    answered: float = 0.95
    decide_at: float = 0.4
    layer: int = -1
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        for setting in fields(self):
            value = getattr(self, setting.name)
            least = -1 if setting.name == "layer" else 0
            if isinstance(value, int | float) and not least <= value < 1e12:
                raise BadInput(f"is too small or too large: {value!r}", field=setting.name)
        if self.answered >= 1:
            raise BadInput("must be below 1", field="answered")
        if self.decide_at > 1:
            raise BadInput("must not be above 1", field="decide_at")


def train_rows(
    *, settings: RowsSettings, model: str, data: Path, out: Path, engine: str = "auto"
) -> RowsRecord:
    """Train state rows, or go on with a run that was stopped.

    The features stay in the folder. The same command with another operating point takes seconds.

    Args:
        data: folder with `train.jsonl` and `validation.jsonl`.
        out: where the rows go, `features` beside them.
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
            about = {**identity, "data": split.facts["sha256"]}
            if (before := begun(folder)) is not None:
                check_same(before, about, file=folder / RUN)
            claim(folder, about)
            found[name] = extract(
                backbone, split, folder, bar, inside=settings.inside, seed=settings.seed,
                layer=settings.layer,
            )  # fmt: skip
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
        """Count how places of each kind are reacted to."""
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
        learning: places to learn from.
        choosing: places of other dialogues, to choose by their log loss.
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
