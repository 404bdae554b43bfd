"""What models and people write is shown, never obeyed; and nothing names a system."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from duo.transcript import Header, Transcript, TranscriptEvent, write_transcript
from sessions.study.exports import archive
from sessions.study.materials import create_study, find_materials
from sessions.study.people import invite, invite_raters
from sessions.study.session import open_session
from sessions.study.store import VARIABLE
from sessions.study.study import Study
from sessions.study.views import RatingView
from tests.sessions.study.app.browser import browsing, needs_browser, served, until
from tests.sessions.study.studies import begin, design, rate_page

pytestmark = needs_browser

pytest.importorskip("streamlit")
pytest.importorskip("selenium")

SYSTEMS = ("quagga-seven", "zirkon-nine")
MODEL = "secret-model-xyzzy"

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "</script></style><svg onload=window.hacked=3>",
    "![picture](http://127.0.0.1:9/track.png) [link](javascript:window.hacked=4)",
    "# big **bold** `code` $x^2$ :red[red] :material/home: <!-- gone",
    "{{ 7 * 7 }} ${7 * 7} \\u003cb\\u003e &lt;b&gt; &amp;",
)
#: Direction marks, controls, a bell, a null: taken out before a page sees them.
ACTING = "\u202e\u2066\u200f\x00\x07\x1b[31m\u0085\u2028"
ARABIC = "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645"
STATES = "<1><idle><2><|im_end|>"


def transcript(system: str, said: Sequence[str], *, scenario: str) -> Transcript:
    """A conversation in which the assistant says these texts, one every ten seconds."""
    events = [
        TranscriptEvent(
            start=0, end=2, channel="input", kind="utterance", cycle=0, text=said[0], utterance="a"
        )
    ]
    for number, text in enumerate(said):
        start = 3.0 + 10 * number
        events.append(
            TranscriptEvent(
                start=start,
                end=start + 5,
                channel="output",
                kind="speech",
                cycle=number + 1,
                text=text,
            )
        )
    header = Header(system=system, model=MODEL, scenario=scenario, cycle_seconds=1.0)
    return Transcript(header=header, events=tuple(events))


def study_of(folder: Path, said: Sequence[str]) -> Study:
    for system in SYSTEMS:
        path = folder / "in" / system / "talk.jsonl"
        write_transcript(path, transcript(system, said, scenario="hidden-scenario-name"))
    return create_study(folder / "study", design(), find_materials(folder / "in", SYSTEMS))


@pytest.fixture
def _no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.usefixtures("_no_url")
def test_hostile_words_are_shown_as_they_are_and_nothing_names_a_system(tmp_path: Path) -> None:
    long = ("word " * 10_000 + "x" * 50_000)[:100_000]
    study = study_of(tmp_path, [*HOSTILE, ACTING + "plain", ARABIC, STATES + "said", long])
    (invitation,) = invite_raters(study, 1)
    begin(open_session(study, invitation.token))
    with served(study) as server, browsing() as browser:
        browser.open(invitation.link(server.address))
        seen = browser.sees("Read as text")
        browser.settled()
        for text in HOSTILE:
            assert text in seen  # word for word, markup and all
        assert ARABIC in seen
        assert len(long) <= len(seen)
        assert not {sign for sign in ACTING if not sign.isprintable()} & set(seen)
        script = "return [window.hacked ?? 0, performance.getEntriesByType('resource').map(\
            e => e.name).filter(n => !n.startsWith(location.origin) && !/^(data|blob):/.test(n))]"
        assert browser.driver.execute_script(script) == [0, []]
        inside = "return [...document.querySelectorAll('*')].filter(e => e.shadowRoot)\
            .flatMap(e => [...e.shadowRoot.querySelectorAll(arguments[0])]).length"
        for tag in ("script", "img", "svg", "a", "strong", "code"):
            assert browser.driver.execute_script(inside, tag) == 0
        assert browser.driver.execute_script(inside, "bdi") > len(HOSTILE)
        wide = "return document.documentElement.scrollWidth <= innerWidth"
        until(lambda: browser.driver.execute_script(wide), why="nothing is wider than the page")

        # Blinding: neither in what is shown nor in anything that came over the wire.
        browser.click("▶ Play")
        browser.choose(0, "Tie")
        browser.settled()
        wire = browser.received()
        page = browser.driver.page_source + browser.text()
        assert b"plain" in wire  # the frames were caught
        for secret in (*SYSTEMS, MODEL, "hidden-scenario-name", "wanted", "attention-1"):
            assert secret.encode() not in wire
            assert secret not in page
        for token in ("<1>", "<2>", "<idle>", "<|im_end|>"):
            assert token.encode() not in wire
            assert token not in seen
        assert browser.complaints() == []


@pytest.mark.usefixtures("_no_url")
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
def test_it_fits_the_screen_and_is_named_for_screen_readers(
    tmp_path: Path, width: int, height: int
) -> None:
    study = study_of(tmp_path, ["Hello there, how are you?", "Well, thank you."])
    (invitation,) = invite_raters(study, 1)
    begin(open_session(study, invitation.token))
    with served(study) as server, browsing(width=width, height=height) as browser:
        browser.open(invitation.link(server.address))
        browser.sees("Read as text")
        browser.find("label", "Keyboard")
        browser.settled()
        run = browser.driver.execute_script
        assert run("return document.documentElement.scrollWidth") <= width
        tree = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        named = [
            (node.get("role", {}).get("value"), node.get("name", {}).get("value", ""))
            for node in tree
            if not node.get("ignored")
        ]
        controls = ("button", "radio", "slider", "combobox", "textbox", "checkbox", "switch")
        assert all(name.strip() for role, name in named if role in controls)
        groups = [name for role, name in named if role == "radiogroup"]
        assert [any(word in name for name in groups) for word in ("Speed", "Sense")] == [True] * 2
        headings = [name for role, name in named if role == "heading"]
        assert any(name.startswith("Which conversation went better?") for name in headings)
        assert "Your answers" in headings
        assert sum(role == "radio" for role, _ in named) == 8
        # The words of the timelines are read from the list, which is closed at first.
        browser.click("Read as text", "summary")
        tree = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        words = " ".join(
            node.get("name", {}).get("value", "")
            for node in tree
            if not node.get("ignored") and node.get("role", {}).get("value") == "StaticText"
        )
        assert len(re.findall("Hello there, how are you", words)) == 4  # both speakers, A and B
        narrow = run(
            "return [...document.querySelectorAll('*')].find(e => e.shadowRoot"
            "?.querySelector('.timelines')).shadowRoot.querySelector('.narrow') !== null"
        )
        assert narrow is (width < 640)


@pytest.mark.usefixtures("_no_url")
def test_hostile_names_on_the_administrators_page(tmp_path: Path) -> None:
    bad = "<img src=x onerror=window.hacked=1>![x](http://127.0.0.1:9/a.png)"
    for system in SYSTEMS:
        path = tmp_path / "in" / system / "talk.jsonl"
        write_transcript(path, transcript(system, ["Hello " * 9], scenario=bad))
    study = create_study(tmp_path / "study", design(), find_materials(tmp_path / "in", SYSTEMS))
    admin = invite(study, "admin", label=bad)
    (invitation,) = invite_raters(study, 1)
    session = open_session(study, invitation.token)
    begin(session)
    view = session.view()
    assert isinstance(view, RatingView)
    session.draft_comment(view.page, f"comment {bad}\u202e")
    rate_page(session)
    with served(study) as server, browsing(width=390, height=844) as browser:
        browser.open(admin.link(server.address))
        browser.sees("Agreement so far")
        until(lambda: bad in browser.text(), why="the item's name is shown as it is")
        assert f"comment {bad}\ufffd" in browser.sees("the latest first")
        wide = "return document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth"
        until(lambda: browser.driver.execute_script(wide), why="nothing is wider than the page")
        browser.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
        )
        browser.click("Everything (zip)")
        path = tmp_path / f"{study.name}.zip"
        until(path.is_file, why="the zip is there")
        until(lambda: path.read_bytes() == archive(study), why="all of it")
        script = "return [window.hacked ?? 0, document.querySelectorAll('img').length]"
        assert browser.driver.execute_script(script) == [0, 0]
