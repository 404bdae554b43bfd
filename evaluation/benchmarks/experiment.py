"""Parse what a run of the benchmarks compares: models (columns) and settings, once and whole.

They come from the command line and from an experiment file in YAML; what the command line says goes
first, and what neither says has a default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from duo.backbone import DTYPES
from duo.chatformat import STYLES
from duo.engine import library
from duo.errors import BadInput, check_choice
from duo.gguf_model import find, is_gguf
from duo.model_folder import adapter_base, chat_style, model_folder
from duo.options import numbers, words
from duo.yaml_file import read_yaml
from evaluation.benchmarks.catalogue import BENCHMARKS

PROFILES = ("lm-eval", "ultraeval")
BACKENDS = ("hf", "vllm", "llama")
SOURCES = ("data-dir", "hub", "wheel", "smoke")

_NAME = re.compile(r"[\w+.-]+")


@dataclass(frozen=True)
class Column:
    """A model in a table.

    Attributes:
        name: of the column, and of the folder of its results.
        model: see `duo.backbone.load`.
        adapter: folder of a PEFT adapter of that model, if it is not in `model` itself.
        slices: whether it is asked in time slices, see `evaluation.benchmarks.slices`.
    """

    name: str
    model: str
    adapter: str | None = None
    slices: bool = False

    @property
    def loaded(self) -> str:
        """What is loaded: the adapter brings its base model along."""
        return self.adapter or self.model

    def backend(self, settings: Settings) -> str:
        """Say what runs it: a GGUF file runs in llama.cpp without being asked for."""
        gguf = is_gguf(self.loaded) and settings.backend == "hf"
        return "llama" if gguf else settings.backend

    def check(self, chat: str | None = None, backend: str = "hf") -> None:
        """Make sure that the model is to be had, before hours of work on others.

        Args:
            chat: the chat format that is asked for, if one is.

        Raises:
            BadInput: it is not, was trained in another format, or the adapter belongs to another
                model.
        """
        if backend == "llama":
            library()
            find(self.loaded)
            return
        if self.adapter is None:
            chat_style(model_folder(self.model), chat)
            return
        folder = Path(self.adapter).expanduser()
        field = f"columns.{self.name}.adapter"
        if (base := adapter_base(folder)) is None:
            raise BadInput(
                "no adapter here: train it with `duo train`, or name its folder",
                file=self.adapter,
                field=field,
            )
        beside, model = folder / base, Path(self.model)
        same = beside.is_dir() and model.is_dir() and beside.resolve() == model.resolve()
        if base != self.model and not same:
            raise BadInput(
                f"is an adapter of {base}, not of {self.model}", file=self.adapter, field=field
            )
        chat_style(folder, chat)


@dataclass(frozen=True)
class Settings:
    """What is run, and how.

    Attributes:
        columns: the models, the base column first.
        profile: how benchmarks are asked: a folder of `evaluation/tasks`.
        tasks: names of benchmarks; None for all nine, those that run programs only if allowed.
        seeds: of sampling and of the choice of examples.
        chat_template: whether questions are turns in the chat format; None as the profile says.
        chat: the chat format in which they are; None for the one that each model was trained in.
        max_new_tokens: a cap on the length of generated answers; None for the task's own.
        dtype, device: as `duo.backbone.load` takes them.
        backend: "hf", "vllm" or "llama"; see `Column.backend`.
    """

    columns: tuple[Column, ...] = ()
    profile: str = "lm-eval"
    tasks: tuple[str, ...] | None = None
    seeds: tuple[int, ...] = (0,)
    limit: int | None = None
    data_dir: Path | None = None
    sources: tuple[str, ...] = SOURCES
    partial_data: bool = False
    allow_code: bool = False
    ban_states: bool = True
    chat_template: bool | None = None
    chat: str | None = None
    max_new_tokens: int | None = None
    batch_size: str = "auto"
    dtype: str = "auto"
    device: str = "auto"
    backend: str = "hf"

    def check(self) -> None:
        """Refuse values that no run can have; the error names the option.

        Raises:
            BadInput: there is one; the error names its option.
        """
        check_choice("profile", self.profile, PROFILES)
        check_choice("backend", self.backend, BACKENDS)
        check_choice("dtype", self.dtype, DTYPES)
        if self.chat is not None:
            check_choice("chat", self.chat, STYLES)
        for name in self.tasks or ():
            check_choice("tasks", name, tuple(BENCHMARKS))
        for source in self.sources:
            check_choice("sources", source, SOURCES)
        if self.data_dir is not None and not self.data_dir.is_dir():
            raise BadInput("no such folder", file=self.data_dir, field="data-dir")
        size = self.batch_size
        if size != "auto" and not (size.isascii() and size.isdigit() and int(size) > 0):
            raise BadInput(
                f"{size!r} is neither auto nor a whole number from 1", field="batch-size"
            )


class _ColumnEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1)
    adapter: str | None = Field(default=None, min_length=1)
    slices: bool = False


class Experiment(BaseModel):
    """A file with what a run compares; whatever it leaves out has the command line's default.

    It has no more than part of `Settings`, so that a file from somebody else cannot allow programs
    to be run, nor name folders and devices.

    Attributes:
        columns: models by the name of their column, the base column first.
        profile, tasks, seeds, chat_template, dtype: as on the command line.
    """

    model_config = ConfigDict(extra="forbid")

    columns: dict[str, _ColumnEntry] = Field(min_length=1)
    profile: str | None = None
    tasks: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    chat_template: bool | None = None
    dtype: str | None = None

    def models(self) -> list[Column]:
        """List the columns in the order of the file."""
        return [Column(name, **dict(entry)) for name, entry in self.columns.items()]


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


def read_settings(
    experiment: Path | None, models: Sequence[str], columns: str | None, **options: Any
) -> Settings:
    """Parse a command line, and the experiment file that it names, into settings.

    Args:
        models: `MODEL` or `NAME=MODEL`, in place of the file.
        columns: names of the columns that are run, `a,b`; None for all.
        options: the other settings by name; None where the command line does not say. Lists are
            texts such as `0,1,2`.

    Raises:
        BadInput: the file or an option cannot be used, or not one of file and models is given.
    """
    read = read_experiment(experiment) if experiment else None
    if bool(read) == bool(models):
        raise BadInput("name either an --experiment or one --model or more", field="model")
    found = read.models() if read else columns_of(models)
    if columns is not None:
        wanted = words(columns, "columns")
        for name in wanted:
            check_choice("columns", name, tuple(column.name for column in found))
        found = [column for column in found if column.name in wanted]
    file = read.model_dump(exclude={"columns"}, exclude_none=True) if read else {}
    settings = replace(parsed(file, **options), columns=tuple(found))
    settings.check()
    return settings


def parsed(file: Mapping[str, Any] = MappingProxyType({}), **options: Any) -> Settings:
    """Parse the settings of a file and the options that go before them; see `read_settings`."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("tasks", "sources"):
        if name in given:
            given[name] = tuple(words(given[name], name))
    if "seeds" in given:
        given["seeds"] = numbers(given["seeds"], "seeds", 0)
    values = {**file, **given}
    values["seeds"] = tuple(dict.fromkeys(values.get("seeds") or (0,)))
    return Settings(**values)


def columns_of(models: Sequence[str]) -> list[Column]:
    """Make columns for models given as `MODEL` or `NAME=MODEL`, none of them of the same name.

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
