"""Measure what training costs, beside TRL on the same samples: `duo bench train`.

The ways of training are timed in turns, each on the same samples in the same order. Share of the
limit: the floating point operations of our own passes on these samples, as torch counts them, over
the time and over what the device does in a large matrix product. So what a way computes needlessly
lowers its share.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from duo.files import Record, Result
from duo.table import Table
from duo.terminal import progress
from duo.training.settings import TrainSettings
from evaluation.decode_bench.results import Count, Positive, Spread, spread

if TYPE_CHECKING:
    from duo.training.samples import Samples

#: Rows of the matrices whose product is the limit, by device.
_SIZE = {"cpu": 2048}
_LARGE_SIZE = 8192
#: One in so many places of random samples is learned.
_LEARNED = 4


class TrainCost(Record):
    """What a way of training costs.

    Attributes:
        samples_per_second, tokens_per_second: padding is not counted.
        share_of_limit: see the module.
        waiting: share of the time from the end of a step to the beginning of the next one, in which
            batches are put together.
        against_first: the rate as a multiple of the first way's, which learns the same.
    """

    samples_per_second: Spread
    tokens_per_second: Spread
    share_of_limit: Spread
    waiting: Spread
    against_first: Spread | None = None


class TrainBench(Result):
    """The JSON of `duo bench train`.

    Attributes:
        settings: those that the bench trains with.
        tokens: of these steps, padding not counted.
        operations_per_second: of a large matrix product in the number format of training.
    """

    kind: Literal["train-bench"] = "train-bench"
    model: str
    device: str
    precision: str
    threads: Count
    settings: dict[str, Any]
    rounds: Count
    steps: Annotated[int, Field(ge=1)]
    tokens: Count
    operations_per_second: Positive
    ways: dict[str, TrainCost]
    versions: dict[str, str] = Field(default={})


def train_tables(found: TrainBench) -> list[Table]:
    """Tabulate speed."""
    names = ("samples/s", "tokens/s", "share of the limit", "waiting for data")
    return [
        Table(
            f"Training {found.model} on {found.device}, {found.precision}",
            ["way", *names, "times the first"],
            [
                (
                    name, one.samples_per_second.cell, one.tokens_per_second.cell,
                    one.share_of_limit.cell, one.waiting.cell,
                    None if one.against_first is None else one.against_first.cell,
                )
                for name, one in found.ways.items()
            ],
            [
                f"Medians of {found.rounds} rounds of {found.steps} steps, in turns; least and "
                f"greatest in brackets. The limit, {found.operations_per_second / 1e12:.2f} "
                "TFLOP/s, is that of a large matrix product."
            ],
        )
    ]  # fmt: skip


def train_bench(
    model: str,
    data: Path | None,
    settings: TrainSettings,
    *,
    rounds: int,
    steps: int,
    chat: str | None = None,
) -> TrainBench:
    """Measure the training of a model.

    Args:
        data: folder with `train.jsonl`; None for random samples of `settings.max_tokens`.
        settings: of the training; `steps` and what has to do with saving and judging is not heeded.
        steps: of a round, the first of which is not timed.
        chat: chat format, see `duo.backbone.load`; None for that of `settings`.

    Raises:
        BadInput: the model or the data cannot be used.
    """
    from duo.backbone import load
    from duo.training.samples import read_split
    from duo.training.train import encoder_for
    from duo.training.trainer import turn_end
    from duo.training.weights import trainable

    wanted = chat or (None if settings.chat == "auto" else settings.chat)
    backbone = load(model, device="cpu", dtype="float32", engine="torch", chat=wanted)
    with TemporaryDirectory() as folder:
        if data is None:
            samples = random_samples(Path(folder) / "samples", backbone.states, settings, steps)
        else:
            encoder = encoder_for(backbone, settings)
            samples = read_split(data / "train.jsonl", encoder, settings, Path(folder) / "samples")
        plain = replace(settings, inside="none", answers="words")

        def fresh(used: TrainSettings) -> Any:
            return trainable(replace(backbone, model=deepcopy(backbone.model)), used)

        ours = partial(_ours, states=backbone.states, end=turn_end(backbone.chat))
        ways = {"duo": ours(fresh(plain), plain, samples, Path(folder) / "duo", steps)}
        name, beside = _beside(
            deepcopy(backbone.model),
            backbone.tokenizer,
            plain,
            samples,
            Path(folder) / "beside",
            steps,
        )
        ways[name] = beside
        if settings != plain:
            own = ours(fresh(settings), settings, samples, Path(folder) / "own", steps)
            ways["duo, these settings"] = own
        return measure(ways, model=model, settings=settings, rounds=rounds, steps=steps)


def shape_bench(
    config: Any, settings: TrainSettings, *, seconds: float, steps: int = 4, name: str = ""
) -> TrainBench:
    """Measure the training of a model of random weights on random samples, our way alone.

    Args:
        config: of `transformers`; the weights are made where `duo train` computes.
        seconds: after which no further round begins; there is one at least.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from duo.backbone import Backbone, resolve_device
    from duo.tokens import StateTokens
    from duo.training.weights import trainable

    until = time.monotonic() + seconds
    settings = replace(settings, state_rows="mean", inside="none", answers="words")
    with torch.device(resolve_device("auto")):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    last = int(config.vocab_size) - 1
    states = StateTokens(respond=last - 2, ignore=last - 1, idle=last)
    backbone: Any = Backbone(model, None, name, states, None)  # type: ignore[arg-type]
    with TemporaryDirectory() as folder:
        samples = random_samples(Path(folder) / "samples", states, settings, steps)
        way = _ours(trainable(backbone, settings), settings, samples, Path(folder) / "duo", steps,
                    states=states, end=0)  # fmt: skip
        return measure({"duo": way}, model=name, settings=settings, steps=steps, until=until)


def random_samples(folder: Path, states: Any, settings: TrainSettings, steps: int) -> Samples:
    """Make samples of `max_tokens` random tokens, which cost what real ones of that length do."""
    import numpy as np

    from duo.training.encode import Target
    from duo.training.samples import write_samples

    draw = np.random.default_rng(0)
    places = np.arange(0, settings.max_tokens - 1, _LEARNED)

    def rows() -> Any:
        for _ in range(settings.batch * steps):
            ids = draw.integers(0, states.respond, settings.max_tokens)
            kinds = np.full(len(places), Target.OUTPUT)
            yield ids, np.stack([places, ids[places + 1], kinds], axis=1)

    return write_samples(folder, rows(), {})


class _Way:
    """A trainer that can be run again and again.

    Attributes:
        tokens: of the samples of a round's timed steps.
        operations: floating point operations of those, if they are counted.
    """

    def __init__(self, trainer: Any, tokens: int, operations: float | None = None) -> None:
        from transformers import TrainerCallback

        from evaluation.decode_bench.machine import settle

        self.trainer, self.tokens, self.operations = trainer, tokens, operations
        way = self

        class Clock(TrainerCallback):
            def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
                way.begun.append(time.perf_counter())

            def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
                if state.global_step in (1, args.max_steps):
                    settle(args.device)
                way.ended.append(time.perf_counter())

        trainer.args.save_strategy = "no"
        trainer.add_callback(Clock())
        self.begun: list[float] = []
        self.ended: list[float] = []

    def run(self) -> tuple[float, float]:
        """Train once; return seconds of all steps but the first, and of these between steps."""
        from duo.terminal import quiet

        self.begun, self.ended = [], []
        with quiet():
            self.trainer.train()
        gaps = (begun - ended for begun, ended in zip(self.begun[1:], self.ended, strict=False))
        return self.ended[-1] - self.ended[0], sum(gaps)


def _ours(
    model: Any,
    settings: TrainSettings,
    samples: Samples,
    out: Path,
    steps: int,
    *,
    states: Any,
    end: int,
) -> _Way:
    from torch.utils.flop_counter import FlopCounterMode

    from duo.terminal import quiet
    from duo.training.speed import compile_layers
    from duo.training.train import make_trainer
    from duo.training.trainer import ShowProgress

    plain = replace(settings, steps=steps, log_every=steps, compile=False)
    trainer = make_trainer(model, plain, samples, None, out, states=states, end=end)
    trainer.remove_callback(ShowProgress)
    parts: Any = trainer.train_dataset
    per_step = len(parts) // steps
    operations = 0.0
    model.to(trainer.args.device).train()
    for number in range(per_step, len(parts)):
        counter = FlopCounterMode(display=False)
        inputs = trainer._prepare_inputs(parts[number])
        with quiet(), counter, trainer.accelerator.autocast():
            trainer.compute_loss(model, inputs).backward()
        operations += counter.get_total_flops()
    model.zero_grad()
    if settings.compile:  # only now: what runs first under a counter, torch never compiles
        compile_layers(model)
    chosen = [n for step in range(1, steps) for part in parts.plan[step] for n in part]
    return _Way(trainer, int(samples.lengths[chosen].sum()), operations)


def _beside(
    model: Any, tokenizer: Any, settings: TrainSettings, samples: Samples, out: Path, steps: int
) -> tuple[str, _Way]:
    """Make TRL's trainer, or transformers' where TRL is not installed, for the same samples.

    It learns with the same settings, from the same batches, each cut in parts in its order; but an
    adapter has no rows of the state tokens, behind which TRL does not find the output head.
    """
    import torch
    from datasets import Dataset  # type: ignore[import-untyped]
    from peft import LoraConfig, get_peft_model
    from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments

    from duo.terminal import quiet
    from duo.tokens import RESPOND
    from duo.training.encode import NOT_LEARNED
    from duo.training.train import in_half
    from duo.training.trainer import Plan
    from duo.training.weights import adapter_layers

    plan = Plan(samples.lengths, batch=settings.batch, parts=1, steps=steps, seed=settings.seed,
                packing=True)  # fmt: skip
    chosen = [number for step in range(steps) for part in plan[step] for number in part]
    rows = []
    for number in chosen:
        made = samples.batch([number], inside=False)
        labels = [NOT_LEARNED] * int(samples.lengths[number])
        for place, following in zip(made["where"].tolist(), made["target"].tolist(), strict=True):
            labels[place + 1] = following
        rows.append({"input_ids": made["input_ids"][0].tolist(), "labels": labels})
    size = settings.batch // settings.micro_batches
    common: dict[str, Any] = {
        "output_dir": str(out), "max_steps": steps, "per_device_train_batch_size": size,
        "gradient_accumulation_steps": settings.micro_batches, "bf16": in_half(settings.precision),
        "learning_rate": settings.learning_rate, "max_grad_norm": settings.max_grad_norm,
        "gradient_checkpointing": settings.gradient_checkpointing, "report_to": [],
        "disable_tqdm": True, "logging_steps": steps, "train_sampling_strategy": "sequential",
        "use_cpu": not torch.cuda.is_available(), "seed": settings.seed, "save_strategy": "no",
    }  # fmt: skip
    data = Dataset.from_list(rows)
    if settings.lora_rank:
        config = LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules=adapter_layers(model, settings.lora_targets),
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(model, config)
    tokenizer = deepcopy(tokenizer)
    tokenizer.pad_token = tokenizer.pad_token or RESPOND  # any will do: it is not learned
    model.train()
    tokens = int(samples.lengths[chosen[settings.batch :]].sum())
    with quiet():
        try:
            trl = import_module("trl")
        except ImportError:
            collator = DataCollatorForTokenClassification(tokenizer, label_pad_token_id=NOT_LEARNED)
            trainer = Trainer(model=model, args=TrainingArguments(**common), train_dataset=data,
                              data_collator=collator)  # fmt: skip
            return "transformers Trainer", _Way(trainer, tokens)
        arguments = trl.SFTConfig(**common, max_length=None)
        trainer = trl.SFTTrainer(
            model=model, args=arguments, train_dataset=data, processing_class=tokenizer
        )
    return f"TRL {metadata.version('trl')}", _Way(trainer, tokens)


def measure(
    ways: Mapping[str, _Way],
    *,
    model: str,
    settings: TrainSettings,
    steps: int,
    rounds: int = 1000,
    until: float = math.inf,
) -> TrainBench:
    """Run ways of training in turns; the first two learn the same.

    Args:
        until: time of `time.monotonic` after which no round begins but the first.
    """
    import torch

    from duo.runs import versions
    from duo.training.train import in_half
    from evaluation.decode_bench.machine import product_rate

    first, *others = ways
    device = ways[first].trainer.args.device
    dtype = torch.bfloat16 if in_half(settings.precision) else torch.float32
    limit = product_rate(device, dtype, _SIZE.get(device.type, _LARGE_SIZE))
    done: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with progress("measuring", rounds if until == math.inf else None) as bar:
        for number in range(rounds):
            if number and time.monotonic() > until:
                break
            for name, way in ways.items():
                done[name].append(way.run())
            bar.update(done=number + 1)
    same = ways[first].operations or 0.0
    found = {}
    for name, way in ways.items():
        operations = same if way.operations is None else way.operations
        rates = [way.tokens / seconds for seconds, _ in done[name]]
        found[name] = TrainCost(
            samples_per_second=spread([settings.batch * (steps - 1) / s for s, _ in done[name]]),
            tokens_per_second=spread(rates),
            share_of_limit=spread([operations / s / limit for s, _ in done[name]]),
            waiting=spread([gaps / s for s, gaps in done[name]]),
            against_first=spread(
                [first_s / s for (first_s, _), (s, _) in zip(done[first], done[name], strict=True)]
            ) if name in others else None,
        )  # fmt: skip
    return TrainBench(
        model=model,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        precision=str(dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        settings=asdict(settings),
        rounds=len(done[first]),
        steps=steps,
        tokens=ways[first].tokens,
        operations_per_second=limit,
        ways=found,
        versions=versions(),
    )
