"""The candidate's process: run its module, then answer what the tests ask.

Nothing here is secret and nothing decides: whatever the candidate does to this process, it can only
change the answers that it gives.
"""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

from evaluation.sandbox.inside.wire import Gone, Peer

#: The name of the candidate's module: not `__main__`, so that what stands under
#: `if __name__ == "__main__":` does not run (as in the harnesses of HumanEval and MBPP).
MODULE = "candidate"

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda target, *args, **kwargs: target(*args, **kwargs),
    "getattr": getattr,
    "setattr": setattr,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "len": len,
    "bool": bool,
    "iter": iter,
    "next": next,
    "str": str,
    "repr": repr,
    "isinstance": lambda target, value: isinstance(value, target),
    "eq": operator.eq,
    "lt": operator.lt,
}


def run_candidate(source: str, reading: int, writing: int, *, largest: int) -> NoReturn:
    """Run the candidate's module, report how that went, and serve until the tests hang up."""
    module = ModuleType(MODULE)
    sys.modules[MODULE] = module

    def perform(operation: str, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if operation == "name":
            return module.__dict__[args[0]]
        return _OPERATIONS[operation](target, *args, **kwargs)

    peer = Peer(reading, writing, largest=largest, perform=perform)
    error: BaseException | None = None
    try:
        # Not inherited: this module's own `from __future__` must not change the program.
        exec(compile(source, f"<{MODULE}>", "exec", dont_inherit=True), module.__dict__)
    except BaseException as raised:
        error = raised
    try:
        peer.report(error)
        peer.serve_forever()
    except Gone:
        os._exit(0)
