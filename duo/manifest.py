"""How an output came to be: versions, arguments, seed, hashes, hardware, wall time.

Everything that differs from run to run stands here and nowhere else, so that the outputs beside a
manifest are the same bytes for the same input.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from duo.files import write_text

SCHEMA = 1
_PACKAGES = ("duo-duplex", "torch", "transformers", "peft")


class Stopwatch:
    """Wall time in seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def write_manifest(path: Path, *, watch: Stopwatch, **facts: Any) -> None:
    """Write `manifest.json`: the given facts (seed, hashes ...) and the circumstances."""
    content: Mapping[str, Any] = {
        "schema": SCHEMA,
        "command": sys.argv[1:],
        **facts,
        "versions": versions(),
        "git_commit": _git_commit(),
        "hardware": _hardware(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(watch.seconds, 3),
    }
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")


def _git_commit() -> str | None:
    """The commit of the source tree that runs, or None for an installed package."""
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
