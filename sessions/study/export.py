"""Write the votes down for the statistics: CSV, Parquet, and a dictionary of the columns.

ratings.csv               long form, one row a rating; see `columns`
ratings.parquet           the same
ratings.dictionary.csv    what each column means
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from duo.files import whole_file
from sessions.study.columns import COLUMNS, NAMES, Kind, as_row, as_text
from sessions.study.study import Study
from sessions.study.votes import votes


def export(study: Study, path: Path) -> int:
    """Write `path` (CSV), and beside it the Parquet file and the dictionary.

    Returns:
        How many rows there are.

    Raises:
        BadInput: the files cannot be written.
    """
    rows = [as_row(study.name, vote) for vote in votes(study)]
    with whole_file(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(NAMES)
        writer.writerows([as_text(row[name]) for name in NAMES] for row in rows)
    with whole_file(path.with_suffix(".dictionary.csv")) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["column", "type", "values", "meaning"])
        writer.writerows([one.name, one.kind, one.values, one.meaning] for one in COLUMNS)
    _write_parquet(path.with_suffix(".parquet"), rows)
    return len(rows)


def _write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    types: dict[Kind, pa.DataType] = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "true or false": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema(
        [
            pa.field(one.name, types[one.kind], metadata={"description": one.meaning})
            for one in COLUMNS
        ]
    )
    table = pa.Table.from_pylist(list(rows), schema=schema)
    with whole_file(path, "wb") as stream:
        parquet.write_table(table, stream)
