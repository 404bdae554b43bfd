"""Results as `duo eval benchmarks` writes them, with any scores, for tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from evaluation.benchmarks.averages import Key, mean, standard_error, stratify

SIZES = {
    "cmmlu": 11582, "mmlu": 14042, "bbh": 6511, "humaneval": 164, "mbpp": 500, "gsm8k": 1319,
    "arc_easy": 2376, "arc_challenge": 1172, "hellaswag": 10042,
}  # fmt: skip

keys = st.tuples(st.sampled_from(["law", "art", "physics", ""]), st.integers(0, 20).map(str))

#: Right and wrong by item.
scored = st.dictionaries(keys, st.sampled_from([0.0, 1.0]), min_size=2, max_size=40)


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
    key = hashlib.sha256(repr((column, benchmark, profile, seed)).encode()).hexdigest()
    date = f"2026-01-01T00-00-00.{int(key[:5], 16):06}"
    subsets = list(dict.fromkeys(subset for subset, _ in scores))
    samples = [
        {"file": f"samples_{subset or benchmark}_{date}.jsonl", "subset": subset}
        for subset in subsets
    ]
    content: dict[str, Any] = {
        "kind": "benchmark", "key": key, "column": column, "model": "someone/model",
        "adapter": None, "model_sha256": hashlib.sha256(column.encode()).hexdigest(),
        "benchmark": benchmark, "profile": profile, "seed": seed, "metric": "acc",
        "filter": "none", "value": mean(strata), "stderr": standard_error(strata),
        "average": average, "n": len(scores), "n_full": len(scores), "shots": 0,
        "coverage": "full", "data": {"source": "data-dir", "sha256": "0" * 64, "rows": 3},
        "settings": {}, "leak_rate": None, "banned_state_tokens": True, "versions": {},
        "wall_seconds": 1.5, "results": f"results_{date}.json", "samples": samples,
    }  # fmt: skip
    content |= changes
    folder = out / column.replace("/", "_") / benchmark
    folder.mkdir(parents=True, exist_ok=True)
    for subset, file in zip(subsets, samples, strict=True):
        items = [
            {"doc_id": int(id), "filter": "none", content["metric"]: score, "doc_hash": id}
            for (of, id), score in scores.items()
            if of == subset
        ]
        (folder / file["file"]).write_text("".join(json.dumps(i) + "\n" for i in items))
    (folder / content["results"]).write_text("{}")
    path = folder / f"benchmark_{date}.json"
    path.write_text(json.dumps(content))
    return path
