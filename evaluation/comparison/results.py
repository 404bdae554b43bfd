"""Results of one model on one benchmark with one seed, as `duo eval benchmarks` writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from duo.errors import BadInput
from evaluation.comparison.items import ItemFile, Items, read_items
from evaluation.comparison.strata import mean, stratify

SCHEMA = 1

#: The paper's order, as in its Table 1.
BENCHMARKS = (
    "cmmlu", "mmlu", "bbh", "humaneval", "mbpp", "gsm8k", "arc_easy", "arc_challenge", "hellaswag",
)  # fmt: skip

Coverage = Literal["full", "limited", "smoke"]
Average = Literal["macro", "micro"]

#: Values in files may be rounded to four digits.
_ROUNDED = 1e-4


@dataclass(frozen=True)
class Result:
    """What a model scored on a benchmark in one run.

    Attributes:
        file: where it stands, and the file to name when something is wrong with it.
        key: of the settings, the model and the data that it was made with.
        column: name of the model in the table.
        profile: the settings it was run with, as a name.
        seed: of sampling and of the choice of few-shot examples.
        value, stderr: share right, from 0 to 1, and its standard error if the file has one.
        average: how subsets are averaged; None where the benchmark has none.
        n, n_full: items answered, and items that the benchmark has in these data.
        shots: examples before each question; None where it differs between subsets.
        coverage: "full", "limited" (some of the items), "smoke" (not the benchmark's own items).
        data: where the items came from.
        items: files with the score of each item; none if they were not kept.
        facts: what else the file says that tells how the number came to be.
    """

    file: Path
    key: str
    column: str
    benchmark: str
    profile: str
    seed: int
    metric: str
    value: float
    stderr: float | None
    average: Average | None
    n: int
    n_full: int
    shots: int | None
    coverage: Coverage
    data: str
    items: tuple[ItemFile, ...]
    facts: dict[str, Any]

    @property
    def data_sha256(self) -> str | None:
        """Hash of the rows that the items and examples were taken from, if the file tells."""
        return (self.facts.get("data") or {}).get("sha256")

    @property
    def settings(self) -> dict[str, Any]:
        """How the model was asked, as far as the file tells."""
        return self.facts.get("settings") or {}

    def read_items(self) -> Items:
        """The score of each item.

        Raises:
            BadInput: the items were not kept or cannot be read, or they do not give the value.
        """
        if not self.items:
            raise BadInput("has no per-item results beside it", file=self.file)
        items = read_items(self.items)
        if len(items.scores) != self.n:
            raise BadInput(
                f"{len(items.scores)} items, but {self.file.name} says n = {self.n}",
                file=items.file,
            )
        average = mean(stratify(items.scores, macro=self.average == "macro"))
        if abs(average - self.value) > _ROUNDED:
            raise BadInput(
                f"the items average {average:.4f}, but {self.file.name} says {self.value:.4f}",
                file=items.file,
            )
        return items


class _Data(BaseModel):
    source: str
    sha256: str | None = None
    rows: int | None = None


class _File(BaseModel):
    """The form of a result file, schema 1."""

    key: str
    column: str = Field(min_length=1)
    model: str | None = None
    adapter: str | None = None
    model_sha256: str | None = None
    benchmark: Literal[BENCHMARKS]  # type: ignore[valid-type]
    profile: str = Field(min_length=1)
    seed: int
    metric: str
    value: float = Field(ge=0, le=1)
    stderr: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    average: Average | None = None
    n: int = Field(ge=1)
    n_full: int = Field(ge=1)
    shots: int | None = Field(default=None, ge=0)
    coverage: Coverage
    data: _Data
    settings: dict[str, Any] = {}
    leak_rate: float | None = None
    truncated: int | None = None
    banned_state_tokens: bool | None = None
    versions: dict[str, Any] = {}
    items: str

    @model_validator(mode="after")
    def _consistent(self) -> _File:
        if not self.items or Path(self.items).name != self.items:
            raise ValueError("items: must be the name of a file beside this one")
        if self.n > self.n_full:
            raise ValueError(f"n: {self.n} items of {self.n_full}")
        return self


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        BadInput: it cannot be read or is not JSON; the error names the line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise BadInput(f"is not JSON: {error.msg}", file=path, line=error.lineno) from None
    except RecursionError:
        raise BadInput("is not JSON: nested too deeply", file=path) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise BadInput(f"cannot read: {reason}", file=path) from error


def read_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        BadInput: it cannot be read, is not JSON, or not of this form; the error names the field.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise BadInput("is no benchmark result: not an object", file=path)
    if content.get("schema") != SCHEMA:
        found = content.get("schema")
        raise BadInput(f"must be {SCHEMA}, not {found!r}", file=path, field="schema")
    try:
        read = _File.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or None
        raise BadInput(first["msg"], file=path, field=field) from None
    told = read.model_dump(
        include={
            "model", "adapter", "model_sha256", "settings", "leak_rate", "truncated",
            "banned_state_tokens", "versions",
        }
    )  # fmt: skip
    return Result(
        file=path, key=read.key, column=read.column, benchmark=read.benchmark,
        profile=read.profile, seed=read.seed, metric=read.metric, value=read.value,
        stderr=read.stderr, average=read.average, n=read.n, n_full=read.n_full, shots=read.shots,
        coverage=read.coverage, data=read.data.source,
        items=(ItemFile(path.with_name(read.items)),),
        facts={**told, "data": read.data.model_dump()},
    )  # fmt: skip
