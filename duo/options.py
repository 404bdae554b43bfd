"""Define the command-line options that several commands share: apart, as all rooms import it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duo.errors import BadInput

if TYPE_CHECKING:
    from duo.judging import Judge

#: The chat format; None for what the model was trained in. The names are `duo.chatformat.STYLES`.
Chat = Annotated[
    str | None,
    typer.Option(
        "--chat",
        metavar="STYLE",
        help="The model's chat format: template, plain (the paper's) or minicpm [default: the one "
        "that it was trained in].",
        show_default=False,
    ),
]

#: The day that chat templates with a date show; None for `duo.chatformat.DATE`.
Date = Annotated[
    str | None,
    typer.Option(
        "--date",
        metavar="YYYY-MM-DD",
        help="Today's date for chat templates that show it; not the real one, so that the same "
        "command gives the same bytes [default: 2024-07-26].",
        show_default=False,
    ),
]

#: Settings by their names: of whatever a command makes, or of its systems.
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting; repeat for more."),
]
SystemSet = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[SYSTEM.]NAME=VALUE",
        help="Any setting, of one system or of all; repeat for more.",
    ),
]

#: Where a model runs and how its weights are kept; None for what `duo.backbone.load` chooses.
Device = Annotated[
    str | None, typer.Option("--device", help="Device of the model, such as cpu or cuda:0.")
]
DType = Annotated[
    str | None,
    typer.Option("--dtype", help="Number format of the weights, such as float32 or int8."),
]
Attention = Annotated[
    str | None,
    typer.Option(
        "--attention",
        help="Attention of the model: sdpa, eager or flex_attention [default: sdpa].",
    ),
]

#: What runs the model; None for what `duo.backbone.load` chooses.
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="What runs the model: torch, llama (llama.cpp, from a GGUF file), or the URL of a "
        "server such as vLLM's, http://HOST:8000/v1 [default: llama for GGUF files, else torch].",
    ),
]

#: Which model decides in the other's place; None for the model itself.
Monitor = Annotated[
    str | None,
    typer.Option(
        "--monitor",
        help="A model that hears and decides, such as smollm2-duo, while --model answers (duo).",
        show_default=False,
    ),
]


#: What models are told before a conversation; None for what `duo.decoding.systems` chooses.
Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        help="A system prompt in place of the chat template's own [default: with qwen, to answer "
        "in short spoken sentences].",
        show_default=False,
    ),
]


def prices(text: str | None) -> tuple[float, float] | None:
    """Read what a million tokens cost, in and out, in dollars.

    Raises:
        BadInput: it is not two numbers with a comma between them.
    """
    if text is None:
        return None
    try:
        first, second = (float(part) for part in text.split(","))
        if not (0 <= first < 1e6 and 0 <= second < 1e6):
            raise ValueError
    except ValueError:
        said = f"{text!r} is not IN,OUT in dollars, such as 0.15,0.6"
        raise BadInput(said, field="--price") from None
    return first, second


def _checked_price(text: str | None) -> str | None:
    """Refuse a wrong price before the rest of the command line is found to be too much."""
    prices(text)
    return text


RequestsPerMinute = Annotated[
    float, typer.Option("--requests-per-minute", min=0.001, help="Limit for the endpoint.")
]
Price = Annotated[
    str | None,
    typer.Option(
        "--price",
        metavar="IN,OUT",
        help="Dollars for a million tokens, to show the cost.",
        callback=_checked_price,
    ),
]


@dataclass(frozen=True)
class JudgeOptions:
    """A model that judges, behind an endpoint or here, as a command line gives it."""

    model: Annotated[
        str, typer.Option(help="A local model as for `duo chat`, or the endpoint's name for one.")
    ]
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="An OpenAI-compatible endpoint, such as https://api.openai.com/v1, which gets "
            "OPENAI_API_KEY; any other gets DUO_KEY [default: the model is local].",
        ),
    ] = None
    requests_per_minute: RequestsPerMinute = 500.0
    most_tokens: Annotated[
        int, typer.Option(min=1, help="Of a reply; models that think before need thousands.")
    ] = 16
    price: Price = None
    chat: Chat = None
    device: Device = None
    dtype: DType = None

    def open(self, letters: str) -> Judge:
        """Make the judge, which answers with these letters; nothing is loaded or asked yet."""
        from duo.judging import Ask, Judge, endpoint_judge, local_judge

        paid = prices(self.price)
        if self.endpoint is not None:
            most, pace = self.most_tokens, self.requests_per_minute
            return endpoint_judge(self.model, self.endpoint, most, pace, paid)

        def load_judge() -> Ask:
            from duo.backbone import load

            loading = given(chat=self.chat, device=self.device, dtype=self.dtype)
            return local_judge(load(self.model, **loading), letters)

        return Judge(self.model, load_judge, prices=paid)


def with_judge(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each of `JudgeOptions`, which it gets as `judge`."""
    own = inspect.signature(command, eval_str=True)
    options = inspect.signature(JudgeOptions, eval_str=True).parameters

    @wraps(command)
    def run(**given: Any) -> None:
        command(judge=JudgeOptions(**{name: given.pop(name) for name in options}), **given)

    kept = [one for name, one in own.parameters.items() if name != "judge"]
    every = [one.replace(kind=one.KEYWORD_ONLY) for one in (*kept, *options.values())]
    run.__signature__ = own.replace(parameters=every)  # type: ignore[attr-defined]
    return run


def given(**options: Any) -> dict[str, Any]:
    """Collect the options that a user gave; the others keep the defaults of what takes them."""
    return {name: value for name, value in options.items() if value is not None}


def words(text: str, option: str) -> list[str]:
    """Split the value of an option at its commas.

    Raises:
        BadInput: it names nothing, such as an unset variable of the shell: that is not "all".
    """
    found = [word.strip() for word in text.split(",") if word.strip()]
    if not found:
        raise BadInput("names nothing: leave it out, or write a,b", field=option)
    return found


def numbers(text: str, option: str, least: int, most: int = 2**63) -> list[int]:
    """Read whole numbers between commas, each once.

    Raises:
        BadInput: there is none, or one is no whole number from `least` to `most`.
    """
    try:
        found = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = []
    if not found or not all(least <= number <= most for number in found):
        said = f"{text!r} is no list of whole numbers from {least} on, such as 1,2"
        raise BadInput(said, field=option)
    return list(dict.fromkeys(found))
