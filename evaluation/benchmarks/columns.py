"""Which models are compared: the columns of a table, from a YAML file or from the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from duo.backbone import ADAPTER, model_folder
from duo.errors import BadInput
from duo.files import read_yaml

_NAME = re.compile(r"[\w+.-]+")


@dataclass(frozen=True)
class Column:
    """A model in a table.

    Attributes:
        name: of the column, and of the folder of its results.
        model: see `duo.backbone.load`.
        adapter: folder of a PEFT adapter of that model, if it is not in `model` itself.
    """

    name: str
    model: str
    adapter: str | None = None

    @property
    def loaded(self) -> str:
        """What is loaded: the adapter brings its base model along."""
        return self.adapter or self.model

    def check(self) -> None:
        """Make sure that the model is to be had, before hours of work on others.

        Raises:
            BadInput: it is not, or the adapter belongs to another model.
        """
        if self.adapter is None:
            model_folder(self.model)
            return
        config = Path(self.adapter).expanduser() / ADAPTER
        try:
            base = json.loads(config.read_text("utf-8")).get("base_model_name_or_path")
        except (OSError, ValueError, AttributeError):
            raise BadInput(
                "no adapter here: train it with `duo train`, or name its folder",
                file=self.adapter,
                field=f"columns.{self.name}.adapter",
            ) from None
        beside = config.parent / str(base)
        if base != self.model and not (beside.is_dir() and _same(beside, Path(self.model))):
            raise BadInput(
                f"is an adapter of {base}, not of {self.model}",
                file=self.adapter,
                field=f"columns.{self.name}.adapter",
            )


def _same(one: Path, other: Path) -> bool:
    return other.is_dir() and one.resolve() == other.resolve()


class _ColumnEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1)
    adapter: str | None = Field(default=None, min_length=1)


class Experiment(BaseModel):
    """A file with what a run compares; whatever it leaves out has the command line's default.

    Attributes:
        columns: models by the name of their column, the base column first.
        profile, tasks, seeds, chat_template, dtype: as on the command line.
    """

    model_config = ConfigDict(extra="forbid")

    columns: dict[str, _ColumnEntry] = Field(min_length=1)
    profile: str | None = None
    tasks: list[str] | None = None
    seeds: list[int] | None = None
    chat_template: bool | None = None
    dtype: str | None = None

    def models(self) -> list[Column]:
        """The columns in the order of the file."""
        return [Column(name, entry.model, entry.adapter) for name, entry in self.columns.items()]


def read_experiment(path: Path) -> Experiment:
    """Read an experiment file.

    Raises:
        BadInput: it cannot be read or is not of this form; the error names line or field.
    """
    experiment = read_yaml(path).validated(Experiment)
    for name in experiment.columns:
        if not _NAME.fullmatch(name) or set(name) == {"."}:
            raise BadInput(
                "a name has letters, digits and + . - _ only", file=path, field=f"columns.{name}"
            )
    return experiment


def columns_of(models: Sequence[str]) -> list[Column]:
    """Columns for models given as `MODEL` or `NAME=MODEL`; otherwise named after the model.

    Raises:
        BadInput: two have the same name.
    """
    found: list[Column] = []
    for text in models:
        name, separator, model = text.partition("=")
        if not separator or not _NAME.fullmatch(name) or Path(text).exists():
            place = Path(text).expanduser()
            last = (place.resolve() if place.exists() else place).name
            name, model = re.sub(r"[^\w+.-]+", "-", last or text), text
        name = name.strip(".") or "model"
        if name in {column.name for column in found}:
            raise BadInput(f"two columns are called {name!r}: write NAME=MODEL", field="model")
        found.append(Column(name, model))
    return found
