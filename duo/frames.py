"""Project the states of an encoder of sound to frames, which a model hears in place of words.

    sound -> encoder, frozen -> `Projector`, learned -> `Frames` -> language model, frozen

Utterances with their states stand in files of `SHARD` each (`write_utterances`), made where sound
is known: see `sessions.voice.frames`. `duo.training.frames` learns a projector from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from duo.errors import BadInput
from duo.files import files_below, read_tensors, write_tensors
from duo.wheels import PROJECTORS, adapter_folder

#: Utterances of a file, and the name of a projector's.
SHARD, PROJECTOR = 20, "projector.safetensors"


@dataclass(frozen=True)
class Utterance:
    """What was said, and what an encoder made of its sound.

    Attributes:
        states: `[steps, size]`, float16: of each cycle what the encoder gave at its end.
        state: what they call for: "<1>", "<2>", or None: they break off.
        kind: of utterance; see `duo.data.sample`.
        noise: decibels by which the speech was louder than the noise; None for no noise.
        recognised: the words that a recogniser heard, where it was asked.
    """

    states: NDArray[np.float16]
    text: str
    state: str | None
    kind: str = ""
    noise: float | None = None
    recognised: str | None = None


def write_utterances(path: Path, utterances: Sequence[Utterance]) -> None:
    """Write a file of utterances: safetensors whose header holds their facts."""
    facts = [{k: v for k, v in vars(one).items() if k != "states"} for one in utterances]
    states = {f"{number:03}": one.states for number, one in enumerate(utterances)}
    write_tensors(path, states, {"utterances": json.dumps(facts)})


def read_utterances(folder: Path) -> Iterator[Utterance]:
    """Read the utterances of all files in a folder, in the files' order.

    Raises:
        BadInput: there is none, or a file is damaged.
    """
    files = files_below(folder, ".safetensors")
    if not files:
        raise BadInput("has no utterances with states of their sound", file=folder)
    for path in files:
        states, header = read_tensors(path)
        try:
            for number, about in enumerate(json.loads(header["utterances"])):
                yield Utterance(states=states[f"{number:03}"], **about)
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"holds no utterances: {error}", file=path) from None


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a projector.

    Attributes:
        sound: of an encoder's state.
        size: of a frame, the model's embeddings.
        stack: states of one frame.
        inner: of the layers between.
        narrow: what each state is reduced to before it is stacked.
    """

    sound: int
    size: int
    stack: int = 5
    inner: int = 256
    narrow: int = 128


class Projector(nn.Module):
    """Makes a frame of every `stack` states; what comes later changes none (it is causal).

    A frame is as far from the mean of all embeddings as they are on average, in any direction.
    """

    centre: Tensor
    radius: Tensor

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.narrow = nn.Sequential(nn.LayerNorm(shape.sound), nn.Linear(shape.sound, shape.narrow))
        self.join = nn.Linear(shape.stack * shape.narrow, shape.inner)
        self.follow = nn.GRU(shape.inner, shape.inner, batch_first=True)
        self.end = nn.Linear(shape.inner, shape.size)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("centre", torch.zeros(shape.size))
        self.register_buffer("radius", torch.ones(()))

    def directions(self, states: Tensor) -> Tensor:
        """Compute unit vectors `[rows, steps // stack, size]` of states `[rows, steps, sound]`."""
        rows, steps, _ = states.shape
        stacked = self.narrow(states).reshape(rows, steps // self.shape.stack, -1)
        joined = self.dropout(nn.functional.gelu(self.join(self.dropout(stacked))))
        followed = self.dropout(joined + self.follow(joined)[0])
        return nn.functional.normalize(self.end(followed), dim=-1)

    def forward(self, states: Tensor) -> Tensor:
        """Project states to frames, the shapes those of `directions`."""
        return self.place(self.directions(states))

    def place(self, directions: Tensor) -> Tensor:
        """Make frames of unit vectors `[..., size]`."""
        return self.centre + self.radius * directions


def write_projector(folder: Path, projector: Projector, facts: dict[str, Any]) -> None:
    """Write a projector as float16, and what is to be known of it."""
    weights = {name: weight.half() for name, weight in projector.state_dict().items()}
    about = json.dumps({"shape": asdict(projector.shape), **facts})
    write_tensors(folder / PROJECTOR, weights, {"projector": about}, "pt")


def read_projector(folder: Path) -> tuple[Projector, dict[str, Any]]:
    """Read a projector and what is to be known of it.

    Args:
        folder: of `duo train --recipe frames`, or the name of one that comes with the package.

    Raises:
        BadInput: there is none, or it is damaged.
    """
    own = adapter_folder(str(folder)) if str(folder) in PROJECTORS else folder
    path = own / PROJECTOR
    weights, header = read_tensors(path, "pt")
    try:
        facts = json.loads(header["projector"])
        projector = Projector(Shape(**facts.pop("shape")))
        projector.load_state_dict({name: weight.float() for name, weight in weights.items()})
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BadInput(f"holds no projector: {error}", file=path) from None
    return projector.eval(), facts
