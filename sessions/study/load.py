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
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from duo.table import Column, Table
from sessions.study.blinding import Dialogue, Word
from sessions.study.design import Design, read_design
from sessions.study.materials import Item, Materials, Recording, create_study
from sessions.study.people import invite_raters
from sessions.study.session import open_session
from sessions.study.store import ratings
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
    """What a load test found.

    Attributes:
        think: mean seconds between two operations of a rater.
        sent, stored: ratings; `lost` and `changed` are those that are not there, or differ.
        seconds: wall time of all raters together.
        spent: seconds that each operation took, by its name.
    """

    database: str
    raters: int
    processes: int
    think: float
    sent: int
    stored: int
    lost: int
    changed: int
    seconds: float
    spent: Mapping[str, Sequence[float]]

    @property
    def timings(self) -> list[tuple[str, int, float, float, float]]:
        """Of each operation its name, how often it was done, and median, 95 % and longest time."""
        found = []
        for name, values in sorted(self.spent.items()):
            median, p95, longest = np.quantile(values, (0.5, 0.95, 1)).tolist()
            found.append((name, len(values), median, p95, longest))
        return found

    def table(self) -> Table:
        """Return the timings as a table."""
        columns = [Column(name, "number", ".0f") for name in ("median ms", "p95 ms", "longest ms")]
        return Table(
            f"{self.raters} raters at once on {self.database}, {self.processes} processes, "
            f"{self.think:g} s between operations, {self.seconds:.1f} s in all",
            ("operation", "count", *columns),
            [[name, n, *(1000 * one for one in times)] for name, n, *times in self.timings],
            notes=[
                f"{self.stored} of {self.sent} ratings stored, {self.lost} lost, "
                f"{self.changed} changed"
            ],
        )

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON has it, with the timings instead of all times."""
        facts = {name: value for name, value in vars(self).items() if name != "spent"}
        names = ("operation", "count", "median", "p95", "longest")
        return facts | {"timings": [dict(zip(names, one, strict=True)) for one in self.timings]}


#: Page, criterion, and what was said.
_Sent = list[tuple[int, str, str]]
_Spent = dict[str, list[float]]


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
    study = create_study(folder, _design(pages, raters), _materials(pages))
    tokens = [invitation.token for invitation in invite_raters(study, raters)]
    begin = time.monotonic()
    shares = [tokens[start::processes] for start in range(processes)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        results = list(pool.map(_work, [folder] * processes, shares, [think] * processes))
    seconds = time.monotonic() - begin
    sent, spent = _together(results)
    with study.database.read() as connection:
        rows = connection.execute(select(ratings)).all()
    stored = {(row.page_id, row.criterion): row.answer for row in rows}
    expected = {(page, criterion): answer for page, criterion, answer in sent}
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
        seconds=round(seconds, 3),
        spent=spent,
    )


def _work(folder: Path, tokens: Sequence[str], think: float) -> tuple[_Sent, _Spent]:
    """Run one process: a thread for each rater."""
    study = open_study(folder)
    with ThreadPoolExecutor(max(len(tokens), 1)) as pool:
        results = list(pool.map(lambda token: _rate(study, token, think), tokens))
    study.database.close()
    return _together(results)


def _rate(study: Study, token: str, think: float) -> tuple[_Sent, _Spent]:
    """Let one rater go from the first page to the last."""
    draw = random.Random(token)
    sent: _Sent = []
    spent: _Spent = defaultdict(list)

    def timed(operation: str, act: Callable[..., Any], *given: Any, **named: Any) -> Any:
        time.sleep(draw.uniform(0, 2 * think))
        begin = time.monotonic()
        result = act(*given, **named)
        spent[operation].append(time.monotonic() - begin)
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
            return sent, dict(spent)


def _together(results: Sequence[tuple[_Sent, _Spent]]) -> tuple[_Sent, _Spent]:
    spent: _Spent = defaultdict(list)
    for _, times in results:
        for operation, values in times.items():
            spent[operation] += values
    return [one for said, _ in results for one in said], dict(spent)


def _design(pages: int, raters: int) -> Design:
    """Take the paper's, with as many raters an item as there are: everybody rates all."""
    design = read_design(raters_per_item=raters, pages_per_rater=pages)
    checks = design.checks.model_copy(update={"attention": 0, "repeats": 0})
    return design.model_copy(update={"checks": checks, "title": "Load test"})


def _materials(pages: int) -> Materials:
    def recording(system: str, number: int) -> Recording:
        words = [Word("user", 0.0, 1.0, "And then?")]
        words += [
            Word("assistant", 1.0 + place / 2, 1.4 + place / 2, f" word{place}")
            for place in range(60)
        ]
        source = Path(f"{system}/{number}.jsonl")
        return Recording(system, Dialogue(tuple(words)), source, "0" * 64)

    systems = ("one", "other")
    items = tuple(
        Item(f"talk-{n}", f"talk-{n}", 0, tuple(recording(system, n) for system in systems))
        for n in range(pages)
    )
    return Materials(systems, items)
