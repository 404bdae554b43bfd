"""Define `duo demo`, the commands of `duo report`, and those that use the statistics of reports:
`duo bench statistics`, and `duo study` `judge`, `power` and `simulate`.

Light on purpose: what a command needs is imported inside it, so that help texts appear at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from duo.errors import BadInput
from duo.options import Chat, JudgeOptions, numbers, with_judge, words
from reports.kinds import FIGURES

report_app = typer.Typer(
    help="Make tables and figures from the outputs of runs.", no_args_is_help=True
)

_AGREEMENT = "judge-agreement.json"

#: How ratings are read, by this command and by `duo report build`.
RulesFile = Annotated[
    Path | None,
    typer.Option(help="YAML file: rules for leaving raters out (default: the paper study's)."),
]
ColumnNames = Annotated[
    list[str] | None,
    typer.Option(help="OURS=THEIRS: another tool's name for a column of ratings; repeat for more."),
]
ChoiceWords = Annotated[
    list[str] | None,
    typer.Option(
        help="THEIRS=OURS: another tool's word for left, right, tie or both_bad; repeat for more."
    ),
]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the outputs.")] = Path("runs/demo"),
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SYSTEM=]MODEL",
            help="A hub id, a model or adapter folder, or smollm2, the embedded model, for all "
            "systems or one; repeat for more [default: the embedded model with the adapter trained "
            "for the system; or qwen, if it has been fetched, for all but duplex].",
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help="A scenario of the library or a YAML file; repeat for more (default: four of the "
            "library)."
        ),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser at the end.")
    ] = True,
    benchmarks: Annotated[
        bool,
        typer.Option(
            "--benchmarks/--no-benchmarks", help="Ask the models a few items of benchmarks too."
        ),
    ] = True,
    chat: Chat = None,
    force: Annotated[
        bool, typer.Option("--force", help="Record again transcripts that do not match.")
    ] = False,
) -> None:
    """Hold the same conversations with three systems and make a page of the results.

    Writes transcripts, a timeline picture of each, a table of forward passes, a small Table 1 and
    index.html to OUT.
    On the simulated clock the same command gives the same pictures. A run that was stopped goes on
    where it was when the command is given again.

    Example: duo demo --out runs/demo --no-open
    """
    from reports.demo import run_demo

    run_demo(
        out,
        model or (),
        scenario or (),
        open_page=open_page,
        benchmarks=benchmarks,
        force=force,
        chat=chat,
    )


@report_app.command()
def statistics(
    ratings: Annotated[
        Path, typer.Argument(help="Ratings, CSV or Parquet, one row each.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for statistics.json and statistics.csv.")
    ] = Path("runs/statistics"),
    rules: RulesFile = None,
    systems: Annotated[
        str | None,
        typer.Option(help="Order of the systems, separated by commas (default: by name)."),
    ] = None,
    cluster: Annotated[
        str,
        typer.Option(
            help="Column that names the dialogue: item, or scenario where items share one."
        ),
    ] = "item",
    column: ColumnNames = None,
    choice: ChoiceWords = None,
    judge: Annotated[
        Path | None,
        typer.Option(help="Verdicts of `duo study judge`: show how far they agree with people."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstraps.")] = 0,
) -> None:
    """Analyse a study: shares with intervals, tests, scores, agreement and rater quality.

    Votes of one rater, and votes on one dialogue, are correlated; intervals and tests allow for
    that. Results are shown with and without the raters whom the rules leave out.

    Example: duo report statistics ratings.csv --out runs/statistics
    """
    from rich.console import Console

    from duo.files import check_writable, write_result, write_text
    from duo.runs import MANIFEST, Stopwatch, write_manifest
    from duo.terminal import printable
    from reports.statistics.analysis import analyse
    from reports.statistics.raters import agreement_with_people, read_rules, read_verdicts
    from reports.statistics.ratings import read_ratings
    from reports.statistics.report import judge_table, long_table, tables

    watch = Stopwatch()
    order = None if systems is None else words(systems, "--systems")
    columns, choices = mapping("--column", column), mapping("--choice", choice)
    chosen = None if rules is None else read_rules(rules)
    read = read_ratings(ratings, columns=columns, choices=choices)
    verdicts = None if judge is None else read_verdicts(judge)
    check_writable(out)
    result = analyse(read, seed=seed, rules=chosen, systems=order, cluster=cluster)
    write_result(out / "statistics.json", result)
    write_text(out / "statistics.csv", long_table(result).csv())
    write_manifest(out / MANIFEST, watch=watch, seed=seed, ratings=read.source, sha256=read.digest)
    for table in tables(result):
        table.show()
    if verdicts is not None:
        beside = agreement_with_people(*verdicts, read, seed=seed)
        write_result(out / _AGREEMENT, beside)
        judge_table(beside).show()
    for notice in result.notices:
        Console().print(printable(notice), markup=False, highlight=False)


@report_app.command()
def figure(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help=f"{', '.join(FIGURES)}.", show_default=False)
    ],
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="What to draw, see above.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder for all that is written.")] = Path(
        "runs/figures"
    ),
    start: Annotated[
        float, typer.Option("--from", min=0, help="timeline: the first second that is drawn.")
    ] = 0.0,
    end: Annotated[
        float | None,
        typer.Option(
            "--to", min=0, help="timeline: the last one [default: all].", show_default=False
        ),
    ] = None,
) -> None:
    """Draw a figure for a paper from what another command has written.

    preference and ranking take statistics.json of duo report statistics; confusion, decisions,
    premature, calibration and separation the JSON of duo eval states; probe that of duo eval probe;
    latency, takeover, trade-off and yielding that of duo eval interaction; sweep the folder of duo
    bench sweep; training one or more training.json (or folders with one); cost the JSON of duo
    bench decode; mask and timeline transcripts, or folders with some.

    OUT gets each figure as PDF, SVG and PNG, one column wide and (-wide) two, the numbers behind it
    as CSV, LaTeX and Markdown, and its caption as text. The same file gives the same bytes. A
    timeline that is higher than a page can be drawn in parts, with --from and --to.

    Example: duo report figure preference runs/statistics/statistics.json --out runs/figures
    """
    from reports.plots.make import make

    for path in make(kind, files, out, start=start, end=end):
        if path.suffix == ".pdf":
            typer.echo(path)


@report_app.command()
def build(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders, with all that is in them, or single files.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the page, its figures and tables [default: RUN itself; of several "
            "runs, runs/report].",
            show_default=False,
        ),
    ] = None,
    scenarios: Annotated[
        int,
        typer.Option(min=0, help="Scenarios that are drawn and can be played; numbers are of all."),
    ] = 12,
    rules: RulesFile = None,
    column: ColumnNames = None,
    choice: ChoiceWords = None,
) -> None:
    """Make one HTML page of the results in runs, with its figures and tables beside it.

    Files are recognised by their content: transcripts, interaction figures, decisions, benchmark
    results (ours and lm-eval's), ratings and study folders, sweeps, training curves, decoding
    costs, manifests. index.html needs no server and nothing from outside. Whatever is broken is
    named on it and on standard error, and left out; the exit status is 2 only if nothing can be
    read.

    Example: duo report build runs/demo --out runs/report
    """
    from reports.page.build import build as make
    from reports.page.collect import RatingSettings
    from reports.statistics.raters import read_rules

    ratings = RatingSettings(
        columns=mapping("--column", column),
        choices=mapping("--choice", choice),
        rules=None if rules is None else read_rules(rules),
    )
    print(make(runs, out, ratings=ratings, scenarios=scenarios))


@report_app.command()
def table1(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]RUN...",
            help="Folders (or single files) with benchmark results, of duo eval benchmarks or of "
            "lm-eval itself; NAME names a model of lm-eval's in the table.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the outputs.")] = Path("runs/table1"),
    base: Annotated[
        str | None,
        typer.Option(
            help="The column that others are compared with [default: the one called base].",
            show_default=False,
        ),
    ] = None,
    comparisons: Annotated[
        bool,
        typer.Option(
            "--comparisons/--no-comparisons",
            help="Compare columns item by item; they must be about the same items.",
        ),
    ] = True,
) -> None:
    """Print the paper's Table 1 with ours beside it, and write it for papers and programs.

    OUT gets table1.md, .tex, .csv, .json and a figure as PDF, SVG and PNG, for one and for two
    columns. Columns called base, duplex and duo stand beside the paper's; others follow.

    Example: duo report table1 runs/benchmarks --out runs/table1
    """
    from reports.table1_files import make

    make(runs, out, base=base, comparisons=comparisons)


@with_judge
def judge(
    study: Annotated[Path, typer.Argument(help="Folder of the study.", show_default=False)],
    judge: JudgeOptions,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the verdicts [default: judge in the study].")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals of the agreement.")] = 0,
) -> None:
    """Let a language model judge all pairs in both orders, and show how far it agrees with people.

    Its verdicts stay apart from people's ratings, in files of their own. The same command goes on
    where it was stopped.

    Example: duo study judge runs/st --model gpt-4o-mini --endpoint https://api.openai.com/v1
    """
    from duo.files import write_result
    from duo.terminal import progress
    from reports.statistics.raters import agreement_with_people, read_verdicts
    from reports.statistics.ratings import Ratings, frame
    from reports.statistics.report import judge_table
    from sessions.study import judge as judging
    from sessions.study.study import open_study
    from sessions.study.votes import votes

    opened, folder = open_study(study), out or study / "judge"
    asked = judge.open(judging.LETTERS)
    with progress("replies", judging.questions_of(opened)) as bar:
        found = judging.judge_study(opened, folder, asked, on_done=bar.advance)
    found.table().show()
    people = Ratings(frame([vote.row() for vote in votes(opened)]))
    beside = agreement_with_people(*read_verdicts(folder / judging.VERDICTS), people, seed=seed)
    write_result(folder / _AGREEMENT, beside)
    if beside.people:
        judge_table(beside).show()
    else:
        typer.echo("nobody has voted yet: there is no agreement to show")
    typer.echo(f"{folder / judging.VERDICTS}: never part of people's ratings")


def bench(
    studies: Annotated[int, typer.Option(min=1, help="Synthetic studies of each design.")] = 1000,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file; the table goes beside it as .md.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all draws.")] = 0,
    resamples: Annotated[
        int, typer.Option(min=0, help="Of the bootstraps shown for comparison; 0: none.")
    ] = 299,
    processes: Annotated[int, typer.Option(min=1, help="How many work at once.")] = 1,
) -> None:
    """Count how often the statistics are right, on simulated studies of known truth.

    Draws studies with clustered raters and dialogues, ties, side bias and missing votes, and counts
    how often 95 % intervals hold the truth and tests find what is not there; beside them the naive
    analysis, which takes all votes as independent.

    Example: duo bench statistics --studies 1000 --processes 2 --out runs/bench/statistics.json
    """
    from duo.files import write_text
    from duo.table import make_result
    from reports.statistics.coverage import bench_statistics, bench_table

    draw = partial(
        bench_statistics, studies=studies, seed=seed, resamples=resamples, processes=processes
    )
    found = make_result(out, draw, lambda found: [bench_table(found)])
    if out is not None:
        write_text(out.with_suffix(".md"), bench_table(found).markdown())


def power(
    preference: Annotated[
        float, typer.Option(help="Share of the votes without ties for the better system.")
    ] = 0.65,
    ties: Annotated[float, typer.Option(help="Share of ties, both bad among them.")] = 0.25,
    raters: Annotated[str, typer.Option(help="Raters for each dialogue.")] = "1,3,5",
    dialogues: Annotated[str, typer.Option(help="Numbers of dialogues.")] = "20,40,60,80,120",
    dialogue_sd: Annotated[
        float, typer.Option(help="Spread of the preference between dialogues, in log odds.")
    ] = 0.5,
    rater_sd: Annotated[
        float, typer.Option(help="Spread of the preference between raters, in log odds.")
    ] = 0.3,
    criteria: Annotated[int, typer.Option(min=1, help="Criteria tested at once.")] = 5,
    level: Annotated[float, typer.Option(min=0.0001, max=0.5, help="Level of the test.")] = 0.05,
    simulations: Annotated[int, typer.Option(min=100, help="Simulated studies.")] = 2_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation.")] = 0,
) -> None:
    """Find how many raters and dialogues an effect needs, by simulation.

    Counts the simulated studies in which `duo report statistics` would claim the preference.

    Example: duo study power --preference 0.7 --raters 3,6 --dialogues 40,80
    """
    sizes = [
        (k, n)
        for k in numbers(raters, "--raters", 1, 10**5)
        for n in numbers(dialogues, "--dialogues", 1, 10**5)
    ]
    from duo.terminal import progress
    from reports.statistics import simulate as simulated

    effect = simulated.Effect(preference, ties, dialogue_sd, rater_sd)
    with progress("studies", simulations * len(sizes)) as bar:
        found = [
            simulated.power(
                effect,
                dialogues=n,
                raters=k,
                level=level,
                comparisons=criteria,
                simulations=simulations,
                seed=seed,
                on_done=bar.advance,
            )
            for k, n in sizes
        ]
    simulated.power_table(effect, found, level=level, criteria=criteria).show()


def simulate(
    study: Annotated[Path, typer.Argument(help="Folder of the study.", show_default=False)],
    raters: Annotated[int, typer.Option(min=1, max=1000, help="Synthetic raters.")] = 6,
    prefer: Annotated[
        list[str] | None,
        typer.Option(metavar="SYSTEM=STRENGTH", help="Strength in log odds; repeat for more."),
    ] = None,
    left_bias: Annotated[float, typer.Option(help="Added to the left side, in log odds.")] = 0.0,
    careless: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of raters who answer at random.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the raters.")] = 0,
) -> None:
    """Let synthetic raters rate, to try a design out. Every row of theirs is marked.

    Example: duo study simulate runs/st --raters 6 --prefer duo=0.8
    """
    strengths = _strengths(prefer or ())
    from reports.statistics.simulate import Voting, simulate_raters
    from sessions.study.study import open_study

    voting = Voting(side=left_bias, side_sd=0.0)
    pages = simulate_raters(
        open_study(study), raters, strengths, voting=voting, careless=careless, seed=seed
    )
    typer.echo(f"{pages} pages by {raters} synthetic raters")


def _strengths(assignments: Sequence[str]) -> dict[str, float]:
    strengths: dict[str, float] = {}
    for assignment in assignments:
        system, equals, value = assignment.rpartition("=")
        try:
            strengths[system] = float(value)
        except ValueError:
            equals = ""
        if not equals or not abs(strengths[system]) < 50:
            raise BadInput(f"{assignment!r} is not SYSTEM=STRENGTH", field="--prefer")
    return strengths


def mapping(option: str, pairs: list[str] | None) -> dict[str, str]:
    """Read the `NAME=VALUE` texts of an option.

    Raises:
        BadInput: one is not of this form.
    """
    found = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise BadInput(f"{pair!r} is not NAME=VALUE", field=option)
        found[name] = value
    return found
