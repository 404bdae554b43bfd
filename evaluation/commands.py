"""Define `duo eval`, `duo bench decode` and `train`, `duo transcript export` and `import`.

What a command needs is imported inside it, so that help texts appear at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from duo.decoding.systems import SYSTEM_NAMES
from duo.options import (
    Attention,
    Chat,
    Device,
    DType,
    Engine,
    JudgeOptions,
    Monitor,
    Set,
    given,
    numbers,
    with_judge,
    words,
)
from duo.spelling import Spelling
from duo.terminal import say
from evaluation.benchmarks.commands import benchmarks, data

if TYPE_CHECKING:
    from evaluation.fdb import Hearing

_Model = Annotated[
    str,
    typer.Argument(help="A hub id, a model or adapter folder, or the embedded model, smollm2."),
]
_Spelled = Annotated[
    Spelling,
    typer.Option(help="How the user's words are spelled: unpunctuated, lower as recognisers do."),
]
_Utterances = Annotated[
    Path,
    typer.Argument(help="Samples (validation.jsonl) or labelled utterances, JSON Lines or .gz."),
]
_Limit = Annotated[
    int | None, typer.Option(min=1, help="Utterances to take, drawn from all of the file.")
]
_Transcripts = Annotated[
    list[Path],
    typer.Argument(help="Transcripts, or folders with transcripts."),
]
_FORMATS = ("fdb",)
_Format = Annotated[
    str,
    typer.Option("--format", help="The other format: fdb, the folders of Full-Duplex-Bench v1."),
]
_Figures = Annotated[Path | None, typer.Option(help="JSON file for all figures.")]


def _tell_left_out(problems: Iterable[object]) -> None:
    for problem in problems:
        say(f"left out: {problem}")


eval_app = typer.Typer(help="Measure models.", no_args_is_help=True)
eval_app.command()(benchmarks)
eval_app.command()(data)


@eval_app.command()
def interaction(
    transcripts: _Transcripts,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file for all figures and every single event."),
    ] = None,
    by_spelling: Annotated[
        bool,
        typer.Option(
            "--by-spelling", help="Also by how the user's words are spelled: as written, or not."
        ),
    ] = False,
) -> None:
    """Score how systems converse: decisions, timing and waste, side by side.

    Computes from transcripts alone: takeover rate for each kind of event, what follows an overlap
    (RESPOND, RESUME, UNCERTAIN, UNKNOWN), false interruptions, missed queries, premature answers,
    response and stop latency, overlap, waste, Full-Duplex-Bench's averaged score, the panel of
    tau-voice, and answers that loop or restate, each with its interval. What cannot be counted is a
    dash.

    A transcript that cannot be scored is named on standard error with its line and left out. The
    exit status is 2 only if none is left.

    Example: duo eval interaction runs/pasta --out runs/interaction.json
    """
    from duo.table import make_result
    from evaluation.interaction.results import score
    from evaluation.interaction.table import table

    read = partial(score, transcripts, by_spelling=by_spelling)
    found = make_result(out, read, lambda found: [table(found)])
    _tell_left_out(problem.problem for problem in found.left_out)


@eval_app.command()
@with_judge
def content(
    transcripts: Annotated[
        list[Path],
        typer.Argument(help="Transcripts, or folders with transcripts, recorded with --control."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the verdicts.")],
    judge: JudgeOptions,
) -> None:
    """Have a language model judge what is said after interruptions, beside the half-duplex control.

    Names what went wrong where the same words were answered well when nobody was interrupted: the
    old answer went on, the interruption was forgotten, or what was wanted before. The same command
    goes on where it was stopped.

    Example: duo eval content runs/pairs --model gpt-4o-mini --endpoint https://api.openai.com/v1
    --out runs/content
    """
    from duo.terminal import progress
    from evaluation.interaction.judged import LETTERS, SUMMARY, judge_content
    from evaluation.interaction.results import read_all

    conversations, left_out = read_all(transcripts)
    _tell_left_out(left_out)
    with progress("replies") as bar:
        found = judge_content(
            conversations, out, judge.open(LETTERS),
            on_start=lambda total: bar.update(total=total), on_done=bar.advance,
        )  # fmt: skip
    found.table().show()
    typer.echo(out / SUMMARY)


@eval_app.command()
def states(
    model: _Model,
    data: _Utterances,
    lookahead: Annotated[int, typer.Option(min=1, help="Tokens that the decoder looks ahead.")] = 4,
    decide_at: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="The least p(<1>) + p(<2>) at which silence decides [default: the decoder's, or "
            "that of state rows].",
        ),
    ] = None,
    limit: _Limit = None,
    spelling: _Spelled = "written",
    device: Device = None,
    dtype: DType = None,
    chat: Chat = None,
    engine: Engine = None,
    out: _Figures = None,
) -> None:
    """Judge whether a model answers queries, ignores what is none, and waits for the rest.

    After each utterance the model looks ahead as in decoding. Reports precision, recall and F1 of
    answering and ignoring, outcomes by label, states that come too early, and calibration.

    Example: duo eval states runs/adapter runs/data/validation.jsonl --out runs/states.json
    """
    from duo.engine import share_cores

    share_cores(model, engine=engine)
    from duo.table import make_result
    from evaluation.scores import state_tables
    from evaluation.states import evaluate_states

    judge = partial(
        evaluate_states, model, data,
        lookahead=lookahead, decide_at=decide_at, limit=limit, spelling=spelling,
        **given(device=device, dtype=dtype, chat=chat, engine=engine),
    )  # fmt: skip
    make_result(out, judge, state_tables)


@eval_app.command()
def probe(
    model: _Model,
    data: _Utterances,
    limit: _Limit = None,
    spelling: _Spelled = "written",
    device: Device = None,
    dtype: DType = None,
    chat: Chat = None,
    engine: Engine = None,
    out: _Figures = None,
) -> None:
    """Measure how well linear probes of a model tell queries from other utterances.

    The probes read the model's hidden states at the end of each utterance, and are tested on other
    dialogues than they were trained on, beside the model's own decision. If they do no better, this
    model can probably not do much better from the text; if they do, better training data would
    help.

    Example: duo eval probe smollm2-duo utterances_dev.jsonl.gz --out runs/probe.json
    """
    from duo.engine import share_cores

    share_cores(model, engine=engine)
    from duo.table import make_result
    from evaluation.probe import evaluate_probe, probe_table

    load = given(device=device, dtype=dtype, chat=chat, engine=engine)
    read = partial(evaluate_probe, model, data, limit=limit, spelling=spelling, **load)
    make_result(out, read, lambda found: [probe_table(found)])


@eval_app.command()
def frames(
    projector: Annotated[
        Path,
        typer.Argument(help="Folder of `duo train --recipe frames`, or smollm2-frames."),
    ],
    data: Annotated[
        Path,
        typer.Argument(help="Folder of utterances by `duo data say`."),
    ],
    out: _Figures = None,
) -> None:
    """Measure what a model knows of utterances that it hears as frames of their sound.

    Beside them stand the words themselves, those of a recogniser, and the frames of another
    utterance: which state is likelier after the last frame or word, and whether anything is over.

    Example: duo eval frames smollm2-frames runs/said/validation --out runs/frames.json
    """
    from duo.table import make_result
    from evaluation.frames import FramesResult, evaluate_frames

    make_result(out, partial(evaluate_frames, projector, data), FramesResult.tables)


@eval_app.command()
def answers(
    data: Annotated[
        Path,
        typer.Argument(help="Samples that no model was trained on, such as validation.jsonl."),
    ],
    models: Annotated[
        list[str],
        typer.Argument(help="Models, as for `states`; the others are compared with the first."),
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Dialogues to measure on, the first ones.")
    ] = None,
    device: Device = None,
    dtype: DType = None,
    chat: Chat = None,
    out: _Figures = None,
) -> None:
    """Measure what training cost: the loss of plain answers, without state tokens and remarks.

    Example: duo eval answers runs/data/validation.jsonl smollm2 runs/adapter
    """
    from duo.engine import share_cores

    share_cores()
    from duo.table import make_result
    from evaluation.answers import answers_table, evaluate_answers

    load = given(device=device, dtype=dtype, chat=chat)
    measure = partial(evaluate_answers, models, data, limit=limit, **load)
    make_result(out, measure, lambda found: [answers_table(found)])


bench_app = typer.Typer(help="Benchmark this package itself.", no_args_is_help=True)


@bench_app.command()
def decode(
    model: Annotated[
        str,
        typer.Option(
            help="The model of all systems: a hub id, a model or adapter folder, or the embedded "
            "model's alias, smollm2."
        ),
    ] = "smollm2",
    systems: Annotated[
        str, typer.Option(help=f"Systems, separated by commas: {', '.join(SYSTEM_NAMES)}.")
    ] = "duo,duo-sequential,duplex,turn-based",
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each system, in turns.")] = 5,
    tokens: Annotated[
        int,
        typer.Option(
            min=8, help="Tokens of the answer before the user speaks over it, and meanwhile."
        ),
    ] = 48,
    sessions: Annotated[
        str,
        typer.Option(
            help="Numbers of conversations held at once, separated by commas; empty for none."
        ),
    ] = "1,2,4,8",
    device: Device = None,
    dtype: DType = None,
    attention: Attention = None,
    chat: Chat = None,
    engine: Engine = None,
    monitor: Monitor = None,
    graphs: Annotated[
        bool,
        typer.Option("--graphs", help="Run conversations held at once as CUDA graphs, on a GPU."),
    ] = False,
    out: _Figures = None,
) -> None:
    """Measure what decoding costs: passes, speed, memory and response times of every system.

    All systems hear the same scripted user, who also speaks while the answer is given; the script
    decides what is a query, so any model will do. Rounds are interleaved and compared one by one,
    with transformers' generate() and the machine's memory bandwidth beside them.

    With --engine llama, or a GGUF file, `duo` is measured in llama.cpp, beside what llama.cpp does
    alone and, if the model is no such file, torch; --monitor adds a run with it.

    Example: duo bench decode --rounds 5 --out runs/bench/decode.json
    """
    from duo.engine import resolve_engine
    from duo.errors import BadInput
    from duo.gguf_model import is_gguf
    from duo.table import make_result
    from evaluation.decode_bench.bench import Plan, decode_bench
    from evaluation.decode_bench.results import decode_tables

    at_once = numbers(sessions, "--sessions", 1) if sessions.strip() else []
    plan = Plan(words(systems, "--systems"), rounds, tokens, at_once, graphs)
    load = given(device=device, dtype=dtype, attention=attention, chat=chat)
    runs_in = resolve_engine(engine or "auto", is_gguf(model))
    if runs_in == "server":
        raise BadInput("a server is not measured: torch or llama", field="--engine")
    if runs_in == "llama":
        from evaluation.decode_bench.engines import engine_bench, engine_tables

        bench = partial(engine_bench, model, plan, monitor=monitor, **load, engine="llama")
        make_result(out, bench, engine_tables)
        return
    if monitor is not None:
        raise BadInput("is measured in llama.cpp: --engine llama", field="monitor")
    make_result(out, partial(decode_bench, model, plan, **load, engine="torch"), decode_tables)


@bench_app.command("train")
def bench_train(
    model: Annotated[
        str, typer.Option(help="What is trained: a hub id, a model folder, or smollm2.")
    ] = "smollm2",
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with train.jsonl [default: random samples of max_tokens]."),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="paper, embedded, smoke, or a YAML file of settings.")
    ] = "embedded",
    set_: Set = None,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each way, in turns.")] = 3,
    steps: Annotated[int, typer.Option(min=2, help="Steps of a run; the first is not timed.")] = 4,
    chat: Chat = None,
    out: _Figures = None,
) -> None:
    """Measure what training costs: samples and tokens a second, and the share of the limit.

    Beside it TRL trains on the same samples (pip install duo-duplex[trl]), or transformers' Trainer
    where TRL is not installed. Both learn what both can, the words of the answers and the states;
    with a preset that learns otherwise a third line shows what that costs.

    Example: duo bench train --data runs/data --out runs/bench/train.json
    """
    from duo.table import make_result
    from duo.training.settings import load_settings, parse_assignments
    from evaluation.train_bench import train_bench, train_tables

    settings = load_settings(preset, None, parse_assignments(set_ or ()))
    measure = partial(train_bench, model, data, settings, rounds=rounds, steps=steps, chat=chat)
    make_result(out, measure, train_tables)


@bench_app.command()
def gpu(
    minutes: Annotated[float, typer.Option(min=0.1, help="Time that all of it may take.")] = 8.0,
    device: Annotated[
        str, typer.Option(help="The device to measure; on a CPU with small shapes.")
    ] = "auto",
    parts: Annotated[str, typer.Option(help="Parts, separated by commas; empty for all.")] = "",
    out: _Figures = None,
) -> None:
    """Measure what a GPU does: its ceilings, passes, many sessions, generate(), training.

    Shapes are those of MiniCPM-2.4B and SmolLM2-135M, with random weights made on the device: no
    model is fetched. Each part runs in a process of its own and is ended when its time is over;
    what was measured until then is kept.

    Example: duo bench gpu --minutes 8 --out runs/bench/gpu.json
    """
    from duo.backbone import resolve_device
    from duo.errors import check_choice
    from duo.table import make_result
    from evaluation.gpu_bench.bench import PARTS, gpu_bench
    from evaluation.gpu_bench.results import gpu_tables

    chosen = words(parts, "--parts") if parts.strip() else list(PARTS)
    for part in chosen:
        check_choice("--parts", part, tuple(PARTS))
    whole = sum(PARTS[part] for part in chosen)
    shares = {part: PARTS[part] / whole for part in chosen}
    place = resolve_device(device)
    measure = partial(
        gpu_bench, str(place), minutes, small=place.type == "cpu", out=out, parts=shares,
        report=partial(typer.echo, err=True),
    )  # fmt: skip
    make_result(out, measure, gpu_tables)


def export(
    transcripts: _Transcripts,
    out: Annotated[Path, typer.Option(help="An empty or new folder.")],
    format_: _Format = "fdb",
) -> None:
    """Write transcripts in another benchmark's format, for its own scripts.

    For Full-Duplex-Bench v1, makes a folder for each pause inside a query, each query after silence
    and each interruption, in OUT/SYSTEM/TASK/SAMPLE. Its task on backchannels by the system is
    judged on audio, so that transcripts cannot serve it.

    A transcript that cannot be scored is named on standard error and left out; the exit status is
    2 only if none is left.

    Example: duo transcript export --format fdb --out runs/fdb runs/pasta
    """
    from duo.errors import check_choice
    from duo.terminal import printable
    from evaluation.fdb import export as write
    from evaluation.interaction.results import nothing_left, read_all

    check_choice("--format", format_, _FORMATS)
    conversations, left_out = read_all(transcripts)
    if not conversations:
        raise nothing_left(left_out)
    for (system, task), count in write(conversations, out).items():
        typer.echo(f"{printable(system)}: {task}: {count} sample{'s' * (count != 1)}")
    _tell_left_out(left_out)


def import_by(hearing: Callable[[], Hearing]) -> Callable[..., None]:
    """Define `duo transcript import`.

    Args:
        hearing: makes what hears the sound of samples, which is of another room.
    """

    def import_(
        folder: Annotated[Path, typer.Argument(help="Folder with samples of one system.")],
        out: Annotated[Path, typer.Option(help="Folder for the transcripts.")],
        format_: _Format = "fdb",
        system: Annotated[
            str | None,
            typer.Option(help="The system's name [default: the folder's]."),
        ] = None,
    ) -> None:
        """Make transcripts of the recordings that another benchmark made of a system.

        Of Full-Duplex-Bench v1, every folder with an output.json or output.wav and with pause.json,
        turn_taking.json or interrupt.json becomes a transcript in OUT/SYSTEM that `duo eval
        interaction` scores. Sound without words (output.wav, input.wav) is recognised, and both
        sides' sound is kept beside the transcript: this needs the extra [voice].

        A sample that cannot be read is named on standard error and left out; the exit status is 2
        only if none is left.

        Example: duo transcript import --format fdb runs/moshi --system moshi --out runs/speech
        """
        from duo.errors import check_choice
        from evaluation.fdb import import_all

        check_choice("--format", format_, _FORMATS)
        name = system or folder.resolve().name or "imported"
        counts, left_out = import_all(folder, out, name, hearing)
        for task, count in counts.items():
            typer.echo(f"{task}: {count} transcript{'s' * (count != 1)} in {out}")
        _tell_left_out(left_out)

    return import_
