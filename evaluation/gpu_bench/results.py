"""Describe what `duo bench gpu` finds, and tabulate it; torch is not needed to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from duo.files import Record, Result
from duo.table import Column, Table


class Figure(Record):
    """One measured value.

    Attributes:
        what: was measured; or why that failed.
        count: of tokens in a pass, or of sessions; None where there is none.
        value, unit: as measured; None where that failed.
        share: of what the machine could do at best; None where that is not known.
    """

    what: str
    count: int | None = None
    value: float | None
    unit: str | None
    share: float | None = None


class PartResult(Record):
    """The figures of one part, as far as it came.

    Attributes:
        name: of the part.
        ended: "done", or in a line what ended it.
        seconds: that it took, loading included.
        figures: in the order in which they were measured.
    """

    name: str
    ended: str
    seconds: float
    figures: tuple[Figure, ...]


class GpuBench(Result):
    """The JSON of `duo bench gpu`."""

    kind: Literal["gpu-bench"] = "gpu-bench"
    device: str
    small: bool
    minutes: Annotated[float, Field(gt=0)]
    versions: dict[str, str]
    parts: tuple[PartResult, ...] = ()


#: What is aimed at, in the order of the parts.
_AIMS = (
    "Aims for 2.4b: a pass of one token at 70 % of the limit and in a fifth of generate(), of two "
    "2 % more; 400 sessions in 250 ms on an H200; training at 40 % of the limit."
)


def gpu_tables(found: GpuBench) -> Sequence[Table]:
    """Tabulate all figures, and say what did not come to its end."""
    shapes = ": small shapes, which say nothing of a GPU" if found.small else ""
    aims = [] if found.small else [_AIMS]
    notes = [f"{part.name}: {part.ended}" for part in found.parts if part.ended != "done"]
    return [
        Table(
            f"What the machine does ({found.device}{shapes})",
            [
                "part", "what", Column("count", "number", "d"), Column("value", "number", ".3g"),
                "unit", Column("of the limit", "number", ".0%"),
            ],
            [
                (part.name, one.what, one.count, one.value, one.unit, one.share)
                for part in found.parts
                for one in part.figures
            ],
            ["count: tokens of a pass, or sessions with two tokens each.", *aims, *notes],
        )
    ]  # fmt: skip
