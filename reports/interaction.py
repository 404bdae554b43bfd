"""The page's section on how the systems conversed, and latency against interruptions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from evaluation.interaction.report import Figures, report
from evaluation.interaction.score import read_all
from evaluation.interaction.table import sections
from reports.figures.inline import inline_svg
from reports.figures.style import svg_text
from reports.figures.trade_off import points, trade_off
from reports.page import Section, render


def interaction(paths: Iterable[Path]) -> Figures:
    """The figures of transcripts, without machine times and folders: these differ from run to run.

    Those that cannot be scored are named among the figures.
    """
    conversations, left_out = read_all(paths)
    found: Figures = _without(report(conversations, left_out), "machine_ms")
    return found | {"events": _without(found["events"], "file")}


def _without(found: Any, key: str) -> Any:
    """The figures without those of this name, however deep."""
    if isinstance(found, dict):
        return {name: _without(value, key) for name, value in found.items() if name != key}
    if isinstance(found, list):
        return [_without(value, key) for value in found]
    return found


def interaction_section(found: Figures) -> Section:
    """Figures as `interaction` gives them."""
    picture = Markup("")
    if points(found):
        label = "Response latency against false interruptions, a point for each system"
        svg = svg_text(trade_off(found))
        picture = inline_svg(svg, prefix="trade-off", label=label, css_class="figure")
    body = render(
        "interaction.html.j2",
        systems=list(found["systems"]),
        groups=sections(found),
        scored=found["scored"],
        left_out=len(found["left_out"]),
        picture=picture,
    )
    return Section("interaction", "How they conversed", Markup(body))
