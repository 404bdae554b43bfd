"""Let raters go through the pages of a real server at once: how many does this machine carry?

Each rater has a web socket and speaks Streamlit's protocol as a browser does: a message for each
click, with the state of all fields, and the page as it comes back. What is not measured is the
drawing, and the network; the raters run on this machine, too, as threads of one process.
`sessions.study.load` does the same on the database, without a server.
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
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from duo.errors import BadInput
from sessions.study.app import is_up, started
from sessions.study.load import Load, Sent, Spent, load_figures, load_study
from sessions.study.study import Study
from sessions.study.views import CHOICES, Answer

HOST = "127.0.0.1"

#: Seconds until a rater gives up.
PATIENCE = 300.0

#: A machine carries raters if a click takes no longer than this: seconds at median and p95.
MEDIAN, P95 = 1.0, 3.0


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
    """Open a rater's page.

    Args:
        options: of the connection, such as `ssl`.
    """
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
                sent.append((now, name, answer.as_json()))
            timed("next", page.say, go="next")
            assert page.data is None or page.data["page"] != now, "a page was not taken"
    return sent, spent


def load_pages(
    folder: Path, *, raters: int, pages: int = 3, think: float = 3.0, processes: int = 1
) -> Load:
    """Make a study in an empty folder, serve it, and let raters at it, all at once.

    Args:
        pages: that each rater rates.
        think: mean seconds between two actions of a rater.
        processes: servers, which share the raters as a proxy would share them.

    Raises:
        BadInput: the folder, the database or a server cannot be used.
    """
    study, tokens = load_study(folder, raters, pages)
    with ExitStack() as stack:
        servers = []
        for port in free_ports(processes):
            server = stack.enter_context(started(study, host=HOST, port=port))
            if not is_up(server, HOST, port):
                raise BadInput("a server did not start", file=folder)
            servers.append(f"http://{HOST}:{port}")
        pool = stack.enter_context(ThreadPoolExecutor(raters))
        begin = time.monotonic()
        thinking = [think] * raters
        results = list(pool.map(rate, [study] * raters, cycle(servers), tokens, thinking))
        seconds = time.monotonic() - begin
    return load_figures(study, results, seconds, raters, processes, think)


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
