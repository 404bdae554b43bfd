"""Answers of a benchmark that is not finished, kept so that a killed run takes up where it was.

One JSON Lines file a benchmark and process: first a line of facts that must not change while it
runs, then a line for each chunk of answers, in order. A line that was being written when the run
was killed is dropped.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from duo.errors import BadInput


class Journal:
    """Answers by chunk, in a file.

    Args:
        path: of the file; its name must tell the model, the task, the settings and the data apart.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._facts: dict[str, Any] = {}
        self._chunks: dict[str, dict[str, Any]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                self._read()
        except OSError as error:
            raise _cannot(error, path) from error

    def fact(self, name: str, value: Any) -> Any:
        """A fact as it was first written, or `value` if it is new."""
        if name not in self._facts:
            self._facts[name] = value
            self._append({"fact": name, "value": value})
        return self._facts[name]

    def get(self, chunk: str) -> dict[str, Any] | None:
        """What was written of a chunk."""
        return self._chunks.get(chunk)

    def put(self, chunk: str, **content: Any) -> None:
        """Write the answers of a chunk.

        Raises:
            BadInput: the disk is full, or the folder cannot be written.
        """
        self._chunks[chunk] = content
        self._append({"chunk": chunk, **content})

    def done(self) -> None:
        """Remove the file: the result is written."""
        self.path.unlink(missing_ok=True)
        with suppress(OSError):  # others may still have theirs in it
            self.path.parent.rmdir()

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8", newline="\n") as stream:
                stream.write(json.dumps(line) + "\n")
        except OSError as error:
            raise _cannot(error, self.path) from error

    def _read(self) -> None:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        for text in whole.splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                whole = b""  # not ours, or damaged: begin anew
                self._facts, self._chunks = {}, {}
                break
            if "fact" in line:
                self._facts[line["fact"]] = line["value"]
            else:
                self._chunks[line.pop("chunk")] = line
        if whole != content:
            with self.path.open("r+b") as stream:
                stream.truncate(len(whole))


def _cannot(error: OSError, path: Path) -> BadInput:
    return BadInput(
        f"cannot write: {error.strerror or error}; finished results are kept", file=path
    )
