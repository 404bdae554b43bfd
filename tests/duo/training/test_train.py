"""Whole runs on a tiny model: what comes out, resuming after a kill, several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import OPTConfig, OPTForCausalLM

from duo.backbone import load
from duo.data.sample import Sample, UserTurn, sample_line
from duo.errors import BadInput
from duo.files import sha256
from duo.training.encode import Encoder
from duo.training.loss import validate
from duo.training.samples import read_split
from duo.training.speed import begin_at, blocks
from duo.training.train import train
from duo.training.weights import save, trainable
from tests.duo.training.material import data_folder, model_folder, settings, slices_folder
from tests.tiny import tiny_tokenizer

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and data."""
    folder = tmp_path_factory.mktemp("training")
    model_folder(folder / "model", tie_word_embeddings=True)
    model_folder(folder / "untied", tie_word_embeddings=False)
    data_folder(folder / "data")
    slices_folder(folder / "slices")
    return folder


def run(place: Path, out: Path, model: str = "model", data: str = "data", **values: Any) -> Path:
    return train(settings=settings(**values), model=str(place / model), data=place / data, out=out)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def command(place: Path, out: Path, *more: str) -> list[str]:
    values = ["lora_rank=2", "batch=4", "learning_rate=1e-2", "log_every=1", "save_every=2"]
    options = [part for value in [*values, *more] for part in ("--set", value)]
    return [
        "-m", "duo.cli", "train", "--preset", "smoke", "--model", str(place / "model"),
        "--data", str(place / "data"), "--out", str(out), *options,
    ]  # fmt: skip


@pytest.mark.parametrize("model", ["model", "untied"])
def test_an_adapter_comes_out_that_loads_and_has_learned(
    place: Path, tmp_path: Path, model: str
) -> None:
    out = run(
        place, tmp_path / "out", model, steps=30, validate_every=30, save_every=30,
        learning_rate=5e-2, state_weight=5.0,
    )  # fmt: skip
    result = json.loads((out / "training.json").read_text())
    assert result["steps"] == 30
    assert result["kind"] == "training"
    curve = result["curve"]
    first, *_, last = [entry for entry in curve if "loss_state" in entry]
    assert last["loss_state"] < first["loss_state"] / 2
    judged = [entry for entry in curve if "eval_state_accuracy" in entry]
    assert judged[0]["step"] == 0
    assert judged[-1]["eval_loss_state"] < judged[0]["eval_loss_state"]
    there = {p.name for p in out.iterdir()}
    assert {"manifest.json", "tokenizer.json", "logs", "run.json"} <= there
    assert "encoded" not in there
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["data"]["train"]["samples"] == 12
    backbone = load(str(out), device="cpu")
    base = load(str(place / model), device="cpu")
    found = json.loads((out / "training.json").read_text())["curve"][-2]
    encoder = Encoder(backbone.tokenizer, max_tokens=1024)
    path = place / "data" / "validation.jsonl"
    seen = read_split(path, encoder, settings(), tmp_path / "encoded", 4)
    again = validate(backbone.model, seen, backbone.states)
    assert again["loss_state"] == pytest.approx(found["eval_loss_state"], rel=1e-3)
    assert backbone.states == base.states
    row = [backbone.states.respond]
    for matrix in ("get_input_embeddings", "get_output_embeddings"):
        new, old = (getattr(one.model, matrix)().weight for one in (backbone, base))
        assert not torch.equal(new[row], old[row])
        others = [n for n in range(len(old)) if n not in vars(backbone.states).values()]
        torch.testing.assert_close(new[others], old[others])
    # Three rows of a matrix, not the matrix.
    assert not any(len(weight) == len(old) for weight in weights(out).values())


def test_an_adapter_can_be_trained_further(place: Path, tmp_path: Path) -> None:
    first = run(place, tmp_path / "first", steps=4, save_every=4)
    backbone = load(str(place / "model"), device="cpu")
    begun = trainable(backbone, settings(), start=first).state_dict()
    kept = weights(first)
    assert kept
    for name, weight in kept.items():
        [same] = [n for n in begun if n.replace(".default", "") == name]
        torch.testing.assert_close(begun[same], weight)
    again = train(
        settings=settings(steps=2), model=str(place / "model"), data=place / "data",
        out=tmp_path / "again", start=first,
    )  # fmt: skip
    result = json.loads((again / "training.json").read_text())
    assert result["start"] == sha256(first / "adapter_model.safetensors")
    load(str(again), device="cpu")


def test_an_adapter_of_another_form_is_no_start(place: Path, tmp_path: Path) -> None:
    first = run(place, tmp_path / "first", steps=1)
    where = {"model": str(place / "model"), "data": place / "data", "out": tmp_path / "again"}
    with pytest.raises(BadInput, match="another r than"):
        train(settings=settings(lora_rank=3), start=first, **where)
    with pytest.raises(BadInput, match="no such file"):
        train(settings=settings(), start=tmp_path, **where)
    with pytest.raises(BadInput, match="set lora_rank"):
        train(settings=settings(lora_rank=0), start=first, **where)
    (first / "adapter_model.safetensors").write_bytes(b"broken")
    with pytest.raises(BadInput, match="no adapter of this model"):
        train(settings=settings(), start=first, **where)
    assert not (tmp_path / "again").exists()


def test_an_adapter_of_the_last_blocks(place: Path, tmp_path: Path) -> None:
    out = run(place, tmp_path / "out", steps=30, save_every=30, learning_rate=5e-2, lora_layers=1,
              answers="base", state_weight=5.0)  # fmt: skip
    curve = json.loads((out / "training.json").read_text())["curve"]
    losses = [entry["loss_state"] for entry in curve if "loss_state" in entry]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    there = {name.split(".layers.")[1][0] for name in weights(out) if ".layers." in name}
    assert there == {"2"}
    adapted, base = (load(str(folder), device="cpu") for folder in (out, place / "model"))
    for name, weight in base.model.state_dict().items():
        if ".layers.2." not in name and "embed" not in name and "head" not in name:
            torch.testing.assert_close(adapted.model.state_dict()[name], weight)
    with pytest.raises(BadInput, match="lora_layers: the model has 3 blocks"):
        run(place, tmp_path / "more", steps=1, lora_layers=4)


def test_what_is_learned_above_does_not_depend_on_what_is_below(place: Path) -> None:
    found = []
    for cut in (False, True):
        backbone = load(str(place / "model"), device="cpu")
        model = trainable(backbone, settings(lora_layers=1, lora_dropout=0.0))
        if cut:
            begin_at(blocks(model, field="")["base_model.model.model.layers.2"])
        model(torch.tensor([[5, 6, 7]])).logits.square().sum().backward()
        found.append({n: w.grad for n, w in model.named_parameters() if "lora_" in n})
    assert found[0]
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient)


def test_states_begin_as_the_end_of_a_turn(place: Path) -> None:
    for name in ("model", "untied"):
        backbone = load(str(place / name), device="cpu")
        trainable(backbone, settings(state_rows="turn_end"))
        end = backbone.chat.user_close[0]
        for matrix in ("get_input_embeddings", "get_output_embeddings"):
            rows = next(getattr(backbone.model, matrix)().parameters())
            for state in (backbone.states.respond, backbone.states.ignore):
                assert torch.equal(rows[state], rows[end])


@pytest.mark.parametrize(
    ("inside", "answers"),
    [("none", "words"), ("words", "base"), ("hold", "base"), ("base", "words")],
)
def test_every_way_of_waiting_and_of_answering_trains(
    place: Path, tmp_path: Path, inside: str, answers: str
) -> None:
    out = run(place, tmp_path / "out", steps=2, inside=inside, answers=answers)
    logged = json.loads((out / "training.json").read_text())["curve"]
    assert any("loss_inside" in entry for entry in logged) == (inside != "none")


def test_what_is_ignored_can_be_forgotten(place: Path, tmp_path: Path) -> None:
    counts = [
        json.loads((run(place, tmp_path / how, steps=2, ignored_turns=how) / "manifest.json")
                   .read_text())["data"]["train"]["samples"]
        for how in ("keep", "forget")
    ]  # fmt: skip
    remarks = (place / "data" / "train.jsonl").read_text().count('"<2>"')
    assert counts[1] == counts[0] + remarks > counts[0]


def test_all_weights_can_be_trained(place: Path, tmp_path: Path) -> None:
    out = run(place, tmp_path / "out", lora_rank=0, steps=2, gradient_checkpointing=True)
    new, old = (load(str(folder), device="cpu").model for folder in (out, place / "model"))
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(new.get_parameter(name), old.get_parameter(name))


def test_the_time_slices_baseline_trains(place: Path, tmp_path: Path) -> None:
    out = run(place, tmp_path / "out", data="slices", recipe="duplex", steps=20, save_every=20)
    losses = [
        entry["loss_output"]
        for entry in json.loads((out / "training.json").read_text())["curve"]
        if "loss_output" in entry
    ]
    assert losses[-1] < losses[0]


def test_how_a_batch_is_split_does_not_matter(place: Path, tmp_path: Path) -> None:
    whole = weights(run(place, tmp_path / "one", steps=2))
    ways: dict[str, dict[str, Any]] = {
        "parts": {"micro_batches": 3},
        "packed": {"packing": True, "micro_batches": 2},
        "checkpointed": {"gradient_checkpointing": True},
    }
    for name, values in ways.items():
        split = weights(run(place, tmp_path / name, steps=2, **values))
        for key, weight in whole.items():
            torch.testing.assert_close(split[key], weight, rtol=1e-2, atol=1e-3)


def test_rows_are_padded_where_packed_samples_would_see_each_other(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tokenizer = tiny_tokenizer(states=False)
    sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64, "num_hidden_layers": 2}
    torch.manual_seed(0)
    opt = OPTForCausalLM(
        OPTConfig(vocab_size=len(tokenizer), num_attention_heads=4, init_std=0.3, **sizes)
    )
    opt.save_pretrained(tmp_path / "opt")
    tokenizer.save_pretrained(tmp_path / "opt")
    made = {}
    for packing in (False, True):
        made[packing] = tmp_path / f"packing {packing}"
        run(place, made[packing], model=str(tmp_path / "opt"), steps=2, packing=packing)
        said = [line for line in capfd.readouterr().err.splitlines() if "packing" in line]
        assert len(said) == packing
        manifest = json.loads((made[packing] / "manifest.json").read_text())
        assert manifest["packing"] is False
    for key, weight in weights(made[False]).items():
        assert torch.equal(weights(made[True])[key], weight)
    packed = run(place, tmp_path / "llama", steps=1, packing=True)
    assert json.loads((packed / "manifest.json").read_text())["packing"] is True
    assert "packing" not in capfd.readouterr().err


def test_a_killed_run_goes_on_to_the_same_end(place: Path, tmp_path: Path) -> None:
    undisturbed, out = tmp_path / "whole", tmp_path / "killed"
    more = ("steps=24", "lora_dropout=0.1", "validate_every=24")
    subprocess.run([sys.executable, *command(place, undisturbed, *more)], check=True, cwd=ROOT)
    process = subprocess.Popen([sys.executable, *command(place, out, *more)], cwd=ROOT)
    until = time.monotonic() + 120
    while not list(out.glob("checkpoints/*/trainer_state.json")) and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "training.json").exists()
    done = subprocess.run([sys.executable, *command(place, out, *more)], check=True, cwd=ROOT)
    assert done.returncode == 0
    assert json.loads((out / "training.json").read_text())["steps"] == 24
    for name, weight in weights(undisturbed).items():
        torch.testing.assert_close(weights(out)[name], weight, rtol=0, atol=0)


def test_two_processes_make_the_same_model_as_one(place: Path, tmp_path: Path) -> None:
    more = ("steps=3", "save_every=3")
    alone = run(place, tmp_path / "one", steps=3)
    launch = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_port", "0",
    ]  # fmt: skip
    line = command(place, tmp_path / "two", *more, "lora_alpha=16", "lora_targets=all-linear",
                   "max_tokens=1024", "state_weight=1", "validation_limit=4",
                   "precision=float32")  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *line], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    manifest = json.loads((tmp_path / "two" / "manifest.json").read_text())
    assert manifest["processes"] == 2
    for name, weight in weights(alone).items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], weight, rtol=1e-2, atol=1e-3)


def test_folders_of_other_runs_are_refused(place: Path, tmp_path: Path) -> None:
    out = run(place, tmp_path / "out", steps=2)
    with pytest.raises(BadInput, match="holds a finished run"):
        run(place, out, steps=2)
    (out / "training.json").unlink()
    with pytest.raises(BadInput, match="'duo', now 'duplex': choose another"):
        run(place, out, data="slices", recipe="duplex", steps=2)
    with pytest.raises(BadInput, match=r"run\.json: settings\.steps: was begun with 2, now 3"):
        run(place, out, steps=3)
    with pytest.raises(BadInput, match="model: was begun with"):
        run(place, out, model="untied", steps=2)
    with pytest.raises(BadInput, match="train_sha256: was begun with"):
        train(settings=settings(steps=2), model=str(place / "model"),
              data=data_folder(tmp_path / "more", 13), out=out)  # fmt: skip
    (out / "run.json").unlink()
    with pytest.raises(BadInput, match=r"holds checkpoints but no run\.json"):
        run(place, out, steps=2)


def test_bad_data_is_one_line(place: Path, tmp_path: Path) -> None:
    def attempt(text: str, **values: Any) -> None:
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / "train.jsonl").write_text(text, encoding="utf-8")
        train(settings=settings(**values), model=str(place / "model"),
              data=tmp_path / "data", out=tmp_path / "out")  # fmt: skip

    good = (place / "data" / "train.jsonl").read_text(encoding="utf-8")
    with pytest.raises(BadInput, match=r"data: no such file|train\.jsonl: no such file"):
        train(settings=settings(), model=str(place / "model"), data=tmp_path, out=tmp_path / "out")
    with pytest.raises(BadInput, match="no samples to learn from"):
        attempt("")
    with pytest.raises(BadInput, match=r"train\.jsonl:13"):
        attempt(good + "{nonsense\n")
    with pytest.raises(BadInput, match=r"no samples to learn from \(12 too long\)"):
        attempt(good, max_tokens=12)
    with pytest.raises(BadInput, match="s-0: longer than 12 tokens"):
        attempt(good, max_tokens=12, too_long="refuse")
    with pytest.raises(BadInput, match=r"holds samples, not time slices: .*--recipe duo or vita"):
        attempt(good, recipe="duplex")
    slices = (place / "slices" / "train.jsonl").read_text(encoding="utf-8")
    with pytest.raises(BadInput, match=r"train\.jsonl: holds time slices.*--recipe duplex"):
        attempt(slices)
    said = '{"output": [{"role": "user", "content": "hm"}, {"role": "assistant", "content": null}]}'
    with pytest.raises(BadInput, match=r"train\.jsonl:7: output\[1\]\.content: is not a text"):
        attempt(slices + said, recipe="duplex")
    with pytest.raises(BadInput, match=r"train\.jsonl:7: output\[0\]\.role: must be user"):
        attempt(slices + said.replace('"user"', '["user"]'), recipe="duplex")
    with pytest.raises(BadInput, match=r"train\.jsonl:7: not JSON: nested too deeply"):
        attempt(slices + "[" * 100_000 + "\n", recipe="duplex")
    with pytest.raises(BadInput, match="batch: 2 samples cannot be split into 3 parts"):
        attempt(good, batch=2, micro_batches=3)
    assert not (tmp_path / "out").exists()


def test_a_validation_split_may_be_empty(place: Path, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    (data / "validation.jsonl").write_text("")
    out = train(settings=settings(steps=1), model=str(place / "model"), data=data,
                out=tmp_path / "out")  # fmt: skip
    assert json.loads((out / "training.json").read_text())["steps"] == 1


def test_samples_left_out_are_told(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = data_folder(tmp_path / "data")
    with (data / "train.jsonl").open("a") as lines:
        turns = [UserTurn(content="what is rain " * 90, state="<1>")]
        lines.write(sample_line(Sample(id="long", messages=tuple(turns))) + "\n")
    train(settings=settings(steps=1, max_tokens=200), model=str(place / "model"), data=data,
          out=tmp_path / "out")  # fmt: skip
    assert "left out: 1 of 13 samples" in capsys.readouterr().err


def test_an_adapter_of_the_other_recipe_is_no_start(place: Path, tmp_path: Path) -> None:
    first = run(place, tmp_path / "first", data="slices", recipe="duplex", steps=1)
    with pytest.raises(BadInput, match="first: is an adapter of the duplex recipe, not duo"):
        train(settings=settings(steps=1), model=str(place / "model"), data=place / "data",
              out=tmp_path / "again", start=first)  # fmt: skip


def test_where_nothing_can_be_written(place: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(BadInput, match=r"out.*: cannot write"):
        run(place, tmp_path / "out", steps=1)


def test_several_gpus_are_not_left_idle(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(BadInput, match="8 GPUs and one process: begin with accelerate launch"):
        run(place, tmp_path / "out", steps=1)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(BadInput, match="lora_rank: FSDP is for training all weights"):
        run(place, tmp_path / "out", steps=1)
    assert not (tmp_path / "out").exists()


def test_gathered_weights_are_what_is_saved(place: Path, tmp_path: Path) -> None:
    backbone = load(str(place / "untied"), device="cpu")
    gathered = {name: weight + 1 for name, weight in backbone.model.state_dict().items()}
    save(backbone.model, backbone.tokenizer, tmp_path, "float32", gathered)
    found = load(str(tmp_path), device="cpu").model.state_dict()
    name = "model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(found[name], gathered[name])
