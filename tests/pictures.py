"""Make the pictures of the demonstration in the README: `python -m tests.pictures runs/demo`.

Apart from the package, for the rating page needs the tests' browser. `timeline.png` is the
demonstration's own picture of a conversation; `rating-page.png` is what a rater of it sees, paused.
"""

from __future__ import annotations

import base64
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sessions.study.design import read_design
from sessions.study.materials import create_study, find_materials
from sessions.study.people import invite_raters
from sessions.study.session import open_session
from tests.sessions.study.app.browser import Browser, browsing, served, until
from tests.sessions.study.studies import begin

REFERENCE = Path(__file__).parents[1] / "reports" / "reference"
DRAWN, RATED, SYSTEMS, PAUSED = "volcano-facts", "pasta-dinner", ("duo", "duplex"), 11.0

_SEEK = """
const hosts = [...document.querySelectorAll("*")];
const host = hosts.find((one) => one.shadowRoot?.querySelector(".timelines"));
const position = host?.shadowRoot.querySelector("input[type=range]");
if (!position) return false;
position.value = arguments[0];
position.oninput();
return true;
"""


def shoot(browser: Browser, path: Path) -> None:
    """Write what the window shows."""
    taken = browser.driver.execute_cdp_cmd("Page.captureScreenshot", {})
    path.write_bytes(base64.b64decode(taken["data"]))


def rating_page(demo: Path, path: Path, *, width: int = 1400, height: int = 1000) -> None:
    """Write a picture of the page on which a rater compares two systems in one conversation."""
    with TemporaryDirectory() as folder:
        talks = Path(folder) / "talks"
        for system in SYSTEMS:
            (talks / system).mkdir(parents=True)
            shutil.copy(demo / system / f"{RATED}.jsonl", talks / system)
        design = read_design(checks={"attention": 0, "repeats": 0})
        study = create_study(Path(folder) / "study", design, find_materials(talks, SYSTEMS))
        (invitation,) = invite_raters(study, 1)
        begin(open_session(study, invitation.token))
        with served(study) as server, browsing(width=width, height=height) as browser:
            browser.open(invitation.link(server.address))
            browser.sees("Read as text")
            browser.settled()
            until(lambda: browser.driver.execute_script(_SEEK, PAUSED), why="the replay is there")
            shoot(browser, path)


def main(demo: Path) -> None:
    """Make both pictures of a recorded demonstration."""
    shutil.copy(demo / "timelines" / f"{DRAWN}-duo.png", REFERENCE / "timeline.png")
    rating_page(demo, REFERENCE / "rating-page.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
