"""Take hidden states out of llama.cpp while it computes them, by its evaluation callback."""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from typing import Any

import numpy as np

#: The layer after all blocks and the last norm: what the output head sees.
LAST = -1

_FLOATS = ctypes.POINTER(ctypes.c_float)


class Watch:
    """Copies the hidden states of some layers.

    Attributes:
        callback: for a context, which lives no longer than this.

    Args:
        layers: numbers of blocks after which states are taken, from 0 on; or `LAST`.
    """

    def __init__(self, api: Any, width: int, layers: Collection[int]) -> None:
        self._taken: dict[int, list[np.ndarray]] = {layer: [] for layer in layers}
        self._width = width
        lists = {
            b"result_norm" if layer == LAST else b"l_out-%d" % layer: taken
            for layer, taken in self._taken.items()
        }
        name_of, data_of, bytes_of = _tensor_functions(api)

        def take(tensor: int, asked: bool, _: Any) -> bool:
            taken = lists.get(name_of(tensor))
            if taken is None:
                return not asked
            if not asked and (count := bytes_of(tensor) // 4):
                values = (ctypes.c_float * count).from_address(data_of(tensor))
                taken.append(np.frombuffer(values, np.float32).reshape(-1, width).copy())
            return True

        self.callback = api.ggml_backend_sched_eval_callback(take)

    def clear(self) -> None:
        """Forget what was taken, before a pass."""
        for taken in self._taken.values():
            taken.clear()

    def states(self, layer: int) -> np.ndarray:
        """Return a layer's states in the last pass, `[tokens, width]`; of `LAST` the wanted ones'.

        So it is, too, after the last block, which goes on with the tokens whose logits are wanted.
        """
        taken = self._taken[layer]
        return np.concatenate(taken) if taken else np.zeros((0, self._width), np.float32)


def pointer_to(state: np.ndarray) -> Any:
    """Return a C pointer to a state."""
    return state.ctypes.data_as(_FLOATS)


def _tensor_functions(api: Any) -> tuple[Any, Any, Any]:
    """Find ggml's functions for the name, the address and the size of a tensor."""
    found = []
    for name, result in (
        ("ggml_get_name", ctypes.c_char_p),
        ("ggml_get_data", ctypes.c_void_p),
        ("ggml_nbytes", ctypes.c_size_t),
    ):
        found.append(ctypes.CFUNCTYPE(result, ctypes.c_void_p)((name, api._lib)))
    return found[0], found[1], found[2]
