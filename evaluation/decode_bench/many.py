"""Many conversations at once: what they speak together in a second, and in how many passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from duo.backbone import Backbone
from duo.decoding.batched import Session, build_together, hold_together
from duo.decoding.conversant import CycleResult, Steps
from evaluation.decode_bench.drive import Steering
from evaluation.decode_bench.script import Script, listening_while_speaking

#: Conversations held for each row, one after the other.
_WAVES = 2
#: Tokens before and during the long remark; of four lengths, so that sessions are out of step.
_TOKENS = (8, 16, 16, 24)
_ENDLESS = 10**6


@dataclass(frozen=True)
class Together:
    """What so many `sessions` at once took.

    Attributes:
        sessions: held at once.
        spoken: tokens of all answers.
        passes: forward passes of the model.
        single_passes: those that the same conversations take one by one.
        seconds: machine time.
        cache_bytes: of all rows.
    """

    sessions: int
    spoken: int
    passes: int
    single_passes: int
    seconds: float
    cache_bytes: int

    @property
    def rate(self) -> float:
        """Tokens spoken a second, all sessions together."""
        return self.spoken / self.seconds


def together(
    backbone: Backbone, sessions: int, steering: Steering, *, graphs: bool = False
) -> Together:
    """Hold two conversations with `duo` for each of so many rows, all rows at once.

    They are held once before they are timed if there are graphs, which are recorded then.

    Args:
        backbone: the model.
        sessions: rows.
        steering: of the backbone.
        graphs: see `duo.decoding.batched.build_together`.
    """
    systems = build_together("duo", backbone, sessions, graphs=graphs, max_answer_tokens=_ENDLESS)
    pool = systems[0].channels.pool
    scripts = [
        listening_while_speaking(_TOKENS[number % len(_TOKENS)])[0]
        for number in range(_WAVES * sessions)
    ]
    told = [_conversation(script, steering) for script in scripts]
    if graphs:
        for _ in hold_together(systems, told):
            pass
    before = pool.forward_passes
    began = time.perf_counter()
    counts = [count for _, count in hold_together(systems, told)]
    seconds = time.perf_counter() - began
    return Together(
        sessions=sessions,
        spoken=sum(spoken for spoken, _ in counts),
        passes=pool.forward_passes - before,
        single_passes=sum(passes for _, passes in counts),
        seconds=seconds,
        cache_bytes=pool.cache.bytes,
    )


def _conversation(script: Script, steering: Steering) -> Callable[[Any], Session[tuple[int, int]]]:
    """The script as one session; its result are the tokens spoken and the passes it needed."""

    def session(system: Any) -> Session[tuple[int, int]]:
        system.reset()
        spoken = passes = 0
        length: float = system.cycle_seconds
        for number in range(int(script.seconds // length)):
            now = number * length
            speaks = _Count()
            steps = system.steps(script.heard(now - length, now))
            result = yield from _steered(steps, steering, script, now, speaks)
            spoken, passes = spoken + speaks.number, passes + result.forward_passes
        return spoken, passes

    return session


class _Count:
    """How many tokens a cycle spoke."""

    number = 0


def _steered(
    steps: Steps, steering: Steering, script: Script, now: float, speaks: _Count
) -> Session[CycleResult]:
    """A cycle whose scores are bent to the script."""
    try:
        channels = next(steps)
        while True:
            scores = yield channels
            speaks.number += scores.output is not None
            steering.bend(scores, script, now)
            channels = steps.send(scores)
    except StopIteration as done:
        result: CycleResult = done.value
        return result
