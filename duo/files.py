"""Read and write files: whole or not at all; JSON and JSON Lines under one set of rules.

Every reader takes UTF-8, UTF-16 or UTF-32, with or without byte order marks, plain or gzipped,
whatever the file is called. It refuses numbers that are not finite, and says in one line what is
wrong with a file, and on which line. A *result* is a JSON file whose content is a pydantic model, a
`Result`, of the module that writes it; its `kind` says which.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import math
import os
import platform
import re
import stat
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from duo.errors import BadInput, check_utf8, first_problem, problems
from duo.terminal import printable

Model = TypeVar("Model", bound=BaseModel)
AnyResult = TypeVar("AnyResult", bound="Result")

#: Called with what is wrong with a part of a file that is then skipped.
OnBad = Callable[[BadInput], None]

#: Where a shell puts what it pipes into a command; any other pipe or device is refused, as reading
#: it may never end.
_PIPES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
#: What came out of each such pipe, by its numbers: it can be read once, and files are read twice.
_PIPED: dict[tuple[int, int], bytes] = {}
#: Levels of folders below which nothing is looked for.
DEEPEST = 64

_TEMPORARY = re.compile(r"\..+\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)\.\w+", re.DOTALL)
#: Folders that were looked through for what killed processes left.
_TIDIED: set[Path] = set()


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO]:
    """Open a file for writing that appears under `path` only once it is complete.

    Text is UTF-8 with Unix line ends, so that the same content gives the same bytes everywhere.
    What a killed process of this machine had begun to write into the same folder is removed.

    Raises:
        BadInput: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    beside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in _TIDIED:
            _TIDIED.add(path.parent)
            for left in left_behind(path.parent):
                left.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=temporary(path.name))
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


def temporary(name: str) -> str:
    """Begin the name of a temporary file or folder so that it says which process made it."""
    return f".{name[:50]}.{_machine()}-{os.getpid()}."


def left_behind(folder: Path) -> Iterator[Path]:
    """List what processes of this machine that are no more had as `temporary` in a folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            made = _TEMPORARY.fullmatch(entry.name)
            if made and made["machine"] == _machine() and not _is_alive(int(made["process"])):
                yield folder / entry.name


@cache
def _machine() -> str:
    """Tell this machine, and on it the container, whose numbers of processes are its own."""
    numbers = Path("/proc/self/ns/pid")
    place = numbers.readlink() if numbers.is_symlink() else ""
    return hashlib.sha256(f"{platform.node()} {place}".encode()).hexdigest()[:8]


def _is_alive(process: int) -> bool:
    if os.name != "posix":
        return True  # elsewhere asking could end it
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def check_writable(folder: Path) -> None:
    """Make a folder, and find out before long work, not after it, whether it can be written.

    Raises:
        BadInput: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInput(f"cannot write: {error.strerror or error}", file=folder) from error


def check_writable_file(path: Path) -> None:
    """Find out before long work, not after it, whether a file can be written.

    Raises:
        BadInput: it is a folder, or its own folder cannot be made or written.
    """
    if path.is_dir():
        raise BadInput("is a folder: name a file", file=path)
    try:
        check_writable(path.parent)
    except BadInput as error:
        raise BadInput(error.message, file=path) from error


def write_text(path: Path, text: str) -> None:
    """Write a whole text file; see `whole_file`."""
    with whole_file(path) as stream:
        stream.write(text)


def write_json(path: Path, data: Any) -> None:
    """Write a whole JSON file, indented; see `whole_file`. Numbers must be finite."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a whole JSON Lines file; see `whole_file`. Numbers must be finite."""
    with whole_file(path) as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def sha256(path: Path) -> str:
    """Hash a file's bytes: SHA-256 in hex.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        with _plain(Path(path)) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", file=path) from error


def walk(
    top: Path,
    *,
    leave_out: Callable[[Path], Collection[str]] = lambda folder: (),
    on_bad: OnBad,
) -> Iterator[Path]:
    """Yield what is below a folder, but folders, each folder's entries by name; or a file itself.

    Links are followed, but no folder is entered twice. What is hidden is left out (`.git`,
    half-written files), and what is nested deeper than `DEEPEST`: a program may have left anything.

    Args:
        leave_out: gives the names of entries of a folder that are left out, too.
        on_bad: told of folders that may not be read; they are passed over.
    """
    seen: set[str] = set()
    waiting = [(Path(top), 0)]
    while waiting:
        path, depth = waiting.pop()
        if not os.path.isdir(path):  # noqa: PTH112 - a path that is too long is none
            yield path
            continue
        real = os.path.realpath(path)
        if real in seen or depth > DEEPEST:
            continue
        seen.add(real)
        try:
            with os.scandir(path) as entries:
                inside = sorted((entry.name for entry in entries), reverse=True)
        except OSError as error:
            on_bad(BadInput(f"cannot be read: {error.strerror or error}", file=path))
            continue
        skipped = leave_out(path)
        waiting += [
            (path / name, depth + 1)
            for name in inside
            if not name.startswith(".") and name not in skipped
        ]


def files_below(folder: Path, ending: str) -> list[Path]:
    """List the files below a folder whose names end so, by path; see `walk`.

    Raises:
        BadInput: a folder may not be read, or a path is not UTF-8.
    """

    def refuse(error: BadInput) -> None:
        raise error

    every = walk(folder, on_bad=refuse)
    found = sorted(path for path in every if path.name.endswith(ending) and path.is_file())
    for path in found:
        check_utf8(str(path))
    return found


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        BadInput: it cannot be read, or is not UTF-8 text.
    """
    with opened(path) as stream:
        try:
            return stream.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise BadInput("is not UTF-8 text", file=path, line=line) from error


def read_json(path: Path, *, finite: bool = True) -> Any:
    """Read a JSON file.

    Args:
        finite: refuse NaN and infinities; False for files of others that may have them.

    Raises:
        BadInput: it cannot be read, or is not JSON; names the line.
    """
    try:
        return (_decoder if finite else json.JSONDecoder()).decode(read_text(path))
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise BadInput(not_json(error), file=path, line=line) from None


def read_tensors(path: Path, framework: str = "numpy") -> tuple[dict[str, Any], dict[str, str]]:
    """Read a safetensors file: its tensors by name, and the texts of its header.

    Args:
        framework: whose tensors they are: `numpy`, which has no bfloat16, or `pt`.

    Raises:
        BadInput: the file cannot be read or is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework) as content:
            names = content.keys()
            return {name: content.get_tensor(name) for name in names}, content.metadata() or {}
    except (OSError, SafetensorError, TypeError) as error:
        raise BadInput(f"cannot be read: {error}", file=path) from None


def write_tensors(
    path: Path,
    tensors: Mapping[str, Any],
    header: dict[str, str] | None = None,
    framework: str = "numpy",
) -> None:
    """Write a safetensors file whole; see `read_tensors` and `whole_file`."""
    if framework == "pt":
        from safetensors.torch import save
    else:
        from safetensors.numpy import save
    with whole_file(path, "wb") as stream:
        stream.write(save(dict(tensors), metadata=header))


def read_json_object(path: Path, *, finite: bool = True) -> dict[str, Any]:
    """Read a JSON file that holds an object; see `read_json`."""
    content = read_json(path, finite=finite)
    if not isinstance(content, dict):
        raise BadInput("not a JSON object", file=path)
    return content


def read_json_lines(
    path: Path, *, finite: bool = True, on_bad: OnBad | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the objects of a JSON Lines file, each with its line number; blank lines are skipped.

    Args:
        on_bad: called with what is wrong with a line, which is then skipped; without it the first
            such line raises.

    Raises:
        BadInput: it cannot be read, a line is no JSON object, or the last one is cut off.
    """
    decoder = _decoder if finite else json.JSONDecoder()
    with opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip(b"\xef\xbb\xbf \t\r\n"):
                continue
            try:
                content = decoder.decode(line.decode("utf-8-sig"))  # of several files in one, too
                said = "" if isinstance(content, dict) else "not a JSON object"
            except UnicodeDecodeError:
                said = "is not UTF-8 text"
            except (ValueError, RecursionError) as error:
                said = not_json(error)
                if not line.endswith(b"\n") and line.lstrip()[:1] == b"{" and "Extra" not in said:
                    said = "the last line is cut off"
            if not said:
                yield number, content
                continue
            bad = BadInput(said, file=path, line=number)
            if on_bad is None:
                raise bad
            on_bad(bad)


def validate(
    data: Any, model: type[Model], *, file: str | Path | None = None, line: int | None = None
) -> Model:
    """Make a pydantic model of data that were read from a file.

    Raises:
        BadInput: they do not fit; names the first field that does not.
    """
    try:
        if issubclass(model, Record):  # strict: only as JSON may a list stand for a tuple
            return cast("Model", model.model_validate_json(json.dumps(data)))
        return model.model_validate(data)
    except ValidationError as error:
        problem = first_problem(problems(error))
        raise BadInput(problem.message, file=file, line=line, field=problem.field) from error
    except RecursionError as error:
        raise BadInput("is nested too deeply", file=file, line=line) from error


class Record(BaseModel):
    """A part of a result. Types are strict, numbers finite, keys of newer versions ignored."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", allow_inf_nan=False, populate_by_name=True
    )


class Result(Record):
    """The content of a JSON file that one command writes and others read.

    Subclasses give `kind` a literal type and value.
    """

    kind: str


def kind_of(content: Any) -> str | None:
    """Look up the kind that the content of a JSON file says it is; None if it does not say."""
    kind = content.get("kind") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None


def read_result(path: Path, model: type[AnyResult]) -> AnyResult:
    """Read a result. One without a kind, of an older version, is read if it fits.

    Raises:
        BadInput: it cannot be read, is another kind of result, or does not fit the model.
    """
    return as_result(read_json(path), model, file=path)


def as_result(content: Any, model: type[AnyResult], *, file: str | Path | None) -> AnyResult:
    """Make a result of the content of a JSON file; see `read_result`."""
    if not isinstance(content, dict):
        raise BadInput("not a JSON object", file=file)
    wanted = model.model_fields["kind"].default
    there = content.get("kind", wanted)
    if there != wanted:
        raise BadInput(f"is {printable(str(there))!r}, not {wanted!r}", file=file, field="kind")
    return validate(content, model, file=file)


def write_result(path: Path, result: Result) -> None:
    """Write a result as JSON, its kind first."""
    write_json(path, result.model_dump(mode="json", by_alias=True))


def _plain(path: Path) -> BufferedReader:
    """Open a file that has an end: no device, and no pipe but one of the shell's.

    Raises:
        OSError: it is no such file.
    """
    found = path.stat()
    if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
        return path.open("rb")
    if not str(path).startswith(_PIPES):
        raise OSError(errno.EINVAL, "is no file, but a device, pipe or socket")
    numbers = found.st_dev, found.st_ino
    if numbers not in _PIPED:
        _PIPED[numbers] = path.read_bytes()
    return BufferedReader(cast("io.RawIOBase", io.BytesIO(_PIPED[numbers])))


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, unpacked if it is gzipped.

    Raises:
        BadInput: it cannot be read, is damaged, or is a device or pipe.
    """
    path = Path(path)
    try:
        with _plain(path) as plain, _unpacked(plain) as stream:
            yield _as_utf8(stream, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput("cannot be read: is damaged", file=path) from error
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", file=path) from error


def _unpacked(plain: BufferedReader) -> IO[bytes]:
    """Unpack what is gzipped: browsers unpack files, and programs pack them, without renaming."""
    return cast("IO[bytes]", gzip.open(plain)) if plain.peek(2)[:2] == b"\x1f\x8b" else plain


def _as_utf8(stream: IO[bytes], path: Path) -> IO[bytes]:
    """Read a file in UTF-16 or UTF-32 (spreadsheets, Windows) as if it were UTF-8."""
    encoding = json.detect_encoding(cast("BufferedReader", stream).peek(4)[:4])
    if encoding.startswith("utf-8"):
        return stream
    try:
        return io.BytesIO(stream.read().decode(encoding).encode())
    except UnicodeDecodeError:
        raise BadInput("is not UTF-8 text", file=path) from None


def not_json(error: Exception) -> str:
    """Say in a line why a text is not JSON."""
    if isinstance(error, RecursionError):
        return "not JSON: nested too deeply"
    return printable(f"not JSON: {getattr(error, 'msg', error)}")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a finite number")


_decoder = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
