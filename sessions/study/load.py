"""A load test: many raters at once over real connections, and whether anything was lost.

Each rater goes from the consent to the last page as a browser would make them: a view, a draft at
every click, a submission, each a transaction of its own. The raters work in threads of several
processes, as the sessions of several servers do; or they go through the pages of a real server
(`load_web`). Between two operations each thinks for a while: in the mean half a second, when people
take several, so that N raters are as many times N people.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from sessions.study.answer import CHOICES, Answer
from sessions.study.creation import create_study
from sessions.study.design import Design, read_design
from sessions.study.materials import Item, Materials, Recording
from sessions.study.people import invite_raters
from sessions.study.session import open_session
from sessions.study.store import ratings
from sessions.study.study import Study, open_study
from sessions.study.views import ComprehensionView, ConsentView, InstructionsView, RatingView


@dataclass(frozen=True)
class Timing:
    """Seconds that one kind of operation took."""

    operation: str
    count: int
    median: float
    p95: float
    longest: float


@dataclass(frozen=True)
class Load:
    """What a load test found.

    Attributes:
        way: "store" or "pages".
        think: mean seconds between two operations of a rater.
        sent, stored: ratings; `lost` and `changed` are those that are not there, or differ.
        seconds: wall time of all raters together.
    """

    way: str
    database: str
    raters: int
    processes: int
    think: float
    sent: int
    stored: int
    lost: int
    changed: int
    seconds: float
    timings: tuple[Timing, ...]

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


#: Page, criterion, and what was said.
_Sent = list[tuple[int, str, str]]


def load_test(
    folder: Path,
    *,
    raters: int = 100,
    pages: int = 5,
    processes: int = 2,
    think: float = 0.5,
    through_pages: bool = False,
) -> Load:
    """Make a study in an empty folder and let raters at it, all at once.

    Args:
        pages: that each rater rates.
        think: mean seconds between two operations of a rater; 0 for as fast as can be.
        through_pages: by web sockets to one server of the pages, instead of to the database.

    Raises:
        BadInput: the folder or the database cannot be used.
    """
    study = create_study(folder, _design(pages, raters), _materials(pages))
    tokens = [invitation.token for invitation in invite_raters(study, raters)]
    begin = time.monotonic()
    spent: dict[str, list[float]] = defaultdict(list)
    if through_pages:
        from sessions.study.load_web import rate_all

        processes = 1
        sent, times_spent = rate_all(study, tokens, think=think)
        for operation, value in times_spent:
            spent[operation].append(value)
    else:
        shares = [tokens[start::processes] for start in range(processes)]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            results = list(pool.map(_work, [str(folder)] * processes, shares, [think] * processes))
        sent = [one for said, _ in results for one in said]
        for _, times in results:
            for operation, values in times.items():
                spent[operation] += values
    seconds = time.monotonic() - begin
    stored = _stored(study)
    expected = {(page, criterion): answer for page, criterion, answer in sent}
    report = Load(
        way="pages" if through_pages else "store",
        database=study.database.url.get_backend_name(),
        raters=raters,
        processes=processes,
        think=think,
        sent=len(sent),
        stored=len(stored),
        lost=len(expected.keys() - stored.keys()),
        changed=sum(stored.get(key, answer) != answer for key, answer in expected.items()),
        seconds=round(seconds, 3),
        timings=tuple(_timing(operation, values) for operation, values in sorted(spent.items())),
    )
    study.database.close()
    return report


def _work(folder: str, tokens: Sequence[str], think: float) -> tuple[_Sent, dict[str, list[float]]]:
    """One process: a thread for each rater."""
    study = open_study(Path(folder))
    with ThreadPoolExecutor(max(len(tokens), 1)) as pool:
        results = list(pool.map(lambda token: _rate(study, token, think), tokens))
    study.database.close()
    times: dict[str, list[float]] = defaultdict(list)
    for _, spent in results:
        for operation, seconds in spent:
            times[operation].append(seconds)
    return [one for said, _ in results for one in said], dict(times)


def _rate(study: Study, token: str, think: float) -> tuple[_Sent, list[tuple[str, float]]]:
    """One rater, from the first page to the last."""
    draw = random.Random(token)
    sent: _Sent = []
    spent: list[tuple[str, float]] = []

    def timed(operation: str, act: Callable[[], Any]) -> Any:
        time.sleep(draw.uniform(0, 2 * think))
        begin = time.monotonic()
        result = act()
        spent.append((operation, time.monotonic() - begin))
        return result

    session = timed("open", lambda: open_session(study, token))
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
            for criterion in view.criteria:
                answer = Answer.of(draw.choice(CHOICES))
                _draft(timed, session, view, criterion.name, answer)
                sent.append((view.page, criterion.name, answer.as_json()))
            _submit(timed, session, view)
        else:
            return sent, spent


def _draft(timed: Any, session: Any, view: RatingView, name: str, answer: Answer) -> None:
    timed("draft", lambda: session.draft(view.page, name, answer))


def _submit(timed: Any, session: Any, view: RatingView) -> None:
    timed("submit", lambda: session.submit(view.page, nonce=view.nonce))


def _stored(study: Study) -> dict[tuple[int, str], str]:
    with study.database.read() as connection:
        rows = connection.execute(select(ratings)).all()
    return {(row.page_id, row.criterion): row.answer for row in rows}


def _timing(operation: str, values: Sequence[float]) -> Timing:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    rounded = (round(value, 4) for value in (statistics.median(ordered), p95, ordered[-1]))
    return Timing(operation, len(values), *rounded)


def _design(pages: int, raters: int) -> Design:
    """The paper's, with as many raters an item as there are: everybody rates all."""
    design = read_design(raters_per_item=raters, pages_per_rater=pages)
    checks = design.checks.model_copy(update={"attention": 0, "repeats": 0})
    return design.model_copy(update={"checks": checks, "title": "Load test"})


def _materials(pages: int) -> Materials:
    from sessions.study.blinding import Dialogue, Word

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
