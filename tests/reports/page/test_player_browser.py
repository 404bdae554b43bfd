"""The page about a run in a real browser: it fits, nothing complains, and conversations play."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from duo.transcript import write_transcript
from reports.page.build import copy_sounds, draw_all
from reports.page.collect import collect
from reports.page.page import SCENARIOS, page_of
from sessions.voice.extras import lacking
from sessions.voice.mix import write_sound
from tests.reports.page.runs import write_decoding, write_states, write_talks
from tests.reports.stories import hostile
from tests.sessions.study.app.browser import Browser, browsing, needs_browser, until

pytestmark = needs_browser

ROOTS = "[...document.querySelectorAll('.player')].map(host => host.shadowRoot)"
#: Where the cursor of the first conversation stands, in percent of its length; none before.
HEAD = f"""
const head = {ROOTS}[0].querySelector('.lanes .head');
return head.style.display === 'none' ? null : parseFloat(head.style.left);
"""
UNSAID = f"return {ROOTS}[0].querySelectorAll('.line .unsaid').length"
#: What sticks out of the page without a frame that scrolls around it.
STICKS_OUT = """
const wide = document.documentElement.clientWidth;
return [...document.querySelectorAll('main *')].filter(e =>
  e.getBoundingClientRect().right > wide + 1
  && !e.closest('.scroll')).map(e => e.outerHTML.slice(0, 80));
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_talks(folder)
    (folder / "evil").mkdir()
    write_transcript(folder / "evil" / "evil.jsonl", hostile())
    write_states(folder / "states.json", n=40)
    write_decoding(folder / "decode.json")
    (folder / "broken.json").write_text("{")
    found = collect([folder])
    charts, problems = draw_all(found)
    assert problems == []
    path = tmp_path_factory.mktemp("out") / "index.html"
    path.write_text(page_of(found, charts), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=[1280, 390])
def browser(request: pytest.FixtureRequest, page: Path) -> Iterator[Browser]:
    with browsing(width=request.param, height=900) as opened:
        opened.open(page.as_uri())
        yield opened


def asked(browser: Browser, script: str) -> Any:
    return browser.driver.execute_script(script)


def test_nothing_complains_and_nothing_sticks_out(browser: Browser) -> None:
    assert browser.complaints() == []
    assert asked(browser, STICKS_OUT) == []
    assert asked(browser, "return document.documentElement.scrollWidth") <= asked(
        browser, "return innerWidth"
    )
    assert asked(browser, f"return {ROOTS}.length") == 2
    assert asked(browser, "return document.images.length") == 0


def test_a_conversation_plays_word_by_word_in_real_time(browser: Browser) -> None:
    assert asked(browser, HEAD) is None
    assert asked(browser, UNSAID) == 0
    play = asked(browser, f"return {ROOTS}[0].querySelector('.play')")
    browser.driver.execute_script("arguments[0].click()", play)
    first = until(lambda: asked(browser, HEAD), why="the cursor moves")
    unsaid = asked(browser, UNSAID)
    assert unsaid > 0
    later = until(lambda: (now := asked(browser, HEAD)) > first + 3 and now, why="it goes on")
    until(lambda: asked(browser, UNSAID) < unsaid, why="words are said")
    browser.driver.execute_script("arguments[0].click()", play)
    stopped = asked(browser, HEAD)
    assert stopped >= later
    assert browser.complaints() == []


def test_words_that_would_be_markup_are_words(browser: Browser) -> None:
    said = asked(browser, f"return {ROOTS}.map(root => root.textContent).join(' ')")
    assert "<script>alert('x')</script>" in said
    assert (
        asked(browser, f"return {ROOTS}.flatMap(r => [...r.querySelectorAll('img')]).length") == 0
    )


#: Of each player the bubbles that can be seen: whose, from when to when, and where; with all words.
BUBBLES = """
const box = (element) => {
  const { left, top, right, bottom } = element.getBoundingClientRect();
  return [left, top, right, bottom];
};
return [...document.querySelectorAll('.player')].map((host) => {
  const dialogues = JSON.parse(host.nextElementSibling.textContent).dialogues;
  return [...host.shadowRoot.querySelectorAll('.body')].flatMap((body, n) => {
    const spans = { user: [], assistant: [] };
    for (const u of dialogues[n].utterances) spans[u.who].push(...u.bars);
    return Object.keys(spans).flatMap((who) => {
      const lane = body.querySelector(`.lane.${who}`);
      return [...lane.querySelectorAll('.bubble')].filter((b) => b.getClientRects().length)
        .map((b, at) => ({
          lane: `${n} ${who}`, start: spans[who][at][0], end: spans[who][at][1],
          text: b.textContent, box: box(b), room: box(lane),
          words: [...b.querySelectorAll('span')].map(box),
        }));
    });
  });
});
"""


def inside(box: list[float], room: list[float]) -> bool:
    left, _, right, _ = box
    return room[0] - 1 <= left and right <= room[2] + 1


def test_words_stand_in_their_bubbles_and_bubbles_apart_in_their_lanes(browser: Browser) -> None:
    for bubbles in asked(browser, BUBBLES):
        assert bubbles
        for one in bubbles:
            _, top, _, bottom = one["box"]
            assert inside(one["box"], one["room"]), one
            assert bottom - top >= 20, one  # a line of type fits, whatever was said how fast
            assert one["text"].strip()
            for word in one["words"]:
                assert inside(word, one["box"]), one
                assert top - 1 <= word[1] < word[3] <= bottom + 1, one
        for before, after in pairwise(bubbles):
            if before["lane"] == after["lane"]:
                assert after["box"][1] - before["box"][3] >= 2, (before["text"], after["text"])


def test_what_stands_at_the_same_height_happened_at_the_same_moment(browser: Browser) -> None:
    for bubbles in asked(browser, BUBBLES):
        moments = [(one["start"], one["box"][1]) for one in bubbles]
        moments += [(one["end"], one["box"][3] + 4) for one in bubbles]  # bubbles stand 4 px apart
        for (moment, height), (later, lower) in pairwise(sorted(moments)):
            assert lower >= height - 1, (moment, later)
            if later == moment:
                assert lower == pytest.approx(height, abs=1)


def test_a_cut_answer_and_the_next_are_two_things(browser: Browser) -> None:
    _, shown = asked(browser, BUBBLES)  # the first is the hostile one
    said = [one["text"] for one in shown if one["lane"] == "0 assistant"]
    at = next(number for number, text in enumerate(said) if text.endswith("—"))
    assert said[at].endswith("at—")
    assert said[at + 1].startswith("Then start with")


@pytest.mark.skipif(bool(lacking("sound")), reason=lacking("sound") or "all is there")
def test_the_sound_beside_the_page_is_played_with_the_conversation(tmp_path: Path) -> None:
    write_talks(tmp_path / "run")
    hum = np.sin(np.arange(20 * 16_000) / 20).astype(np.float32) * 0.1
    for path in (tmp_path / "run").rglob("*.jsonl"):
        write_sound(path.with_suffix(".flac"), [hum, hum])
    found = collect([tmp_path / "run"])
    page = tmp_path / "out" / "index.html"
    copy_sounds(found, page.parent, SCENARIOS)
    page.write_text(page_of(found), encoding="utf-8")
    sounds = f"[...{ROOTS}[0].querySelectorAll('audio')]"
    times = f"return {sounds}.map(one => one.currentTime)"
    with browsing(width=1280, height=900) as browser:
        browser.open(page.as_uri())
        play = asked(browser, f"return {ROOTS}[0].querySelector('.play')")
        browser.driver.execute_script("arguments[0].click()", play)
        until(lambda: asked(browser, times)[0] > 0.5, why="the first is heard")
        assert not any(asked(browser, times)[1:])  # one after the other
        browser.driver.execute_script("arguments[0].click()", play)
        until(lambda: asked(browser, f"return {sounds}.every(one => one.paused)"), why="it stops")
        assert browser.complaints() == []
