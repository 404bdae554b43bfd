"""transformers' Trainer with our loss, our order of samples and our validation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer

from duo.chatformat import ChatFormat
from duo.tokens import StateTokens
from duo.training.batch import Target, collate, targets
from duo.training.encode import Encoded
from duo.training.loss import logits_only_where, place_losses
from duo.training.settings import TrainSettings
from duo.training.validate import validate


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
    """The weight of each `Target`, in its order."""
    decision = settings.state_weight  # "not yet" is one too
    return [decision, settings.output_weight, settings.inside_weight, decision]


class DuoTrainer(Trainer):
    """Trains on `Parts`; logs the loss of each kind of target apart.

    Args:
        settings: of the run.
        states: ids of the state tokens.
        chat: the chat format.
        validation: samples that are looked at now and then; may be empty.
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
        """The parts in the order of the plan, shared out over the processes."""
        loader = DataLoader(self.train_dataset, batch_size=1, collate_fn=_only)
        return self.accelerator.prepare(loader)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """This part's share of the step's loss: a sum, times the processes that average theirs."""
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
            logs["tokens_per_second"] = self._tokens / (now - self._since)
            self._sums.zero_()
            self._tokens, self._since = 0, now
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Look at the validation samples; see `duo.training.validate`."""
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
    """The token that ends an answer."""
    return next((id for id in chat.assistant_close if id in chat.stop), min(chat.stop))


def _only(batch: list[Any]) -> Any:
    return batch[0]
