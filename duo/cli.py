"""Run the `duo` command: the one place in `duo` that knows the other packages.

The command modules imported here are light (signatures and help texts); whatever needs torch or
matplotlib is imported inside the commands, so that `duo --help` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
from errno import EACCES, EDQUOT, ENAMETOOLONG, ENOSPC, EPERM
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from duo import terminal
from duo.data.commands import data_app
from duo.engine import engine_app
from duo.errors import BadInput, check_utf8
from duo.options import Chat, Set
from evaluation.commands import bench_app, eval_app, export, import_by
from reports.commands import bench as bench_statistics
from reports.commands import demo, judge, power, report_app, simulate
from sessions.commands import bench_recogniser, chat, record, sweep
from sessions.files import scenario_app, transcript_app
from sessions.study.commands import bench as bench_raters
from sessions.study.commands import study_app
from sessions.voice.commands import bench_voice, say, serve_app, talk
from sessions.voice.samples import sample_hearing

#: What the system says of a path that it does not let us use.
_REFUSED = (EACCES, EPERM, ENAMETOOLONG)
#: They warn of themselves whenever `peft` imports torchao.
_NOISY = ("torchao", "torch.utils._pytree")


def train(
    data: Annotated[
        Path,
        typer.Option(
            help="Folder with train.jsonl and, if wanted, validation.jsonl.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the adapter or model.", show_default=False)],
    preset: Annotated[
        str, typer.Option(help="paper, embedded, smoke, or a YAML file of settings.")
    ] = "embedded",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="duo (state tokens), duplex (time slices), vita, fsm, micro-turn, rows (the state "
            "tokens' rows alone) or frames (a projector of sound, of `duo data say`); of the last "
            "two the model is frozen, and there is no preset [default: the preset's]."
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="A hub id, a model or adapter folder, or the embedded model, smollm2; for rows "
            "also a GGUF file or qwen."
        ),
    ] = "smollm2",
    start: Annotated[
        Path | None,
        typer.Option(help="Folder of an adapter of this model to train further [default: none]."),
    ] = None,
    chat: Chat = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="For rows, what reads the model: torch or llama [default: llama for GGUF files, "
            "else torch]."
        ),
    ] = None,
    set_: Set = None,
) -> None:
    """Train a model to decide when to answer, from the samples of `duo data build`.

    A run that was stopped goes on from its last checkpoint when the command is given again. On
    several GPUs or nodes: accelerate launch -m duo.cli train and the same options.

    Example: duo train --preset embedded --data runs/data --out runs/adapter

    Example: duo train --recipe rows --model qwen --data runs/data --out runs/rows

    Example: duo train --recipe frames --model smollm2-duo --data runs/said --out runs/projector
    """
    from duo.engine import keep_memory, share_cores
    from duo.training.settings import load_settings, make_settings, parse_assignments

    share_cores(model, engine=engine)
    keep_memory()
    given = parse_assignments(set_ or ()) | ({} if chat is None else {"chat": chat})
    if start is not None and recipe in ("rows", "frames"):
        raise BadInput(f"is for adapters: {recipe} begin with nothing", field="--start")
    if recipe == "rows":
        from duo.training.rows import RowsSettings, train_rows

        wanted = make_settings(RowsSettings, given)
        train_rows(settings=wanted, model=model, data=data, out=out, engine=engine or "auto")
        typer.echo(f"rows of {model}: {out}")
        return
    if engine is not None:
        raise BadInput("is for --recipe rows: all else is trained in torch", field="--engine")
    if recipe == "frames":
        from duo.training.frames import FramesSettings, train_frames

        chosen = make_settings(FramesSettings, given)
        train_frames(settings=chosen, model=model, data=data, out=out)
        typer.echo(f"projector for {model}: {out}")
        return
    settings = load_settings(preset, recipe, given)

    from duo.training.train import train as run

    run(settings=settings, model=model, data=data, out=out, start=start)
    typer.echo(f"{settings.steps} steps done: {out}")


class WholeSummaries(TyperGroup):
    """A group of commands whose summaries are wrapped in its help, not cut."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the first sentence of each command's help."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(sys.maxsize))
            for name, command in commands
            if command is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    name="duo",
    cls=WholeSummaries,
    help="Decode, measure and study duplex language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(chat)
app.command()(talk)
app.add_typer(serve_app, name="serve", cls=WholeSummaries)
app.command()(record)
app.command()(train)
app.add_typer(engine_app, name="engine", cls=WholeSummaries)
app.add_typer(eval_app, name="eval", cls=WholeSummaries)
app.add_typer(report_app, name="report", cls=WholeSummaries)
bench_app.command("statistics")(bench_statistics)
bench_app.command("raters")(bench_raters)
app.add_typer(bench_app, name="bench", cls=WholeSummaries)
bench_app.command()(sweep)
bench_app.command("recogniser")(bench_recogniser)
bench_app.command("voice")(bench_voice)
app.add_typer(scenario_app, name="scenario", cls=WholeSummaries)
data_app.command()(say)
transcript_app.command()(export)
transcript_app.command("import")(import_by(sample_hearing))
app.add_typer(transcript_app, name="transcript", cls=WholeSummaries)
app.add_typer(data_app, name="data", cls=WholeSummaries)
study_app.command()(judge)
study_app.command()(power)
study_app.command()(simulate)
app.add_typer(study_app, name="study", cls=WholeSummaries)


def _print_version(wanted: bool) -> None:
    if wanted:
        from duo.runs import versions

        found = versions()
        own = found.pop("duo-duplex")
        others = ", ".join(f"{name} {version}" for name, version in found.items())
        typer.echo(f"duo {own} ({others})")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version of duo and of the packages that can change a result.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None: ...


def main() -> None:
    """Run the command line. Bad input is one line on standard error and exit status 2.

    So are a path that the system does not let us look at, wherever that turns out, and a full disk.
    """
    try:
        if os.environ.get("COLUMNS", "").strip("0") == "":
            os.environ.pop("COLUMNS", None)  # 0: not known, as for all but rich
        if isinstance(sys.stdout, TextIOWrapper):  # what it cannot encode is a question mark
            sys.stdout.reconfigure(errors="replace")
        for library in _NOISY:
            logging.getLogger(library).setLevel(logging.ERROR)
        for word in sys.argv[1:]:
            check_utf8(word)
        app()
    except OSError as error:
        is_full = error.errno in (ENOSPC, EDQUOT)
        if not is_full and (error.filename is None or error.errno not in _REFUSED):
            raise
        what = "cannot write" if is_full else "cannot be used"
        _say_bad(BadInput(f"{what}: {error.strerror}", file=error.filename))
    except BadInput as error:
        _say_bad(error)


def _say_bad(error: BadInput) -> NoReturn:
    terminal.say(str(error))
    sys.exit(2)


if __name__ == "__main__":
    main()
