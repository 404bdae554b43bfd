"""Read ratings: a long table of one row a rating, and the votes on a pair of systems as arrays.

The file is our own export, perhaps saved again by a spreadsheet, or another tool's with its columns
mapped to ours. A rating compares two systems on one criterion. A rater who ranks three systems
gives three rows, one for each pair.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from duo.csv_file import csv_rows, csv_text, spelled
from duo.errors import BadInput
from duo.files import opened, sha256

if TYPE_CHECKING:
    import pandas as pd

CHOICES = ("left", "right", "tie", "both_bad")
NEEDED = ("rater", "item", "criterion", "system_left", "system_right")
#: What a row holds where the file has no such column or an empty cell.
DEFAULTS: dict[str, Any] = {
    "study": "",
    "scenario": "",
    "repeat": 0,
    "choice": "",
    "winner": "",
    "seconds": None,
    "submitted_at": "",
    "attention": False,
    "passed": None,
    "synthetic": False,
    "revoked": False,
    "strength": "",
    "words_left": None,
    "words_right": None,
}
COLUMNS = (*NEEDED, *DEFAULTS)
_NUMBERS = ("seconds", "words_left", "words_right")
_TRUE_OR_FALSE = ("attention", "passed", "synthetic", "revoked")
#: The paper's criteria, in its order; others follow by name.
PAPER_CRITERIA = ("responsiveness", "human-likeness", "faithfulness", "factuality", "overall")
#: The outcomes of a vote, seen from the first system of the pair.
OUTCOMES = ("win", "tie", "both_bad", "loss")
#: What is estimated of them; see `scored`.
ESTIMANDS = (*OUTCOMES, "net", "untied")
_YES, _NO = {"true", "1", "yes", "1.0"}, {"false", "0", "no", "0.0"}


@dataclass(frozen=True)
class Ratings:
    """Checked ratings.

    Attributes:
        rows: a frame with the columns `COLUMNS`, in an order that does not depend on the file's;
            `seconds` and the assistant's `words_left` and `words_right` are NaN and `passed` None
            where not known.
        source: name of the file.
        digest: SHA-256 of the file; empty for ratings that come from none.
        notices: what the reader should know, one line each.
    """

    rows: pd.DataFrame
    source: str = ""
    digest: str = ""
    notices: tuple[str, ...] = ()

    @property
    def criteria(self) -> tuple[str, ...]:
        """The criteria that were rated: the paper's in its order, then the others by name."""
        found, paper = set(self.compared["criterion"]), PAPER_CRITERIA
        return (*(name for name in paper if name in found), *sorted(found - set(paper)))

    @property
    def systems(self) -> tuple[str, ...]:
        """The systems that were compared, by name; attention checks have systems of their own."""
        return tuple(sorted({*self.compared["system_left"], *self.compared["system_right"]}))

    @property
    def compared(self) -> pd.DataFrame:
        """The rows that are data: all but attention checks."""
        return self.rows[~self.rows["attention"]]


def read_ratings(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    choices: Mapping[str, str] | None = None,
) -> Ratings:
    """Read a CSV or Parquet file of ratings.

    Either `choice` or `winner` is enough; where both are there they must agree. Of the other
    columns only `NEEDED` must be there.

    Args:
        path: `.parquet`, or anything else for CSV in UTF-8 with a header line.
        columns: our column names and what they are called in the file.
        choices: the file's words for a choice or winner and ours, as in {"model_a": "left"}.

    Raises:
        BadInput: the file cannot be read; a column is missing; a value does not fit (names the
            line and the column); a rating is there twice.
    """
    path = Path(path)
    parquet = path.suffix.lower() == ".parquet"
    table = _parquet_rows(path) if parquet else csv_rows(path)
    header = next(table)[1]
    ours = _mapped(path, header, columns or {})
    rows, seen = [], dict[tuple, int]()
    for line, cells in table:
        row = _row(path, line, {name: cells[at] for name, at in ours.items()}, choices or {})
        key = tuple(row[name] for name in ("study", "rater", "item", "criterion", "repeat"))
        pair = frozenset((row["system_left"], row["system_right"]))
        if (first := seen.setdefault((*key, pair), line)) != line:
            raise BadInput(
                f"rated twice (first at {first}): rater {key[1]}, item {key[2]}, "
                f"criterion {key[3]}, repeat {key[4]}",
                file=path,
                line=line,
            )
        rows.append(row)
    used = {header[at] for at in ours.values()}
    extra = [name for name in header if name not in {*used, ""}]  # that of row numbers has no name
    notices = [f"columns not used: {', '.join(extra)}"] if extra else []
    return Ratings(frame(rows), path.name, sha256(path), (*notices, *_alike(rows)))


def _alike(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Say which names are no others' only by their case, blanks or composition of letters."""
    for name in NEEDED[:-1]:
        of = (name, "system_right") if name == "system_left" else (name,)
        spellings: dict[str, set[str]] = {}
        for text in {row[column] for row in rows for column in of}:
            plain = unicodedata.normalize("NFKC", text).casefold()
            spellings.setdefault("".join(plain.split()), set()).add(text)
        for alike in spellings.values():
            if len(alike) > 1:
                several = ", ".join(map(repr, sorted(alike)))
                yield f"{name.removesuffix('_left')}: {several} are taken for different ones"


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Make the frame that `Ratings` holds of rows: all columns, fixed types, sorted."""
    import pandas as pd

    table = pd.DataFrame([DEFAULTS | row for row in rows], columns=list(COLUMNS))
    kinds = dict.fromkeys(("attention", "synthetic", "revoked"), "bool")
    kinds |= {"repeat": "int64"} | dict.fromkeys(_NUMBERS, "float64")
    table = table.astype({name: kinds.get(name, "object") for name in COLUMNS})
    order = ["study", "criterion", "item", "rater", "repeat", "system_left", "system_right"]
    return table.sort_values(order, kind="stable").reset_index(drop=True)


def _mapped(path: Path, header: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Find where each of our columns stands; our own names in any case, blanks for underscores."""
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise BadInput("the column is there twice", file=path, line=1, field=twice)
    for name, theirs in columns.items():
        if name not in COLUMNS:
            raise BadInput(f"no column of ours: use {', '.join(COLUMNS)}", field=name)
        if theirs not in header:
            raise BadInput(f"no column {theirs!r} to take it from", file=path, field=name)
    places = {spelled(name): at for at, name in reversed([*enumerate(header)])}
    places |= {name: at for at, name in enumerate(header)}
    ours = {
        name: places[columns.get(name, name)]
        for name in COLUMNS
        if columns.get(name, name) in places
    }
    missing = [name for name in NEEDED if name not in ours]
    if not {"choice", "winner"} & set(ours):
        missing.append("choice")
    if missing:
        raise BadInput(f"columns missing: {', '.join(missing)}", file=path, line=1)
    return ours


def _parquet_rows(path: Path) -> Iterator[tuple[int, list[Any]]]:
    """Read row numbers (from 1) and cells, the header first; null is empty."""
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    try:
        with opened(path) as stream:
            table = parquet.read_table(stream)
    except OSError as error:
        raise BadInput(f"cannot read: {error.strerror or error}", file=path) from error
    except pyarrow.ArrowException as error:
        raise BadInput(f"not Parquet: {error}", file=path) from error
    yield 0, list(table.column_names)
    for number, cells in enumerate(zip(*(c.to_pylist() for c in table.columns), strict=True), 1):
        yield number, ["" if cell is None else cell for cell in cells]


def _row(
    path: Path, line: int, cells: dict[str, Any], choices: Mapping[str, str]
) -> dict[str, Any]:
    def bad(field: str, message: str) -> BadInput:
        return BadInput(message, file=path, line=line, field=field)

    text = {name: csv_text(str(cell).strip()) for name, cell in cells.items()}
    for name in NEEDED:
        if not text[name]:
            raise bad(name, "is empty")
    nothing = {"", "NA"}  # as R writes it where no text stands
    row: dict[str, Any] = DEFAULTS | {
        name: value
        for name, value in text.items()
        if value not in (nothing if name in (*_NUMBERS, *_TRUE_OR_FALSE) else ("",))
    }
    repeat = _number(str(row["repeat"]))
    if not (repeat >= 0 and repeat.is_integer()):
        raise bad("repeat", f"{text['repeat']!r} is no whole number from 0 on")
    row["repeat"] = int(repeat)
    for name in _NUMBERS:
        if row[name] is not None:
            row[name] = _number(text[name])
            if not (math.isfinite(row[name]) and row[name] >= 0):
                what = "time in seconds" if name == "seconds" else "number of words"
                raise bad(name, f"{text[name]!r} is no {what}")
    for name in _TRUE_OR_FALSE:
        if isinstance(row[name], str):
            word = row[name].lower()
            if word not in _YES | _NO:
                raise bad(name, f"{text[name]!r} is neither true nor false")
            row[name] = word in _YES
    left, right = row["system_left"], row["system_right"]
    if left == right:
        raise bad("system_right", f"{right!r} is compared with itself")
    if {left, right} & set(CHOICES):
        raise bad("system_left", f"no system may be called {', '.join(CHOICES)}")
    row["choice"] = _choice(row, choices, bad)
    row["winner"] = {"left": left, "right": right}.get(row["choice"], row["choice"])
    return row


def _choice(row: Mapping[str, Any], choices: Mapping[str, str], bad: Any) -> str:
    """Read the rater's choice from whichever of the two columns says it."""
    sides = {row["system_left"]: "left", row["system_right"]: "right"}
    found = []
    for name in ("choice", "winner"):
        if said := row[name]:
            word = choices.get(said, said)
            word = sides.get(word, word if word in CHOICES else spelled(word))
            if word not in CHOICES:
                raise bad(name, f"unknown {said!r}: use one of {', '.join(CHOICES)}")
            found.append(word)
    if not found:
        raise bad("choice", "is empty")
    if len(set(found)) > 1:
        raise bad("winner", f"{row['winner']!r} does not fit the choice {row['choice']!r}")
    return found[0]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@dataclass(frozen=True)
class Panel:
    """Counts of votes; no vote is a row of zeros.

    Attributes:
        votes: counts by dialogue, rater and outcome (`OUTCOMES`), shape (dialogues, raters, 4).
            Mostly 0 or 1; more where several items of a dialogue fall into one cluster. Leading
            axes, for many studies at once, are allowed by all that takes arrays.
        dialogues, raters: names along the first two axes.
    """

    votes: np.ndarray
    dialogues: tuple[str, ...]
    raters: tuple[str, ...]

    @property
    def totals(self) -> dict[str, int]:
        """Votes by outcome."""
        return dict(zip(OUTCOMES, map(int, self.votes.sum((0, 1))), strict=True))


def panel(rows: pd.DataFrame, first: str, second: str, *, cluster: str = "item") -> Panel:
    """Count the first votes (no repeated items, no attention checks) on one criterion's pair.

    Args:
        first, second: the two systems; a win is one of the first.
        cluster: the column whose values are the dialogues: `item`, or `scenario` where several
            items share one and votes on them hang together.
    """
    import pandas as pd

    chosen = votes_on(rows, first, second)
    chosen = chosen[chosen["repeat"] == 0]
    outcome = chosen["outcome"].map({name: at for at, name in enumerate(OUTCOMES)}).to_numpy(int)
    names = (pd.factorize(chosen[column], sort=True)[1] for column in (cluster, "rater"))
    return Panel(cells(chosen, np.eye(len(OUTCOMES))[outcome], cluster), *map(tuple, names))


def cells(rows: pd.DataFrame, values: np.ndarray, cluster: str) -> np.ndarray:
    """Sum values by dialogue and rater, both in the order of their names.

    Args:
        values: of each row, shape (rows, kinds).

    Returns:
        Sums of shape (dialogues, raters, kinds).
    """
    import pandas as pd

    dialogue, dialogues = pd.factorize(rows[cluster], sort=True)
    rater, raters = pd.factorize(rows["rater"], sort=True)
    sums = np.zeros((len(dialogues), len(raters), values.shape[1]))
    np.add.at(sums, (dialogue, rater), values)
    return sums


def votes_on(rows: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Choose the ratings that compare two systems, no checks, with a column `outcome`."""
    pairs = ((rows["system_left"] == first) & (rows["system_right"] == second)) | (
        (rows["system_left"] == second) & (rows["system_right"] == first)
    )
    chosen = rows[pairs & ~rows["attention"]]
    return chosen.assign(outcome=chosen["winner"].replace({first: "win", second: "loss"}))


def scored(votes: np.ndarray, estimand: str) -> tuple[np.ndarray, np.ndarray]:
    """Give the sums and counts for `clustered.mean`.

    Args:
        votes: counts, shape (..., dialogues, raters, 4), outcomes as in `OUTCOMES`.
        estimand: an outcome (its share of all votes), `net` (win share minus loss share) or
            `untied` (the win share of votes for either system).
    """
    win, loss = votes[..., 0], votes[..., 3]
    if estimand == "untied":
        return win, win + loss
    if estimand == "net":
        return win - loss, votes.sum(-1)
    return votes[..., OUTCOMES.index(estimand)], votes.sum(-1)
