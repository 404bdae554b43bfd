"""Result files as `duo eval benchmarks` writes them, with any scores, for tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.comparison.items import Key
from evaluation.comparison.strata import mean, standard_error, stratify

SIZES = {
    "cmmlu": 11582, "mmlu": 14042, "bbh": 6511, "humaneval": 164, "mbpp": 500, "gsm8k": 1319,
    "arc_easy": 2376, "arc_challenge": 1172, "hellaswag": 10042,
}  # fmt: skip


def write_result(
    out: Path,
    column: str,
    benchmark: str,
    scores: Mapping[Key, float] | Sequence[float],
    *,
    profile: str = "lm-eval",
    seed: int = 0,
    **changes: Any,
) -> Path:
    """Write a result and its items; the file of the result. `changes` go into the result."""
    if not isinstance(scores, Mapping):
        scores = {("", str(number)): score for number, score in enumerate(scores)}
    average = changes.get("average")
    strata = stratify(scores, macro=average == "macro")
    key = hashlib.sha256(repr((column, benchmark, profile, seed)).encode()).hexdigest()[:12]
    stem = f"{profile}-seed{seed}.{key}"
    content: dict[str, Any] = {
        "schema": 1, "key": key, "column": column, "model": "someone/model", "adapter": None,
        "model_sha256": hashlib.sha256(column.encode()).hexdigest(), "benchmark": benchmark,
        "profile": profile, "seed": seed, "metric": "acc", "value": mean(strata),
        "stderr": standard_error(strata), "metrics": {}, "subsets": {}, "average": average,
        "n": len(scores), "n_full": len(scores), "shots": 0, "coverage": "full",
        "data": {"source": "data-dir", "sha256": "0" * 64, "rows": len(scores)},
        "settings": {}, "leak_rate": None, "banned_state_tokens": True, "versions": {},
        "wall_seconds": 1.5, "items": f"{stem}.items.jsonl",
    }  # fmt: skip
    content |= changes
    folder = out / column.replace("/", "_") / benchmark
    folder.mkdir(parents=True, exist_ok=True)
    items = [
        {"id": id, "subset": subset or None, "score": score, "answer": "a", "target": "b"}
        for (subset, id), score in scores.items()
    ]
    (folder / f"{stem}.items.jsonl").write_text("".join(json.dumps(i) + "\n" for i in items))
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(content))
    return path
