"""Probe what a model could tell apart at all, with labels of the utterances it is judged on.

A linear probe (Alain and Bengio 2016) is trained on labelled utterances of the kind that the model
is judged on, which the model itself never sees: on what its layers hold at the end of each, does
the utterance want an answer or not? Where the probe, on dialogues that it was not trained on, is
far better than the model's own decision, better data would help. Where it is not, that is a sign,
though no proof (training changes the layers, too), that this model cannot do much better from the
text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from duo.errors import BadInput
from duo.files import Record, sha256
from duo.runs import versions
from duo.spelling import Spelling
from duo.table import Column, Table
from duo.terminal import progress
from evaluation.cases import OUTCOMES, Case, Outcome, read_cases
from evaluation.scores import Count, Data, OfUtterances, Share, area, threshold_answering

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from duo.backbone import Backbone

#: The threshold of a score is where this percentage of what wants an answer gets one.
ANSWERED = 95
#: Layers that are probed, as shares of the depth.
_DEPTHS = (0.25, 0.5, 0.75, 1.0)
_FOLDS = 5
#: Shares of the utterances to train on in a fold, and how often each is drawn.
_PARTS = ((0.125, 3), (0.25, 3), (0.5, 3), (1.0, 1))
#: Inverse strength of the probe's prior. One for all, so that the scores of folds can be compared;
#: a hundredth of it gives much the same.
_STRENGTH = 1e-2
#: Labels of fewer utterances show little but chance.
_FEWEST = 10
#: A turn's place in its dialogue, at the end of an id, with that of the piece of it (`d#1:4`).
_PLACE = re.compile(r"(?:#\d+)?[-:]\d+$")


class LabelScore(Record):
    """Scores of one label.

    Attributes:
        right: the share that is answered or ignored as it should be.
        area: under the receiver operating curve against what wants an answer; None for labels
            that want one.
    """

    wanted: Outcome
    n: Count
    right: Share
    area: Share | None = None


class ProbePoint(Record):
    """Scores of a probe that was trained on `labelled` utterances; of 0: of the model itself."""

    labelled: Count
    labels: dict[str, LabelScore]


class Probe(OfUtterances):
    """The JSON of `duo eval probe`.

    Attributes:
        answered: the threshold is where this percentage of what wants an answer gets one.
        curve: with ever more labelled utterances.
    """

    kind: Literal["probe"] = "probe"
    answered: Count
    folds: Count
    curve: tuple[ProbePoint, ...]


def probe_table(found: Probe) -> Table:
    """Tabulate what probes of ever more utterances tell apart."""
    names = ["its own", *(f"{point.labelled:,}" for point in found.curve[1:])]
    rows = []
    for label, own in found.curve[0].labels.items():
        scores = [point.labels.get(label) for point in found.curve]
        shares = [None if one is None else one.right for one in scores]
        rows.append((label, own.wanted, own.n, *shares))
    return Table(
        f"Right where {found.answered} % of what wants an answer get one",
        ["label", "wanted", "n", *(Column(name, "number", _percent) for name in names)],
        rows,
        ["By the model itself, and by probes of as many labelled utterances as the heading says."],
    )


@dataclass(frozen=True)
class Features:
    """Hidden states and scores of a model at the end of utterances.

    Attributes:
        layers: `[cases, features]`, the hidden states of the probed layers side by side.
        own: `[cases]`, the model's own score: p(`<1>`) / (p(`<1>`) + p(`<2>`)).
    """

    layers: NDArray[np.float32]
    own: NDArray[np.float64]


def evaluate_probe(
    model: str,
    data: Path,
    *,
    limit: int | None = None,
    spelling: Spelling = "written",
    **load_settings: Any,
) -> Probe:
    """Probe a model on the utterances of a file that are over; see `evaluation.cases.read_cases`.

    Raises:
        BadInput: of the model or the data; too few utterances to probe.
    """
    from duo.backbone import load

    read = read_cases(data, limit=limit, spelling=spelling)
    cases = [case for case in read if case.wanted != "wait"]
    _check_enough(cases, data)
    backbone = load(model, **load_settings)
    with progress("reading", len(cases)) as bar:
        features = read_features(backbone, cases, bar.advance)
    with progress("probing", _FOLDS * sum(draws for _, draws in _PARTS)) as bar:
        curve = learning_curve(cases, features, bar.advance)
    return Probe(
        model=model,
        data=Data(file=data.name, sha256=sha256(data), spelling=spelling),
        n=len(cases),
        answered=ANSWERED,
        folds=_FOLDS,
        curve=tuple(curve),
        number_format=backbone.number_format,
        versions=versions(),
    )


def _check_enough(cases: Sequence[Case], data: Path) -> None:
    """Refuse a file in which one sort could not be in every fold."""
    for wanted, name in (("respond", "answer"), ("ignore", "ignore")):
        found = {group(case) for case in cases if case.wanted == wanted}
        if len(found) < 4 * _FOLDS:
            raise BadInput(
                f"has utterances to {name} in {len(found)} dialogues: a probe needs "
                f"{4 * _FOLDS} of each sort",
                file=data,
            )


def group(case: Case) -> str:
    """Name the dialogue of a case: its id without the turn's place: `-7` or `:7` at its end."""
    return _PLACE.sub("", case.id)


def read_features(
    backbone: Backbone, cases: Sequence[Case], on_done: Callable[[int], None] = lambda done: None
) -> Features:
    """Read the hidden states and the score of the model after each case."""
    from scipy.special import expit

    from evaluation.states import encoder_for, utterance_ids

    encoder = encoder_for(backbone)
    rows = [utterance_ids(encoder, case, case.text) for case in cases]
    read = _read_in_llama if backbone.engine == "llama" else _read_in_torch
    found = {}
    for number, layers, respond, ignore in read(backbone, rows):
        found[number] = np.concatenate(layers), expit(float(respond) - float(ignore))
        on_done(1)
    layers, own = zip(*(found[number] for number in range(len(cases))), strict=True)
    return Features(np.stack(layers), np.array(own))


def _read_in_torch(backbone: Backbone, rows: Sequence[tuple[int, ...]]) -> Iterator[Any]:
    """Yield numbers of rows with the hidden states and the state tokens' logits at their ends."""
    import torch

    from duo.decoding.reading import AREA, batches_of_area, logits_only_where
    from evaluation.states import side_by_side

    states = [backbone.states.respond, backbone.states.ignore]
    for batch in batches_of_area([len(row) for row in rows], AREA):
        ids = side_by_side([rows[number] for number in batch], backbone.device)
        where = torch.zeros_like(ids, dtype=torch.bool)
        where[range(len(batch)), [len(rows[number]) - 1 for number in batch]] = True
        with torch.inference_mode(), logits_only_where(backbone.model, where):
            found = backbone.model(ids, use_cache=False, output_hidden_states=True)
        deep = len(found.hidden_states) - 1
        ends = [found.hidden_states[round(share * deep)][where] for share in _DEPTHS]
        scores = found.logits[0][:, states].double().tolist()
        for place, number in enumerate(batch):
            yield number, [layer[place].float().cpu().numpy() for layer in ends], *scores[place]


def _read_in_llama(backbone: Backbone, rows: Sequence[tuple[int, ...]]) -> Iterator[Any]:
    from duo.decoding.llama_states import LAST
    from duo.decoding.reading import LlamaReader, Row

    deep = backbone.model.blocks
    numbers = [round(share * deep) - 1 for share in _DEPTHS]
    ends = [Row(row, (len(row) - 1,)) for row in rows]
    reader = LlamaReader(backbone.model, ends, [LAST if n == deep - 1 else n for n in numbers])
    states = [backbone.states.respond, backbone.states.ignore]
    for number, row in enumerate(ends):
        found = reader.read(row)
        yield number, list(found.states[0]), *found.scores[0, states]


def learning_curve(
    cases: Sequence[Case], features: Features, on_done: Callable[[], None] = lambda: None
) -> list[ProbePoint]:
    """Score the model's own score, and probes that were trained on ever more utterances.

    Args:
        cases: none of which wants waiting.
        features: of these cases.
        on_done: called after each fold of each probe.

    Returns:
        Points with `labelled`, the mean number of utterances that a probe was trained on (0: the
        model's own score), and the scores of each label, means over the draws. What is right is
        counted where `ANSWERED` percent of all that wants an answer get one.
    """
    wants = np.array([case.wanted == "respond" for case in cases])
    groups = np.array([group(case) for case in cases])
    labels = np.array([case.label for case in cases])
    points = [ProbePoint(labelled=0, labels=_label_scores(labels, wants, [features.own]))]
    for part, draws in _PARTS:
        every, sizes = [], []
        for draw in range(draws):
            scores = np.zeros(len(cases))
            for train, test in _folds(groups, wants, part, seed=draw):
                sizes.append(len(train))
                probe = _probe(features.layers[train], wants[train])
                scores[test] = probe.decision_function(features.layers[test])
                on_done()
            every.append(scores)
        scored = _label_scores(labels, wants, every)
        points.append(ProbePoint(labelled=round(float(np.mean(sizes))), labels=scored))
    return points


def _folds(
    groups: NDArray[np.str_], wants: NDArray[np.bool_], part: float, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Draw places of cases to train on and to test; no dialogue is in both."""
    random = np.random.default_rng(seed)
    names = random.permutation(np.unique(groups))
    for fold in range(_FOLDS):
        test = np.isin(groups, names[fold::_FOLDS])
        rest = random.permutation(np.unique(groups[~test]))
        size = round(part * len(rest))
        train = np.isin(groups, rest[:size])
        while size < len(rest) and not (any(wants[train]) and any(~wants[train])):
            size += 1
            train = np.isin(groups, rest[:size])
        yield np.flatnonzero(train), np.flatnonzero(test)


def _probe(layers: NDArray[np.float32], wants: NDArray[np.bool_]) -> Any:
    """Fit a logistic regression on standardised features; both sorts weigh the same."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=1000)
    return make_pipeline(StandardScaler(), regression).fit(layers, wants)


def _label_scores(
    labels: NDArray[np.str_], wants: NDArray[np.bool_], every: Sequence[NDArray[np.float64]]
) -> dict[str, LabelScore]:
    """Score each label by what each draw gave all cases."""
    queries = [scores[wants].tolist() for scores in every]
    thresholds = [threshold_answering(one, ANSWERED) for one in queries]
    found: dict[str, LabelScore] = {}
    for wanted, sort in zip(OUTCOMES, (wants, ~wants), strict=False):
        for label, n in Counter(labels[sort].tolist()).most_common():
            if n < _FEWEST:
                continue
            own = [scores[sort & (labels == label)] for scores in every]
            reach = [one >= least for one, least in zip(own, thresholds, strict=True)]
            right = [np.mean(one if wanted == "respond" else ~one) for one in reach]
            mean_area = None
            if wanted == "ignore":
                areas = [area(*pair) for pair in zip(queries, own, strict=True)]
                mean_area = float(np.mean(areas))
            found[label] = LabelScore(
                wanted=wanted, n=n, right=float(np.mean(right)), area=mean_area
            )
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
