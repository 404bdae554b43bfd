"""Encode the samples of a file once, into memory-mapped arrays, and put them in batches.

Memory does not grow with the number of samples, and all processes of a machine share it. A folder
holds, for one file of samples:

- `ids`, the tokens of all, and `ends`, where each sample's end among them;
- `places`, `next` and `kinds`, what all of them teach (see `duo.training.encode.targets`), and
  `target_ends`;
- `facts.json`, which is written last. Without it the folder is that of a run that was stopped, and
  is made anew, as it is where another file or other settings were encoded.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from filelock import FileLock
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from duo.data.cycles import read_cycles
from duo.data.sample import read_samples
from duo.data.slices import form_of, read_slices
from duo.errors import BadInput
from duo.files import check_writable, read_json_object, sha256, write_json
from duo.runs import fingerprint
from duo.terminal import progress
from duo.tokens import CONTROL_TOKENS
from duo.training import streams
from duo.training.encode import (
    Encoded,
    Encoder,
    Target,
    TooLong,
    targets,
    without_ignored_turns,
)
from duo.training.settings import FORMS, Recipe, TrainSettings

FACTS = "facts.json"
_ARRAYS = {
    "ids": np.int64, "ends": np.int64, "places": np.int32, "next": np.int32, "kinds": np.int8,
    "target_ends": np.int64,
}  # fmt: skip
#: Raised whenever samples are encoded in another way.
_VERSION = 2
#: Samples that a worker encodes at once, and the bytes of a file from which on there are workers.
_CHUNK, _LARGE = 64, 2**25

#: What encodes the samples of the systems in one stream.
_STREAMS = {
    recipe: {"fsm": streams.fsm, "micro-turn": streams.micro_turn}.get(recipe, streams.lslm)
    for recipe in CONTROL_TOKENS
}

#: A sample's name, and what encodes it.
Record = tuple[str, Callable[[Encoder], Encoded]]


class Samples:
    """Encoded samples of one file; see the module.

    Attributes:
        lengths: of the samples, in tokens.
        facts: counts for the manifest: `samples`, `tokens`; `too_long`, dropped as their last
            exchange alone is longer than the maximum; `nothing_to_learn`; and the file's `sha256`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.facts: dict[str, Any] = read_json_object(folder / FACTS)
        self.facts.pop("fingerprint", None)
        arrays = {name: _mapped(folder / name, kind) for name, kind in _ARRAYS.items()}
        self._ids, self._places = arrays["ids"], arrays["places"]
        self._next, self._kinds = arrays["next"], arrays["kinds"]
        self._ends, self._target_ends = arrays["ends"], arrays["target_ends"]
        self.lengths = np.diff(self._ends, prepend=0)

    def __len__(self) -> int:
        return len(self._ends)

    def __reduce__(self) -> tuple[Any, ...]:  # as arrays they would be copied to each worker
        return Samples, (self._folder,)

    def sample(self, number: int) -> tuple[tuple[int, ...], list[tuple[int, int, int]]]:
        """Read a sample's tokens, and what it teaches (`duo.training.encode.targets`)."""
        span = _span(self._target_ends, number)
        columns = (self._places[span], self._next[span], self._kinds[span])
        found = zip(*(column.tolist() for column in columns), strict=True)
        return tuple(self._ids[_span(self._ends, number)].tolist()), list(found)

    def kinds(self, number: int) -> np.ndarray:
        """Count a sample's targets of each `Target`."""
        return np.bincount(self._kinds[_span(self._target_ends, number)], minlength=len(Target))

    def batch(
        self, chosen: Sequence[int], *, packing: bool = False, inside: bool = True
    ) -> dict[str, Any]:
        """Put samples side by side in one batch.

        Args:
            chosen: numbers of at least one sample.
            packing: one row for all, position numbers restarting with each sample: `transformers`
                takes that as the sign that a token sees its own sample only.
            inside: whether places where no state token may come are among the targets.

        Returns:
            `input_ids` `[rows, tokens]`, and `position_ids` of that shape if several are packed;
            `where` and `target` `[targets]`, the place of each, counted over all rows, and the id
            that comes next; `counts`, how many there are of each `Target`, in whose order they
            come. Rows are padded on the right, where no token of theirs looks, so no mask is
            needed.
        """
        lengths = self.lengths[list(chosen)]
        if packing:
            rows, width = 1, int(lengths.sum())
            starts = np.cumsum(lengths) - lengths
        else:
            rows, width = len(lengths), int(lengths.max())
            starts = np.arange(rows) * width
        ids = np.zeros(rows * width, dtype=np.int64)
        where, target, kinds = [], [], []
        for number, start, length in zip(chosen, starts, lengths, strict=True):
            ids[start : start + length] = self._ids[_span(self._ends, number)]
            span = _span(self._target_ends, number)
            where.append(self._places[span] + start)
            target.append(self._next[span])
            kinds.append(self._kinds[span])
        kind = np.concatenate(kinds)
        order = np.argsort(kind, kind="stable")
        counts = np.bincount(kind, minlength=len(Target))
        if not inside:
            counts[Target.INSIDE :] = 0
            order = order[: counts.sum()]
        made = {
            "input_ids": torch.from_numpy(ids.reshape(rows, width)),
            "where": torch.from_numpy(np.concatenate(where)[order]),
            "target": torch.from_numpy(np.concatenate(target)[order].astype(np.int64)),
            "counts": tuple(counts.tolist()),
        }
        if packing and len(lengths) > 1:
            positions = np.arange(width) - np.repeat(starts, lengths)
            made["position_ids"] = torch.from_numpy(positions[None])
        return made


def read_split(
    path: Path,
    encoder: Encoder,
    settings: TrainSettings,
    folder: Path,
    limit: int | None = None,
    *,
    optional: bool = False,
) -> Samples:
    """Encode the samples of a file, or find them encoded; other processes wait for the one that is.

    Args:
        path: JSON Lines; samples (`duo.data.sample`), or for the `duplex` recipe records with
            `output`, a list of slices of user and assistant.
        optional: whether there may be none, as in the validation split of few dialogues.

    Raises:
        BadInput: a line is malformed, a sample too long (where that is refused), or none is left;
            the folder cannot be written. What was written is removed.
    """
    content = sha256(path)
    known = fingerprint(
        version=_VERSION,
        sha256=content,
        limit=limit,
        recipe=settings.recipe,
        ignored_turns=settings.ignored_turns,
        inside=settings.inside != "none",
        too_long=settings.too_long,
        encoder=encoder.key,
    )
    above = [parent for parent in folder.parents if not parent.exists()]
    check_writable(folder.parent)
    with FileLock(_lock(folder)), ExitStack() as on_error:
        with suppress(BadInput):
            if read_json_object(folder / FACTS).get("fingerprint") == known:
                return Samples(folder)
        shutil.rmtree(folder, ignore_errors=True)
        on_error.callback(_remove, folder, above)
        facts: dict[str, Any] = {"too_long": 0, "nothing_to_learn": 0, "sha256": content}
        facts["fingerprint"] = known
        kept = _kept(path, encoder, settings, facts, optional)
        found = write_samples(folder, islice(kept, limit), facts)
        on_error.pop_all()
    return found


def write_samples(
    folder: Path, rows: Iterable[tuple[Any, np.ndarray]], facts: Mapping[str, Any]
) -> Samples:
    """Write encoded samples.

    Args:
        rows: the tokens of each, and its `targets` `[targets, 3]`.
        facts: to be kept with the counts, as they are after the last row.

    Raises:
        BadInput: the folder cannot be written; or of `rows`.
    """
    samples = tokens = learned = 0
    try:
        folder.mkdir(parents=True)
        with ExitStack() as opened:
            streams = {name: opened.enter_context((folder / name).open("wb")) for name in _ARRAYS}
            bar = opened.enter_context(progress("encoding"))
            for samples, (ids, found) in enumerate(rows, start=1):
                tokens += len(ids)
                learned += len(found)
                row = {
                    "ids": ids, "ends": tokens, "places": found[:, 0], "next": found[:, 1],
                    "kinds": found[:, 2], "target_ends": learned,
                }  # fmt: skip
                for name, values in row.items():
                    np.asarray(values, dtype=_ARRAYS[name]).tofile(streams[name])
                if samples % _CHUNK == 0:
                    bar.update(done=samples)
    except OSError as error:
        raise BadInput(f"cannot write: {error.strerror or error}", file=folder) from error
    write_json(folder / FACTS, {"samples": samples, "tokens": tokens, **facts})
    return Samples(folder)


def _kept(
    path: Path, encoder: Encoder, settings: TrainSettings, facts: dict[str, Any], optional: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Encode the samples of a file that teach something; count the others in `facts`."""
    first_unused = Target.INSIDE if settings.inside == "none" else len(Target)
    none = True
    for name, ids, found in _encoded(path, encoder, settings):
        if ids is None:
            if settings.too_long == "refuse":
                raise BadInput(f"{name}: longer than {encoder.max_tokens} tokens", file=path)
            facts["too_long"] += 1
        elif (found[:, 2] < first_unused).any():
            none = False
            yield ids, found
        else:
            facts["nothing_to_learn"] += 1
    if none and not optional:
        left_out = f" ({facts['too_long']} too long)" if facts["too_long"] else ""
        raise BadInput(f"no samples to learn from{left_out}", file=path)


#: A sample's name; its tokens and `targets` as arrays, None where it is too long.
_Made = tuple[str, Any, Any]


def _encoded(path: Path, encoder: Encoder, settings: TrainSettings) -> Iterator[_Made]:
    """Encode the samples of a file in order; those of a large file on all cores."""
    made = _Chunks(path, encoder, settings)
    chunks: Iterable[list[_Made] | BadInput] = made
    if path.stat().st_size >= _LARGE and multiprocessing.get_start_method() == "fork":
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread in each worker
        workers = len(os.sched_getaffinity(0))
        chunks = DataLoader(made, batch_size=None, num_workers=workers, collate_fn=_same)
    for chunk in chunks:
        if isinstance(chunk, BadInput):
            raise chunk
        yield from chunk


class _Chunks(IterableDataset):
    """Encoded samples, some at a time; in a worker of n every n-th of these chunks.

    A worker hands on what is wrong with the file in place of a chunk, as torch would change it.
    """

    def __init__(self, path: Path, encoder: Encoder, settings: TrainSettings) -> None:
        self._path, self._encoder, self._settings = path, encoder, settings

    def __iter__(self) -> Iterator[list[_Made] | BadInput]:
        worker = get_worker_info()
        own, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        records = _records(self._path, self._settings)
        try:
            for number in count():
                if not (chunk := list(islice(records, _CHUNK))):
                    return
                if number % workers == own:
                    yield [self._made(name, encode) for name, encode in chunk]
        except BadInput as error:
            yield error

    def _made(self, name: str, encode: Callable[[Encoder], Encoded]) -> _Made:
        try:
            encoded = encode(self._encoder)
        except TooLong:
            return name, None, None
        found = np.array(targets(encoded, self._encoder.states), dtype=np.int32)
        return name, np.array(encoded.ids, dtype=np.int64), found.reshape(-1, 3)


def _records(path: Path, settings: TrainSettings) -> Iterator[Record]:
    if (form := form_of(path)) not in ("", wanted := FORMS.get(settings.recipe, "duo")):
        fitting = [name for name in get_args(Recipe) if FORMS.get(name, "duo") == form]
        what = {"duo": "samples", "duplex": "time slices", "cycles": "cycles"}
        raise BadInput(
            f"holds {what[form]}, not {what[wanted]}: train with --recipe {' or '.join(fitting)}",
            file=path,
        )
    if settings.recipe in _STREAMS:
        for cycled in read_cycles(path):
            yield cycled.id, partial(_STREAMS[settings.recipe], cycles=cycled.cycles)
        return
    if settings.recipe == "duplex":
        for number, slices in read_slices(path):
            yield f"line {number}", partial(Encoder.slices, slices=slices)
        return
    forget = settings.ignored_turns == "forget"
    for sample in read_samples(path):
        for part, context in without_ignored_turns(sample) if forget else [(sample, 0)]:
            yield part.id, partial(Encoder.sample, sample=part, context=context)


def _mapped(path: Path, kind: Any) -> np.ndarray:
    if not path.stat().st_size:
        return np.empty(0, dtype=kind)
    return np.memmap(path, dtype=kind, mode="r")


def _span(ends: np.ndarray, number: int) -> slice:
    return slice(int(ends[number - 1]) if number else 0, int(ends[number]))


def _same(chunk: Any) -> Any:
    return chunk


def _remove(folder: Path, above: Sequence[Path]) -> None:
    """Remove a folder, its lock, and of the folders above it those that stand empty now."""
    shutil.rmtree(folder, ignore_errors=True)
    _lock(folder).unlink(missing_ok=True)
    for parent in above:
        with suppress(OSError):
            parent.rmdir()


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
