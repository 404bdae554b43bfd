"""The page in a real browser: nothing complains, nothing overlaps or sticks out."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reports.page.collect import Evidence, Piece
from reports.page.page import page_of
from tests.reports.stories import hostile, interrupted, waiting

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

#: Opens the page in a frame of some width and writes down what it finds there.
PROBE = """<!doctype html><meta charset="utf-8"><pre id="found"></pre><script>
const frame = document.createElement("iframe");
frame.style = "border:0;height:900px;width:WIDTHpx";
frame.onload = () => {
  const page = frame.contentDocument, overlaps = [];
  for (const svg of page.querySelectorAll("svg")) {
    const texts = [...svg.querySelectorAll("text")];
    const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
    boxes.forEach(([a, p], n) => boxes.slice(n + 1).forEach(([b, q]) => {
      const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (wide > 1 && high > 3) overlaps.push([a, b]);
    }));
  }
  const shown = [...page.querySelectorAll("svg")].filter(s => s.getBoundingClientRect().width);
  document.getElementById("found").textContent = JSON.stringify({
    overlaps, scripts: page.scripts.length, title: page.title, shown: shown.length,
    narrow: shown.every(s => s.classList.contains("narrow")),
    width: page.documentElement.scrollWidth,
    ground: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
    ink: frame.contentWindow.getComputedStyle(page.body).color,
  });
};
frame.srcdoc = PAGE;
document.body.append(frame);
</script>"""


def browse(tmp_path: Path, file: Path, *flags: str) -> tuple[str, str]:
    """The page's elements as the browser has them, and what it wrote to the console."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags]
    done = subprocess.run(
        [*command, "--enable-logging=stderr", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(console)


def probe(tmp_path: Path, page: str, width: int, *flags: str) -> dict[str, Any]:
    """Measure the page in a frame `width` pixels wide."""
    text = json.dumps(page).replace("</", "<\\/").replace("<!--", "<\\!--")
    file = tmp_path / "probe.html"
    file.write_text(PROBE.replace("WIDTH", str(width)).replace("PAGE", text), encoding="utf-8")
    dom, _ = browse(tmp_path, file, "--window-size=1400,1000", "--virtual-time-budget=5000", *flags)
    found = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert found is not None
    answer: dict[str, Any] = json.loads(html.unescape(found.group(1)))
    return answer


@pytest.fixture(scope="module")
def page() -> str:
    recordings = [interrupted(), waiting(), hostile()]
    return page_of(Evidence(recordings=tuple(map(Piece, recordings))))


def test_the_browser_has_nothing_to_complain_of(tmp_path: Path, page: str) -> None:
    file = tmp_path / "index.html"
    file.write_text(page, encoding="utf-8")
    dom, console = browse(tmp_path, file)
    assert console == ""
    assert dom.count("<script>") == 1
    assert dom.count("<svg") == page.count("<svg")


@pytest.mark.parametrize(("width", "narrow"), [(1280, False), (390, True)])
def test_it_fits_the_screen_and_is_legible(
    tmp_path: Path, page: str, width: int, narrow: bool
) -> None:
    found = probe(tmp_path, page, width)
    assert found["overlaps"] == []
    assert found["width"] <= width
    assert found["narrow"] is narrow
    assert found["shown"] == 5  # the first; at a glance and word by word for each of two scenarios
    assert found["scripts"] == 3  # the player's, and the words of two scenarios
    assert found["title"].startswith("3 assistants")


def test_it_is_dark_where_the_reader_wants_it_dark(tmp_path: Path, page: str) -> None:
    light = probe(tmp_path, page, 1280, "--blink-settings=preferredColorScheme=1")
    dark = probe(tmp_path, page, 1280, "--blink-settings=preferredColorScheme=0")
    assert light["ground"] == "rgb(255, 255, 255)"
    assert dark["ground"] == "rgb(21, 24, 28)"
    assert light["ink"] != dark["ink"]
