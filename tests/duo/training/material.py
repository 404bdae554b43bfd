"""Dialogues, settings and folders that the training tests share."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from duo.data.sample import AssistantTurn, Sample, UserTurn, sample_line
from duo.training.encode import Encoder
from duo.training.samples import Samples, read_split
from duo.training.settings import TrainSettings
from tests.tiny import tiny_model, tiny_tokenizer

_TEXT = "what is the capital of France tell me how rain falls on Paris and why it costs so"


def words(draw: random.Random, most: int = 8) -> str:
    return " ".join(draw.choices(_TEXT.split(), k=draw.randint(1, most)))


def sample(seed: int, *, turns: int = 3, unfinished: bool | None = None) -> Sample:
    """A dialogue of queries, answers (whole and cut), remarks and perhaps an unfinished turn."""
    draw = random.Random(seed)
    messages: list[Any] = []
    for _ in range(turns):
        messages.append(UserTurn(content=words(draw), state="<1>"))
        messages.append(AssistantTurn(content=words(draw, 12), complete=draw.random() < 0.6))
        if draw.random() < 0.5:
            messages.append(UserTurn(content=words(draw, 3), state="<2>"))
    if draw.random() < 0.5 if unfinished is None else unfinished:
        messages.append(UserTurn(content=words(draw), state=None))
    return Sample(id=f"s-{seed}", source="test", messages=tuple(messages))


def settings(**values: Any) -> TrainSettings:
    chosen: dict[str, Any] = {
        "steps": 4, "batch": 4, "learning_rate": 1e-2, "log_every": 1, "validate_every": 2,
        "save_every": 2, "lora_rank": 2, "validation_limit": 4, "precision": "float32",
    }  # fmt: skip
    return TrainSettings(**(chosen | values))


def encoded(dialogues: Sequence[Sample], encoder: Encoder, folder: Path, **values: Any) -> Samples:
    """The dialogues as `duo train` keeps them."""
    path = folder / "dialogues.jsonl"
    path.write_text("".join(f"{sample_line(one)}\n" for one in dialogues), encoding="utf-8")
    return read_split(path, encoder, settings(**values), folder / "encoded", optional=True)


def data_folder(folder: Path, count: int = 12) -> Path:
    """`train.jsonl` and `validation.jsonl` of small dialogues."""
    folder.mkdir(parents=True)
    for name, numbers in (("train", range(count)), ("validation", range(100, 105))):
        lines = [sample_line(sample(number)) for number in numbers]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def slices_folder(folder: Path, count: int = 6) -> Path:
    """The same for the `duplex` recipe."""
    folder.mkdir(parents=True)
    draw = random.Random(0)
    lines = []
    for _ in range(count):
        output = []
        for _ in range(3):
            output += [
                {"role": "user", "content": words(draw)},
                {"role": "assistant", "content": "<idle>"},
                {"role": "user", "content": "<idle>"},
                {"role": "assistant", "content": words(draw)},
            ]
        lines.append(json.dumps({"output": output}))
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def model_folder(folder: Path, **config: Any) -> Path:
    """A tiny model as `duo train` finds it, state tokens not yet in its tokenizer."""
    tokenizer = tiny_tokenizer(states=False)
    model = tiny_model("llama", len(tokenizer), dtype=torch.float32, **config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
