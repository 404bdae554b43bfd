"""Charts of what our own commands write, not of forms made by hand."""

from __future__ import annotations

import json
from pathlib import Path

from evaluation.decode_bench.bench import Plan, measure
from tests.reports.plots.inputs import draw
from tests.tiny import tiny_backbone

ADAPTERS = Path(__file__).parents[3] / "duo" / "adapters"


def test_the_decode_bench_is_drawn() -> None:
    found = measure(tiny_backbone(), Plan(rounds=1, tokens=16, sessions=(1, 2)))
    chart = draw("cost", found.model_dump(mode="json", by_alias=True))
    assert chart is not None
    named = {str(cell) for row in chart.table.rows for cell in row}
    assert set(found.systems) <= named
    chart.draw(252.0)


def test_the_curves_of_the_adapters_are_drawn() -> None:
    paths = sorted(ADAPTERS.glob("*/training*.json"))
    assert len(paths) >= 3
    chart = draw(
        "training",
        *(json.loads(path.read_text("utf-8")) for path in paths),
        names=tuple(f"{path.parent.name} {path.stem}" for path in paths),
    )
    assert chart is not None
    chart.draw(252.0)
