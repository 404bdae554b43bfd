"""Interaction figures that are the same on every machine, as reports show them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evaluation.interaction.report import Figures, report
from evaluation.interaction.score import read_all


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
