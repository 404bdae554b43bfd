"""Train a projector: `duo train --recipe frames`; the model hears sound, its weights frozen.

After the frames of an utterance the model shall expect what it expects after the words: the loss is
the divergence of the two distributions of the next token, `<1>` and `<2>` among them. That is one
place an utterance. So a projector first learns which words are said: its frames shall be likest the
embeddings of the words' tokens, in order, at places that nobody gives (connectionist temporal
classification, Graves et al. 2006). This costs no pass of the model.

Words are without case and marks, as nobody hears these.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from duo.backbone import Backbone, load
from duo.errors import BadInput, check_types, first_line
from duo.files import check_writable, whole_file
from duo.frames import Projector, Shape, Utterance, read_utterances, write_projector
from duo.runs import claim
from duo.spelling import spell
from duo.terminal import progress
from duo.training.settings import Natural, Positive, Weight
from duo.training.train import in_half

#: The unfinished run in a folder, and steps between two of its savings.
_CHECKPOINT, _SAVE_EVERY = "checkpoint.pt", 100
#: One text of so many is not trained on; what is lost on these is shown.
_HELD = 24
#: Parts by length that what is drawn is cut into, to make a batch of one.
_LENGTHS = 4


@dataclass(frozen=True, kw_only=True)
class FramesSettings:
    """Settings of a projector's training; `duo train --recipe frames --set NAME=VALUE` changes one.

    Attributes:
        stack, inner, narrow: see `duo.frames.Shape`.
        dropout: share of the projector's inner values dropped.
        align_steps, steps: on the words alone, and then with the model as well.
        align_batch, batch: utterances a step.
        align_rate, rate: highest learning rates of AdamW; they fall to nothing.
        align: weight of the words' loss while the model is learned from.
        precision: see `duo.training.settings.TrainSettings`; of the frozen model.
        seed: of all that is drawn.

    Raises:
        BadInput: a value of another type or out of range.
    """

    stack: Positive = 5
    inner: Positive = 256
    narrow: Positive = 128
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.1
    align_steps: Natural = 1200
    steps: Positive = 360
    align_batch: Positive = 48
    batch: Positive = 8
    align_rate: PositiveFloat = 2e-3
    rate: PositiveFloat = 5e-4
    align: Weight = 0.2
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: Natural = 0

    def __post_init__(self) -> None:
        check_types(self)


class Words(nn.Module):
    """Says how like frames are to the tokens that are said in a batch, or to none of them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.none = nn.Parameter(torch.zeros(size))

    def forward(
        self, directions: Sequence[Tensor], texts: Sequence[Tensor], rows: Tensor
    ) -> Tensor:
        """Compute the mean loss of a token.

        Args:
            directions: of the frames of each utterance, unit vectors `[frames, size]`.
            texts: the tokens of each.
            rows: `[vocabulary, size]`, the directions of all embeddings.
        """
        tokens, wanted = torch.cat(list(texts)).unique(return_inverse=True)
        classes = torch.cat([rows[tokens], self.none[None]])
        padded = nn.utils.rnn.pad_sequence(list(directions))
        chances = (self.scale * padded @ classes.T).log_softmax(-1)
        counts, lengths = (torch.tensor([*map(len, parts)]) for parts in (directions, texts))
        return nn.functional.ctc_loss(
            chances, wanted, counts, lengths, blank=len(tokens), zero_infinity=True
        )


class Listener:
    """A frozen model that hears frames, or words, with which a conversation begins."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone, self.model = backbone, backbone.model
        self.model.requires_grad_(False)
        self.embed = self.model.get_input_embeddings()
        opening = torch.tensor([[*backbone.chat.preamble, *backbone.chat.user_open]])
        with torch.no_grad():
            cache = self.model(opening, use_cache=True).past_key_values
        self._opening = [(layer.keys, layer.values) for layer in cache.layers]

    def ids(self, text: str) -> list[int]:
        """Tokenise words as they are heard, without case and marks."""
        return list(self.backbone.chat.text(spell(text, "lower")))

    def expected(self, given: Sequence[Tensor]) -> Tensor:
        """Compute the log probabilities `[rows, vocabulary]` of what follows rows of vectors.

        Args:
            given: `[places, size]` each, in place of input embeddings.
        """
        from transformers import DynamicCache

        cache = DynamicCache()
        for number, (keys, values) in enumerate(self._opening):
            sizes = len(given), -1, -1, -1
            cache.update(keys.expand(sizes), values.expand(sizes), number)
        # Padding comes last, where no place before it sees it.
        padded = nn.utils.rnn.pad_sequence(list(given), batch_first=True).to(self.model.dtype)
        inner = getattr(self.model, self.model.base_model_prefix)
        made = inner(inputs_embeds=padded, past_key_values=cache, use_cache=True).last_hidden_state
        last = torch.tensor([len(row) - 1 for row in given])
        scores = self.model.get_output_embeddings()(made[torch.arange(len(given)), last])
        return scores.float().log_softmax(-1)

    def after_words(self, texts: Sequence[str]) -> Tensor:
        """Compute what is expected after words."""
        with torch.no_grad():
            return self.expected([self.embed(torch.tensor(self.ids(text))) for text in texts])


def directions_of(projector: Projector, utterances: Sequence[Utterance]) -> list[Tensor]:
    """Project the states of utterances, side by side; see `Projector.directions`."""
    given = [torch.from_numpy(one.states).float() for one in utterances]
    padded = projector.directions(nn.utils.rnn.pad_sequence(given, batch_first=True))
    counts = [len(states) // projector.shape.stack for states in given]
    return [row[:count] for row, count in zip(padded, counts, strict=True)]


class Training:
    """A projector that learns.

    Raises:
        BadInput: all utterances are of one text.
    """

    def __init__(
        self, backbone: Backbone, utterances: Sequence[Utterance], settings: FramesSettings
    ) -> None:
        self.settings, self.listener = settings, Listener(backbone)
        texts = sorted({one.text for one in utterances})
        if len(texts) < 2:
            raise BadInput("needs utterances of two texts at least")
        held = set(random.Random(settings.seed).sample(texts, len(texts) // _HELD or 1))
        self.learned = [one for one in utterances if one.text not in held]
        self.held = [one for one in utterances if one.text in held]
        self.ids = {text: torch.tensor(self.listener.ids(text)) for text in texts}
        embeddings = self.listener.embed.weight.detach().float()
        shape = Shape(
            sound=utterances[0].states.shape[1], size=embeddings.shape[1], stack=settings.stack,
            inner=settings.inner, narrow=settings.narrow,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.projector = Projector(shape, settings.dropout)
        self.projector.centre.copy_(embeddings.mean(0))
        embeddings = embeddings - embeddings.mean(0)
        self.projector.radius.copy_(embeddings.norm(dim=-1).mean())
        self._rows = nn.functional.normalize(embeddings, dim=-1)
        self.words = Words(shape.size)
        parameters = [*self.projector.parameters(), *self.words.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, weight_decay=0.01)
        self.step = 0
        self.curve: list[dict[str, float]] = []

    @property
    def aligning(self) -> bool:
        """Whether the words alone are learned from."""
        return self.step < self.settings.align_steps

    @property
    def steps(self) -> int:
        """All steps."""
        return self.settings.align_steps + self.settings.steps

    def losses(self, batch: Sequence[Utterance]) -> dict[str, Tensor]:
        """Compute the losses on utterances: `words`, and `expected`, the divergence in nats."""
        directions = directions_of(self.projector, batch)
        texts = [self.ids[one.text] for one in batch]
        found = {"words": self.words(directions, texts, self._rows)}
        if not self.aligning:
            wanted = self.listener.after_words([one.text for one in batch])
            expected = self.listener.expected([self.projector.place(row) for row in directions])
            found["expected"] = (wanted.exp() * (wanted - expected)).sum(-1).mean()
        return found

    def take_step(self) -> dict[str, float]:
        """Learn from one batch; return its losses."""
        settings, aligning = self.settings, self.aligning
        size = settings.align_batch if aligning else settings.batch
        draw = random.Random(f"{settings.seed} {self.step}")
        # Of about the same length, so that little is padding.
        drawn = draw.sample(self.learned, min(_LENGTHS * size, len(self.learned)))
        drawn.sort(key=lambda one: len(one.states))
        part = draw.randrange(_LENGTHS)
        batch = drawn[part * len(drawn) // _LENGTHS : (part + 1) * len(drawn) // _LENGTHS]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw.randrange(2**31))
            self.projector.train()
            losses = self.losses(batch)
        loss = losses["words"] * (1.0 if aligning else settings.align)
        loss = loss + losses.get("expected", 0.0)
        self.optimiser.zero_grad()
        loss.backward()
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.optimiser.step()
        self.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def _rate(self) -> float:
        """Rise over a tenth of the steps of a part, then fall to nothing."""
        aligning, settings = self.aligning, self.settings
        done = self.step if aligning else self.step - settings.align_steps
        share = (done + 1) / (settings.align_steps if aligning else settings.steps)
        highest = settings.align_rate if aligning else settings.rate
        return highest * min(10 * share, (1 - share) / 0.9 + 1e-3)

    def measure(self) -> dict[str, float]:
        """Compute the mean losses on the utterances that are held out."""
        self.projector.eval()
        sums: dict[str, float] = {}
        with torch.no_grad():
            for start in range(0, len(self.held), self.settings.batch):
                batch = self.held[start : start + self.settings.batch]
                for name, value in self.losses(batch).items():
                    sums[name] = sums.get(name, 0.0) + float(value) * len(batch)
        return {f"held_{name}": value / len(self.held) for name, value in sums.items()}

    def parts(self) -> dict[str, Any]:
        """Return what changes while it learns, with a state."""
        return {"projector": self.projector, "words": self.words, "optimiser": self.optimiser}

    def save(self, path: Path) -> None:
        """Write what is needed to go on."""
        content = {name: part.state_dict() for name, part in self.parts().items()}
        with whole_file(path, "wb") as stream:
            torch.save({**content, "step": self.step, "curve": self.curve}, stream)

    def go_on(self, path: Path) -> None:
        """Go on from what was written.

        Raises:
            BadInput: it is damaged.
        """
        try:
            content = torch.load(path, weights_only=True)
            for name, part in self.parts().items():
                part.load_state_dict(content[name])
            self.step, self.curve = content["step"], content["curve"]
        except Exception as error:  # each damage is of a class of its own
            raise BadInput(f"cannot be read, remove it: {first_line(error)}", file=path) from None


def train_frames(*, settings: FramesSettings, model: str, data: Path, out: Path) -> Training:
    """Train a projector, or go on with a run that was stopped.

    Args:
        data: folder with utterances in `train`; see `duo.frames`.

    Raises:
        BadInput: bad utterances, or a folder with another run.
    """
    utterances = list(read_utterances(data / "train"))
    check_writable(out)
    claim(out, {"model": model, "utterances": len(utterances), "settings": asdict(settings)})
    dtype = "bfloat16" if in_half(settings.precision) else "float32"
    training = Training(load(model, device="cpu", dtype=dtype), utterances, settings)
    checkpoint = out / _CHECKPOINT
    if checkpoint.exists():
        training.go_on(checkpoint)
    lost: list[dict[str, float]] = []
    with progress("training", training.steps) as bar:
        bar.advance(training.step)
        while training.step < training.steps:
            lost.append(training.take_step())
            bar.advance(1)
            if training.step % _SAVE_EVERY == 0 or training.step == training.steps:
                names = lost[-1]
                mean = {name: sum(one.get(name, 0.0) for one in lost) / len(lost) for name in names}
                training.curve.append({"step": training.step, **mean, **training.measure()})
                lost.clear()
                training.save(checkpoint)
    facts = {"model": model, "settings": asdict(settings), "curve": training.curve,
             "utterances": len(training.learned)}  # fmt: skip
    write_projector(out, training.projector, facts)
    checkpoint.unlink(missing_ok=True)
    return training
