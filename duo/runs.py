"""Keep account of runs: how an output came to be, whose a folder is, and how far it got.

Everything that differs from run to run stands in `manifest.json` and nowhere else, so that the
outputs beside it are the same bytes for the same input.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from duo.errors import BadInput
from duo.files import Result, read_json_object, write_json, write_result

MANIFEST = "manifest.json"
#: Says what a folder was begun as.
RUN = "run.json"
SCHEMA = 1
_PACKAGES = ("duo-duplex", "torch", "transformers", "peft")


class Stopwatch:
    """Wall time in seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


class Manifest(Result):
    """A record of how the files beside it came to be; facts of one kind of run are further fields.

    Attributes:
        command: the words after `duo`.
        versions: of Python and of the packages that can change a result.
        git_commit: of the source tree, None for an installed package.
        hardware: `machine`, `cpus`, and `accelerator` if there was one.
        finished: date and time, UTC.
        wall_seconds: that the run took.
    """

    model_config = ConfigDict(extra="allow")

    kind: Literal["manifest"] = "manifest"
    schema_version: int = Field(default=SCHEMA, alias="schema")
    command: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default={})
    git_commit: str | None = None
    hardware: dict[str, str | int | None] = Field(default={})
    finished: str | None = None
    wall_seconds: float | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that only this kind of run has: seed, settings, hashes ..."""
        return dict(self.__pydantic_extra__ or {})


def versions() -> dict[str, str]:
    """List the versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def write_manifest(path: Path, *, watch: Stopwatch, **facts: Any) -> None:
    """Write a manifest: the given facts (seed, hashes ...) and the circumstances."""
    manifest = Manifest(
        command=tuple(sys.argv[1:]),
        versions=versions(),
        git_commit=_git_commit(),
        hardware=_hardware(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        wall_seconds=round(watch.seconds, 3),
        **as_json(facts),
    )
    write_result(path, manifest)


def as_json(data: Any) -> Any:
    """Convert data to what JSON holds: tuples become lists, paths and others their text."""
    return json.loads(json.dumps(data, ensure_ascii=False, default=str))


def fingerprint(**facts: Any) -> str:
    """Hash whatever a result depends on: SHA-256 in hex; the same values give the same hash."""
    content = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8")).hexdigest()


def claim(folder: Path, facts: Mapping[str, Any], *, name: str = RUN) -> bool:
    """Take a folder for one run, or take up the same run again.

    Args:
        facts: what the run is: settings, model, data ...; kept in the file `name`.

    Returns:
        Whether this run was begun here before.

    Raises:
        BadInput: the folder was begun with other facts; names the first that differs.
    """
    before = begun(folder, name=name)
    if before is None:
        write_json(folder / name, as_json(facts))
        return False
    check_same(before, facts, file=folder / name)
    return True


def begun(folder: Path, *, name: str = RUN) -> dict[str, Any] | None:
    """Read what a folder was begun as; None if nothing was begun in it.

    Raises:
        BadInput: the file that says so cannot be read, or says nothing.
    """
    path = folder / name
    return read_json_object(path) if path.exists() else None


def check_same(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    file: Path,
    line: int | None = None,
    way_out: str = "choose another folder",
) -> None:
    """Make sure that what is there is what is asked for.

    Args:
        before: facts of what is there, as read from a file.
        now: facts of what is asked for. A fact that only one side has counts as None on the other.

    Raises:
        BadInput: they differ; names the first fact that does, and both values.
    """
    for field, there, wanted in _differences(as_json(before), as_json(now)):
        said = f"was begun with {there!r}, now {wanted!r}: {way_out}"
        raise BadInput(said, file=file, line=line, field=field)


def _differences(
    before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*now, *before]):
        there, wanted = before.get(name), now.get(name)
        if isinstance(there, dict) and isinstance(wanted, dict):
            yield from _differences(there, wanted, f"{prefix}{name}.")
        elif there != wanted:
            yield f"{prefix}{name}", there, wanted


class Journal:
    """Records of unfinished work in a JSON Lines file, so that a killed run can go on.

    What follows a line that is damaged, such as one that was being written when the run was killed,
    is cut off.

    Attributes:
        records: those that are in the file, in order.

    Raises:
        BadInput: the file cannot be read or written, or the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        with _writes(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                self._read()

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record at once."""
        line = json.dumps(record, ensure_ascii=False) + "\n"
        with _writes(self.path), self.path.open("ab") as stream:
            stream.write(line.encode("utf-8", "surrogatepass"))
        self.records.append(dict(record))

    def remove(self) -> None:
        """Remove the file, the work being finished, and its folder if nothing else is in it."""
        self.path.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.parent.rmdir()

    def _read(self) -> None:
        content = self.path.read_bytes()
        good = 0
        for line in content.splitlines(keepends=True):
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except (ValueError, RecursionError):
                break
            if not isinstance(record, dict):
                break
            self.records.append(record)
            good += len(line)
        if good < len(content):
            with self.path.open("r+b") as stream:
                stream.truncate(good)


def safe_name(text: str) -> str:
    """Make any text the name of a file or folder, of 100 bytes at most.

    >>> safe_name("my.package:make"), safe_name("../a b")
    ('my.package-make', '-a-b')
    """
    name = re.sub(r"[^\w.=,()-]+", "-", text.encode(errors="replace").decode()).lstrip(".")
    return name.encode()[:100].decode(errors="ignore") or "-"


def free_name(name: str, taken: set[str]) -> str:
    """Number a name that is taken, whether or not letters' case counts, and note it as taken."""
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free.casefold())
    return free


@contextmanager
def _writes(path: Path) -> Iterator[None]:
    """Turn errors of the file system into `BadInput`."""
    try:
        yield
    except OSError as error:
        said = f"cannot write: {error.strerror or error}; what is finished is kept"
        raise BadInput(said, file=path) from error


def _git_commit() -> str | None:
    """Name the commit of the source tree that runs; None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None


def _hardware() -> dict[str, Any]:
    import torch

    found: dict[str, Any] = {"machine": platform.machine(), "cpus": os.cpu_count()}
    if torch.cuda.is_available():
        found["accelerator"] = torch.cuda.get_device_name(0)
    return found
