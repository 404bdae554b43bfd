"""How a run is going: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

_SHOWN = {
    "loss_state": "state",
    "loss_output": "answer",
    "loss_inside": "inside",
    "loss_pause": "pause",
    "tokens_per_second": "tokens/s",
    "eval_respond_recall": "answers",
    "eval_ignore_recall": "ignores",
    "eval_premature": "premature",
    "eval_premature_at_pauses": "at pauses",
}


class ShowProgress(TrainerCallback):
    """Steps, time left, and what was logged last."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._live = console.is_terminal
        self._console = console
        self._latest: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
            console=console,
            disable=not self._live,
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.is_world_process_zero:
            self._progress.start()
            self._task = self._progress.add_task(
                "training", total=state.max_steps, completed=state.global_step, facts=""
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.is_world_process_zero:
            self._progress.update(self._task, completed=state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **rest: Any
    ) -> None:
        if not state.is_world_process_zero or not logs:
            return
        fresh = {shown: logs[name] for name, shown in _SHOWN.items() if name in logs}
        self._latest |= fresh
        if self._live:
            self._progress.update(self._task, facts=_facts(self._latest))
        elif fresh:
            print(f"step {state.global_step}/{state.max_steps}  {_facts(fresh)}", file=sys.stderr)

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self._progress.stop()


def _facts(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in values.items())
