"""A forward pass as a CUDA graph: recorded once, then started by one call instead of hundreds.

A graph repeats the same kernels on the same memory. So what changes from pass to pass must stand in
tensors that stay where they are, and no number may be read back on the way.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from duo.errors import BadInput

#: Reads and writes tensors that are always the same ones, and returns what it made.
Work = Callable[[], Tensor]
#: Turns work into work that does the same; what that returns is overwritten by the next call.
Capture = Callable[[Work], Work]

#: Numbers of tokens of a pass that graphs are recorded for: a step of so many sessions, or a chunk
#: of what was heard. A longer pass, such as that of a long context, runs without.
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


def check_graphs(model: PreTrainedModel) -> None:
    """Make sure that a model's forward passes can be CUDA graphs.

    Raises:
        BadInput: it is on another device, or has attention that no graph repeats.
    """
    if model.device.type != "cuda":
        raise BadInput(f"CUDA graphs need a model on cuda, not on {model.device}", field="graphs")
    kind = model.config._attn_implementation
    if kind == "flex_attention":  # its blocks are found anew for each mask, on the host
        raise BadInput(f"CUDA graphs need sdpa or eager attention, not {kind}", field="graphs")


def cuda_graph(work: Work) -> Work:
    """The work, all of whose tensors are on one CUDA device, as a graph."""
    device = work().device  # the first time memory is allocated, which a graph must not move
    with torch.cuda.device(device):
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):  # kernels are chosen and loaded
            work()
        here.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            made = work()

    def replay() -> Tensor:
        graph.replay()
        return made

    return replay
