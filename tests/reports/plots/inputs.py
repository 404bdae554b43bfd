"""What the charts are drawn from: made by the code that writes it, where that is quick."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from duo.files import as_result
from duo.transcript import write_transcript
from evaluation.interaction.bootstrap import Figure as Estimate
from evaluation.interaction.results import score
from evaluation.scores import Data, Judged, score_states
from reports.kinds import KINDS, imported
from reports.plots.chart import Chart
from reports.plots.mask import mask
from reports.plots.sweep import Scored, SweepScores, sweep
from reports.plots.timeline import timeline
from reports.statistics.analysis import analyse
from reports.statistics.simulate import Design
from tests.reports.rated import drawn, ratings
from tests.reports.stories import interrupted, waiting

SYSTEMS = ("duo", "duplex", "turn-based")


@cache
def study(systems: tuple[str, ...] = SYSTEMS[:2], criteria: tuple[str, ...] = ("overall",)) -> Any:
    """The analysis of a small synthetic study, as `statistics.json` has it."""
    rows = [
        row
        for pair in combinations(systems, 2)
        for row in drawn(
            Design(dialogues=8, raters=4), criteria=criteria, seed=len(pair[1]), systems=pair,
            synthetic=True,
        )
    ]  # fmt: skip
    result = analyse(ratings(rows), resamples=19, systems=systems)
    return json.loads(result.model_dump_json(by_alias=True))


@cache
def judged() -> Any:
    """The JSON of `duo eval states` about random cases."""
    draw = random.Random(4)
    acts = ("respond", "ignore", "wait")
    cases = []
    for number in range(120):
        label = draw.choice(("question", "backchannel", "incomplete", "third_party"))
        wanted = {"question": "respond", "incomplete": "wait"}.get(label, "ignore")
        outcome = wanted if draw.random() < 0.7 else draw.choice(acts)
        chance = min(0.99, max(0.01, draw.gauss(0.8 if wanted == "respond" else 0.2, 0.25)))
        early = [draw.choices(acts, (1, 1, 12))[0] for _ in range(draw.randint(1, 15))]
        cases.append(
            Judged(
                id=str(number), label=label, wanted=wanted, outcome=outcome,  # type: ignore[arg-type]
                p_respond=chance, p_ignore=1 - chance,
                early=tuple(early) if wanted == "respond" else (),  # type: ignore[arg-type]
            )
        )  # fmt: skip
    found = score_states(
        cases, model="smollm2-duo", data=Data(file="utterances.jsonl"), lookahead=4
    )
    return found.model_dump(mode="json", by_alias=True)


def probed() -> Any:
    """The JSON of `duo eval probe`, made up."""
    curve = [
        {
            "labelled": labelled,
            "labels": {
                "question": {"wanted": "respond", "n": 200, "right": 0.95},
                "backchannel": {"wanted": "ignore", "n": 90, "right": 0.9 + gain, "area": 0.97},
                "self_talk": {"wanted": "ignore", "n": 40, "right": 0.5 + 4 * gain, "area": 0.8},
            },
        }
        for labelled, gain in ((0, 0.02), (100, 0.0), (200, 0.04), (1600, 0.08))
    ]
    return {
        "schema": 1, "model": "smollm2-duo", "data": {"file": "utterances.jsonl"}, "n": 330,
        "answered": 95, "folds": 5, "curve": curve,
    }  # fmt: skip


@cache
def interaction() -> Any:
    """The JSON of `duo eval interaction` about conversations written by hand."""
    with TemporaryDirectory() as folder:
        told = {
            "duo": interrupted("duo"),
            "duo-sequential": interrupted("duo-sequential", by="patience"),
            "turn-based": waiting(),
        }
        for name, transcript in told.items():
            write_transcript(Path(folder, name, "weekend.jsonl"), transcript)
        found = score([Path(folder)]).model_dump(mode="json", by_alias=True)
    return json.loads(json.dumps(found))


def estimate(value: float | None, half: float = 0.1, n: int = 40, top: float = 1.0) -> Estimate:
    if value is None:
        return Estimate(value=None)
    return Estimate(value=value, low=max(0.0, value - half), high=min(top, value + half), n=n)


def figures(latency: float | None, false: float | None) -> tuple[Estimate, Estimate]:
    """A system's figures that a sweep shows."""
    return estimate(latency, 0.2, top=99.0), estimate(false)


def swept() -> SweepScores:
    """A sweep's scores: one setting of two systems, two settings together, and words."""
    points = [
        Scored(
            f"lookahead={k}",
            {"lookahead": k},
            {
                "duo": figures(2.6 - 0.2 * k, 0.1 + 0.05 * k),
                "duo-sequential": figures(3.0 - 0.2 * k, 0.1 + 0.04 * k),
            },
        )
        for k in (8, 1, 2, 3, 4, 5, 6, 7)
    ]
    points += [
        Scored(
            f"cycle_seconds={c},patience={p}",
            {"cycle_seconds": c, "patience": p},
            {"duo": figures(c * p + 0.5, 0.6 / (p * c + 1))},
        )
        for c in (0.5, 1.0)
        for p in (1, 2, 3)
    ]
    points += [
        Scored(
            f"after_interruption={how}",
            {"duo.after_interruption": how},
            {"duo": figures(1.5, share), "duplex": figures(2.0, 0.3)},
        )
        for how, share in (("drop", 0.2), ("merge", 0.35))
    ]
    points.append(Scored("lookahead=9", {"lookahead": 9}, {}))
    return SweepScores(tuple(points), ("duo", "duo-sequential"), 32)


def decoded() -> Any:
    """The JSON of `duo bench decode`, by hand."""

    def spread(value: float) -> Any:
        return {"median": value, "low": 0.95 * value, "high": 1.04 * value}

    systems = {
        name: {
            "passes_per_token": passes,
            "passes_per_token_listening": listening,
            "tokens_per_second": {"alone": spread(alone), "listening": spread(over)},
            "listening_rate": spread(over / alone),
            "wall_seconds": spread(9.0),
            "against_generate": spread(alone / 19.1),
            "share_of_limit": spread(alone / 29.3),
        }
        for name, passes, listening, alone, over in (
            ("duo", 1.25, 1.0, 19.0, 16.9),
            ("duo-sequential", 1.61, 1.83, 18.5, 6.8),
            ("duplex", 1.0, 1.0, 9.7, 9.9),
        )
    }
    return {
        "schema": 1, "model": "smollm2", "device": "cpu", "dtype": "float32", "threads": 2,
        "rounds": 5, "systems": systems, "generate": {"tokens_per_second": spread(19.1)},
        "limit": {"weight_bytes": 5, "bytes_per_second": 1.6e10, "tokens_per_second": 29.3},
        "together": [
            {"sessions": n, "tokens_per_second": spread(18 * n**0.8), "against_first": spread(n)}
            for n in (1, 2, 4, 8)
        ],
    }  # fmt: skip


def trained(system: str) -> Any:
    """A `training.json` as `duo train` writes it, of a run of 200 steps."""
    pace = {"duo": 60.0, "duplex": 150.0}[system]
    curve: list[dict[str, Any]] = []
    for step in range(0, 201, 10):
        left = 2.0 ** (-step / pace)
        if step % 50 == 0:
            known = {"eval_loss_output": 2.2 + left, "step": step, "eval_premature": left / 9}
            if system == "duo":
                known |= {"eval_loss_state": 0.3 + left, "eval_state_accuracy": 0.95 - left / 2}
            curve.append(known)
        if step:
            curve.append({
                "step": step, "loss": 1 + left, "loss_output": 2.3 + left + 0.1 * (step % 3),
                **({"loss_state": 0.3 + left + 0.1 * (step % 4)} if system == "duo" else {}),
            })  # fmt: skip
    return {"settings": {"recipe": system}, "model": "smollm2", "steps": 200, "curve": curve}


def draw(figure: str, *contents: Any, **more: Any) -> Any:
    """Draw the JSON of results, read as the commands read it."""
    of = next(kind for kind in KINDS.values() if figure in kind.charts)
    found = [as_result(content, imported(of.model), file=None) for content in contents]
    return imported(of.charts[figure])(*found, **more)


#: Every chart, from what is above.
CHARTS: dict[str, Callable[[], Chart | None]] = {
    "preference": lambda: draw(
        "preference", study(criteria=("responsiveness", "faithfulness", "overall"))
    ),
    "pairs": lambda: draw("preference", study(SYSTEMS)),
    "ranking": lambda: draw("ranking", study(SYSTEMS, ("responsiveness", "overall"))),
    "confusion": lambda: draw("confusion", judged()),
    "decisions": lambda: draw("decisions", judged()),
    "premature": lambda: draw("premature", judged()),
    "calibration": lambda: draw("calibration", judged()),
    "separation": lambda: draw("separation", judged()),
    "probe": lambda: draw("probe", probed()),
    "latency": lambda: draw("latency", interaction(), transcripts=[interrupted()]),
    "takeover": lambda: draw("takeover", interaction()),
    "trade-off": lambda: draw("trade-off", interaction()),
    "yielding": lambda: draw("yielding", interaction()),
    "sweep": lambda: sweep(swept())[0],
    "training": lambda: draw("training", trained("duo"), trained("duplex"), names=("duo", "dx")),
    "cost": lambda: draw("cost", decoded()),
    "mask": lambda: mask(interrupted()),
    "timeline": lambda: timeline(interrupted()),
}


@cache
def chart(name: str) -> Chart:
    """One of `CHARTS`."""
    found = CHARTS[name]()
    assert found is not None
    return found
