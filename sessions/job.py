"""What to record: systems, scenarios, a model and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from sessions.play import MAX_SECONDS
from sessions.scenario import Scenario


@dataclass(frozen=True)
class Job:
    """What to record.

    Attributes:
        systems: names, or `package.module:factory` of foreign systems.
        scenarios: what the user says.
        out: the folder that the transcripts go to.
        models: name of each system's model, by the system's name; only a foreign one may have none.
        seed: of the systems' random draws.
        settings: of each system, by its name; what is not given is the system's default.
        load_settings: how the model is loaded (see `duo.backbone.load`), where not by default.
        real_time: on the real clock instead of the simulated one.
        max_seconds: a conversation is cut there.
        force: record again what is there but does not match.
        batch: conversations with one of our systems that are held at once, for speed.
        graphs: forward passes of the usual lengths are CUDA graphs, for speed.
    """

    systems: Sequence[str]
    scenarios: Sequence[Scenario]
    out: Path
    models: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    settings: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    load_settings: Mapping[str, JsonValue] = field(default_factory=dict)
    real_time: bool = False
    max_seconds: float = MAX_SECONDS
    force: bool = False
    batch: int = 1
    graphs: bool = False
