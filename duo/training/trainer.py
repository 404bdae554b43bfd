"""Adapt transformers' Trainer: our loss, our order of samples, our validation and progress."""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback

from duo.chatformat import ChatFormat
from duo.decoding.reading import batches_of_area, logits_only_where, states_only_where
from duo.errors import BadInput
from duo.terminal import progress
from duo.tokens import StateTokens
from duo.training.encode import Target
from duo.training.loss import base_places, losses_in_parts, place_losses, validate
from duo.training.samples import Samples
from duo.training.settings import TrainSettings
from duo.training.speed import rows_known

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


class Plan:
    """Says which samples are in which part of which step: the same after a kill.

    Every sample is used once before one is used again. A step's batch is split into `parts` of
    about the same cost, each of samples of about the same length where they are padded.

    Args:
        lengths: of the samples, in tokens; at least one.
        batch: samples of a step, at least as many as parts.
        parts: parts of a step, over all processes and accumulations.
        steps: number of steps.
        seed: of the order.
        packing: whether a part costs the sum of its lengths, or its longest times its number.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        *,
        batch: int,
        parts: int,
        steps: int,
        seed: int,
        packing: bool,
    ) -> None:
        self._lengths, self._batch, self._parts, self._steps = lengths, batch, parts, steps
        self._split = _packed if packing else _padded
        draw = random.Random(seed)
        order = array("q")
        while len(order) < batch * steps:
            epoch = array("q", range(len(lengths)))
            draw.shuffle(epoch)
            order += epoch
        self._order = order

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> list[list[int]]:
        """Split a step's batch into parts, none empty, of numbers of samples."""
        if not 0 <= step < self._steps:
            raise IndexError(step)
        chosen = self._order[step * self._batch : (step + 1) * self._batch]
        lengths = {number: int(self._lengths[number]) for number in chosen}
        longest_first = sorted(chosen, key=lambda number: (-lengths[number], number))
        return self._split(longest_first, lengths, self._parts)


def _packed(chosen: list[int], lengths: Mapping[int, int], parts: int) -> list[list[int]]:
    """Give the longest first, each to the part that is shortest so far."""
    made: list[list[int]] = [[] for _ in range(parts)]
    for place in chosen:
        min(made, key=lambda part: sum(lengths[p] for p in part) if part else -1).append(place)
    return made


def _padded(chosen: list[int], lengths: Mapping[int, int], parts: int) -> list[list[int]]:
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

    def __init__(self, samples: Samples, plan: Plan, settings: TrainSettings) -> None:
        self._samples, self.plan, self._settings = samples, plan, settings
        self._weights = np.array(kind_weights(settings))
        self._parts = len(plan[0])
        self._step, self._split, self._total = -1, plan[0], 0.0

    def __len__(self) -> int:
        return len(self.plan) * self._parts

    def __getitem__(self, place: int) -> dict[str, Any]:
        step, part = divmod(place, self._parts)
        if step != self._step:
            self._step, self._split = step, self.plan[step]
            chosen = [number for part in self._split for number in part]
            self._total = sum(float(self._weights @ self._samples.kinds(n)) for n in chosen)
        made = self._samples.batch(
            self._split[part],
            packing=self._settings.packing,
            inside=self._settings.inside != "none",
        )
        weights = np.repeat(self._weights, made["counts"]).astype(np.float32)
        return made | {
            "weight": torch.from_numpy(weights),
            "scale": torch.tensor(1.0 / self._total if self._total else 0.0),
        }


def kind_weights(settings: TrainSettings) -> list[float]:
    """List the weight of each `Target`, in its order."""
    decision = settings.state_weight  # "not yet" is one too
    if settings.inside == "none":
        return [decision, settings.output_weight, 0.0, 0.0]
    return [decision, settings.output_weight, settings.inside_weight, decision]


class DuoTrainer(Trainer):
    """Trains on `Parts`; logs the loss of each kind of target apart.

    Args:
        settings: of the run.
        states: ids of the state tokens.
        end: id of the token that ends an answer.
        validation: samples that are evaluated every few steps, if any.
        others: what Trainer takes.

    Raises:
        BadInput: `loss_places` of weights that processes share out.
    """

    def __init__(
        self,
        *,
        settings: TrainSettings,
        states: StateTokens,
        end: int,
        validation: Samples | None,
        **others: Any,
    ) -> None:
        # A loss function that is given is what tells Trainer not to divide by accumulation steps.
        super().__init__(compute_loss_func=place_losses, **others)
        if settings.loss_places and self.is_fsdp_enabled:
            raise BadInput("not with FSDP, which shares the output head out", field="loss_places")
        self._settings, self._states = settings, states
        self._validation = validation
        self._end = end
        self._sums = torch.zeros(len(Target), device=self.args.device)
        self._counts = [0] * len(Target)
        self._tokens, self._since = 0, time.monotonic()

    def get_train_dataloader(self) -> DataLoader:
        """Serve the parts in the order of the plan, shared out over the processes."""
        loader = DataLoader(
            self.train_dataset,
            batch_size=1,
            collate_fn=_only,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )
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
        where, counts = inputs["where"], inputs["counts"]
        bare = self.accelerator.unwrap_model(model)
        seen = {name: inputs[name] for name in ("input_ids", "position_ids") if name in inputs}
        learned: Any = {"inside": self._settings.inside, "answers": self._settings.answers}
        base = None
        with rows_known(packed="position_ids" in seen):
            if "base" in learned.values():
                known = where[base_places(counts, **learned)]
                with logits_only_where(bare, known), torch.no_grad(), bare.disable_adapter():
                    base = model(**seen, use_cache=False).logits[0]
            size = self._settings.loss_places
            with states_only_where(bare, where) if size else logits_only_where(bare, where):
                outputs = model(**seen, use_cache=False)
        found, target = outputs.logits[0], inputs["target"]
        how: Any = {"states": self._states, "end": self._end, **learned}
        if size:
            head = bare.get_output_embeddings()
            losses = losses_in_parts(head, found, target, counts, size, **how)
        else:
            losses = place_losses(found, target, counts, base=base, **how)
        self._count(losses.detach(), counts)
        self._tokens += inputs["input_ids"].numel()
        weight = inputs["weight"].to(losses.dtype)
        loss = (losses * weight).sum() * inputs["scale"] * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _count(self, losses: Tensor, counts: Sequence[int]) -> None:
        """Add up on the device; `log` reads it."""
        self._sums += torch.stack([part.sum() for part in losses.split(list(counts))])
        self._counts = [before + now for before, now in zip(self._counts, counts, strict=True)]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what this process did since the last time: the mean loss of each kind of target, and
        tokens a second (padding, validation and saving included)."""
        if "loss" in logs:
            sums = self._sums.tolist()
            for target in Target:
                if self._counts[target]:
                    logs[f"loss_{target.name.lower()}"] = sums[target] / self._counts[target]
            now = time.monotonic()
            logs[SPEED] = self._tokens / (now - self._since)
            self._sums.zero_()
            self._counts = [0] * len(Target)
            self._tokens, self._since = 0, now
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate the validation samples; see `duo.training.loss.validate`."""
        # A sharded model (FSDP) is put together by all processes in each pass: all make the same.
        sharded = self.is_fsdp_enabled
        rank, world = (0, 1) if sharded else (self.args.process_index, self.args.world_size)
        assert self._validation is not None
        found = validate(
            self.model if sharded else self.accelerator.unwrap_model(self.model),
            self._validation,
            self._states,
            numbers=range(rank, len(self._validation), world),
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
        return self.accelerator.gather(sums[None]).sum(0)


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
