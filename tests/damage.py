"""Damage files: cut and changed bytes, impossible values, things that are no files."""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

#: Bytes that mislead readers of text, numbers or terminals.
BYTES = (
    b"", b"\n", b"\n\n", b"\r", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[2J", b'"', b"'", b"{",
    b"}", b"[", b"]", b",", b":", b"- ", b"\t", b"#", b"&a [*a, *a]", b"*a", b"!!python/name:os",
    b"NaN", b"-Infinity", b"1e999", b"-0", b"9" * 5000, b"[" * 100_000, b'{"a":' * 50_000,
    b"\xed\xa0\x80", "\u2028\u202e".encode(), b"---\n", b"<<: *a\n", b"0x10", b"1_000",
)  # fmt: skip
#: Values that hardly any field is meant to have.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, -0.0, 0.5, 1e-320, 1e308, -1e308, float("nan"), float("inf"),
    10**30, -(10**30), 2**31, 2**63, 10**400, "", " ", "\n", "\0", "x" * 100_000, "\ud800", "=1+1",
    "../../etc/passwd", "/dev/zero", "\x1b[31m", "1", "-1", "nan", "null", "\u202e", "日本", [],
    [[]], [0], [None], ["x"], [1, 2], {}, {"": None}, {"x": 1}, {"x": {"x": {}}},
)  # fmt: skip
NO_FILES = ("fifo", "folder", "link to itself", "endless", "empty", "dangling", "gone")


def damage(path: Path, draw: random.Random) -> str:
    """Damage a file in one or two ways; says how."""
    if draw.random() < 0.05:
        return no_file(path, draw.choice(NO_FILES))
    ways = (_bytes, _data, _data, _data, _data)
    return "; ".join(draw.choice(ways)(path, draw) for _ in range(draw.choice((1, 1, 2))))


def no_file(path: Path, what: str) -> str:
    """Put something else in the place of a file: one of `NO_FILES`."""
    path.unlink()
    match what:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link to itself":
            path.symlink_to(path)
        case "endless":
            path.symlink_to("/dev/zero")
        case "empty":
            path.write_bytes(b"")
        case "dangling":
            path.symlink_to("/no/such/file")
    return what


def _bytes(path: Path, draw: random.Random) -> str:
    content = path.read_bytes()
    start, end = sorted(draw.choices(range(len(content) + 1), k=2))
    if draw.random() < 0.5:
        end = min(end, start + draw.choice((0, 1, 8)))
    if draw.random() < 0.2:
        start = end = 0
    piece = draw.choice((*BYTES, draw.randbytes(8), content[start:end] * 2))
    if draw.random() < 0.3:
        path.write_bytes(content[:start])
        return f"cut at {start}"
    path.write_bytes(content[:start] + piece + content[end:])
    return f"{start}:{end} replaced by {piece[:20]!r}"


def _data(path: Path, draw: random.Random) -> str:
    """Change one value of a file's data, whatever its form."""
    try:
        match path.suffix:
            case ".json":
                data, said = _changed(json.loads(path.read_text("utf-8")), draw)
                path.write_text(json.dumps(data), "utf-8")
            case ".jsonl":
                lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
                data, said = _changed(lines, draw)
                path.write_text("".join(f"{json.dumps(line)}\n" for line in _list(data)), "utf-8")
            case ".yaml":
                data, said = _changed(yaml.safe_load(path.read_text("utf-8")), draw)
                path.write_text(yaml.safe_dump(data, allow_unicode=True), "utf-8")
            case ".csv":
                rows = list(csv.reader(io.StringIO(path.read_text("utf-8"))))
                data, said = _changed(rows, draw)
                with path.open("w", encoding="utf-8", newline="") as stream:
                    csv.writer(stream).writerows(map(_list, _list(data)))
            case ".sqlite":
                said = _database(path, draw)
            case _:
                return _bytes(path, draw)
    except (ValueError, RecursionError, TypeError, AttributeError, yaml.YAMLError, csv.Error,
            sqlite3.Error):  # fmt: skip
        return _bytes(path, draw)  # unreadable by an earlier change, or the value has no such form
    return said


def _list(data: Any) -> list[Any]:
    return data if isinstance(data, list) else [data]


def _changed(data: Any, draw: random.Random) -> tuple[Any, str]:
    data = copy.deepcopy(data)
    places = list(_places(data))
    if not places:
        return draw.choice(VALUES), "all replaced"
    holder, key = draw.choice(places)
    way = draw.choice((*["value"] * 4, "kin", "drop", "twice", "rename", "deep"))
    said = f"{way} at {key!r}"
    if way == "drop":
        del holder[key]
    elif way == "twice" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif way == "rename" and isinstance(holder, dict):
        holder[draw.choice(("", "x", "kind", "schema", "\0"))] = holder.pop(key)
    elif way == "deep":
        holder[key] = _deep(draw.choice((3, 200, 900)))
    elif way == "kin":
        other, place = draw.choice(places)
        holder[key] = copy.deepcopy(other[place])
        said += f" from {place!r}"
    else:
        holder[key] = draw.choice(VALUES)
        said += f": {str(holder[key])[:40]!r}" if holder[key] != 10**400 else ": 10**400"
    return data, said


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(data, dict | list):
        for key in list(data) if isinstance(data, dict) else range(len(data)):
            yield data, key
            yield from _places(data[key])


def _deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def _database(path: Path, draw: random.Random) -> str:
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        table = draw.choice([name for (name,) in found])
        columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
        column = draw.choice(columns)
        way = draw.choice(("value", "value", "value", "value", "rows", "table", "column"))
        if way == "value":
            value = draw.choice((*VALUES, "[{}]", "{}", "[]", "{", b"\xff"))
            if isinstance(value, list | dict | int):
                value = json.dumps(value)
            change = f'UPDATE OR IGNORE "{table}" SET "{column}" = ?'
            one = f' WHERE rowid IN (SELECT rowid FROM "{table}" LIMIT 1)'
            database.execute(change + draw.choice(("", one)), (value,))
            way = f"{str(value)[:30]!r}"
        elif way == "rows":
            database.execute(f'DELETE FROM "{table}"')
        elif way == "table":
            database.execute(f'DROP TABLE "{table}"')
        else:
            database.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO other')
        database.commit()
    return f"{way} in {table}.{column}"
