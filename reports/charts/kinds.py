"""The kinds of figure, and what each is drawn from. Light: the command's help needs no more."""

from __future__ import annotations

KINDS = (
    "preference", "ranking", "confusion", "decisions", "premature", "calibration",
    "separation", "probe", "latency", "takeover", "trade-off", "sweep", "training", "cost",
    "mask", "timeline",
)  # fmt: skip
