"""Sweep settings: record the same scenarios under many of them, each into a folder of its own.

    systems: [duo, duo-sequential]
    scenarios: [suite:dev]              # as for `duo record`; the whole library if left out
    limit: 32                           # a stable sample of them
    model: smollm2-duo                  # or a list of [SYSTEM=]MODEL
    seed: 0
    max_seconds: 90
    base: {max_answer_seconds: 8}      # settings of every recording
    sweep:                              # each entry is a grid of its own over the base
      - lookahead: [1, 2, 3, 4, 5, 6, 7, 8]
      - cycle_seconds: [0.5, 1.0]
        patience: [1, 2, 3]
      - after_interruption: [drop, merge]

Of these only `sweep` must be given. A setting is of all systems, or of one as `SYSTEM.NAME`. The
recordings of a point, such as `cycle_seconds=0.5,patience=2`, are in `OUT/<point>/<system>/`, and
`OUT/sweep.json` lists the points, so that scores can be drawn over what was swept. A sweep that was
stopped goes on where it was.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
)
from rich.console import Console

from duo.decoding.systems import check_settings, check_system, models_for
from duo.errors import BadInput, Problem, misfit
from duo.files import Result, write_result
from duo.yaml_file import MarkedYaml, read_yaml
from sessions.catalogue import find_scenarios, sample
from sessions.play import MAX_SECONDS
from sessions.recorder import Job, record_jobs

_NOT_IN_NAMES = re.compile(r"[^\w.=,+-]+", re.ASCII)
_LONGEST_NAME = 120
SUMMARY = "sweep.json"


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _scalar(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str | None):
        raise misfit("must be a number, a word, true, false or null")
    if isinstance(value, float) and not math.isfinite(value):
        raise misfit("must be finite")
    return value


def _named(grid: dict[str, Any]) -> dict[str, Any]:
    for name in grid:
        if not name.rpartition(".")[2].isidentifier():
            raise misfit("is no setting: NAME or SYSTEM.NAME", name)
    return grid


Names = Annotated[list[str], BeforeValidator(_listed)]
Value = Annotated[Any, AfterValidator(_scalar)]
Values = Annotated[list[Value], Field(min_length=1)]
Grid = Annotated[dict[str, Values], Field(min_length=1), AfterValidator(_named)]


class _File(BaseModel):
    """The file as it stands."""

    model_config = ConfigDict(extra="forbid", strict=True)

    systems: Annotated[Names, Field(min_length=1)] = ["duo"]
    scenarios: Names = []
    limit: int | None = Field(default=None, ge=1)
    model: Names = []
    seed: int = 0
    max_seconds: float = Field(default=MAX_SECONDS, gt=0, allow_inf_nan=False)
    base: Annotated[dict[str, Value], AfterValidator(_named)] = {}
    sweep: Annotated[list[Grid], Field(min_length=1)]


class Point(BaseModel):
    """One set of settings.

    Attributes:
        name: of its folder.
        swept: the settings that the sweep varies here, as they are written in its file.
        settings: of each system, those of the base included.
    """

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)

    name: str
    swept: dict[str, JsonValue]
    settings: dict[str, dict[str, JsonValue]] = Field(default={})

    @field_validator("name")
    @classmethod
    def _is_a_folder(cls, name: str) -> str:
        if name in ("", ".", "..") or Path(name).name != name:
            raise misfit("must be the name of a folder beside it")
        return name


class SweepResult(Result):
    """`sweep.json`: what was swept, and where its recordings are.

    Attributes:
        scenarios: names and hashes.
        points: each has its recordings in the folder of its name, beside the file.
    """

    kind: Literal["sweep"] = "sweep"
    systems: tuple[str, ...] = ()
    models: dict[str, str] = Field(default={})
    seed: int = 0
    max_seconds: float = MAX_SECONDS
    scenarios: dict[str, str] = Field(default={})
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Sweep:
    """A sweep to be recorded.

    Attributes:
        points: each once, in the file's order.
        job: what all points have in common; its folder is that of the whole sweep.
    """

    points: tuple[Point, ...]
    job: Job


def read_sweep(path: Path, out: Path) -> Sweep:
    """Read a sweep's file and check all that can be checked without a model.

    Raises:
        BadInput: the file cannot be read, or something in it is wrong; names file, line and field.
    """
    document = read_yaml(path)
    content = document.validated(_File)
    systems = list(dict.fromkeys(content.systems))
    with _at(path, document, "systems"):
        for system in systems:
            check_system(system)
    with _at(path, document, "model"):
        models = models_for(systems, content.model)
    with _at(path, document, "scenarios"):
        scenarios = find_scenarios(content.scenarios)
    with _at(path, document, "base"):
        _settings({}, content.base, systems, content.seed)
    points: dict[str, Point] = {}
    for number, grid in enumerate(content.sweep):
        with _at(path, document, "sweep", number):
            for values in product(*grid.values()):
                swept = dict(zip(grid, values, strict=True))
                settings = _settings(content.base, swept, systems, content.seed)
                point = Point(name=_name(swept), swept=swept, settings=settings)
                if points.setdefault(point.name.casefold(), point) != point:
                    raise BadInput(f"two points would share the folder {point.name}")
    job = Job(
        systems=systems,
        scenarios=scenarios if content.limit is None else sample(scenarios, content.limit),
        out=out,
        models=models,
        seed=content.seed,
        max_seconds=content.max_seconds,
    )
    return Sweep(tuple(points.values()), job)


def record_sweep(sweep: Sweep, *, console: Console | None = None) -> list[Path]:
    """Record every point of a sweep as far as it is not there yet; return the points' folders.

    Raises:
        BadInput: see `record_jobs`; all points are checked before a model is loaded.
    """
    common = sweep.job
    jobs = [
        replace(common, out=common.out / point.name, settings=point.settings)
        for point in sweep.points
    ]
    summary = SweepResult(
        systems=tuple(common.systems),
        models=dict(common.models),
        seed=common.seed,
        max_seconds=common.max_seconds,
        scenarios={scenario.name: scenario.sha256 for scenario in common.scenarios},
        points=sweep.points,
    )
    when_checked = partial(write_result, common.out / SUMMARY, summary)
    record_jobs(jobs, console=console, when_checked=when_checked)
    return [job.out for job in jobs]


def _settings(
    base: Mapping[str, JsonValue], more: Mapping[str, JsonValue], systems: Sequence[str], seed: int
) -> dict[str, dict[str, JsonValue]]:
    """Collect and check each system's settings: the base's and more; one system's own win.

    Raises:
        BadInput: a setting of no system here, or one that its system cannot have.
    """
    settings: dict[str, dict[str, JsonValue]] = {system: {} for system in systems}
    for given in (base, more):
        # A system's own settings come after those of all.
        for key in sorted(given, key=lambda key: "." in key):
            owner, _, name = key.rpartition(".")
            if owner and owner not in settings:
                raise BadInput(f"{owner!r} is none of the systems ({', '.join(systems)})")
            for system in [owner] if owner else systems:
                settings[system][name] = given[key]
    for system in systems:
        check_settings(system, settings[system], seed=seed)
    return settings


def _name(swept: Mapping[str, JsonValue]) -> str:
    """Name a point and its folder: `cycle_seconds=0.5,patience=2`."""
    text = ",".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in swept.items()
    )
    return _NOT_IN_NAMES.sub("-", text)[:_LONGEST_NAME]


@contextmanager
def _at(path: Path, document: MarkedYaml, *loc: int | str) -> Iterator[None]:
    """Say where in the file something is wrong that was found out later."""
    try:
        yield
    except BadInput as error:
        if error.file is not None:  # the mistake is in another file
            raise
        field = Problem(loc, "").field
        inner = f"{field}.{error.field}" if error.field else field
        raise BadInput(error.message, file=path, line=document.line(loc), field=inner) from error
