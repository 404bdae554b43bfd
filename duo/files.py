"""Files that are whole or absent: written beside and renamed into place."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from duo.errors import BadInput


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO]:
    """Open a file for writing that appears under `path` only once it is complete.

    Text is UTF-8 with Unix line ends, so that the same content gives the same bytes everywhere.

    Raises:
        BadInput: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    beside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        beside = Path(name)
        with os.fdopen(handle, mode, **text) as stream:  # type: ignore[call-overload]
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    except OSError as error:
        raise BadInput(f"cannot write: {error.strerror or error}", file=path) from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def check_writable(folder: Path, *, wanted: Path | None = None) -> None:
    """Find out before long work, not after it, that a folder cannot be written; it is made.

    Args:
        folder: where something is to be written.
        wanted: the file that is meant for it, if the error should name that.

    Raises:
        BadInput: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInput(f"cannot write: {error.strerror or error}", file=wanted or folder) from error


def write_text(path: Path, text: str) -> None:
    """Write a whole text file; see `whole_file`."""
    with whole_file(path) as stream:
        stream.write(text)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
