"""Remarks written by a local model, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from duo.data.instruction import conversation, tidy
from duo.data.nonqueries import Place

if TYPE_CHECKING:
    from duo.backbone import Backbone

_MOST_TOKENS = 40
_TEMPERATURE, _TOP_P = 0.9, 0.9


class ModelWriter:
    """Writes remarks by sampling; the same places in the same batches give the same texts.

    Args:
        model: a model's name, see `duo.backbone.load`, or a loaded one.
        instruction: what the model is asked.
        batch: remarks written at once.

    Raises:
        BadInput: there is no such model.
    """

    def __init__(self, model: str | Backbone, *, instruction: str, batch: int = 16) -> None:
        from duo.backbone import load

        self._backbone = load(model) if isinstance(model, str) else model
        self._instruction, self._batch = instruction, batch

    def write(self, places: Sequence[Place], attempt: int) -> list[str]:
        # Texts of one length go together, so that little is padded.
        prompts = [self._prompt(place) for place in places]
        order = sorted(range(len(places)), key=lambda index: (len(prompts[index]), index))
        texts = [""] * len(places)
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            seed = "|".join(places[index].seed for index in chosen) + f"/{attempt}"
            written = self._sample([prompts[index] for index in chosen], seed)
            for index, text in zip(chosen, written, strict=True):
                texts[index] = tidy(text)
        return texts

    def _prompt(self, place: Place) -> list[int]:
        """Ids up to where the remark begins, in the model's chat format."""
        form = self._backbone.chat
        most = max(64, self._backbone.max_tokens - _MOST_TOKENS - 64)
        asked = form.text(f"{self._instruction}\n\n{conversation(place)}")
        if len(asked) > most:  # keep the instruction and what was said last
            head = len(form.text(self._instruction))
            asked = [*asked[:head], *asked[-max(1, most - head) :]]
        return [
            *form.preamble, *form.user_open, *asked, *form.user_close, *form.assistant_open,
        ]  # fmt: skip

    def _sample(self, prompts: Sequence[list[int]], seed: str) -> list[str]:
        import torch

        backbone = self._backbone
        model, stop = backbone.model, sorted(backbone.chat.stop)
        width = max(map(len, prompts))
        padding = stop[0]
        ids = torch.tensor([[padding] * (width - len(row)) + row for row in prompts])
        seen = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])
        states = backbone.states
        settings: dict[str, Any] = {
            "max_new_tokens": _MOST_TOKENS,
            "do_sample": True,
            "temperature": _TEMPERATURE,
            "top_p": _TOP_P,
            "top_k": 0,
            "eos_token_id": stop,
            "pad_token_id": padding,
            "suppress_tokens": [states.respond, states.ignore, states.idle],
        }
        devices = [backbone.device] if backbone.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(int(sha256(seed.encode()).hexdigest()[:15], 16))
            made = model.generate(
                ids.to(backbone.device), attention_mask=seen.to(backbone.device), **settings
            )
        return backbone.tokenizer.batch_decode(made[:, width:], skip_special_tokens=True)
