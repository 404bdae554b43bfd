"""`accelerate launch` with two processes on a processor: the same items, each answered once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from evaluation.benchmarks.experiment import Settings
from tests.evaluation.benchmarks.small import answer, copy_data, read_rows, save_model


def test_two_processes_answer_what_one_does(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    data = copy_data(tmp_path / "data", "arc_easy")
    settings = Settings(batch_size="1")
    alone, items = answer("arc_easy", model, data, tmp_path / "alone", settings)
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_port", "0", "--module", "duo.cli", "eval", "benchmarks", str(out),
        "--model", f"tiny={model}", "--tasks", "arc_easy", "--sources", "data-dir",
        "--data-dir", str(data), "--partial-data", "--batch-size", "1", "--device", "cpu",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (file,) = out.glob("tiny/arc_easy/samples_*.jsonl")
    assert read_rows(file) == items
    assert done.stdout.count("ARC-e") == 1
    assert f"{100 * alone.value:.2f}" in done.stdout
    assert not (out / ".unfinished").exists()
