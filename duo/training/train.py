"""Train a model or an adapter to decide, and write it: the whole of `duo train`."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from duo.backbone import Backbone, load, resolve_device, resolve_dtype, save_style, trained_style
from duo.chatformat import style_template
from duo.decoding.check import keeps_samples_apart
from duo.errors import BadInput
from duo.files import read_json, read_result, sha256, whole_file, write_result
from duo.fusion import NAME, Kind, add_fusion
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
from duo.tokens import CONTROL_TOKENS, StateTokens, trainable_rows
from duo.training.encode import Encoder
from duo.training.samples import Samples, read_split
from duo.training.settings import Moment, Training, TrainSettings
from duo.training.speed import begin_at, blocks, compile_layers, ease_frozen
from duo.training.trainer import SPEED, DuoTrainer, Parts, Plan, ShowProgress, turn_end

#: Settings and curve of a finished run.
RESULT = "training.json"
#: The encoded samples of a run that is not finished.
ENCODED = "encoded"
#: Name of an adapter's weights, as peft writes them.
ADAPTER_WEIGHTS = "adapter_model.safetensors"

#: Parts of the names that linear layers have in the architectures of `transformers`.
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "c_attn", "query_key_value")
_MLP = ("gate_proj", "up_proj", "down_proj", "gate_up_proj", "fc1", "fc2", "c_fc")
#: Processes that put batches together while a GPU computes.
_WORKERS = 2
_SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


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
        write_result(out / RESULT, result)
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
    if (out / RESULT).is_file() and (out / MANIFEST).is_file():
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
    form = None if start is None else trained_style(start)
    if form is not None and asked not in (None, form):
        raise BadInput(f"was trained in the {form} form, not {asked}", file=start, field="chat")
    return asked or form


def _recipe(adapter: Path) -> str | None:
    """Read the recipe that an adapter was trained by, if that stands beside it."""
    try:
        recipe = read_result(adapter / RESULT, Training).settings.get("recipe")
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
        settings: of the run.
        learning, validation: samples.
        out: folder of the run.
        states: ids of the state tokens.
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
    if settings.lora_rank:
        ease_frozen(model, half=in_half(settings.precision))
    if settings.lora_layers:
        begin_at(_last_blocks(model, settings.lora_layers)[0][1])
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


def trainable(backbone: Backbone, settings: TrainSettings, start: Path | None = None) -> Any:
    """Choose which weights of a model are trained, and freeze the others.

    With `lora_rank` it is a PEFT model: low-rank adapters beside the linear layers, and the state
    tokens' rows of the embedding (and of the output head where that is a matrix of its own).

    Args:
        backbone: the base model.
        settings: of the run.
        start: folder of an adapter of this model to begin with.

    Raises:
        BadInput: the architecture has no linear layers of the kind asked for, or `start` holds no
            adapter like the one that is to be trained.
    """
    model = backbone.model
    if settings.state_rows == "turn_end" and settings.recipe == "duo":
        _begin_as_turn_end(backbone)
    if not settings.lora_rank:
        return model.requires_grad_(True)
    from peft import LoraConfig, get_peft_model

    if fused := settings.recipe.startswith("lslm"):
        add_fusion(model, cast(Kind, settings.recipe.removeprefix("lslm-")))
    config = LoraConfig(
        modules_to_save=[NAME] if fused else None,
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=adapter_layers(model, settings.lora_targets, settings.lora_layers),
        trainable_token_indices=trainable_rows(model, backbone.states),
        task_type="CAUSAL_LM",
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        adapted = get_peft_model(model, config) if start is None else _begun(model, config, start)
    used = adapted.peft_config["default"]
    used.base_model_name_or_path = base_name(backbone.name)
    if not isinstance(used.target_modules, str):  # a set, which would be saved in any order
        used.target_modules = sorted(used.target_modules or ())
    # PEFT would save the whole embedding too, and look the base model up on the hub to decide.
    adapted.save_pretrained = partial(adapted.save_pretrained, save_embedding_layers=False)
    if settings.gradient_checkpointing:
        adapted.enable_input_require_grads()
    return adapted


def save(
    model: Any, tokenizer: Any, folder: Path, dtype: str, gathered: dict[str, Any] | None = None
) -> None:
    """Write an adapter or a model, with its tokenizer, as `duo.backbone.load` reads it.

    Args:
        model: that was trained.
        tokenizer: of the model.
        folder: where to.
        dtype: number format of the weights in the file.
        gathered: all weights by name, where the model itself holds only this process's share.
    """
    kind = getattr(torch, dtype)
    with quiet():
        if hasattr(model, "peft_config"):
            model.save_pretrained(folder, state_dict=gathered)
            _cast(folder / ADAPTER_WEIGHTS, kind)
            (folder / "README.md").unlink(missing_ok=True)  # an empty form
        elif gathered is not None:
            whole = {name: weight.to(kind) for name, weight in gathered.items()}
            model.save_pretrained(folder, state_dict=whole)
        else:
            model.to(kind).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def base_name(name: str) -> str:
    """Name the base model of an adapter: a folder or file by its full path, all else as it is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name


def _begin_as_turn_end(backbone: Backbone) -> None:
    """Give `<1>` and `<2>` the rows of the token that follows a user's last word."""
    model, chat, states = backbone.model, backbone.chat, backbone.states
    end = (*chat.user_close, *chat.assistant_open)[0]
    with torch.no_grad():
        for matrix in (model.get_input_embeddings(), model.get_output_embeddings()):
            for parameter in matrix.parameters():
                parameter[[states.respond, states.ignore]] = parameter[end].clone()


def _begun(model: Any, config: Any, start: Path) -> Any:
    """Put an adapter that was trained before on a model.

    Raises:
        BadInput: the folder holds no adapter of this model, or one of another form.
    """
    from peft import PeftConfig, PeftModel
    from safetensors import SafetensorError

    try:
        there = PeftConfig.from_pretrained(str(start))
        adapted = PeftModel.from_pretrained(model, str(start), config=there, is_trainable=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(f"no adapter of this model can be read: {reason}", file=start) from None
    for name in ("r", "lora_alpha", "target_modules", "trainable_token_indices"):
        was, now = getattr(there, name, None), getattr(config, name)
        if name == "target_modules":
            if now == "all-linear":  # which peft has turned into the layers' names
                continue
            was, now = sorted(was or ()), sorted(now)
        if was != now:
            raise BadInput(f"another {name} than these settings give: {was!r}, not {now!r}",
                           file=start)  # fmt: skip
    return adapted


def adapter_layers(model: Any, wanted: str, last: int = 0) -> str | list[str]:
    """Name the layers that get an adapter, as PEFT's `target_modules`; see `TrainSettings`.

    Raises:
        BadInput: the model has none of that kind, or not so many blocks.
    """
    if wanted == "all-linear" and not last:
        return wanted
    within = tuple(f"{name}." for name, _ in _last_blocks(model, last)) if last else ""
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name.startswith(within)
    ]
    kinds = {name: name.rpartition(".")[2] for name in linear}
    wished = {"attention": _ATTENTION, "mlp": _MLP}.get(wanted, kinds.values())
    if not (chosen := [name for name in linear if kinds[name] in wished]):
        there = ", ".join(sorted(set(kinds.values())))
        raise BadInput(f"this model has no such layers: it has {there}", field="lora_targets")
    return sorted(chosen if last else {kinds[name] for name in chosen})


def _last_blocks(model: Any, count: int) -> list[tuple[str, Any]]:
    found = list(blocks(model, field="lora_layers").items())
    if count > len(found):
        raise BadInput(f"the model has {len(found)} blocks", field="lora_layers")
    return found[-count:]


def _cast(path: Path, dtype: torch.dtype) -> None:
    from safetensors.torch import load, save

    weights = {name: weight.to(dtype) for name, weight in load(path.read_bytes()).items()}
    with whole_file(path, "wb") as stream:
        stream.write(save(weights, metadata={"format": "pt"}))
