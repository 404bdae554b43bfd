"""`duo train`: from samples to a model or an adapter that decides."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from duo.backbone import Backbone, load, resolve_device, resolve_dtype
from duo.errors import BadInput
from duo.files import check_writable, sha256, write_text
from duo.runs import Stopwatch, write_manifest
from duo.terminal import quiet
from duo.training.encode import Encoder
from duo.training.plan import plan
from duo.training.read import Split, read_split
from duo.training.settings import TrainSettings, differing
from duo.training.weights import ADAPTER_WEIGHTS, base_name, save, trainable

#: Says what a folder was begun as; written before the first step.
RUN = "run.json"
#: Settings and curve of a finished run.
RESULT = "training.json"


def train(
    *, settings: TrainSettings, model: str, data: Path, out: Path, start: Path | None = None
) -> Path:
    """Train, or go on with a run that was stopped.

    Args:
        settings: of the run.
        model: what is trained; see `duo.backbone.load`.
        data: folder with `train.jsonl` and, if wanted, `validation.jsonl`.
        out: where the adapter or model goes, with its tokenizer, `training.json` and
            `manifest.json`; `checkpoints`, from which a later call goes on; TensorBoard's `logs`.
        start: folder of an adapter to begin with, in place of one that changes nothing yet.

    Returns:
        `out`.

    Raises:
        BadInput: bad data or settings, a finished run, or one begun otherwise.
    """
    watch = Stopwatch()
    if start is not None and not settings.lora_rank:
        raise BadInput("begins with an adapter: set lora_rank", field="--start")
    _check_launch(settings)
    begun_as = _identity(settings, model, start)
    _begin(out, settings, begun_as, data)
    backbone = load(model, device="cpu", dtype="float32", chat=settings.chat)
    longest = min(settings.max_tokens, backbone.max_tokens)
    encoder = Encoder(
        backbone.tokenizer,
        max_tokens=longest,
        chat=settings.chat,
        answer_tokens=settings.answer_tokens,
    )
    learning = read_split(data / "train.jsonl", encoder, settings)
    validation = Split()
    if (data / "validation.jsonl").is_file():
        validation = read_split(
            data / "validation.jsonl", encoder, settings, settings.validation_limit, optional=True
        )
    trainer = _trainer(backbone, settings, learning, validation, out, start)
    parameters = _parameters(trainer.model)
    first = trainer.is_world_process_zero()
    if first:
        if learning.too_long:
            print(
                f"left out: {learning.too_long} of {learning.too_long + len(learning.samples)} "
                f"samples, whose last exchange alone is longer than {longest} tokens",
                file=sys.stderr,
            )
        begun_as["train_sha256"] = learning.sha256
        write_text(out / RUN, json.dumps(begun_as, indent=2) + "\n")
    before = _last_checkpoint(out)
    with quiet():
        trainer.train(resume_from_checkpoint=str(before) if before else None)
    gathered = None
    if trainer.is_fsdp_enabled:  # every process gives its share
        gathered = trainer.accelerator.get_state_dict(trainer.model)
    trained = trainer.accelerator.unwrap_model(trainer.model)
    if first:
        save(trained, backbone.tokenizer, out, settings.save_dtype, gathered)
        result = {
            "settings": asdict(settings),
            "model": base_name(model),
            "start": begun_as["start"],
            "steps": trainer.state.global_step,
            "curve": trainer.state.log_history,
        }
        write_text(out / RESULT, json.dumps(result, indent=2) + "\n")
        write_manifest(
            out / "manifest.json",
            watch=watch,
            model=model,
            seed=settings.seed,
            recipe=settings.recipe,
            data={"train": learning.facts, "validation": validation.facts},
            parameters=parameters,
            processes=trainer.args.world_size,
        )
    trainer.accelerator.wait_for_everyone()
    return out


def _check_launch(settings: TrainSettings) -> None:
    """Refuse to leave all GPUs but one idle for hours, or to let Trainer split rows over them.

    And to shard an adapter: PEFT's rows of single tokens and FSDP do not go together.
    """
    import torch

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


def _begin(out: Path, settings: TrainSettings, begun_as: Mapping[str, Any], data: Path) -> None:
    """Refuse a folder that holds something else than this run."""
    if not (data / "train.jsonl").is_file():
        raise BadInput("no such file", file=data / "train.jsonl")
    if (out / RESULT).is_file() and (out / "manifest.json").is_file():
        raise BadInput("holds a finished run: choose another folder", file=out)
    if not (out / RUN).is_file():
        if out.is_dir() and any(out.glob("checkpoints/checkpoint-*")):
            raise BadInput(f"holds checkpoints but no {RUN}: choose another folder", file=out)
        return
    try:
        begun = json.loads((out / RUN).read_text("utf-8"))
        was, recipe = begun["settings"], begun["settings"]["recipe"]
    except (ValueError, KeyError, TypeError):
        raise BadInput("is not what duo train writes", file=out / RUN) from None
    if recipe != settings.recipe:
        raise BadInput(
            f"holds a checkpoint of the {recipe} recipe, not {settings.recipe}: choose another "
            "folder",
            file=out,
        )
    if names := differing(settings, was):
        raise BadInput(
            f"was begun with another {', '.join(names)}: choose another folder", file=out
        )
    if begun.get("model") != begun_as["model"]:
        raise BadInput(f"was begun with the model {begun.get('model')}", file=out)
    if begun.get("start") != begun_as["start"]:
        raise BadInput("was begun with another adapter to start from, or none", file=out)


def _identity(settings: TrainSettings, model: str, start: Path | None) -> dict[str, Any]:
    """What a run is; its training data are added when they have been read."""
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


def _recipe(adapter: Path) -> str | None:
    """The recipe that an adapter was trained by, if that stands beside it."""
    try:
        return str(json.loads((adapter / RESULT).read_text("utf-8"))["settings"]["recipe"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _trainer(
    backbone: Backbone,
    settings: TrainSettings,
    learning: Split,
    validation: Split,
    out: Path,
    start: Path | None,
) -> Any:
    import torch
    from torch.utils.tensorboard import SummaryWriter
    from transformers import PrinterCallback, TrainingArguments
    from transformers.integrations import TensorBoardCallback

    from duo.training.progress import ShowProgress
    from duo.training.trainer import DuoTrainer, Parts

    if (out / RUN).is_file():
        begun = json.loads((out / RUN).read_text("utf-8"))
        if begun.get("train_sha256") != learning.sha256:
            raise BadInput("was begun with other training data: choose another folder", file=out)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    parts = settings.micro_batches * processes
    made = plan(
        [len(sample) for sample in learning.samples],
        batch=settings.batch,
        parts=parts,
        steps=settings.steps,
        seed=settings.seed,
        packing=settings.packing,
    )
    model = trainable(backbone, settings, start)
    cuda = torch.cuda.is_available()
    half = settings.precision == "bfloat16" or (
        settings.precision == "auto"
        and resolve_dtype("auto", resolve_device("auto")) == torch.bfloat16
    )
    check_writable(out)
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
            bf16=half,
            gradient_checkpointing=settings.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            eval_strategy="steps" if validation.samples else "no",
            eval_steps=settings.validate_every,
            eval_on_start=bool(validation.samples) and _last_checkpoint(out) is None,
            save_strategy="steps",
            save_steps=settings.save_every,
            save_total_limit=2,
            logging_steps=settings.log_every,
            logging_first_step=True,
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=not cuda,
            seed=settings.seed,
            data_seed=settings.seed,
            ddp_find_unused_parameters=False,
            dataloader_pin_memory=cuda,
            label_names=[],
        )
        trainer = DuoTrainer(
            model=model,
            args=arguments,
            train_dataset=Parts(learning.samples, made, parts, backbone.states, settings),
            eval_dataset=validation.samples or None,
            settings=settings,
            states=backbone.states,
            chat=backbone.chat,
            validation=validation.samples,
        )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(ShowProgress())
    if trainer.is_world_process_zero():
        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(out / "logs"))))
    return trainer


_SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


def _last_checkpoint(out: Path) -> Path | None:
    """The latest checkpoint that was written to its end: its state is what is written last."""
    whole = []
    for folder in out.glob("checkpoints/checkpoint-*"):
        try:
            steps = json.loads((folder / "trainer_state.json").read_text("utf-8"))["global_step"]
        except (OSError, ValueError, KeyError):
            continue
        whole.append((steps, folder))
    return max(whole)[1] if whole else None


def _parameters(model: Any) -> dict[str, int]:
    counts = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return {
        "all": sum(count for count, _ in counts),
        "trained": sum(count for count, trained in counts if trained),
    }
