"""Let many raters go through the pages of one real server at once, and count what was lost.

    python -m tests.sessions.study.app.load_pages --raters 20 --pages 5 --think 2

Each rater has a web socket and speaks Streamlit's protocol as a browser does: a message for each
click, with the state of all fields, and the page as it comes back. What is not tested is the
drawing. `duo bench study` does the same on the database, without a server.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import select

from sessions.study.design import read_design
from sessions.study.materials import create_study
from sessions.study.people import invite_raters
from sessions.study.store import ratings
from sessions.study.study import Study
from sessions.study.views import CHOICES, Answer
from tests.sessions.study.app.browser import served
from tests.sessions.study.studies import materials

PATIENCE = 300.0


@dataclass
class Tab:
    """A browser's tab: its connection, the fields of the page by their keys, and what they say."""

    socket: Any
    query: str
    fields: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] | None = None
    states: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self, trigger: str | None = None) -> None:
        """Send the state of the page, and take the page that comes back."""
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        message = BackMsg()
        message.rerun_script.query_string = self.query
        sent = message.rerun_script.widget_states.widgets
        for name, value in self.states.items():
            if name in self.fields:
                sent.add(id=self.fields[name].id, **value)
        if trigger is not None:
            sent.add(id=self.fields[trigger].id, trigger_value=True)
        self.socket.send(message.SerializeToString())
        end = time.monotonic() + PATIENCE
        while True:
            answer = ForwardMsg()
            answer.ParseFromString(self.socket.recv(timeout=max(0.0, end - time.monotonic())))
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                self.fields, self.data = {}, None
            elif kind == "delta":
                element = answer.delta.new_element
                what = element.WhichOneof("type")
                if what in ("radio", "button"):
                    one = getattr(element, what)
                    self.fields[one.label] = one
                elif what == "bidi_component" and element.bidi_component.component_name == "rating":
                    self.fields["page"] = element.bidi_component
                    self.data = json.loads(element.bidi_component.json)
            elif (
                kind == "script_finished"
                and answer.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
            ):
                return

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
        self.run()


def rate(study: Study, port: int, token: str, think: float) -> tuple[list[Any], list[float]]:
    """Let one rater go from the consent to the last page."""
    from websockets.sync.client import connect

    draw = random.Random(token)
    sent: list[Any] = []
    spent: list[float] = []

    def timed(act: Callable[..., None], *given: Any, **named: Any) -> None:
        time.sleep(draw.uniform(0, 2 * think))
        begin = time.monotonic()
        act(*given, **named)
        spent.append(time.monotonic() - begin)

    options: dict[str, Any] = {
        "origin": f"http://127.0.0.1:{port}",
        "subprotocols": ["streamlit"],
        "open_timeout": PATIENCE,
        "ping_timeout": None,
        "max_size": None,
        "proxy": None,
    }
    with connect(f"ws://127.0.0.1:{port}/_stcore/stream", **options) as connection:
        tab = Tab(connection, urlencode({"t": token}))
        timed(tab.run)
        timed(tab.run, "I agree and take part")
        timed(tab.run, "I have read this")
        for number, question in enumerate(study.design.comprehension.questions):
            name = f"Question {number + 1}"
            option = tab.fields[name].options[question.options.index(question.answer)]
            tab.states[name] = {"string_value": option}
        timed(tab.run, "Check my answers")
        while tab.data is not None:
            page = tab.data["page"]
            for name in study.design.criterion_names:
                answer = Answer.of(draw.choice(CHOICES))
                timed(tab.say, go=None, **{name: answer})
                sent.append((page, name, answer.as_json()))
            timed(tab.say, go="next")
            assert tab.data is None or tab.data["page"] != page, "a page was not taken"
    return sent, spent


def load(study: Study, tokens: Sequence[str], think: float) -> tuple[list[Any], list[float]]:
    """Let all raters at the server at once; return what they said, and seconds of each click."""
    with served(study) as server, ThreadPoolExecutor(max(len(tokens), 1)) as pool:
        results = list(pool.map(lambda token: rate(study, server.port, token, think), tokens))
    return [one for said, _ in results for one in said], [t for _, spent in results for t in spent]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raters", type=int, default=20)
    parser.add_argument("--pages", type=int, default=5)
    parser.add_argument("--think", type=float, default=2.0, help="mean seconds between clicks")
    given = parser.parse_args()
    os.environ.pop("DUO_DATABASE_URL", None)
    design = read_design(raters_per_item=given.raters, pages_per_rater=given.pages)
    checks = design.checks.model_copy(update={"attention": 0, "repeats": 0})
    talks = materials(given.pages)
    with tempfile.TemporaryDirectory() as folder:
        study = create_study(Path(folder), design.model_copy(update={"checks": checks}), talks)
        tokens = [one.token for one in invite_raters(study, given.raters)]
        sent, spent = load(study, tokens, given.think)
        with study.database.read() as connection:
            rows = connection.execute(select(ratings)).all()
        study.database.close()
    stored = sorted((row.page_id, row.criterion, row.answer) for row in rows)
    spent.sort()
    print(
        f"{len(stored)} of {len(sent)} ratings stored; a click took {spent[len(spent) // 2]:.3f} s "
        f"(median), {spent[int(0.95 * len(spent))]:.3f} s (95 %), {spent[-1]:.3f} s (longest)"
    )
    assert stored == sorted(sent), "ratings were lost or changed"


if __name__ == "__main__":
    main()
