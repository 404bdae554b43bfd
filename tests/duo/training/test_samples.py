"""What is mapped from files is what was encoded, to the last number, however it was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from duo.errors import BadInput
from duo.training import samples as module
from duo.training.encode import Encoded, Encoder, Target, targets
from duo.training.samples import FACTS, read_split
from duo.training.trainer import Parts, Plan, kind_weights
from tests.duo.training.material import encoded, sample, settings
from tests.tiny import tiny_tokenizer


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(tiny_tokenizer(), max_tokens=1000)


def collated(
    chosen: list[Encoded], encoder: Encoder, packing: bool, inside: bool
) -> dict[str, Any]:
    """The plain way: token by token, from lists."""
    rows = [chosen] if packing else [[one] for one in chosen]
    width = max(sum(map(len, row)) for row in rows)
    made: dict[str, Any] = {"input_ids": [], "position_ids": []}
    found = []
    for number, row in enumerate(rows):
        ids, positions = [], []
        for one in row:
            for place, following, kind in targets(one, encoder.states):
                if inside or kind < Target.INSIDE:
                    found.append((kind, number * width + len(ids) + place, following))
            ids += one.ids
            positions += range(len(one))
        made["input_ids"].append(ids + [0] * (width - len(ids)))
        made["position_ids"].append(positions)
    found.sort(key=lambda target: target[0])
    made["where"] = [where for _, where, _ in found]
    made["target"] = [following for _, _, following in found]
    made["counts"] = tuple(sum(kind == which for kind, _, _ in found) for which in Target)
    if not packing or len(chosen) == 1:
        del made["position_ids"]
    return made


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("inside", ["none", "hold"])
def test_batches_are_what_was_encoded(
    encoder: Encoder, tmp_path: Path, packing: bool, inside: Any
) -> None:
    dialogues = [sample(seed) for seed in range(40)]
    plain = [encoder.sample(one) for one in dialogues]
    used = settings(packing=packing, inside=inside, output_weight=0.3, state_weight=5.0, steps=9)
    mapped = encoded(dialogues, encoder, tmp_path, inside=inside)
    assert mapped.lengths.tolist() == [len(one) for one in plain]
    for number, one in enumerate(plain):
        assert mapped.sample(number) == (one.ids, targets(one, encoder.states))
    plan = Plan(mapped.lengths, batch=7, parts=2, steps=9, seed=0, packing=packing)
    parts = Parts(mapped, plan, used)
    weights = kind_weights(used)
    for workers in (0, 2):
        loader = DataLoader(parts, batch_size=None, num_workers=workers)
        for number, made in enumerate(loader):
            step = [[plain[n] for n in part] for part in plan[number // 2]]
            wanted = collated(step[number % 2], encoder, packing, inside != "none")
            assert tuple(made["counts"]) == wanted.pop("counts")
            for name, values in wanted.items():
                assert made[name].tolist() == values
            total = sum(
                weights[kind] for part in step for one in part
                for _, _, kind in targets(one, encoder.states)
            )  # fmt: skip
            torch.testing.assert_close(float(made["scale"]), 1 / total)
            assert len(made["weight"]) == len(made["target"])
        assert number == 17


def test_encoding_is_done_once(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialogues = [sample(seed) for seed in range(5)]
    before = encoded(dialogues, encoder, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_samples", None)
        again = encoded(dialogues, encoder, tmp_path)
        assert again.facts == before.facts
    assert len(encoded(dialogues[:3], encoder, tmp_path)) == 3  # another file
    whole = encoded(dialogues, encoder, tmp_path).facts["tokens"]
    short = Encoder(tiny_tokenizer(), max_tokens=1000, answer_tokens=2)
    assert encoded(dialogues, short, tmp_path).facts["tokens"] < whole  # other settings
    (tmp_path / "encoded" / FACTS).unlink()  # as if it was killed
    (tmp_path / "encoded" / "ids").write_bytes(b"1234")
    assert encoded(dialogues, encoder, tmp_path).facts == before.facts


def test_many_workers_encode_as_one(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialogues = [sample(seed) for seed in range(60)]
    monkeypatch.setattr(module, "_CHUNK", 8)
    made = {}
    for large in (0, 2**40):
        monkeypatch.setattr(module, "_LARGE", large)
        monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: range(3))
        (tmp_path / str(large)).mkdir()
        encoded(dialogues, encoder, tmp_path / str(large))
        files = sorted((tmp_path / str(large) / "encoded").iterdir())
        made[large] = {file.name: file.read_bytes() for file in files}
    assert made[0] == made[2**40]
    monkeypatch.setattr(module, "_LARGE", 0)
    path = tmp_path / "0" / "dialogues.jsonl"
    with path.open("a") as lines:
        lines.write('{"id": 3}\n')
    with pytest.raises(BadInput, match=r"dialogues\.jsonl:61"):
        read_split(path, encoder, settings(), tmp_path / "new" / "encoded")
    assert not (tmp_path / "new").exists()


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    dialogues = [sample(seed, turns=1, unfinished=False) for seed in range(30)]
    encoder = Encoder(tiny_tokenizer(), max_tokens=24)
    facts = encoded(dialogues, encoder, tmp_path).facts
    assert facts["too_long"] > 0
    assert facts["samples"] + facts["too_long"] == 30
    tokens = np.fromfile(tmp_path / "encoded" / "ids", dtype=np.int32)
    assert facts["tokens"] == len(tokens)
    assert json.loads((tmp_path / "encoded" / FACTS).read_text())["samples"] == facts["samples"]
    assert not encoded([], encoder, tmp_path)
