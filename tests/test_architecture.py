"""Imports run one way: reports -> evaluation, sessions -> duo; only the command line sees all."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "duo": {"duo"},
    "evaluation": {"duo", "evaluation"},
    "sessions": {"duo", "sessions"},
    "reports": {"duo", "evaluation", "sessions", "reports"},
}


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Top-level packages that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_one_way(room: str) -> None:
    assert modules(room)
    for path in modules(room):
        if path == ROOT / "duo" / "cli.py":
            continue
        forbidden = set(imported(path)) & (set(MAY_IMPORT) - MAY_IMPORT[room])
        assert not forbidden, f"{path.relative_to(ROOT)} imports {forbidden}"


def defines_a_result(path: Path) -> bool:
    """Tell whether a module has a model of a JSON file."""
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return any(isinstance(b, ast.Name) and b.id == "Result" for one in classes for b in one.bases)


def test_results_can_be_read_without_torch() -> None:
    paths = [path for room in MAY_IMPORT for path in modules(room) if defines_a_result(path)]
    assert paths
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    names.append("duo.engine")  # its `share_cores` counts only before torch is loaded
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "matplotlib"} & set(done.stdout.split())
