"""The GPU's bench on a CPU: every part measures something, and whatever hangs is ended in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing._internal.two_tensor import TwoTensor

from duo.decoding.static import StaticModel
from duo.errors import BadInput, ended_by_signals
from duo.files import read_result
from evaluation.gpu_bench import bench, parts
from evaluation.gpu_bench.bench import PARTS, gpu_bench
from evaluation.gpu_bench.results import Figure, GpuBench, gpu_tables

#: Says a figure; then does what the part is called.
_PROGRAM = """
import os, sys, time
print('figure: {"what": "a", "value": 1.5, "unit": "ms", "count": 2}', flush=True)
print('figure: {"what": "cut', flush=True)
if sys.argv[1] == "hangs":
    time.sleep(600)
if sys.argv[1] == "mute":
    os.close(1)
    os.close(2)
    time.sleep(600)
if sys.argv[1] == "fails":
    sys.exit("no such card")
"""


def test_a_part_that_hangs_or_fails_keeps_what_it_has(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    began = time.monotonic()
    found = gpu_bench(
        "cuda",
        0.5,
        small=False,
        out=out,
        parts={"hangs": 0.15, "mute": 0.15, "fails": 0.3, "ends": 0.3},
        program=(sys.executable, "-c", _PROGRAM),
    )
    assert time.monotonic() - began < 30
    assert read_result(out, GpuBench) == found
    assert [part.name for part in found.parts] == ["hangs", "mute", "fails", "ends"]
    figure = Figure(what="a", count=2, value=1.5, unit="ms")
    assert {part.figures for part in found.parts} == {(figure,)}
    hangs, mute, fails, ends = (part.ended for part in found.parts)
    assert hangs.startswith("stopped after")
    assert mute.startswith("stopped after")
    assert (fails, ends) == ("failed: no such card", "done")
    text = gpu_tables(found)[0].markdown()
    assert "Aims for 2.4b" in text
    assert "no such card" in text
    assert "stopped after" in text


_SEES = """
import json, os, sys
what = f"{sys.argv[2]} of {os.environ.get('CUDA_VISIBLE_DEVICES')}"
print("figure:", json.dumps({"what": what, "value": 1, "unit": "ms"}))
"""


@pytest.mark.parametrize(
    ("device", "cards", "seen"),
    [
        ("cpu", None, "cpu of "),
        ("cuda", None, "cuda of 0"),
        ("cuda:1", None, "cuda of 1"),
        ("cuda:1", "5,7", "cuda of 7"),
        ("mps", None, "mps of None"),
    ],
)
def test_a_part_sees_no_other_card(
    device: str, cards: str | None, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if cards is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", cards)
    program = (sys.executable, "-c", _SEES)
    found = gpu_bench(device, 0.5, small=True, parts={"a": 1.0}, program=program)
    assert [figure.what for figure in found.parts[0].figures] == [seen]
    assert found.device == device


def test_a_part_that_no_signal_ends_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a process is in a call of the driver's; here it is one that is sent no signal."""
    left: list[Any] = []

    class Kept(subprocess.Popen[str]):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            left.append(self)

    monkeypatch.setattr("subprocess.Popen", Kept)
    monkeypatch.setattr("os.killpg", lambda *_: None)
    monkeypatch.setattr(bench, "_GRACE", 0.1)
    program = (sys.executable, "-c", "import time; time.sleep(20)")
    found = gpu_bench("cpu", 0.06, small=True, parts={"a": 1.0}, program=program)
    for process in left:
        process.kill()
        process.wait()
    assert [part.ended for part in found.parts] == ["stopped after 4 s, but cannot be ended"]


def test_nohup_is_heeded() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            signal.raise_signal(signal.SIGHUP)
            with pytest.raises(SystemExit):
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


#: Measures one part by a program that is given, and names it by its second argument.
_BENCH = """
import sys
from evaluation.gpu_bench.bench import gpu_bench
program = (sys.executable, "-c", sys.argv[1])
gpu_bench("cpu", 1.0, small=True, parts={sys.argv[2]: 1.0}, program=program)
"""
#: Writes its process's number into the file that the part is named by.
_HANGS = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()}.")
time.sleep(600)
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_bench_that_is_ended_leaves_nothing_on_the_device(
    ending: signal.Signals, tmp_path: Path
) -> None:
    said = tmp_path / "pid"
    line = (sys.executable, "-c", _BENCH, _HANGS, str(said))
    with subprocess.Popen(line, stderr=subprocess.DEVNULL) as process:
        while not (said.exists() and said.read_text().endswith(".")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(ending)
    assert process.returncode in (128 + ending, -ending)
    with pytest.raises(ProcessLookupError):
        os.killpg(int(said.read_text()[:-1]), signal.SIGKILL)


def test_no_part_begins_when_the_time_is_over() -> None:
    found = gpu_bench("cpu", 0.01, small=True, parts={"machine": 1.0})
    assert [part.ended for part in found.parts] == ["no time was left"]


@pytest.mark.parametrize("name", PARTS)
def test_every_part_says_figures(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.startswith("int"):
        pytest.importorskip("torchao")
    if name.startswith("int4") and not torch.cuda.is_available():
        with pytest.raises(BadInput, match="int4 is for CUDA devices"):
            parts.main(name, "cpu", "1")
        return
    figures: list[Figure] = []
    monkeypatch.setattr(parts, "say", figures.append)
    monkeypatch.setattr(parts.Bench, "ways", lambda self: {"plain": {}})
    monkeypatch.setattr(parts, "_CONTEXT", 64)
    parts.main(name, "cpu", "1")
    assert len(figures) >= 2
    assert all(figure.value is not None and figure.value > 0 for figure in figures)
    if name == "agreement":
        assert [figure.share for figure in figures] == [1.0] * len(figures)


def test_what_fails_is_said_and_gives_back_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(parts, "say", figures.append)
    held: list[weakref.ref[torch.nn.Module]] = []

    def work(fails: bool) -> None:
        module = torch.nn.Module()
        module.register_buffer("itself", None)
        module.__dict__["itself"] = module  # a cycle, as a trainer is part of
        held.append(weakref.ref(module))
        if fails:
            raise torch.OutOfMemoryError("2 GB are missing\nand more")

    assert parts.attempt("a", partial(work, False))
    assert not parts.attempt("b", partial(work, True), 3)
    assert [one() for one in held] == [None, None]
    why = "b: OutOfMemoryError: 2 GB are missing"
    assert figures == [Figure(what=why, count=3, value=None, unit=None)]


def test_a_way_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(parts, "say", figures.append)
    monkeypatch.setattr(parts, "_CONTEXT", 64)

    def no_compiler(*_: Any) -> Any:
        raise RuntimeError("no C compiler")

    ways = {"plain": {}, "compiled": {"compiler": lambda function: no_compiler}}
    monkeypatch.setattr(parts.Bench, "ways", lambda self: ways)
    parts.main("sessions-135m", "cpu", "1")
    failed = "compiled: RuntimeError: no C compiler"
    opened = "plain, one session hearing 12 tokens"
    assert [(figure.what, figure.count) for figure in figures] == [
        (failed, 1), ("plain", 1), ("plain", 2), ("plain", 4), (opened, 4),
        ("plain, tokens chosen and read", 4),
    ]  # fmt: skip
    figures.clear()
    parts.main("passes-135m", "cpu", "1")
    assert [figure.what for figure in figures][-4:] == [*["plain"] * 3, failed]
    figures.clear()
    monkeypatch.setattr(parts, "shape_bench", no_compiler)
    parts.main("training-135m", "cpu", "1")
    assert [figure.what.split(",")[0] for figure in figures] == ["adapter", "all weights"]


def test_a_pass_reads_weights_of_few_bits_as_they_are_stored() -> None:
    model = parts.make_model("135m", torch.device("cpu"), True, torch.float32)
    plain = parts.read_bytes(StaticModel(model))
    more = 0
    for layer in model.model.layers:
        weight = layer.mlp.down_proj.weight.detach()
        layer.mlp.down_proj.weight = torch.nn.Parameter(TwoTensor(weight, weight.clone()))
        more += weight.nbytes
    assert parts.read_bytes(StaticModel(model)) == plain + more


def test_the_large_shapes_are_those_of_the_papers_model_and_the_embedded_one() -> None:
    from transformers import AutoModelForCausalLM

    counts = {}
    for shape in ("2.4b", "135m"):
        with torch.device("meta"):
            made = AutoModelForCausalLM.from_config(parts.config(shape, small=False))
        counts[shape] = round(made.num_parameters() / 1e6)
    assert counts == {"2.4b": 2725, "135m": 135}
