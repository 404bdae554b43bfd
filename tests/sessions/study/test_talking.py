"""The page on which participants of a live study talk: what it is told, and what becomes of it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from duo.decoding.conversant import CycleResult, Event, Heard, Kind
from duo.errors import BadInput
from duo.transcript import Header
from sessions.study.people import invite_raters
from sessions.study.session import open_session
from sessions.study.study import Study
from sessions.study.talks import all_talks, recording
from sessions.study.views import TalkView
from sessions.voice.extras import lacking
from tests.sessions.study.app.browser import browsing, needs_browser, until
from tests.sessions.study.studies import begin, newcomer
from tests.sessions.study.test_live import due, make_live  # noqa: F401 - a fixture

pytestmark = pytest.mark.skipif(bool(lacking("session")), reason=lacking("session"))

SECRETS = ("secret-system", "other-system", "secret-model", "secret-setting")


class Talkative:
    """Says something at once, with all that could give a system away."""

    cycle_seconds = 0.2

    def __init__(self, name: str) -> None:
        self.name, self.cycles = name, 0

    def reset(self) -> None:
        self.cycles = 0

    def cycle(self, heard: Heard) -> CycleResult:
        self.cycles += 1
        match self.cycles:
            case 1:
                return CycleResult((Event(Kind.NOTE, f"{self.name} begins"),), 3, busy=True)
            case 2:
                return CycleResult((Event(Kind.SPEECH, "<1>Hello"), Event(Kind.SPEECH, " there.")))
            case 3:
                return CycleResult((Event(Kind.ANSWER_END, by=self.name),))
        if self.name == "other-system" and self.cycles > 4:
            raise RuntimeError(f"{self.name} with secret-model fails")
        return CycleResult(())


def build(system: str) -> tuple[Talkative, Header]:
    header = Header(
        system=system, model="secret-model", scenario="talk", cycle_seconds=0.2,
        settings={"secret-setting": 1},
    )  # fmt: skip
    return Talkative(system), header


class Deaf:
    """Stands for the recogniser's model: nobody says anything."""

    def __call__(self, *_: object, **__: object) -> list[object]:
        return []


@pytest.fixture
def study(make_live: Callable[..., Study]) -> Study:  # noqa: F811
    return make_live(
        topics=1,
        live={
            "systems": {name: {"model": "secret-model"} for name in SECRETS[:2]},
            "seconds": 60,
            "captions": True,
        },
    )


def test_a_browser_is_told_nothing_of_the_systems(study: Study) -> None:
    from starlette.testclient import TestClient

    from sessions.study.talking import LiveTalks
    from sessions.voice.recogniser import SpeechInput
    from sessions.voice.voices import load_voice

    talks = LiveTalks(study, [build], lambda: SpeechInput(Deaf()), load_voice("none"))
    talks.warm_up()
    session, other = newcomer(study), newcomer(study)
    waiting = other.ticket(due(other).page)
    told, sent = [], []
    app = talks.app(framed_by="http://localhost:8501", hosts=("testserver",))
    own = {"origin": "http://testserver"}
    with TestClient(app, headers=own) as client:

        def fetch(path: str, content: object = None) -> int:
            answer = client.post(path, json=content) if content else client.get(path)
            told.append(f"{answer.url} {answer.headers} {answer.text}")
            return int(answer.status_code)

        assert fetch("/forged/api/choices") == 404
        while isinstance(session.view(), TalkView):  # what failed is begun anew, once
            at = session.ticket(due(session).page)
            begun = {"choice": 0, "record": False, "resume": True}
            for name in ("", "talk.js", "talk.css", "microphone.js", "api/choices"):
                assert fetch(f"/{at}/{name}") == 200
            assert fetch(f"/{at}/api/prepare", begun) == 200
            assert fetch(f"/{at}/api/prepare", begun) == 409
            assert fetch(f"/{waiting}/api/prepare", begun) == 503  # one at a time
            with client.websocket_connect(f"/{at}/api/sound", headers=own) as socket:
                socket.send_bytes(bytes(640))
                while (message := socket.receive())["type"] == "websocket.send":
                    sent.append(message)
                    stops = all_talks(study)[-1].system == "secret-system"
                    if stops and "there." in (message.get("text") or ""):
                        client.post(f"/{at}/api/leave", content="ended")
            until(lambda at=at: fetch(f"/{at}/") == 404, why="the ticket opens nothing any more")

    whole = "\n".join([*told, *map(str, sent)])
    assert "Hello there." in whole
    assert not [secret for secret in SECRETS if secret in whole]
    texts = [json.loads(one["text"]) for one in sent if one.get("text")]
    assert {one["what"] for one in texts} <= {"caption", "state"}
    assert not any("<1>" in str(one) for one in texts)

    ended = {talk.system: talk for talk in all_talks(study)}
    assert ended["secret-system"].outcome == "stopped"
    assert ended["other-system"].outcome == "failed"
    assert ended["secret-system"].words == 2
    assert all(recording(study, talk, ".flac") for talk in ended.values())
    assert len(talks.seats) == 1


def test_models_are_loaded_in_the_chat_format_that_the_study_was_told(tmp_path: Path) -> None:
    from sessions.study.study import open_study
    from sessions.study.talking import seats_of
    from tests.duo.test_backbone import saved
    from tests.sessions.study.test_study_commands import study

    saved(tmp_path / "model", states=True)
    words = "create", "--live", "--systems", "duo,turn-based", "--model", tmp_path / "model"
    study(*words, "--out", tmp_path / "own")
    study(*words, "--chat", "plain", "--out", tmp_path / "plain")
    with pytest.raises(BadInput, match="--chat: unknown 'plan'"):
        study(*words, "--chat", "plan", "--out", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    [own], [plain] = (seats_of(open_study(tmp_path / name)) for name in ("own", "plain"))
    for system in ("duo", "turn-based"):
        assert own(system)[1].settings.get("backbone") is None
        assert plain(system)[1].settings["backbone"] == {"chat": "plain"}


def brief(backbone: object, *, seed: int) -> Talkative:
    return Talkative("brief")


def terse(backbone: object, *, seed: int) -> Talkative:
    return Talkative("terse")


@needs_browser
def test_a_participant_talks_in_a_browser(
    make_live: Callable[..., Study],  # noqa: F811
    tmp_path: Path,
) -> None:
    systems = [f"{__name__}:{name}" for name in ("brief", "terse")]
    live = {"systems": {name: {} for name in systems}, "voice": "none", "captions": True}
    study = make_live(topics=1, live=live)
    (invitation,) = invite_raters(study, 1)
    begin(open_session(study, invitation.token))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "duo.cli", "study", "serve", str(study.folder), "--trial"]
    flags = "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"
    with subprocess.Popen([*words, f"--port={port}"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert str(port) in server.stdout.readline()
            with browsing(*flags) as browser:
                browser.open(invitation.link(f"http://localhost:{port}"))
                for label in "AB":
                    browser.sees(f"Conversation {label}")
                    browser.settled()
                    browser.click("Open the conversation")
                    frame = browser.find("iframe")
                    browser.driver.switch_to.frame(frame)
                    browser.click("Start talking")
                    browser.sees("Hello there.")
                    browser.click("Stop")
                    browser.driver.switch_to.default_content()
                browser.sees("Which conversation went better?")
                browser.driver.save_screenshot(str(tmp_path / "rating.png"))
                received = browser.received().decode(errors="replace")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)
    assert "Hello there." in received
    assert not [name for name in ("brief", "terse") if name in received]
    assert [talk.outcome for talk in all_talks(study)] == ["stopped", "stopped"]
    assert all(recording(study, talk, ".flac") for talk in all_talks(study))
