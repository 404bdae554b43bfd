"""Adapt transformers' Trainer: our loss, our order of samples, our validation and progress."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback

from duo.chatformat import ChatFormat
from duo.errors import BadInput
from duo.terminal import progress
from duo.tokens import StateTokens
from duo.training.encode import Encoded
from duo.training.loss import (
    Target,
    batches_of_area,
    collate,
    logits_only_where,
    place_losses,
    targets,
    validate,
)
from duo.training.settings import TrainSettings

#: The name under which speed is logged.
SPEED = "tokens_per_second"
#: What progress shows, and under which names.
_SHOWN = {
    "loss_state": "state",
    "loss_output": "answer",
    "loss_inside": "inside",
    "loss_pause": "pause",
    SPEED: "tokens/s",
    "eval_respond_recall": "answers",
    "eval_ignore_recall": "ignores",
    "eval_premature": "premature",
    "eval_premature_at_pauses": "at pauses",
}


def plan(
    lengths: Sequence[int], *, batch: int, parts: int, steps: int, seed: int, packing: bool
) -> list[list[int]]:
    """Plan which samples are in which part of which step, before the run: the same after a kill.

    Every sample is used once before one is used again. A step's batch is split into `parts` of
    about the same cost, each of samples of about the same length where they are padded.

    Args:
        lengths: of the samples, in tokens.
        batch: samples of a step.
        parts: parts of a step, over all processes and accumulations.
        steps: number of steps.
        seed: of the order.
        packing: whether a part costs the sum of its lengths, or its longest times its number.

    Returns:
        `steps * parts` lists of places in `lengths`, none empty.

    Raises:
        BadInput: there are no samples, or fewer in a batch than parts.
    """
    if not lengths:
        raise BadInput("no samples to train on")
    if batch < parts:
        raise BadInput(f"{batch} samples cannot be split into {parts} parts", field="batch")
    draw = random.Random(seed)
    order: list[int] = []
    made: list[list[int]] = []
    split = _packed if packing else _padded
    for _ in range(steps):
        while len(order) < batch:
            epoch = list(range(len(lengths)))
            draw.shuffle(epoch)
            order += epoch
        chosen, order = order[:batch], order[batch:]
        made += split(sorted(chosen, key=lambda place: (-lengths[place], place)), lengths, parts)
    return made


def _packed(chosen: list[int], lengths: Sequence[int], parts: int) -> list[list[int]]:
    """Give the longest first, each to the part that is shortest so far."""
    made: list[list[int]] = [[] for _ in range(parts)]
    for place in chosen:
        min(made, key=lambda part: sum(lengths[p] for p in part) if part else -1).append(place)
    return made


def _padded(chosen: list[int], lengths: Sequence[int], parts: int) -> list[list[int]]:
    """Cut samples into `parts` of about the same length, of the smallest padded area."""
    own = [lengths[place] for place in chosen]
    low, high = own[0], own[0] * len(own)
    while low < high:
        area = (low + high) // 2
        if len(batches_of_area(own, area)) <= parts:
            high = area
        else:
            low = area + 1
    runs = [[chosen[place] for place in run] for run in batches_of_area(own, high)]
    while len(runs) < parts:  # every process has something to do
        longest = max(runs, key=len)
        runs.append([longest.pop()])
    return runs


class Parts(Dataset):
    """The parts of the plan, each as a batch of its own.

    A part carries `scale`, one over the total weight of its step's targets, so that the sum of the
    parts' losses is the step's weighted mean whichever way the step was split.
    """

    def __init__(
        self,
        samples: Sequence[Encoded],
        made: Sequence[Sequence[int]],
        parts: int,
        states: StateTokens,
        settings: TrainSettings,
    ) -> None:
        self._samples, self._made, self._states = samples, made, states
        self._settings, self._parts = settings, parts
        self._inside = settings.inside != "none"
        weights = kind_weights(settings)
        self._weights = [
            sum(weights[kind] for _, _, kind in targets(sample, states, inside=self._inside))
            for sample in samples
        ]

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, place: int) -> dict[str, Any]:
        step = place // self._parts
        whole = self._made[step * self._parts : (step + 1) * self._parts]
        total = sum(self._weights[number] for part in whole for number in part)
        made = collate(
            [self._samples[number] for number in self._made[place]],
            self._states,
            packing=self._settings.packing,
            inside=self._inside,
        )
        return made | {"scale": torch.tensor(1.0 / total if total else 0.0)}


def kind_weights(settings: TrainSettings) -> list[float]:
    """List the weight of each `Target`, in its order."""
    decision = settings.state_weight  # "not yet" is one too
    return [decision, settings.output_weight, settings.inside_weight, decision]


class DuoTrainer(Trainer):
    """Trains on `Parts`; logs the loss of each kind of target apart.

    Args:
        settings: of the run.
        states: ids of the state tokens.
        chat: the chat format.
        validation: samples that are evaluated every few steps; may be empty.
        others: what Trainer takes.
    """

    def __init__(
        self,
        *,
        settings: TrainSettings,
        states: StateTokens,
        chat: ChatFormat,
        validation: Sequence[Encoded],
        **others: Any,
    ) -> None:
        # A loss function that is given is what tells Trainer not to divide by accumulation steps.
        super().__init__(compute_loss_func=place_losses, **others)
        self._settings, self._states = settings, states
        self._validation = validation
        self._end = turn_end(chat)
        self._weights = torch.tensor(kind_weights(settings))
        self._sums = torch.zeros(2, len(Target), dtype=torch.float64)
        self._tokens, self._since = 0, time.monotonic()

    def get_train_dataloader(self) -> DataLoader:
        """Serve the parts in the order of the plan, shared out over the processes."""
        loader = DataLoader(self.train_dataset, batch_size=1, collate_fn=_only)
        return self.accelerator.prepare(loader)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Compute this part's share of the step's loss.

        It is a sum, times the number of processes, as these average theirs.
        """
        where, target, kind = inputs["where"], inputs["target"], inputs["kind"]
        bare = self.accelerator.unwrap_model(model)
        seen = {name: inputs[name] for name in ("input_ids", "position_ids")}
        base = None
        with logits_only_where(bare, where):
            if "base" in (self._settings.inside, self._settings.answers):
                with torch.no_grad(), bare.disable_adapter():
                    base = model(**seen, use_cache=False).logits[0]
            outputs = model(**seen, use_cache=False)
        losses = place_losses(
            outputs.logits[0],
            target,
            kind,
            states=self._states,
            inside=self._settings.inside,
            end=self._end,
            answers=self._settings.answers,
            base=base,
        )
        self._count(losses.detach(), kind)
        self._tokens += inputs["input_ids"].numel()
        weight = self._weights.to(losses)[kind]
        loss = (losses * weight).sum() * inputs["scale"] * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _count(self, losses: Tensor, kind: Tensor) -> None:
        for target in Target:
            chosen = losses[kind == target]
            self._sums[0, target] += float(chosen.sum())
            self._sums[1, target] += len(chosen)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what this process did since the last time: the mean loss of each kind of target, and
        tokens a second (padding, validation and saving included)."""
        if "loss" in logs:
            sums, counts = self._sums.tolist()
            for target in Target:
                if counts[target]:
                    logs[f"loss_{target.name.lower()}"] = sums[target] / counts[target]
            now = time.monotonic()
            logs[SPEED] = self._tokens / (now - self._since)
            self._sums.zero_()
            self._tokens, self._since = 0, now
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate the validation samples; see `duo.training.loss.validate`."""
        # A sharded model (FSDP) is put together by all processes in each pass: all make the same.
        sharded = self.is_fsdp_enabled
        rank, world = (0, 1) if sharded else (self.args.process_index, self.args.world_size)
        own = self._validation[rank::world]
        found = validate(
            self.model if sharded else self.accelerator.unwrap_model(self.model),
            own,
            self._states,
            autocast=self.accelerator.autocast,
            gather=self._gather if world > 1 else None,
        )
        named = {f"eval_{name}": value for name, value in found.items()}
        self.log(named)
        self.control: Any = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, named
        )
        return named

    def _gather(self, sums: Tensor) -> Tensor:
        parts = self.accelerator.gather(sums[None].to(self.args.device))
        return parts.sum(0).cpu()


def turn_end(chat: ChatFormat) -> int:
    """Find the token that ends an answer."""
    return next((id for id in chat.ending() if id in chat.stop), min(chat.stop))


def _only(batch: list[Any]) -> Any:
    return batch[0]


class ShowProgress(TrainerCallback):
    """Shows steps, time left and the latest figures: a bar on a terminal, lines elsewhere."""

    def __init__(self) -> None:
        self._shown = ExitStack()
        self._latest: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.is_world_process_zero:
            bar = progress("training", state.max_steps, done=state.global_step)
            self._bar = self._shown.enter_context(bar)

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.is_world_process_zero:
            self._bar.update(done=state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **rest: Any
    ) -> None:
        if not state.is_world_process_zero or not logs:
            return
        fresh = {shown: logs[name] for name, shown in _SHOWN.items() if name in logs}
        self._latest |= fresh
        if self._bar.on_terminal:
            self._bar.update(what=_facts(self._latest))
        elif fresh:
            self._bar.print(f"step {state.global_step}/{state.max_steps}  {_facts(fresh)}")

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self._shown.close()


def _facts(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in values.items())
