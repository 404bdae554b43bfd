"""Samples on a terminal, coloured by what is trained on, and what a data set is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from heapq import nsmallest
from pathlib import Path

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from duo.data.build import TRAIN, VALIDATION
from duo.data.drafts import pieces
from duo.data.sample import AssistantTurn, Sample, UserTurn, read_samples
from duo.data.slices import Pair, is_sliced, read_slices
from duo.errors import BadInput
from duo.terminal import printable
from duo.tokens import IDLE

_TRAINED, _CONTEXT, _LABEL = "bold green", "default", "dim"
_SHOWN = 300  # characters of a turn
_STATE = {"<1>": "bold cyan", "<2>": "bold magenta", None: "bold yellow"}


def print_data(
    path: Path,
    *,
    n: int,
    seed: int = 0,
    kind: str | None = None,
    full: bool = False,
    console: Console | None = None,
) -> None:
    """Show a data set or a file of samples.

    Args:
        path: a folder that `duo data build` wrote, or one of its files.
        n: samples to show.
        seed: which ones.
        kind: only samples with a user turn of this kind.
        full: long texts whole instead of their beginning.
        console: standard output if not given.

    Raises:
        BadInput: there is no data set, or a line is no sample.
    """
    console = console or Console()
    files = _files(path)
    if is_sliced(files[0]):
        _print_slices(files, n, seed, console)
        return
    # In one pass and constant memory: the samples with the smallest hashes are a random choice.
    statistics = [_Statistics(file.stem) for file in files]
    shown = nsmallest(
        max(n, 1),  # with 0 it would read nothing
        (
            (sha256(f"{seed}/{sample.id}".encode()).digest(), number, sample)
            for number, sample in enumerate(_watched(files, statistics))
            if kind is None or any(_kind(message) == kind for message in sample.messages)
        ),
        key=lambda item: item[:2],
    )[:n]
    if not any(found.samples for found in statistics):
        raise BadInput("holds no sample", file=path)
    if kind is not None and n and not shown:
        raise BadInput(f"no sample has a turn of the kind {kind!r}", file=path, field="kind")
    for _, _, sample in shown:
        console.print(sample_panel(sample, full=full))
    if shown:
        console.print(_legend())
    for table in _tables(statistics):
        console.print(table)


def sample_panel(sample: Sample, *, full: bool = True) -> Panel:
    """A sample, each turn on lines of its own; without `full`, the beginnings of long ones."""
    lines: list[Text] = []

    def shown(text: str) -> str:
        left = 0 if full else len(text) - _SHOWN
        return printable(
            f"{text[:_SHOWN]} [... {left} characters]" if left > 0 else text, lines=True
        )

    for message in sample.messages:
        if isinstance(message, UserTurn):
            text = Text("user  ", style=_LABEL)
            text.append(shown(message.content), style=_CONTEXT)
            state = f" {message.state}" if message.state else " no state here"
            text.append(state, style=_STATE[message.state])
            text.append(f"  {printable(message.kind)}", style=_LABEL)
        elif isinstance(message, AssistantTurn):
            text = Text("answer  ", style=_LABEL)
            text.append(shown(message.content), style=_TRAINED)
            end = " (end)" if message.complete else ""
            text.append(end, style=_TRAINED)
            text.append("" if message.complete else "  cut off: no end to learn", style=_LABEL)
        else:
            text = Text("system  ", style=_LABEL)
            text.append(shown(message.content), style=_CONTEXT)
        lines.append(text)
    title = Text(printable(f"{sample.id}  {sample.source}"))
    return Panel(Group(*lines), title=title, title_align="left")


def _legend() -> Text:
    text = Text("trained on: ")
    text.append("answers", style=_TRAINED)
    for state, meaning in (("<1>", "answer it"), ("<2>", "ignore it")):
        text.append(", ")
        text.append(f"{state} ({meaning})", style=_STATE[state])
    text.append(", ")
    text.append("no state here (not over yet)", style=_STATE[None])
    return text


class _Statistics:
    """What a file holds."""

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
            words = pieces(message.content)
            total += words
            if isinstance(message, UserTurn):
                self.labels[message.state or "no state", message.kind or "?"] += 1
                self.lengths["user turn"][words] += 1
            elif isinstance(message, AssistantTurn):
                self.labels["answer", "complete" if message.complete else "cut off"] += 1
                self.lengths["answer"][words] += 1
        self.lengths["sample"][total] += 1


def _watched(files: Sequence[Path], statistics: Sequence[_Statistics]) -> Iterator[Sample]:
    for file, found in zip(files, statistics, strict=True):
        for sample in read_samples(file):
            found.add(sample)
            yield sample


def _tables(statistics: Sequence[_Statistics]) -> Iterator[Table]:
    labels = Table(title="turns by label", title_justify="left")
    labels.add_column("label")
    labels.add_column("kind")
    for found in statistics:
        heading = Text(f"{printable(found.name)} ({found.samples})")
        labels.add_column(heading, justify="right")
        labels.add_column("share", justify="right")
    for label, kind in sorted({key for found in statistics for key in found.labels}):
        cells: list[str] = []
        for found in statistics:
            number = found.labels[label, kind]
            same = [
                v for (k, _), v in found.labels.items() if (k == "answer") == (label == "answer")
            ]
            cells += [str(number), f"{number / max(1, sum(same)):.1%}"]
        labels.add_row(Text(label), Text(printable(kind)), *cells)
    yield labels
    lengths = Table(title="lengths in words", title_justify="left")
    for column in ("file", "what", "number", "median", "90 %", "99 %", "longest"):
        lengths.add_column(column, justify="left" if column in ("file", "what") else "right")
    for found in statistics:
        for what, counts in found.lengths.items():
            if counts:
                cells = [str(counts.total()), *(str(q) for q in _quantiles(counts))]
                lengths.add_row(Text(printable(found.name)), what, *cells)
    yield lengths


def _quantiles(counts: Counter[int], shares: Iterable[float] = (0.5, 0.9, 0.99, 1)) -> list[int]:
    values = sorted(counts)
    found = []
    for share in shares:
        seen = 0
        for value in values:
            seen += counts[value]
            if seen >= share * counts.total():
                found.append(value)
                break
    return found


def _print_slices(files: Sequence[Path], n: int, seed: int, console: Console) -> None:
    """Slices side by side: the assistant's are trained on."""
    totals = Counter[str]()
    for file in files:
        for number, pairs in enumerate(read_slices(file)):
            totals["dialogues"] += 1
            totals["pairs"] += len(pairs)
            totals["silent answers"] += sum(answer == IDLE for _, answer in pairs)
            if file == files[0] and number < n:
                console.print(_slice_table(pairs, f"{file.name}:{number + 1}"))
    if not totals["dialogues"]:
        raise BadInput("holds no dialogue", file=files[0])
    table = Table(title="slices", title_justify="left")
    for name, count in totals.items():
        table.add_row(name, str(count))
    console.print(table)


def _slice_table(pairs: Sequence[Pair], title: str) -> Table:
    table = Table(
        "user",
        "answer (trained on)",
        title=Text(printable(title)),
        title_justify="left",
    )
    for user, answer in pairs[:60]:
        table.add_row(
            Text(printable(user, lines=True)), Text(printable(answer, lines=True), style=_TRAINED)
        )
    if len(pairs) > 60:
        table.add_row("...", f"{len(pairs) - 60} more")
    return table


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise BadInput("no such file or folder", file=path)
    if path.is_file():
        return [path]
    files = [path / name for name in (TRAIN, VALIDATION) if (path / name).exists()]
    if not files:
        raise BadInput(f"no data set here: neither {TRAIN} nor {VALIDATION}", file=path)
    return files


def _kind(message: object) -> str | None:
    return message.kind if isinstance(message, UserTurn) else None
