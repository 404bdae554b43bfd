"""Train a model or an adapter to decide, and write it: the whole of `duo train`."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from duo.backbone import Backbone, load, resolve_device, resolve_dtype
from duo.chatformat import style_template
from duo.decoding.check import keeps_samples_apart
from duo.errors import BadInput
from duo.files import read_json, read_result, sha256, write_result
from duo.model_folder import ADAPTER_WEIGHTS, TRAINING, agreed_style, save_style, trained_style
from duo.runs import (
    MANIFEST,
    RUN,
    Stopwatch,
    begun,
    check_same,
    claim,
    versions,
    write_manifest,
)
from duo.terminal import quiet
from duo.tokens import CONTROL_TOKENS, StateTokens
from duo.training.encode import Encoder
from duo.training.samples import Samples, read_split
from duo.training.settings import Moment, Training, TrainSettings
from duo.training.speed import begin_at, check_head, compile_layers, ease_frozen
from duo.training.trainer import SPEED, DuoTrainer, Parts, Plan, ShowProgress, turn_end
from duo.training.weights import base_name, last_blocks, save, trainable

#: The encoded samples of a run that is not finished.
ENCODED = "encoded"

#: Processes that put batches together while a GPU computes.
_WORKERS = 2
_SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


def train(
    *, settings: TrainSettings, model: str, data: Path, out: Path, start: Path | None = None
) -> Path:
    """Train, or go on with a run that was stopped.

    Args:
        model: what is trained; see `duo.backbone.load`.
        data: folder with `train.jsonl` and, if wanted, `validation.jsonl`.
        out: where the adapter or model goes, with its tokenizer, `training.json` and
            `manifest.json`; `checkpoints`, from which a later call goes on; TensorBoard's `logs`.
        start: folder of an adapter to begin with, in place of one that changes nothing yet.

    Raises:
        BadInput: bad data or settings, a finished run, or one begun otherwise.
    """
    watch = Stopwatch()
    if start is not None and not settings.lora_rank:
        raise BadInput("begins with an adapter: set lora_rank", field="--start")
    _check_launch(settings)
    identity = _identity(settings, model, start)
    _begin(out, identity, data)
    backbone = load(
        model, device="cpu", dtype="float32", chat=_style(settings, start), engine="torch"
    )
    encoder = encoder_for(backbone, settings)
    apart = not settings.packing or keeps_samples_apart(backbone.model)
    used = settings if apart else replace(settings, packing=False)
    identity["train_sha256"] = sha256(data / "train.jsonl")
    if (before := begun(out)) is not None:
        check_same(before, identity, file=out / RUN)
    adapted = trainable(backbone, settings, start)
    learning = read_split(data / "train.jsonl", encoder, settings, out / ENCODED / "train")
    validation = None
    if (data / "validation.jsonl").is_file():
        validation = read_split(
            data / "validation.jsonl", encoder, settings, out / ENCODED / "validation",
            settings.validation_limit, optional=True,
        )  # fmt: skip
    trainer = make_trainer(
        adapted, used, learning, validation, out,
        states=backbone.states, end=turn_end(backbone.chat),
    )  # fmt: skip
    parameters = _parameters(trainer.model)
    first = trainer.is_world_process_zero()
    if first:
        if too_long := learning.facts["too_long"]:
            print(
                f"left out: {too_long} of {too_long + len(learning)} "
                f"samples, whose last exchange alone is longer than {encoder.max_tokens} tokens",
                file=sys.stderr,
            )
        if not apart:
            print(
                f"packing: {type(backbone.model).__name__} lets samples of a row see each other, "
                "so rows are padded instead",
                file=sys.stderr,
            )
        claim(out, identity)
    last = _last_checkpoint(out)
    with quiet():
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    gathered = None
    if trainer.is_fsdp_enabled:  # every process gives its share
        gathered = trainer.accelerator.get_state_dict(trainer.model)
    trained = trainer.accelerator.unwrap_model(trainer.model)
    if first:
        style = backbone.chat.name
        if style != "template":
            backbone.tokenizer.chat_template = style_template(backbone.tokenizer, style)
        save(trained, backbone.tokenizer, out, settings.save_dtype, gathered)
        save_style(out, style)
        facts = {
            "train": learning.facts,
            "validation": {} if validation is None else validation.facts,
        }
        result = Training(
            settings=asdict(settings),
            model=base_name(model),
            start=identity["start"],
            steps=trainer.state.global_step,
            curve=tuple(_moment(line) for line in trainer.state.log_history),
            parameters=parameters,
            data=facts,
            versions=versions() | backbone.chat.shown_day,
        )
        write_result(out / TRAINING, result)
        write_manifest(
            out / MANIFEST,
            watch=watch,
            model=model,
            seed=settings.seed,
            recipe=settings.recipe,
            data=facts,
            parameters=parameters,
            packing=used.packing,
            tokens_per_second=[
                round(line[SPEED], 1) for line in trainer.state.log_history if SPEED in line
            ],
            processes=trainer.args.world_size,
        )
        shutil.rmtree(out / ENCODED)
    trainer.accelerator.wait_for_everyone()
    return out


def _parts(settings: TrainSettings) -> int:
    """Count the parts of a step, over all processes."""
    return settings.micro_batches * int(os.environ.get("WORLD_SIZE", "1"))


def encoder_for(backbone: Backbone, settings: TrainSettings) -> Encoder:
    """Make the encoder of samples for a model, which gets the control tokens of the recipe."""
    if names := CONTROL_TOKENS.get(settings.recipe):
        backbone.control(names)
    return Encoder(
        backbone.tokenizer,
        max_tokens=min(settings.max_tokens, backbone.max_tokens),
        chat=backbone.chat.name,
        answer_tokens=settings.answer_tokens,
        recipe=settings.recipe,
    )


def _check_launch(settings: TrainSettings) -> None:
    """Refuse to leave all GPUs but one idle for hours, or to let Trainer split rows over them.

    And to shard an adapter: PEFT's rows of single tokens and FSDP do not go together. And more
    parts than samples.
    """
    if settings.batch < (parts := _parts(settings)):
        raise BadInput(
            f"{settings.batch} samples cannot be split into {parts} parts", field="batch"
        )
    if settings.lora_rank and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        raise BadInput(
            "FSDP is for training all weights: set it to 0, or launch without FSDP",
            field="lora_rank",
        )
    gpus = torch.cuda.device_count()
    if gpus > 1 and "WORLD_SIZE" not in os.environ:
        raise BadInput(
            f"{gpus} GPUs and one process: begin with accelerate launch -m duo.cli train to use "
            "all, or name one in CUDA_VISIBLE_DEVICES"
        )


def _begin(out: Path, identity: Mapping[str, Any], data: Path) -> None:
    """Refuse a folder that holds a finished run, or one with other settings."""
    if not (data / "train.jsonl").is_file():
        raise BadInput("no such file", file=data / "train.jsonl")
    if (out / TRAINING).is_file() and (out / MANIFEST).is_file():
        raise BadInput("holds a finished run: choose another folder", file=out)
    if (before := begun(out)) is None:
        if out.is_dir() and any(out.glob("checkpoints/checkpoint-*")):
            raise BadInput(f"holds checkpoints but no {RUN}: choose another folder", file=out)
        return
    check_same({**before, "train_sha256": None}, identity, file=out / RUN)


def _identity(settings: TrainSettings, model: str, start: Path | None) -> dict[str, Any]:
    """List what makes a run; its training data are added when they have been read."""
    weights = None if start is None else start / ADAPTER_WEIGHTS
    if weights is not None and not weights.is_file():
        raise BadInput("no such file", file=weights)
    if start is not None and (trained := _recipe(start)) not in (None, settings.recipe):
        raise BadInput(f"is an adapter of the {trained} recipe, not {settings.recipe}", file=start)
    return {
        "settings": asdict(settings),
        "model": base_name(model),
        "start": weights and sha256(weights),
    }


def _style(settings: TrainSettings, start: Path | None) -> str | None:
    """Choose the chat format: the one asked for, that of the adapter to begin with, or none.

    Raises:
        BadInput: the adapter was trained in another than the one asked for.
    """
    asked = None if settings.chat == "auto" else settings.chat
    return asked if start is None else agreed_style(trained_style(start), asked, start)


def _recipe(adapter: Path) -> str | None:
    """Read the recipe that an adapter was trained by, if that stands beside it."""
    try:
        recipe = read_result(adapter / TRAINING, Training).settings.get("recipe")
    except BadInput:
        return None
    return None if recipe is None else str(recipe)


def _moment(line: Mapping[str, Any]) -> Moment:
    """Make a line of the curve of what Trainer logged, but for numbers that are not finite.

    Times and speeds are left out, too: the manifest has what differs from run to run.
    """
    finite = {
        name: value
        for name, value in line.items()
        if not name.endswith(("_runtime", "_per_second"))
        and (not isinstance(value, float) or math.isfinite(value))
    }
    return Moment(**finite)


def make_trainer(
    model: Any,
    settings: TrainSettings,
    learning: Samples,
    validation: Samples | None,
    out: Path,
    *,
    states: StateTokens,
    end: int,
) -> DuoTrainer:
    """Make what trains a model.

    Args:
        model: as `trainable` gives it, in float32; changed in place.
        end: id of the token that ends an answer.
    """
    from torch.utils.tensorboard import SummaryWriter
    from transformers import PrinterCallback, TrainingArguments
    from transformers.integrations import TensorBoardCallback

    made = Plan(
        learning.lengths,
        batch=settings.batch,
        parts=_parts(settings),
        steps=settings.steps,
        seed=settings.seed,
        packing=settings.packing,
    )
    judged = bool(validation)
    cuda = torch.cuda.is_available()
    if settings.loss_places:
        check_head(model)
    if settings.lora_rank:
        ease_frozen(model, half=in_half(settings.precision))
    if settings.lora_layers:
        begin_at(last_blocks(model, settings.lora_layers)[0][1])
    if settings.compile:
        compile_layers(model)
    with quiet():
        arguments = TrainingArguments(
            output_dir=str(out / "checkpoints"),
            max_steps=settings.steps,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=settings.micro_batches,
            learning_rate=settings.learning_rate,
            lr_scheduler_type=_SCHEDULES[settings.schedule],
            warmup_steps=settings.warmup_steps,
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.max_grad_norm,
            bf16=in_half(settings.precision),
            gradient_checkpointing=settings.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            eval_strategy="steps" if judged else "no",
            eval_steps=settings.validate_every,
            eval_on_start=judged and _last_checkpoint(out) is None,
            save_strategy="steps",
            save_steps=settings.save_every,
            save_total_limit=2,
            logging_steps=settings.log_every,
            logging_first_step=True,
            logging_nan_inf_filter=False,  # which would stop to look at each part's loss
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=not cuda,
            seed=settings.seed,
            data_seed=settings.seed,
            ddp_find_unused_parameters=False,
            dataloader_pin_memory=cuda,
            dataloader_num_workers=_WORKERS if cuda else 0,
            accelerator_config={"non_blocking": cuda},
            label_names=[],
        )
        trainer = DuoTrainer(
            model=model,
            args=arguments,
            train_dataset=Parts(learning, made, settings),
            eval_dataset=validation if judged else None,
            settings=settings,
            states=states,
            end=end,
            validation=validation,
        )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(ShowProgress())
    if trainer.is_world_process_zero():
        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(out / "logs"))))
    return trainer


def in_half(precision: str) -> bool:
    """Tell whether a run of this precision computes in bfloat16.

    With "auto" it does where the device has hardware of its own for its products.
    """
    if precision != "auto":
        return precision == "bfloat16"
    device = resolve_device("auto")
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return resolve_dtype("auto", device) == torch.bfloat16


def _last_checkpoint(out: Path) -> Path | None:
    """Find the latest checkpoint that was written to its end: its state is written last."""
    whole = []
    for folder in out.glob("checkpoints/checkpoint-*"):
        try:
            steps = read_json(folder / "trainer_state.json", finite=False)["global_step"]
        except (BadInput, KeyError, TypeError):
            continue
        whole.append((steps, folder))
    return max(whole)[1] if whole else None


def _parameters(model: Any) -> dict[str, int]:
    counts = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return {
        "all": sum(count for count, _ in counts),
        "trained": sum(count for count, trained in counts if trained),
    }
