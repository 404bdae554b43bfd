"""Measure a model in llama.cpp beside torch, and beside what llama.cpp does alone.

Rounds are interleaved as in `evaluation.decode_bench.bench`, whose conversation this is: what is
compared is compared within a round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

import numpy as np
import torch

from duo.backbone import Backbone, load
from duo.decoding.systems import channels_for, load_monitor
from duo.errors import BadInput
from duo.gguf_model import is_gguf
from duo.quantising import stored_bytes
from duo.runs import versions
from duo.table import Column, Table
from duo.terminal import progress
from evaluation.decode_bench.bench import Plan, alone, make_scripts, ready
from evaluation.decode_bench.drive import Script, Steering, drive, responses
from evaluation.decode_bench.results import (
    EngineBench,
    EngineCost,
    Spread,
    median_of,
    megabytes,
    spread,
)

_BARE = "llama.cpp alone"
#: Tokens of the prompt that is timed.
_PROMPT = 120


def engine_bench(
    model: str, plan: Plan, *, monitor: str | None = None, **load_settings: Any
) -> EngineBench:
    """Load a model in llama.cpp and, if it is no GGUF file, in torch, and measure both.

    Rounds and tokens are those of the plan. A `monitor` decides in its place in a further run.

    Raises:
        BadInput: of the plan or the model.
    """
    plan.check()
    backbones = {"duo, llama.cpp": load(model, **load_settings)}
    if not is_gguf(model):
        backbones["duo, torch"] = load(model, **{**load_settings, "engine": "torch"})
    total = plan.rounds * (1 + len(backbones) + (monitor is not None))
    with progress(total=total) as bar:
        return measure_engines(
            backbones, plan, lambda name: bar.update(what=name), bar.advance, monitor
        )


def measure_engines(
    backbones: Mapping[str, Backbone],
    plan: Plan,
    begins: Callable[[str], None] = lambda name: None,
    ends: Callable[[], None] = lambda: None,
    monitor: str | None = None,
) -> EngineBench:
    """Measure backbones of the same model by name, the first of which is llama.cpp's."""
    first = next(iter(backbones.values()))
    if first.engine != "llama":
        raise BadInput("the first backbone is not llama.cpp's", field="engine")
    talk, quiet = make_scripts(first, plan)
    given = list(backbones)
    if monitor is not None:
        backbones = {**backbones, f"duo, llama.cpp, {monitor} decides": first}
    names = [_BARE, *backbones]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(plan.rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            begins(name)
            if number == 0:  # first runs are slow: memory is allocated, kernels are chosen
                talk_now, quiet_now = (replace(one, seconds=8.0) for one in (talk, quiet))
            else:
                talk_now, quiet_now = talk, quiet
            if name == _BARE:
                one = bare(first, plan.tokens if number else 2)
            else:
                its = None if name in given else monitor
                one = _both(backbones[name], talk_now, quiet_now, its, whole=number > 0)
            if number:
                found[name].append(one)
                ends()
    return EngineBench(
        model=first.name,
        threads=first.model.threads,
        tried=first.model.tried,
        torch_threads=torch.get_num_threads(),
        rounds=plan.rounds,
        tokens=plan.tokens,
        versions=versions(),
        engines={name: _cost(rounds, found[_BARE]) for name, rounds in found.items()},
    )


def bare(backbone: Backbone, tokens: int) -> dict[str, float]:
    """Time a prompt, a greedy answer to it, and two such side by side, in llama.cpp alone.

    Nothing is ours but that the greatest of the scores is chosen.
    """
    model = backbone.model
    api, made = model.api, model.context(1024, 1)
    context = made.pointer

    def likeliest(place: int) -> int:
        scores = api.llama_get_logits_ith(context, place)
        return int(np.ctypeslib.as_array(scores, (model.vocabulary,)).argmax())

    ids = _prompt(backbone)
    array = (api.llama_token * len(ids))(*ids)
    began = time.perf_counter()
    api.llama_decode(context, api.llama_batch_get_one(array, len(ids)))
    one = (api.llama_token * 1)(likeliest(-1))
    prefilled = time.perf_counter()
    for _ in range(tokens):
        api.llama_decode(context, api.llama_batch_get_one(one, 1))
        one[0] = likeliest(-1)
    done = time.perf_counter()

    api.llama_memory_seq_cp(made.memory, 0, 1, -1, -1)
    batch = api.llama_batch_init(2, 0, 1)
    try:
        batch.n_tokens = 2
        for row in (0, 1):
            batch.token[row], batch.n_seq_id[row], batch.logits[row] = one[0], 1, 1
            batch.seq_id[row][0] = row
        second = time.perf_counter()
        for step in range(tokens):
            for row in (0, 1):
                batch.pos[row] = len(ids) + tokens + step
            api.llama_decode(context, batch)
            for row in (0, 1):
                batch.token[row] = likeliest(row)
        both = time.perf_counter() - second
    finally:
        api.llama_batch_free(batch)
    return {
        "alone": tokens / (done - prefilled),
        "listening": tokens / both,
        "prefill": len(ids) / (prefilled - began),
        "weight_bytes": _weight_bytes(backbone),
        "cache_bytes": 1024 * model.token_bytes,
    }


def _both(
    backbone: Backbone, talk: Script, quiet: Script, monitor: str | None, *, whole: bool
) -> dict[str, float]:
    """Time a prompt and both conversations with `duo`."""
    hears = load_monitor(monitor, backbone.engine) if monitor else None
    steering, settings = Steering(backbone, hears), {"monitor": monitor} if monitor else {}
    channels = channels_for("duo", backbone.model)(backbone.model)
    ids = _prompt(backbone)
    channels.extend_prefix(ids)
    channels.speaking = True
    began = time.perf_counter()
    channels.encode()
    prefill = len(ids) / (time.perf_counter() - began)
    runs = [drive(ready(backbone, "duo", **settings), script, steering) for script in (quiet, talk)]
    if not whole:
        return {}
    tokens, seconds = alone(runs[0])
    over = runs[1].over_the_answer
    came = [response for response in responses(runs[1]) if response is not None]
    decided = [one.seconds_after_decision for one in came if one.seconds_after_decision is not None]
    return {
        "alone": tokens / seconds,
        "listening": sum(c.spoken for c in over) / sum(c.seconds for c in over),
        "prefill": prefill,
        "first_token": mean(one.seconds for one in came),
        "after_decision": mean(decided),
        "weight_bytes": _weight_bytes(backbone),
        "cache_bytes": max(run.cache_bytes for run in runs),
    }


def _prompt(backbone: Backbone) -> list[int]:
    text = "Could you explain to me how the tides of the sea come about? " * _PROMPT
    return [*backbone.chat.preamble, *backbone.chat.text(text)][:_PROMPT]


def _weight_bytes(backbone: Backbone) -> int:
    if backbone.engine == "llama":
        return int(backbone.model.api.llama_model_size(backbone.model.weights.pointer))
    return stored_bytes(backbone.model.parameters())


def _cost(rounds: Sequence[dict[str, float]], bare: Sequence[dict[str, float]]) -> EngineCost:
    def of(name: str) -> Spread | None:
        return spread([one[name] for one in rounds]) if name in rounds[0] else None

    def share(name: str) -> Spread:
        return spread([one[name] / other[name] for one, other in zip(rounds, bare, strict=True)])

    return EngineCost(
        alone=spread([one["alone"] for one in rounds]),
        prefill=spread([one["prefill"] for one in rounds]),
        listening=spread([one["listening"] for one in rounds]),
        first_token=of("first_token"),
        after_decision=of("after_decision"),
        weight_bytes=int(rounds[0]["weight_bytes"]),
        cache_bytes=int(max(one["cache_bytes"] for one in rounds)),
        against_bare=share("alone"),
        listening_against_bare=share("listening"),
    )


def engine_tables(found: EngineBench) -> list[Table]:
    """Tabulate the engines."""
    tried = ", ".join(f"{count}: {1 / took:.1f}" for count, took in found.tried.items())
    return [
        Table(
            f"Engines ({found.model})",
            [
                "engine", *(Column(name, "number", ".1f") for name in ("alone", "listening")),
                Column("of llama.cpp's alone", "number", ".2f"),
                Column("of its listening", "number", ".2f"), Column("prefill", "number", ".0f"),
                Column("first token, s", "number", ".2f"),
                Column("after decision, s", "number", ".2f"),
                Column("weights", "number", megabytes), Column("cache", "number", megabytes),
            ],
            [
                (name, one.alone.median, median_of(one.listening),
                 one.against_bare.cell,
                 None if one.listening_against_bare is None else one.listening_against_bare.cell,
                 one.prefill.median,
                 median_of(one.first_token), median_of(one.after_decision),
                 one.weight_bytes, one.cache_bytes)
                for name, one in found.engines.items()
            ],
            [
                "Tokens a second: of the answer alone, of the answer while the user is heard over "
                "it, and of a prompt. Medians of interleaved rounds. In place of listening "
                "llama.cpp alone gives two answers side by side. "
                "First token: seconds of computing from the last word of a question on, most of "
                "which pass while the user is waited for, and after the decision to answer. "
                f"llama.cpp computes with {found.threads} thread(s)"
                + (f" (tokens a second when tried: {tried})" if tried else "")
                + f", torch with {found.torch_threads}.",
            ],
        )
    ]  # fmt: skip
