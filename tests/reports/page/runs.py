"""Run folders for tests: results of every kind, made in a moment, as the commands write them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from duo.transcript import write_transcript
from evaluation.scores import Data, Judged, score_states
from reports.statistics.ratings import PAPER_CRITERIA
from reports.statistics.simulate import Design
from tests.evaluation.benchmarks.files import write_result
from tests.reports.rated import drawn, write_csv
from tests.reports.stories import interrupted, waiting


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def write_manifest(folder: Path, *command: str, **facts: Any) -> Path:
    content = {
        "kind": "manifest", "schema": 1, "command": list(command), "seed": 0, **facts,
        "versions": {"python": "3.11.7", "duo-duplex": "0.1.0", "torch": "2.13.0"},
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "hardware": {"machine": "x86_64", "cpus": 2},
        "finished": "2026-01-02T03:04:05+00:00", "wall_seconds": 12.5,
    }  # fmt: skip
    return write_json(folder / "manifest.json", content)


def write_talks(folder: Path) -> list[Path]:
    """Two systems on one scenario."""
    paths = [folder / "duo" / "weekend.jsonl", folder / "turn-based" / "weekend.jsonl"]
    for path, transcript in zip(paths, (interrupted(), waiting()), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_transcript(path, transcript)
    write_manifest(folder, "record", "--out", "/home/somebody/runs/talks", model="smollm2")
    return paths


def write_states(path: Path, *, model: str = "smollm2-duo", n: int = 120, seed: int = 0) -> Path:
    """Made-up decisions in the form of `duo eval states`."""
    draw = random.Random(seed)
    judged = []
    for number in range(n):
        label = draw.choice(["query", "backchannel", "third_party_talk", "unfinished_query"])
        wanted = {"query": "respond", "unfinished_query": "wait"}.get(label, "ignore")
        outcome = wanted if draw.random() < 0.8 else draw.choice(["respond", "ignore", "wait"])
        chance = min(max(draw.gauss(0.8 if wanted == "respond" else 0.2, 0.15), 0.01), 0.98)
        judged.append(
            Judged(
                id=f"u{number}", label=label, wanted=wanted, outcome=outcome,  # type: ignore[arg-type]
                p_respond=chance, p_ignore=1 - chance, made_up=draw.choice([0, 0, 1, 2]),
                early=tuple(draw.choice(["wait"] * 9 + ["respond"]) for _ in range(6)),
            )
        )  # fmt: skip
    found = score_states(
        judged, model=model, data=Data(file="validation.jsonl", sha256="0" * 64), lookahead=4,
        versions={"python": "3.11.7", "duo-duplex": "0.1.0"},
    )  # fmt: skip
    return write_json(path, found.model_dump(mode="json", by_alias=True))


def write_probe(path: Path) -> Path:
    """A made-up probe in the form of `duo eval probe`."""
    curve = [
        {
            "labelled": labelled,
            "labels": {
                "query": {"wanted": "respond", "n": 60, "right": 0.95},
                "backchannel": {"wanted": "ignore", "n": 40, "right": right, "area": right},
            },
        }
        for labelled, right in ((0, 0.6), (10, 0.5), (80, 0.8))
    ]
    content = {
        "kind": "probe",
        "schema": 1, "model": "smollm2-duo", "data": {"file": "u.jsonl", "sha256": "0" * 64},
        "n": 100, "answered": 95, "folds": 5, "curve": curve, "versions": {"python": "3.11.7"},
    }  # fmt: skip
    return write_json(path, content)


def write_training(path: Path) -> Path:
    curve: list[dict[str, Any]] = []
    for step in range(0, 101, 10):
        line: dict[str, Any] = {"step": step, "loss_state": 3.0 / (1 + step / 20), "loss_output": 2}
        if step % 50 == 0:
            line |= {"eval_loss_state": 3.2 / (1 + step / 20), "eval_state_accuracy": step / 120}
        curve.append(line)
    content = {
        "kind": "training",
        "settings": {"recipe": "duo", "learning_rate": 0.002}, "model": "smollm2", "steps": 100,
        "curve": curve, "parameters": {"all": 100, "trained": 10}, "data": {},
    }  # fmt: skip
    return write_json(path, content)


def write_decoding(path: Path) -> Path:
    def spread(value: float) -> dict[str, float]:
        return {"median": value, "low": 0.9 * value, "high": 1.1 * value}

    def system(factor: float) -> dict[str, Any]:
        response = {"passes": 4, "passes_after_decision": 1, "cycles": 1, "seconds": spread(0.2)}
        return {
            "passes_per_token": factor, "passes_per_token_listening": 1.1 * factor,
            "tokens_per_pass": 1.4, "peak_memory_bytes": None, "cache_bytes": 2_000_000,
            "tokens_per_second": {"alone": spread(20 / factor), "listening": spread(18 / factor)},
            "listening_rate": spread(0.9), "against_generate": spread(0.8 / factor),
            "share_of_limit": spread(0.5 / factor), "wall_seconds": spread(9.0),
            "response": [response, None],
        }  # fmt: skip

    content = {
        "kind": "decode-bench",
        "schema": 1, "model": "smollm2", "device": "cpu", "dtype": "float32", "attention": "sdpa",
        "threads": 2, "rounds": 3, "tokens": 48, "conversation_seconds": 30.0,
        "versions": {"python": "3.11.7"},
        "limit": {"weight_bytes": 10**8, "bytes_per_second": 1e10, "tokens_per_second": 100.0},
        "generate": {"tokens_per_second": spread(25.0)},
        "systems": {
            "duo": system(1.0) | {"against_sequential": {"passes": 1.8, "seconds": spread(1.7)}},
            "duo-sequential": system(1.8),
        },
        "together": [
            {"sessions": n, "spoken": 40 * n, "passes": 60, "single_passes": 60 * n,
             "cache_bytes": 2_000_000 * n, "tokens_per_second": spread(20.0 * n**0.7),
             "against_first": spread(n**0.7)}
            for n in (1, 2, 4)
        ],
    }  # fmt: skip
    return write_json(path, content)


def write_ratings(
    path: Path, *, dialogues: int = 8, raters: int = 5, criteria: Sequence[str] = PAPER_CRITERIA
) -> Path:
    """Synthetic ratings of two systems."""
    path.parent.mkdir(parents=True, exist_ok=True)
    design = Design(dialogues=dialogues, raters=raters)
    return write_csv(path, drawn(design, criteria=criteria, synthetic=True))


def write_benchmarks(folder: Path, *, smoke: bool = False) -> None:
    """Two columns on two benchmarks."""
    draw = random.Random(1)
    coverage = "smoke" if smoke else "limited"
    for column, skill in (("base", 0.5), ("duo", 0.6)):
        for benchmark in ("mmlu", "hellaswag"):
            scores = [float(draw.random() < skill) for _ in range(40)]
            more = {"n_full": 40} if smoke else {"n_full": 9000}
            write_result(folder, column, benchmark, scores, coverage=coverage, **more)
    write_manifest(folder, "eval", "benchmarks", "bench", "--limit", "40")


def write_all(folder: Path) -> Path:
    """A run that holds everything."""
    write_talks(folder / "talks")
    write_states(folder / "states.json")
    write_probe(folder / "probe.json")
    write_training(folder / "model" / "training.json")
    write_decoding(folder / "bench" / "decode.json")
    write_ratings(folder / "ratings" / "ratings.csv")
    write_benchmarks(folder / "benchmarks")
    return folder
