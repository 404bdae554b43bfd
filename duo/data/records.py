"""Read the records of anybody's file, however long: JSON Lines, one JSON list, or JSON objects."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from duo.errors import BadInput
from duo.files import OnBad, not_json, opened, read_json_lines

#: Characters of a JSON list that are read at once, and that one item may have.
_CHUNK, _LONGEST_ITEM = 1 << 16, 1 << 26


def read_json_records(path: Path, *, on_bad: OnBad) -> Iterator[tuple[int, Any]]:
    """Read the records of anybody's file: JSON Lines, or one JSON list, of any length.

    A `.json` file may also hold objects that go over several lines, such as a single one, indented.

    Args:
        on_bad: called with what is wrong with a line, or with the rest of a file that breaks off.

    Yields:
        The line that a record begins on, and the record.
    """
    try:
        with opened(path) as stream:
            start = stream.read(_CHUNK).removeprefix(codecs.BOM_UTF8).lstrip()
        if start[:1] == b"[":
            yield from _list_items(path)
        elif path.name.removesuffix(".gz").endswith(".json") and _goes_over_lines(start):
            yield from _objects(path)
        else:
            yield from read_json_lines(path, finite=False, on_bad=on_bad)
    except BadInput as bad:
        on_bad(bad)


def _list_items(path: Path) -> Iterator[tuple[int, Any]]:
    """Read the items of a JSON list; no more of it is in memory than an item or a chunk."""
    with opened(path) as stream:
        items = _ListReader(stream, path)
        items.take(items.next_character() == "[")
        while items.next_character() != "]":
            line = items.line
            yield line, items.item()
            if items.next_character() == ",":
                items.take(1)
            elif items.next_character() != "]":
                raise items.bad("not JSON: a comma or the end of the list is missing")
        items.take(1)
        if items.next_character():
            raise items.bad("not JSON: something follows after the list")


def _goes_over_lines(start: bytes) -> bool:
    """Judge by its start whether a text begins with an object that its first line does not end."""
    line, end, _ = start.partition(b"\n")
    try:
        json.loads(line)
    except ValueError:
        return bool(end) and line[:1] == b"{" and line.rstrip()[-1:] in b"{[,"
    return False


def _objects(path: Path) -> Iterator[tuple[int, Any]]:
    """Read JSON objects one after the other, however they are broken into lines."""
    with opened(path) as stream:
        items = _ListReader(stream, path, what="object")
        while items.next_character():
            line = items.line
            yield line, items.item()


class _ListReader:
    """A cursor in the text of a JSON list, or of objects one after the other.

    Attributes:
        line: where it stands.
    """

    def __init__(self, stream: IO[bytes], path: Path, what: str = "list") -> None:
        self._text, self._what = codecs.getreader("utf-8-sig")(stream), what
        self._path, self._buffer, self._at = path, "", 0
        self._decoder = json.JSONDecoder()
        self.line = 1

    def bad(self, message: str) -> BadInput:
        return BadInput(message, file=self._path, line=self.line)

    def take(self, characters: int) -> None:
        """Move the cursor on."""
        end = self._at + characters
        self.line += self._buffer.count("\n", self._at, end)
        self._at = end

    def next_character(self) -> str:
        """Move to the next character that is not blank; nothing if there is none."""
        while True:
            rest = self._buffer[self._at : self._at + 1]
            if rest and not rest.isspace():
                return rest
            if rest:
                self.take(1)
            elif not self._read_on(_CHUNK):
                return ""

    def item(self) -> Any:
        """Read the value that begins here."""
        size = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
                # A number may go on behind what was read so far; an object has its bracket.
                if end < len(self._buffer) or self._buffer[end - 1] in "}]":
                    self.take(end - self._at)
                    return value
                said = "not closed"
            except (ValueError, RecursionError) as error:
                said = not_json(error)
            # The value may go on behind what was read so far.
            if size > _LONGEST_ITEM:
                raise self.bad(said)
            if not self._read_on(size):
                raise self.bad(f"the {self._what} breaks off, or is {said}")
            size *= 2

    def _read_on(self, size: int) -> bool:
        try:
            more = self._text.read(size)
        except UnicodeDecodeError:
            raise self.bad("is not UTF-8 text") from None
        self._buffer, self._at = self._buffer[self._at :] + more, 0
        return bool(more)
