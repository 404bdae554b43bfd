"""Test the database under load: let many raters work at once, and count what was lost.

Each rater goes from the consent to the last page as a browser would make them: a view, a draft at
every click, a submission, each a transaction of its own. The raters work in threads of several
processes, as the sessions of several servers do. Between two operations each thinks for a while: in
the mean half a second, when people take several, so that N raters are as many times N people. It is
apart from the tests because `duo bench study` tells a researcher what their server can bear.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import select

from duo.files import Result
from duo.table import Column, Table
from sessions.study.blinding import example_dialogue
from sessions.study.design import Design, read_design
from sessions.study.materials import Item, Materials, SystemDialogue, create_study
from sessions.study.people import invite_raters
from sessions.study.session import open_session
from sessions.study.store import actions, ratings
from sessions.study.study import Study, open_study
from sessions.study.views import (
    CHOICES,
    Answer,
    ComprehensionView,
    ConsentView,
    InstructionsView,
    RatingView,
)


@dataclass(frozen=True)
class Load:
    """The figures of a load test.

    Attributes:
        think: mean seconds between two operations of a rater.
        sent, stored: ratings; `lost` and `changed` are those that are not there, or differ.
        doubled: clicks in the history that nobody made.
        seconds: wall time of all raters together.
        timings: of each operation how often it was done, and how many seconds it took.
    """

    database: str
    raters: int
    processes: int
    think: float
    sent: int
    stored: int
    lost: int
    changed: int
    doubled: int
    seconds: float
    timings: list[dict[str, Any]]

    def table(self) -> Table:
        """Return the timings as a table, in milliseconds."""
        names = ("median", "p95", "longest")
        return Table(
            f"{self.raters} raters at once on {self.database}, {self.processes} processes, "
            f"{self.think:g} s between operations, {self.seconds:.1f} s in all",
            ("operation", "count", *(Column(f"{name} ms", "number", ".0f") for name in names)),
            [
                [one["operation"], one["count"], *(1000 * one[name] for name in names)]
                for one in self.timings
            ],
            notes=[
                f"{self.stored} of {self.sent} ratings stored, {self.lost} lost, "
                f"{self.changed} changed, {self.doubled} doubled"
            ],
        )


class LoadBench(Result):
    """The JSON of `duo bench study` and `duo bench raters`: one entry for each number of raters."""

    kind: Literal["load-bench"] = "load-bench"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    runs: tuple[Load, ...] = ()


#: Page, criterion, and what was said; and an operation with the seconds that it took.
Sent = list[tuple[int, str, str]]
Spent = list[tuple[str, float]]


def load_test(
    folder: Path, *, raters: int = 100, pages: int = 5, processes: int = 2, think: float = 0.5
) -> Load:
    """Make a study in an empty folder and let raters at it, all at once.

    Args:
        pages: that each rater rates.
        think: mean seconds between two operations of a rater; 0 for as fast as can be.

    Raises:
        BadInput: the folder or the database cannot be used.
    """
    study, tokens = load_study(folder, raters, pages)
    begin = time.monotonic()
    shares = [tokens[start::processes] for start in range(processes)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        results = list(pool.map(_work, [folder] * processes, shares, [think] * processes))
    return load_figures(study, results, time.monotonic() - begin, raters, processes, think)


def load_study(folder: Path, raters: int, pages: int) -> tuple[Study, list[str]]:
    """Make a study in an empty folder; return it and the tokens of its raters' links."""
    design = _design(pages, raters)
    study = create_study(folder, design, _materials(design, pages))
    return study, [invitation.token for invitation in invite_raters(study, raters)]


def load_figures(
    study: Study,
    results: Sequence[tuple[Sent, Spent]],
    seconds: float,
    raters: int,
    processes: int,
    think: float,
) -> Load:
    """Compare what raters sent with what is stored; close the database.

    Args:
        results: what was sent, and how long each operation took, from each thread or process.
        seconds: wall time of all together.
    """
    import pandas as pd

    sent = [one for said, _ in results for one in said]
    spent = pd.DataFrame([one for _, times in results for one in times])
    with study.database.read() as connection:
        rows = connection.execute(select(ratings)).all()
        kinds = list(connection.execute(select(actions.c.kind)).scalars())
    stored = {(row.page_id, row.criterion): row.answer for row in rows}
    expected = {(page, criterion): answer for page, criterion, answer in sent}
    pages = len({page for page, _ in expected})
    study.database.close()
    return Load(
        database=study.database.url.get_backend_name(),
        raters=raters,
        processes=processes,
        think=think,
        sent=len(sent),
        stored=len(stored),
        lost=len(expected.keys() - stored.keys()),
        changed=sum(stored.get(key, answer) != answer for key, answer in expected.items()),
        doubled=max(0, kinds.count("draft") - len(sent)) + max(0, kinds.count("submit") - pages),
        seconds=round(seconds, 3),
        timings=[
            {
                "operation": str(operation),
                "count": len(values),
                "median": float(values.median()),
                "p95": float(values.quantile(0.95)),
                "longest": float(values.max()),
            }
            for operation, values in spent.groupby(0)[1]
        ],
    )


def _work(folder: Path, tokens: Sequence[str], think: float) -> tuple[Sent, Spent]:
    """Run one process: a thread for each rater."""
    study = open_study(folder)
    with ThreadPoolExecutor(max(len(tokens), 1)) as pool:
        results = list(pool.map(lambda token: _rate(study, token, think), tokens))
    study.database.close()
    return [x for sent, _ in results for x in sent], [x for _, spent in results for x in spent]


def _rate(study: Study, token: str, think: float) -> tuple[Sent, Spent]:
    """Let one rater go from the first page to the last."""
    draw = random.Random(token)
    sent: Sent = []
    spent: Spent = []

    def timed(operation: str, act: Callable[..., Any], *given: Any, **named: Any) -> Any:
        time.sleep(draw.uniform(0, 2 * think))
        begin = time.monotonic()
        result = act(*given, **named)
        spent.append((operation, time.monotonic() - begin))
        return result

    session = timed("open", open_session, study, token)
    while True:
        view = timed("view", session.view)
        if isinstance(view, ConsentView):
            session.consent(True)
        elif isinstance(view, InstructionsView):
            session.understood()
        elif isinstance(view, ComprehensionView):
            questions = study.design.comprehension.questions
            session.answer_questions([question.answer for question in questions])
        elif isinstance(view, RatingView):
            for name in study.design.criterion_names:
                answer = Answer.of(draw.choice(CHOICES))
                timed("draft", session.draft, view.page, name, answer)
                sent.append((view.page, name, answer.as_json()))
            timed("submit", session.submit, view.page, nonce=view.nonce)
        else:
            return sent, spent


def _design(pages: int, raters: int) -> Design:
    """Take the paper's, with as many raters an item as there are: everybody rates all."""
    design = read_design(raters_per_item=raters, pages_per_rater=pages)
    checks = design.checks.model_copy(update={"attention": 0, "repeats": 0, "exposure": "none"})
    return design.model_copy(update={"checks": checks, "title": "Load test"})


def _materials(design: Design, pages: int) -> Materials:
    """Let the worked example be compared, again and again."""
    lines = design.example.dialogues if design.example else ()
    recordings = tuple(
        SystemDialogue(f"system-{n}", example_dialogue(one), Path(f"{n}.jsonl"), "0" * 64)
        for n, one in enumerate(lines)
    )
    items = tuple(Item(f"talk-{n}", f"talk-{n}", 0, recordings) for n in range(pages))
    return Materials(tuple(one.system for one in recordings), items)
