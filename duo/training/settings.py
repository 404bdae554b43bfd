"""Define the settings of a training run, their presets, and the record of a finished run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from duo.errors import BadInput, check_types
from duo.files import Record, Result
from duo.tokens import CONTROL_TOKENS
from duo.yaml_file import MarkedYaml, read_scalar, read_yaml

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

AnySettings = TypeVar("AnySettings", bound="DataclassInstance")

Recipe = Literal[
    "duo", "duplex", "vita", "fsm", "micro-turn", "lslm-early", "lslm-middle", "lslm-late"
]  # fmt: skip
#: The form of data (`duo data build --form`) of each recipe that has another than "duo".
FORMS = {"duplex": "duplex", **dict.fromkeys(CONTROL_TOKENS, "cycles")}
Inside = Literal["none", "unlikely", "words", "hold", "base"]
Answers = Literal["words", "base"]
IgnoredTurns = Literal["keep", "forget"]

#: Numbers from here on are nobody's intention.
_TOO_MUCH = 1e12
Positive = Annotated[int, Field(gt=0, lt=_TOO_MUCH)]
Natural = Annotated[int, Field(ge=0, lt=_TOO_MUCH)]
Weight = Annotated[float, Field(ge=0, lt=_TOO_MUCH)]


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of one training run; `duo train --set NAME=VALUE` changes one.

    Attributes:
        recipe: "duo" (state tokens), "duplex" (time slices, the baseline), or one of the other
            schemes in `duo.decoding`.
        chat: chat format: "template", "plain" (the paper's) or "minicpm"; "auto" for the one that
            the model has (see `duo.model_folder.chat_style`).
        max_tokens: longer samples lose whole exchanges from the front.
        too_long: what happens to a sample whose last exchange alone is longer: "drop" (counted)
            or "refuse" (an error).
        answer_tokens: longer answers are shown that long, as if cut off there; 0 for whole ones.
            Decisions are learned beside every answer, so shorter ones make more decisions of the
            same time.
        steps: optimiser steps.
        batch: samples of one step, all processes together.
        micro_batches: parts that each process splits its share of a batch into, to save memory.
        packing: samples of a part in one row, each seeing only itself; else, or where the model
            would let them see each other, in padded rows of about the same length.
        learning_rate, schedule, warmup_steps, weight_decay, max_grad_norm: of AdamW.
        lora_rank: 0 trains all weights.
        lora_alpha: the adapter's scale is alpha / rank.
        lora_dropout: share of inputs dropped.
        lora_targets: the linear layers with an adapter: "all-linear", "attention" or "mlp".
        lora_layers: adapters in the last so many blocks alone, and nothing is differentiated below;
            0 for all blocks.
        state_rows: what the rows of `<1>` and `<2>` begin as: "turn_end", those of the token that
            ends a user's turn, so that the model's own sense of when somebody is done is what they
            start from; or "mean", the mean of all rows, from which they have to be found.
        state_weight, output_weight: weight of a state token's and of an answer token's loss. Where
            an utterance breaks off, the loss of a state has the weight of a state token's.
        answers: what is learned in answers: "words", the data's (the paper), or "base", what the
            model expects without its adapter; see `duo.training.loss`.
        ignored_turns: whether turns after an ignored one see it: "keep" (the paper's samples), or
            "forget", as the decoder does; see `duo.training.encode`.
        inside: what is learned where the user is not done yet; see `duo.training.loss`.
        inside_weight: weight of the loss of one such position within an utterance.
        precision: "auto" (bfloat16 on a GPU or CPU made for it), "float32" or "bfloat16".
        compile: have `torch.compile` make kernels for the layers: worth its minutes on a GPU.
        save_dtype: number format of the adapter or model that is written.
        gradient_checkpointing: compute activations twice to save memory.
        loss_places: logits of so many places are held at once, and computed twice: where all of
            long rows is learned they take more memory than all else. 0 for those of all places.
        seed: of everything that is drawn.
        log_every, validate_every, save_every: in steps.
        validation_limit: samples of the validation split that are evaluated, the first ones.

    Raises:
        BadInput: a value that is none of the choices, of another type or out of range.
    """

    recipe: Recipe = "duo"
    chat: Literal["auto", "template", "plain", "minicpm"] = "auto"
    max_tokens: Positive = 1024
    too_long: Literal["drop", "refuse"] = "drop"
    answer_tokens: Natural = 0
    steps: Positive = 400
    batch: Positive = 112
    micro_batches: Positive = 1
    packing: bool = False
    learning_rate: Annotated[float, Field(gt=0, lt=_TOO_MUCH)] = 1e-5
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: Natural = 0
    weight_decay: Weight = 0.0
    max_grad_norm: Weight = 1.0
    lora_rank: Natural = 0
    lora_alpha: Weight = 16.0
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    lora_targets: Literal["all-linear", "attention", "mlp"] = "all-linear"
    lora_layers: Natural = 0
    state_rows: Literal["turn_end", "mean"] = "turn_end"
    state_weight: Weight = 1.0
    output_weight: Weight = 1.0
    answers: Answers = "words"
    ignored_turns: IgnoredTurns = "keep"
    inside: Inside = "unlikely"
    inside_weight: Weight = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False
    save_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    gradient_checkpointing: bool = False
    loss_places: Natural = 0
    seed: Natural = 0
    log_every: Positive = 5
    validate_every: Positive = 50
    save_every: Positive = 50
    validation_limit: Natural = 200

    def __post_init__(self) -> None:
        check_types(self)
        if self.recipe != "duo":  # nothing to hold back: control tokens come where they may
            object.__setattr__(self, "inside", "none")
        if self.recipe in ("duplex", "micro-turn"):  # no answer is in one piece
            object.__setattr__(self, "answers", "words")
        if self.recipe == "vita":  # its monitor forgets what it ignored
            object.__setattr__(self, "ignored_turns", "forget")
        if self.recipe.startswith("lslm") and (not self.lora_rank or self.lora_layers):
            said = "its projections stand beside an adapter of all layers: set lora_rank alone"
            raise BadInput(said, field="recipe")
        for name in ("inside", "answers"):
            if getattr(self, name) == "base" and not self.lora_rank:
                raise BadInput("base needs an adapter to switch off: set lora_rank", field=name)
            if getattr(self, name) == "base" and self.loss_places:
                raise BadInput(f"not with {name}: base, which needs all", field="loss_places")


class Moment(Record):
    """A line of a training curve; what else was logged at that step is kept as it is.

    Attributes:
        step: optimiser steps done.
        loss_state, loss_output: mean training loss since the line before, in nats a token.
        eval_loss_state, eval_loss_output: the same on the validation samples.
        eval_state_accuracy: the share of their state tokens that were the likeliest.
    """

    model_config = ConfigDict(extra="allow")

    step: Annotated[float, Field(ge=0)]
    loss_state: Annotated[float, Field(ge=0)] | None = None
    loss_output: Annotated[float, Field(ge=0)] | None = None
    eval_loss_state: Annotated[float, Field(ge=0)] | None = None
    eval_loss_output: Annotated[float, Field(ge=0)] | None = None
    eval_state_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_serializer(mode="wrap")
    def _without_none(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if value is not None}


class Training(Result):
    """The record of a finished run, `training.json`.

    Attributes:
        settings: `TrainSettings` of the run.
        start: SHA-256 of the adapter that it began with, if any.
        curve: in order of the steps.
        parameters: numbers of `all` weights and of the `trained` ones.
        data: counts and hashes of the `train` and `validation` samples.
    """

    kind: Literal["training"] = "training"
    settings: dict[str, Any] = Field(default={})
    model: str = ""
    start: str | None = None
    steps: Annotated[int, Field(ge=0)] = 0
    curve: tuple[Moment, ...]
    parameters: dict[str, int] = Field(default={})
    data: dict[str, Any] = Field(default={})
    versions: dict[str, str] = Field(default={})


def load_settings(
    preset: str, recipe: str | None = None, assignments: Mapping[str, Any] | None = None
) -> TrainSettings:
    """Load the settings of a preset, with some changed.

    Args:
        preset: a preset's name or a YAML file of settings. Settings under a recipe's name there
            count for that recipe only.

    Raises:
        BadInput: no such preset, a file that is no mapping of settings, an unknown setting.
    """
    path = Path(preset) if preset.endswith((".yaml", ".yml")) else None
    place = path or files(__package__).joinpath("presets", f"{preset}.yaml")
    shown = str(path or preset)
    if not place.is_file():
        known = ", ".join(preset_names())
        raise BadInput(f"no preset {shown!r}: use one of {known}, or a YAML file", field="--preset")
    document = read_yaml(path) if path else MarkedYaml(place.read_text("utf-8"), preset)
    content = document.data
    if not isinstance(content, dict):
        raise BadInput("is not a mapping of settings", file=shown)
    sections = {name: content.pop(name) or {} for name in get_args(Recipe) if name in content}
    for name, section in sections.items():
        if not isinstance(section, dict):
            raise BadInput("is not a mapping of settings", file=shown, field=name)
    recipe = str(recipe or content.get("recipe") or "duo")
    values = content | sections.get(recipe, {}) | {"recipe": recipe} | dict(assignments or {})
    return make_settings(TrainSettings, values)


def make_settings(kind: type[AnySettings], values: Mapping[str, Any]) -> AnySettings:
    """Make settings of a dataclass; those that are not given have their defaults.

    Raises:
        BadInput: an unknown setting, or a bad value.
    """
    known = [setting.name for setting in fields(kind)]
    for name in values:
        if name not in known:
            raise BadInput(f"unknown setting: use one of {', '.join(known)}", field=name)
    return kind(**values)


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Parse `NAME=VALUE` texts, values as YAML reads them."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.isidentifier():
            raise BadInput(f"{assignment!r} is not NAME=VALUE", field="--set")
        values[name] = read_scalar(text)
    return values


def preset_names() -> list[str]:
    """List the presets that come with the package."""
    folder = files(__package__).joinpath("presets")
    return sorted(
        file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml")
    )
