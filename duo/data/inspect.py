"""Show samples on a terminal, coloured by what is trained on, and what a data set is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from heapq import nsmallest
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from duo.data.build import TRAIN, VALIDATION
from duo.data.cycles import read_cycles
from duo.data.dialogue import Role, count_words
from duo.data.sample import AssistantTurn, Sample, UserTurn, read_samples
from duo.data.slices import form_of, read_slices
from duo.errors import BadInput
from duo.table import Cell, Column, Table
from duo.terminal import printable
from duo.tokens import IDLE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

_TRAINED, _CONTEXT, _LABEL = "bold green", "default", "dim"
_SHOWN = 300  # characters of a turn
_SLICES = 60  # of a dialogue
_STATE = {"<1>": "bold cyan", "<2>": "bold magenta", None: "bold yellow"}
_QUANTILES = {"median": 0.5, "90 %": 0.9, "99 %": 0.99, "longest": 1.0}

Item = TypeVar("Item")


def print_data(
    path: Path,
    *,
    n: int,
    seed: int = 0,
    kind: str | None = None,
    full: bool = False,
    console: Console | None = None,
) -> None:
    """Show a data set or a file of samples, in one pass and constant memory.

    Raises:
        BadInput: there is no data set, a line is no sample, or no sample has such a turn.
    """
    from rich.console import Console as RichConsole

    console = console or RichConsole()
    files = _files(path)
    if form_of(files[0]) in ("duplex", "cycles"):
        if kind is not None:
            raise BadInput("time slices do not say of what kind a turn is", file=path, field="kind")
        _print_slices(files, n, seed, full, console)
    else:
        _print_samples(path, files, n, seed, kind, full, console)


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise BadInput("no such file or folder", file=path)
    if path.is_file():
        return [path]
    files = [path / name for name in (TRAIN, VALIDATION) if (path / name).exists()]
    if not files:
        raise BadInput(f"no data set here: neither {TRAIN} nor {VALIDATION}", file=path)
    return files


def _drawn(items: Iterator[tuple[str, Item]], n: int, seed: int) -> list[Item]:
    """Read all items, and keep n of them, those whose names have the smallest hashes."""
    kept = nsmallest(
        max(n, 1),  # with 0 it would read nothing
        (
            (sha256(f"{seed}/{name}".encode()).digest(), place, item)
            for place, (name, item) in enumerate(items)
        ),
        key=lambda each: each[:2],
    )
    return [item for _, _, item in kept[:n]]


# Samples.


class _Statistics:
    """Counts what a file holds."""

    def __init__(self, name: str) -> None:
        self.name, self.samples = name, 0
        self.labels: Counter[tuple[str, str]] = Counter()
        self.lengths: dict[str, Counter[int]] = {
            what: Counter() for what in ("sample", "user turn", "answer")
        }

    def add(self, sample: Sample) -> None:
        self.samples += 1
        total = 0
        for message in sample.messages:
            words = count_words(message.content)
            total += words
            if isinstance(message, UserTurn):
                self.labels[message.state or "no state", message.kind or "?"] += 1
                self.lengths["user turn"][words] += 1
            elif isinstance(message, AssistantTurn):
                self.labels["answer", "complete" if message.complete else "cut off"] += 1
                self.lengths["answer"][words] += 1
        self.lengths["sample"][total] += 1


def _print_samples(
    path: Path, files: Sequence[Path], n: int, seed: int, kind: str | None, full: bool,
    console: Console,
) -> None:  # fmt: skip
    counted = [_Statistics(file.stem) for file in files]

    def samples() -> Iterator[tuple[str, Sample]]:
        for file, counts in zip(files, counted, strict=True):
            for sample in read_samples(file):
                counts.add(sample)
                kinds = {turn.kind for turn in sample.messages if isinstance(turn, UserTurn)}
                if kind is None or kind in kinds:
                    yield sample.id, sample

    drawn = _drawn(samples(), n, seed)
    if not any(counts.samples for counts in counted):
        raise BadInput("holds no sample", file=path)
    if kind is not None and n and not drawn:
        raise BadInput(f"no sample has a turn of the kind {kind!r}", file=path, field="kind")
    for sample in drawn:
        console.print(sample_panel(sample, full=full))
    if drawn:
        console.print(_legend())
    _labels_table(counted).show(console)
    _lengths_table(counted).show(console)


def sample_panel(sample: Sample, *, full: bool = True) -> Panel:
    """Draw a sample, each turn on lines of its own; without `full`, the beginnings of long ones."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    lines: list[Text] = []
    for message in sample.messages:
        content = _beginning(message.content, full)
        if isinstance(message, UserTurn):
            text = Text("user  ", style=_LABEL)
            text.append(content, style=_CONTEXT)
            state = f" {message.state}" if message.state else " no state here"
            text.append(state, style=_STATE[message.state])
            text.append(f"  {printable(message.kind)}", style=_LABEL)
        elif isinstance(message, AssistantTurn):
            text = Text("answer  ", style=_LABEL)
            text.append(content, style=_TRAINED)
            end = " (end)" if message.complete else ""
            text.append(end, style=_TRAINED)
            text.append("" if message.complete else "  cut off: no end to learn", style=_LABEL)
        else:
            text = Text("system  ", style=_LABEL)
            text.append(content, style=_CONTEXT)
        lines.append(text)
    title = Text(printable(f"{sample.id}  {sample.source}"))
    return Panel(Group(*lines), title=title, title_align="left")


def _beginning(text: str, full: bool) -> str:
    left = 0 if full else len(text) - _SHOWN
    return printable(f"{text[:_SHOWN]} [... {left} characters]" if left > 0 else text, lines=True)


def _legend() -> Text:
    from rich.text import Text

    text = Text("trained on: ")
    text.append("answers", style=_TRAINED)
    for state, meaning in (("<1>", "answer it"), ("<2>", "ignore it")):
        text.append(", ")
        text.append(f"{state} ({meaning})", style=_STATE[state])
    text.append(", ")
    text.append("no state here (not over yet)", style=_STATE[None])
    return text


def _labels_table(counted: Sequence[_Statistics]) -> Table:
    """Count turns by label and kind; shares are of the user turns, or of the answers."""
    columns: list[Column | str] = ["label", "kind"]
    for counts in counted:
        columns.append(Column(f"{counts.name} ({counts.samples})", "number"))
        columns.append(Column("share", "number", ".1%"))
    rows = []
    for label, kind in sorted({key for counts in counted for key in counts.labels}):
        row: list[str | int | float] = [label, kind]
        for counts in counted:
            alike = sum(
                number
                for (other, _), number in counts.labels.items()
                if (other == "answer") == (label == "answer")
            )
            row += [counts.labels[label, kind], counts.labels[label, kind] / max(1, alike)]
        rows.append(row)
    return Table("turns by label", columns, rows)


def _lengths_table(counted: Sequence[_Statistics]) -> Table:
    rows: list[list[str | int]] = [
        [counts.name, what, lengths.total(), *(_quantile(lengths, q) for q in _QUANTILES.values())]
        for counts in counted
        for what, lengths in counts.lengths.items()
        if lengths
    ]
    return Table("lengths in words", ["file", "what", "number", *_QUANTILES], rows)


def _quantile(counts: Counter[int], share: float) -> int:
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= share * counts.total():
            break
    return value


# Time slices, side by side.


def _slices(file: Path) -> Iterator[tuple[int, list[tuple[Role, str]]]]:
    if form_of(file) == "duplex":
        yield from read_slices(file)
        return
    for number, sample in enumerate(read_cycles(file), start=1):
        pairs: list[tuple[Role, str]] = []
        for cycle in sample.cycles:
            pairs.append(("user", cycle.heard or IDLE))
            pairs.append(("assistant", f"{cycle.state or ''}{cycle.said}" or IDLE))
        yield number, pairs


def _print_slices(files: Sequence[Path], n: int, seed: int, full: bool, console: Console) -> None:
    totals: Counter[str] = Counter()

    def dialogues() -> Iterator[tuple[str, tuple[str, list[tuple[Role, str]]]]]:
        for file in files:
            for line, slices in _slices(file):
                totals["dialogues"] += 1
                totals["slices of the user"] += sum(role == "user" for role, _ in slices)
                totals["silent answers"] += slices.count(("assistant", IDLE))
                title = f"{file.name}:{line}"
                yield title, (title, slices)

    drawn = _drawn(dialogues(), n, seed)
    if not totals["dialogues"]:
        raise BadInput("holds no dialogue", file=files[0])
    for title, slices in drawn:
        _slices_table(title, slices, full).show(console)
    Table("slices", ["what", "number"], list(totals.items())).show(console)


def _slices_table(title: str, slices: Sequence[tuple[Role, str]], full: bool) -> Table:
    """Put each slice of the user beside the answer to it, which is trained on."""
    rows: list[list[str | Cell]] = []
    for role, text in slices:
        if role == "user":
            rows.append([text, ""])
        elif rows and rows[-1][1] == "":
            rows[-1][1] = Cell(text, style=_TRAINED)
        else:
            rows.append(["", Cell(text, style=_TRAINED)])
    shown = rows if full else rows[:_SLICES]
    left = len(rows) - len(shown)
    notes = [f"... {left} more"] if left else []
    return Table(title, ["user", "answer (trained on)"], shown, notes)
