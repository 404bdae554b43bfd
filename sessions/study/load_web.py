"""The load test through the pages: a real server, and raters who talk to it as browsers do.

Each rater has a web socket of their own and speaks Streamlit's protocol: a message for each click,
with the state of all fields, and the page as it comes back. What is not tested is the drawing. The
server listens on this machine only, and is stopped in the end.
"""

from __future__ import annotations

import random
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from duo.errors import BadInput
from sessions.study.answer import Answer
from sessions.study.serving import command, environment
from sessions.study.study import Study

#: Seconds until the server must answer, and until a click must.
START, PATIENCE = 120.0, 300.0

_HOST = "127.0.0.1"

#: The choices in the order in which the page shows them.
_ORDER = ("left", "tie", "right", "both_bad")

#: Page, criterion, and what was said.
Sent = list[tuple[int, str, str]]
Spent = list[tuple[str, float]]


def rate_all(study: Study, tokens: Sequence[str], *, think: float) -> tuple[Sent, Spent]:
    """Let a rater for each token go from the consent to the last page, all at once.

    Args:
        think: mean seconds between two clicks.

    Returns:
        The ratings that were submitted, and the seconds from each click to the page after it.

    Raises:
        BadInput: the server does not start, or a page fails.
    """
    with _server(study) as port, ThreadPoolExecutor(max(len(tokens), 1)) as pool:
        results = list(pool.map(lambda token: _rate(study, port, token, think), tokens))
    sent = [one for said, _ in results for one in said]
    return sent, [one for _, spent in results for one in spent]


@contextmanager
def _server(study: Study) -> Iterator[int]:
    with socket.socket() as free:
        free.bind((_HOST, 0))
        port: int = free.getsockname()[1]
    words = command(study, host=_HOST, port=port)
    with subprocess.Popen(words, env=environment(study), stdout=subprocess.DEVNULL) as server:
        try:
            _wait(server, f"http://{_HOST}:{port}/_stcore/health")
            yield port
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait(server: subprocess.Popen[bytes], address: str) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise BadInput("the server of the pages did not start")


@dataclass
class _Tab:
    """A browser's tab: its connection, the fields of the page, and what is chosen in them."""

    socket: Any
    query: str
    fields: dict[str, Any] = field(default_factory=dict)
    chosen: dict[str, str] = field(default_factory=dict)

    def run(self, trigger: str | None = None) -> None:
        """Send the state of the page, and take the page that comes back."""
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        done = ForwardMsg.FINISHED_SUCCESSFULLY
        message = BackMsg()
        message.rerun_script.query_string = self.query
        states = message.rerun_script.widget_states.widgets
        for name, value in self.chosen.items():
            states.add(id=self.fields[name].id, string_value=value)
        if trigger is not None:
            states.add(id=self.fields[trigger].id, trigger_value=True)
        self.socket.send(message.SerializeToString())
        fields: dict[str, Any] = {}
        end = time.monotonic() + PATIENCE
        while True:
            answer = ForwardMsg()
            answer.ParseFromString(self.socket.recv(timeout=max(0.0, end - time.monotonic())))
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                fields = {}
            elif kind == "delta":
                element = answer.delta.new_element
                what = element.WhichOneof("type")
                if what == "radio" or what == "button":
                    one = getattr(element, what)
                    fields[_key(one.id)] = one
            elif kind == "script_finished" and answer.script_finished == done:
                break
        self.fields = fields
        self.chosen = {name: value for name, value in self.chosen.items() if name in fields}


def _rate(study: Study, port: int, token: str, think: float) -> tuple[Sent, Spent]:
    """One rater, from the first page to the last."""
    from websockets.sync.client import connect

    draw = random.Random(token)
    sent: Sent = []
    spent: Spent = []

    def timed(operation: str, act: Callable[[], None]) -> None:
        time.sleep(draw.uniform(0, 2 * think))
        begin = time.monotonic()
        act()
        spent.append((operation, time.monotonic() - begin))

    time.sleep(draw.uniform(0, 2 * think))
    address = f"ws://{_HOST}:{port}/_stcore/stream"
    options: dict[str, Any] = {
        "origin": f"http://{_HOST}:{port}",
        "subprotocols": ["streamlit"],
        "open_timeout": PATIENCE,
        "ping_timeout": None,
        "max_size": None,
        "proxy": None,
    }
    with connect(address, **options) as connection:
        tab = _Tab(connection, urlencode({"t": token}))
        timed("open", tab.run)
        for step in ("agree", "understood"):
            timed("enter", lambda step=step: tab.run(step))  # type: ignore[misc]
        if questions := study.design.comprehension.questions:
            for number, question in enumerate(questions):
                name = f"question {number}"
                place = question.options.index(question.answer)
                tab.chosen[name] = tab.fields[name].options[place]
            timed("enter", lambda: tab.run("questions-Check my answers"))
        while onward := next((name for name in tab.fields if name.startswith("next ")), None):
            _page(study, tab, int(onward.split()[1]), draw, timed, sent)
            timed("submit", lambda: tab.run(onward))
            if onward in tab.fields:
                raise BadInput(f"page {onward.split()[1]} was not taken", field="pages")
    return sent, spent


def _page(
    study: Study,
    tab: _Tab,
    page: int,
    draw: random.Random,
    timed: Callable[[str, Callable[[], None]], None],
    sent: Sent,
) -> None:
    for criterion in study.design.criterion_names:
        stem = f"answer {page} {criterion} "
        name = next(name for name in tab.fields if name.startswith(stem))
        place = draw.randrange(len(_ORDER))
        tab.chosen[name] = tab.fields[name].options[place]
        timed("click", tab.run)
        sent.append((page, criterion, Answer.of(_ORDER[place]).as_json()))


def _key(widget: str) -> str:
    """The key by which our pages call a widget: Streamlit's ids end with it."""
    return widget.split("-", 2)[-1].removeprefix("FormSubmitter:")
