"""Calculate pass@k of generated programs, in the form of the metric `code_eval` of `evaluate`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from math import comb
from typing import Any

from duo.errors import BadInput
from evaluation.sandbox.run import DEFAULT_LIMITS, Limits, Program, Verdict, run_all

#: Per task index: pairs of sample index and what came of that sample.
Details = dict[int, list[tuple[int, dict[str, Any]]]]


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Estimate, without bias, the probability that at least one of k samples is correct.

    1 - C(n-c, k) / C(n, k) for n samples of which c are correct: one minus the share of k-subsets
    without a correct sample (Chen et al. 2021, "Evaluating Large Language Models Trained on Code",
    equation 1).

    Raises:
        ValueError: not 0 <= correct <= samples, or not 1 <= k <= samples.
    """
    if not (0 <= correct <= samples and 1 <= k <= samples):
        raise ValueError(f"no pass@{k} of {correct} correct among {samples} samples")
    return 1.0 - comb(samples - correct, k) / comb(samples, k)


class CodeEval:
    """Answers for `evaluate.load("code_eval")`, with programs run in the sandbox.

    Args:
        workers: how many programs run at the same time; by default one a processor.
        limits: what each program may use.
        on_done: called after each program with the number done, the number of all, and its verdict.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
        on_done: Callable[[int, int, Verdict], None] | None = None,
    ) -> None:
        self._workers = workers or os.cpu_count() or 1
        self._limits, self._on_done = limits, on_done

    def compute(
        self,
        *,
        references: Sequence[str],
        predictions: Sequence[Sequence[str]],
        k: Sequence[int] = (1, 10, 100),
    ) -> tuple[dict[str, float], Details]:
        """Run every prediction against its task's tests.

        Args:
            references: the tests, one text a task.
            predictions: for each task its candidates.
            k: which pass@k to give.

        Returns:
            `{"pass@k": mean over tasks}` for each k that every task has enough samples for; and for
            each task index a list of `(sample index, details)`. The details have `task_id`,
            `completion_id`, `passed` and `result` as in `code_eval`, and `verdict`.

        Raises:
            ValueError: the lists differ in length or are empty, or a task has no candidate.
            BadInput: no program can be run on this machine, or one could not be: that says nothing
                about it, so it counts neither as right nor as wrong.
        """
        if len(references) != len(predictions) or not references or not all(predictions):
            raise ValueError("every reference needs a list of at least one prediction")
        places = [(task, n) for task, texts in enumerate(predictions) for n in range(len(texts))]
        programs = [Program(predictions[task][n], references[task]) for task, n in places]
        finished: list[Verdict] = []

        def count(_: int, verdict: Verdict) -> None:
            finished.append(verdict)
            if self._on_done is not None:
                self._on_done(len(finished), len(programs), verdict)

        verdicts = run_all(programs, workers=self._workers, limits=self._limits, on_done=count)
        broken = next((verdict for verdict in verdicts if verdict.outcome == "error"), None)
        if broken is not None:
            raise BadInput(
                f"a program could not be run ({broken.detail}): its score would say nothing; start "
                "again, answers are kept",
                field="sandbox",
            )
        details: Details = {task: [] for task in range(len(references))}
        correct: Counter[int] = Counter()
        for (task, n), verdict in zip(places, verdicts, strict=True):
            correct[task] += verdict.passed
            details[task].append((n, _detail(task, n, verdict)))
        tasks = range(len(references))
        fewest = min(len(texts) for texts in predictions)
        scores = {
            f"pass@{most}": sum(pass_at_k(len(predictions[t]), correct[t], most) for t in tasks)
            / len(tasks)
            for most in k
            if most <= fewest
        }
        return scores, details


def _detail(task: int, sample: int, verdict: Verdict) -> dict[str, Any]:
    result = f"{verdict.outcome}: {verdict.detail}" if verdict.detail else verdict.outcome
    return {
        "task_id": task,
        "passed": verdict.passed,
        "result": result,
        "completion_id": sample,
        "verdict": verdict,
    }
