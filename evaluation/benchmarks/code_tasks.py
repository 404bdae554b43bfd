"""HumanEval and MBPP: programs that a model wrote run in our sandbox, and nowhere else.

lm-eval's tasks fetch the metric `code_eval` from the hub while they are loaded, and it would run
the programs in this process. They get ours instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from evaluation.benchmarks.catalogue import Benchmark


@contextmanager
def sandboxed(benchmark: Benchmark) -> Iterator[None]:
    """Inside, lm-eval's tasks of programs find our sandbox under the name of the metric."""
    if not benchmark.code:
        yield
        return
    import evaluate  # type: ignore[import-untyped]

    from evaluation.sandbox.code_eval import CodeEval

    def load(name: str, *_: object, **__: object) -> CodeEval:
        if name != "code_eval":
            raise LookupError(f"no metric {name} here")
        return CodeEval()

    with mock.patch.object(evaluate, "load", load):
        yield
