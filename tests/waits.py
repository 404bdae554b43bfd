"""Count what makes the host wait for a device, wherever the tests run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_READING = (
    Tensor.__array__, Tensor.__bool__, Tensor.__float__, Tensor.__index__, Tensor.__int__,
    Tensor.cpu, Tensor.item, Tensor.nonzero, Tensor.numpy, Tensor.tolist,
)  # fmt: skip


class Waits(TorchFunctionMode):
    """Counts what makes the host wait until a device has computed all that it was given.

    It does so when something is read back, when a mask is an index (how many are chosen has to be
    known), and when numbers are copied from ordinary memory, as those of a list that is an index.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            self.count += _waits(args[1])
        elif func in (torch.tensor, torch.as_tensor):
            self.count += named.get("device") is not None
        else:
            self.count += func in _READING or func is Tensor.new_tensor
        return func(*args, **named)


def _waits(index: Any) -> bool:
    single = index if isinstance(index, tuple) else (index,)
    masks = [part for part in tree_leaves(index) if getattr(part, "dtype", 0) == torch.bool]
    return bool(masks) or any(isinstance(part, list) for part in single)
