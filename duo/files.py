"""Read and write files: whole or not at all; JSON, JSON Lines and YAML under one set of rules.

Every reader takes UTF-8 with or without byte order marks, or UTF-16 with one, plain or gzipped
(`.gz`), refuses numbers that are not finite, and says in one line what is wrong with a file, and on
which line. A *result* is a JSON file whose content is a pydantic model, a `Result`, of the module
that writes it; its `kind` says which.
"""

from __future__ import annotations

import codecs
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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from duo.errors import BadInput, Loc, Problem, first_problem, problems
from duo.terminal import printable

Model = TypeVar("Model", bound=BaseModel)
AnyResult = TypeVar("AnyResult", bound="Result")

#: Called with what is wrong with a part of a file that is then skipped.
OnBad = Callable[[BadInput], None]

#: Where a shell puts what it pipes into a command; any other pipe or device is refused, as reading
#: it may never end.
_PIPES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
#: Values that a YAML file may have, those that aliases repeat counted each time.
MOST_NODES = 1_000_000
#: Levels of folders below which nothing is looked for.
DEEPEST = 64

_TEMPORARY = re.compile(r"\..+\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)\.\w+", re.DOTALL)
#: Folders that were looked through for what killed processes left.
_TIDIED: set[Path] = set()

#: Characters of a JSON list that are read at once, and that one item may have.
_CHUNK, _LONGEST_ITEM = 1 << 16, 1 << 26


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


def files_below(folder: Path, ending: str) -> list[Path]:
    """List the files below a folder whose names end so, by path.

    Links to folders are not followed. Passed over are folders that may not be read, and what is
    nested deeper than `DEEPEST`: a program may have left anything.
    """
    found, waiting = [], [(Path(folder), 0)]
    while waiting:
        place, depth = waiting.pop()
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting += [(place / entry.name, depth + 1)] if depth < DEEPEST else []
                elif entry.name.endswith(ending) and (place / entry.name).is_file():
                    found.append(place / entry.name)
    return sorted(found)


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        BadInput: it cannot be read, or is not UTF-8 text.
    """
    with opened(path) as stream:
        try:
            return stream.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadInput("is not UTF-8 text", file=path) from error


def read_json(path: Path, *, finite: bool = True) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        finite: refuse NaN and infinities; False for files of others that may have them.

    Raises:
        BadInput: it cannot be read, or is not JSON; names the line.
    """
    try:
        return (_decoder if finite else json.JSONDecoder()).decode(read_text(path))
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise BadInput(_not_json(error), file=path, line=line) from None


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
        path: the file.
        finite: refuse numbers that are not finite.
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
                said = _not_json(error) if line.endswith(b"\n") else "the last line is cut off"
            if not said:
                yield number, content
                continue
            bad = BadInput(said, file=path, line=number)
            if on_bad is None:
                raise bad
            on_bad(bad)


def read_json_records(path: Path, *, on_bad: OnBad) -> Iterator[tuple[int, Any]]:
    """Read the records of anybody's file: JSON Lines, or one JSON list, of any length.

    A `.json` file may also hold objects that go over several lines, such as a single one, indented.

    Args:
        path: the file.
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
                said = _not_json(error)
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


def read_yaml(path: Path) -> MarkedYaml:
    """Read a file of one YAML document.

    Raises:
        BadInput: it cannot be read, or is none.
    """
    return MarkedYaml(read_text(path), path)


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


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the class it replaces
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if not tag.endswith((":bool", ":timestamp"))
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789")
)


def read_scalar(text: str) -> bool | int | float | str | None:
    """Read a number, true, false or null as YAML 1.2 does; anything else is text.

    >>> [read_scalar(text) for text in ("3", "1e-5", "true", "null", "no", "a: b")]
    [3, 1e-05, True, None, 'no', 'a: b']
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float | None) else text


class MarkedYaml:
    """One YAML document: its plain data, and the line on which each value stands.

    As in YAML 1.2, only true and false are truth values: an utterance may be the one word No; and
    1e-5 is a number.

    Raises:
        BadInput: not one YAML document, a key is given twice in one mapping, or aliases make it
            endless or larger than `MOST_NODES`.
    """

    def __init__(self, text: str, file: str | Path) -> None:
        self._file = file
        try:
            root = yaml.compose(text, Loader=_Loader)
            if root is None:
                raise BadInput("is empty", file=file)
            self._root: yaml.Node = root
            self._check(root, {})
            self.data: Any = yaml.constructor.SafeConstructor().construct_document(root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = error.problem or error.context or "cannot be read"
            line = mark.line + 1 if mark else None
            raise BadInput(f"not YAML: {printable(what)}", file=file, line=line) from error
        except yaml.YAMLError as error:
            raise BadInput(f"not YAML: {printable(str(error))}", file=file) from error
        except RecursionError as error:
            raise BadInput("is nested too deeply", file=file) from error
        except ValueError as error:  # such as the date 2024-99-99
            raise BadInput(
                f"has an impossible value: {printable(str(error))}", file=file
            ) from error

    def line(self, loc: Loc) -> int:
        """Find the line, from 1, of the value at `loc`, or of the closest thing around it."""
        node = self._root
        line = node.start_mark.line
        for part in loc:
            if isinstance(node, yaml.MappingNode):
                found = [pair for pair in node.value if pair[0].value == part]
                if not found:
                    break
                key, node = found[-1]
                line = key.start_mark.line
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                node = node.value[part]
                line = node.start_mark.line
            else:
                break
        return line + 1

    def validated(self, schema: type[Model]) -> Model:
        """Make a pydantic model of the data.

        Raises:
            BadInput: they do not fit: names file, line and field.
        """
        try:
            return schema.model_validate(self.data)
        except ValidationError as error:
            raise self.refusal(error) from error

    def refusal(self, error: ValidationError) -> BadInput:
        """Say in one line what a pydantic model found wrong with the data."""
        problem = self.first_problem(error)
        line = self.line(problem.loc)
        return BadInput(problem.message, file=self._file, line=line, field=problem.field)

    def first_problem(self, error: ValidationError) -> Problem:
        """Choose the problem to report, by their order in the file."""
        return first_problem(sorted(problems(error), key=lambda problem: self.line(problem.loc)))

    def _check(self, node: yaml.Node, sizes: dict[int, int]) -> int:
        """Refuse double keys and too many aliases; gives the number of nodes with all aliases.

        Args:
            sizes: the number of nodes of each one that was seen; 0 while it is being counted.
        """
        if id(node) in sizes:
            if not sizes[id(node)]:
                raise self._bad("contains itself", node)
            return sizes[id(node)]
        sizes[id(node)] = 0
        size = 1
        if isinstance(node, yaml.SequenceNode):
            size += sum(self._check(item, sizes) for item in node.value)
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        raise self._bad("is given twice", key, printable(key.value))
                    keys.add(key.value)
                size += self._check(key, sizes) + self._check(value, sizes)
        if size > MOST_NODES:
            raise self._bad("its aliases make it too large", node)
        sizes[id(node)] = size
        return size

    def _bad(self, message: str, node: yaml.Node, field: str | None = None) -> BadInput:
        return BadInput(message, file=self._file, line=node.start_mark.line + 1, field=field)


def _plain(path: Path) -> BufferedReader:
    """Open a file that has an end: no device, and no pipe but one of the shell's.

    Raises:
        OSError: it is no such file.
    """
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or str(path).startswith(_PIPES)):
        raise OSError(errno.EINVAL, "is no file, but a device, pipe or socket")
    return path.open("rb")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, unpacked if it is gzipped.

    Raises:
        BadInput: it cannot be read, is damaged, or is a device or pipe.
    """
    path = Path(path)
    try:
        with _plain(path) as plain, gzip.open(plain) if path.suffix == ".gz" else plain as stream:
            yield _as_utf8(cast("IO[bytes]", stream), path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput("cannot be read: is damaged", file=path) from error
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", file=path) from error


def _as_utf8(stream: IO[bytes], path: Path) -> IO[bytes]:
    """Read a file that says that it is UTF-16 (spreadsheets, Windows) as if it were UTF-8."""
    start = cast("io.BufferedReader", stream).peek(2)[:2]  # a pipe cannot be wound back
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        try:
            return io.BytesIO(stream.read().decode("utf-16").encode())
        except UnicodeDecodeError:
            raise BadInput("is not UTF-8 text", file=path) from None
    return stream


def _not_json(error: Exception) -> str:
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
