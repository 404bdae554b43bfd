"""Let raters go through the pages of a real server at once: how many does this machine carry?

Each rater has a web socket and speaks Streamlit's protocol as a browser does: a message for each
click, with the state of all fields, and the page as it comes back. What is not measured is the
drawing, and the network; the raters run on this machine, too, as threads of one process.
Between two actions each thinks for a while: N raters who think as long as people are N people. It
is apart from the tests because `duo bench raters` tells a researcher what their server can bear.
"""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from pydantic import Field
from sqlalchemy import select

from duo.errors import BadInput
from duo.files import Result
from duo.table import Column, Table
from sessions.study.app import is_up, started
from sessions.study.blinding import example_dialogue
from sessions.study.design import read_design
from sessions.study.materials import Item, Materials, SystemDialogue, create_study
from sessions.study.people import invite_raters
from sessions.study.study import Study
from sessions.study.tables import actions, ratings
from sessions.study.views import CHOICES, Answer

HOST = "127.0.0.1"

#: Seconds until a rater gives up.
PATIENCE = 300.0

#: A machine carries raters if a click takes no longer than this: seconds at median and p95.
MEDIAN, P95 = 1.0, 3.0


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
    """The JSON of `duo bench raters`: one entry for each number of raters."""

    kind: Literal["load-bench"] = "load-bench"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    runs: tuple[Load, ...] = ()


#: Page, criterion, and what was said; and an operation with the seconds that it took.
Sent = list[tuple[int, str, Answer]]
Spent = list[tuple[str, float]]


@dataclass
class Tab:
    """A browser's tab, as the server sees it.

    Attributes:
        query: of the address.
        fields: of the page, by their labels; `states` is what they say.
        data: of the rating page, if it is shown; a click on it runs its `fragment` alone.
        received: all messages of the last run.
    """

    socket: Any
    query: str
    fields: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] | None = None
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    fragment: str = ""
    received: list[bytes] = field(default_factory=list)

    def run(self, trigger: str | None = None, fragment: str = "") -> None:
        """Send the state of the page, and take the page that comes back."""
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        message = BackMsg()
        message.rerun_script.query_string = self.query
        message.rerun_script.fragment_id = fragment
        sent = message.rerun_script.widget_states.widgets
        for name, value in self.states.items():
            if name in self.fields:
                sent.add(id=self.fields[name].id, **value)
        if trigger is not None:
            sent.add(id=self.fields[trigger].id, trigger_value=True)
        self.socket.send(message.SerializeToString())
        self.received.clear()
        end = time.monotonic() + PATIENCE
        while True:
            self.received.append(self.socket.recv(timeout=max(0.0, end - time.monotonic())))
            answer = ForwardMsg()
            answer.ParseFromString(self.received[-1])
            kind = answer.WhichOneof("type")
            if kind == "new_session" and not fragment:
                self.fields, self.data = {}, None
            elif kind == "delta":
                element = answer.delta.new_element
                what = element.WhichOneof("type")
                if what in ("radio", "button"):
                    one = getattr(element, what)
                    self.fields[one.label] = one
                elif what == "bidi_component" and element.bidi_component.component_name == "rating":
                    self.fields["page"] = element.bidi_component
                    self.fragment = answer.delta.fragment_id
                    self.data = json.loads(element.bidi_component.json)
            elif kind == "script_finished" and answer.script_finished in (
                ForwardMsg.FINISHED_SUCCESSFULLY,
                ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY,
            ):
                return
            elif kind == "script_finished":
                fragment = ""  # the whole page follows

    def say(self, *, go: str | None, **answers: Answer) -> None:
        """Say of the rating page what its script would."""
        assert self.data is not None
        said = {name: self.data[name] for name in ("page", "number", "nonce")} | {
            "message": self.data["heard"] + 1,
            "answers": {
                name: {"places": one.ranks, "both_bad": one.both_bad}
                for name, one in answers.items()
            },
            "comment": None,
            "go": go,
        }
        self.states["page"] = {"json_value": json.dumps({"said": said})}
        self.run(fragment=self.fragment)


@contextmanager
def tab(address: str, token: str, **options: Any) -> Iterator[Tab]:
    """Open a rater's page; `options` are of the connection, such as `ssl`."""
    from websockets.sync.client import connect

    parts = urlsplit(address)
    stream = f"{address.rstrip('/').replace('http', 'ws', 1)}/_stcore/stream"
    usual: dict[str, Any] = {
        "origin": f"{parts.scheme}://{parts.netloc}",
        "subprotocols": ["streamlit"],
        "open_timeout": PATIENCE,
        "ping_timeout": None,
        "max_size": None,
        "proxy": None,
    }
    with connect(stream, **(usual | options)) as connection:
        yield Tab(connection, urlencode({"t": token}))


def rate(
    study: Study, address: str, token: str, think: float, **options: Any
) -> tuple[Sent, Spent]:
    """Let one rater go from the consent to the last page; see `tab` for the options."""
    draw = random.Random(token)
    sent: Sent = []
    spent: Spent = []

    def timed(operation: str, act: Callable[..., None], *given: Any, **named: Any) -> None:
        time.sleep(draw.uniform(0, 2 * think))
        begin = time.monotonic()
        act(*given, **named)
        spent.append((operation, time.monotonic() - begin))

    with tab(address, token, **options) as page:
        timed("open", page.run)
        timed("before", page.run, "I agree and take part")
        timed("before", page.run, "I have read this")
        for number, question in enumerate(study.design.comprehension.questions):
            name = f"Question {number + 1}"
            option = page.fields[name].options[question.options.index(question.answer)]
            page.states[name] = {"string_value": option}
        if study.design.comprehension.questions:
            timed("before", page.run, "Check my answers")
        while page.data is not None:
            now = page.data["page"]
            for name in study.design.criterion_names:
                answer = Answer.of(draw.choice(CHOICES))
                timed("click", page.say, go=None, **{name: answer})
                sent.append((now, name, answer))
            timed("next", page.say, go="next")
            assert page.data is None or page.data["page"] != now, "a page was not taken"
    return sent, spent


def load_pages(
    folder: Path, *, raters: int, pages: int = 3, think: float = 3.0, processes: int = 1
) -> Load:
    """Make a study in an empty folder, serve it, and let raters at it, all at once.

    Args:
        processes: servers, which share the raters as a proxy would share them.

    Raises:
        BadInput: the folder, the database or a server cannot be used.
    """
    import pandas as pd

    study = _study(folder, raters, pages)
    tokens = [invitation.token for invitation in invite_raters(study, raters)]
    with ExitStack() as stack:
        servers = []
        for port in free_ports(processes):
            server = stack.enter_context(started(study, host=HOST, port=port))
            if not is_up(server, HOST, port):
                raise BadInput("a server did not start", file=folder)
            servers.append(f"http://{HOST}:{port}")
        pool = stack.enter_context(ThreadPoolExecutor(raters))
        begin = time.monotonic()
        results = list(pool.map(partial(rate, study, think=think), cycle(servers), tokens))
        seconds = time.monotonic() - begin
    sent = [one for said, _ in results for one in said]
    spent = pd.DataFrame([one for _, times in results for one in times])
    with study.database.read() as connection:
        rows = connection.execute(select(ratings)).all()
        kinds = list(connection.execute(select(actions.c.kind)).scalars())
    study.database.close()
    stored = {(row.page_id, row.criterion): Answer.from_data(row.answer) for row in rows}
    expected = {(page, criterion): answer for page, criterion, answer in sent}
    submitted = len({page for page, _ in expected})
    return Load(
        database=study.database.url.get_backend_name(),
        raters=raters,
        processes=processes,
        think=think,
        sent=len(sent),
        stored=len(stored),
        lost=len(expected.keys() - stored.keys()),
        changed=sum(stored.get(key, answer) != answer for key, answer in expected.items()),
        doubled=max(0, kinds.count("draft") - len(sent))
        + max(0, kinds.count("submit") - submitted),
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


def free_ports(count: int) -> list[int]:
    """Return ports of this machine at which nobody listens."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in taken]


def carries(found: Load) -> bool:
    """Tell whether clicks were answered in time, and none was lost or doubled."""
    clicks = [one for one in found.timings if one["operation"] in ("click", "next")]
    in_time = all(one["median"] <= MEDIAN and one["p95"] <= P95 for one in clicks)
    return in_time and not (found.lost or found.changed or found.doubled)


def _study(folder: Path, raters: int, pages: int) -> Study:
    """Make a study of the paper's design, whose worked example everybody compares on every page."""
    design = read_design(raters_per_item=raters, pages_per_rater=pages)
    checks = design.checks.model_copy(update={"attention": 0, "repeats": 0, "exposure": "none"})
    design = design.model_copy(update={"checks": checks, "title": "Load test"})
    assert design.example is not None
    recordings = tuple(
        SystemDialogue(f"system-{n}", example_dialogue(one), Path(f"{n}.jsonl"), "0" * 64)
        for n, one in enumerate(design.example.dialogues)
    )
    items = tuple(Item(f"talk-{n}", f"talk-{n}", 0, recordings) for n in range(pages))
    materials = Materials(tuple(one.system for one in recordings), items)
    return create_study(folder, design, materials)
