"""Hold many conversations at once, each step of all of them in one forward pass.

A session is anything that hands over channels to encode and is sent their scores: a cycle of a
system (`steps`), or a whole conversation made of such cycles. Sessions know nothing of each other
and need not keep step; each says and does what it would alone.

    systems = build_together("duo", backbone, 8)
    for number, result in run_together(systems, sessions):
        ...

What it does not do: it keeps no clock, so conversations in real time cannot be held so.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from duo.backbone import Backbone
from duo.decoding.channels import Scores, Waiting, encode_together, read_together
from duo.decoding.fused import check_graphs
from duo.decoding.systems import ROWS, build, channels_for, in_one_pool, prepare
from duo.errors import BadInput

System = TypeVar("System")
Result = TypeVar("Result")

#: A session in progress; see `duo.decoding.conversant.Steps`, the session of one cycle.
Session = Generator[Waiting, Any, Result]
Encode = Callable[[Sequence[Any]], Sequence[Scores]]


def build_together(
    system: str,
    backbone: Backbone | None,
    count: int,
    *,
    graphs: bool = False,
    **settings: Any,
) -> list[Any]:
    """Build `count` copies of a system, which share their passes where its channels can.

    Args:
        system, backbone, settings: see `duo.decoding.systems.build`.
        count: sessions that can be held at once.
        graphs: whether passes are compiled and CUDA graphs; those of channels that are encoded one
            after the other are neither.

    Raises:
        BadInput: as `build`; a model that is not exact so; graphs of one that cannot have them.
    """
    if graphs and backbone is not None:
        if backbone.engine != "torch":
            raise BadInput("CUDA graphs are torch's", field="graphs")
        check_graphs(backbone.model)
    if backbone is None:
        return [build(system, backbone, **settings) for _ in range(count)]
    prepare(system, backbone)
    kind, rows = channels_for(system, backbone.model), count * ROWS.get(system, 1)
    channels = in_one_pool(kind, backbone.model, rows, graphs=graphs)
    return [build(system, backbone, channels=channels, **settings) for _ in range(count)]


def run_together(
    systems: Sequence[System],
    sessions: Iterable[Callable[[System], Session[Result]]],
    encode: Encode = encode_together,
) -> Iterator[tuple[int, Result]]:
    """Hold sessions, as many at once as there are systems.

    Args:
        systems: each holds one session at a time; of the same pool, if they are to share passes.
        sessions: each begins with a system that is free; they are taken as systems become free.
        encode: all that is waiting.

    Yields:
        A session's number, counted from 0, and its result, in the order in which they end.
    """
    coming = enumerate(sessions)
    free = list(reversed(systems))
    running: list[tuple[int, System, Session[Result], Any]] = []  # and the channels it waits for
    while True:
        scores = encode([channels for *_, channels in running])
        moving: list[tuple[int, System, Session[Result], Any]] = [
            (*session[:3], its) for session, its in zip(running, scores, strict=True)
        ]
        while free and (following := next(coming, None)) is not None:
            number, begin = following
            system = free.pop()
            moving.append((number, system, begin(system), None))
        if not moving:
            return
        running = []
        while moving:
            reading: list[tuple[int, System, Session[Result], Any]] = []
            for number, system, session, its in moving:
                try:
                    waiting = session.send(its)
                except StopIteration as done:
                    free.append(system)
                    yield number, done.value
                else:
                    its_kind = reading if isinstance(waiting, list) else running
                    its_kind.append((number, system, session, waiting))
            numbers = read_together([tensors for *_, tensors in reading])
            moving = [(*session[:3], its) for session, its in zip(reading, numbers, strict=True)]
