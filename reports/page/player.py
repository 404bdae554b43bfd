"""Play conversations on the page: the timelines that raters see, with the systems' names.

The script is the study's own (`sessions/study/app/player.js`); here it finds its data in the page
and draws into shadow roots, so that neither it nor its style meets the rest of the page. It makes
text nodes of all words. The page's Content-Security-Policy names the script by its hash: no other
runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from markupsafe import Markup

from duo.escape import clean
from duo.transcript import Transcript
from reports.page.collect import sound_of
from sessions.study.app import asset, player_style
from sessions.study.blinding import blinded
from sessions.study.views import Shown, drawn
from sessions.study.wording import words_in

_EXPORT = "export default function ("
_ADAPTER = """
for (const host of document.querySelectorAll(".player")) {
  const root = host.attachShadow({ mode: "open" });
  const style = document.createElement("style");
  style.textContent = document.getElementById("player-style").content.textContent;
  const section = document.createElement("section");
  section.className = "timelines";
  root.append(style, section);
  const data = JSON.parse(host.nextElementSibling.textContent);
  draw({ parentElement: root, data, setTriggerValue: () => {} });
}
"""
#: A system's name is longer than a rater's "A" or "B".
_STYLE = """
.strip > b { width: 8.5em; font-weight: 600; font-size: 12px; overflow-wrap: anywhere; }
.key { margin-left: 0; }
"""


def player(transcripts: Sequence[Transcript], *, key: str, sounds: Collection[str] = ()) -> Markup:
    """Make the element that conversations on one scenario play in, side by side.

    Args:
        key: unique in the page.
        sounds: addresses of the sound files beside the page.
    """
    data = {
        "key": key,
        "language": transcripts[0].header.language,
        "words": {"player": words_in("en").group("player")},
        "dialogues": [
            drawn(
                Shown(clean(one.header.system), blinded(one), None),
                sound if (sound := sound_of(one)) in sounds else "",
            )
            for one in transcripts
        ],
    }
    return Markup('<div class="player"></div><script type="application/json">{}</script>').format(
        _embedded(data)
    )


@cache
def script() -> Markup:
    """Return the script that draws all players of a page, as it stands between the tags."""
    text = asset("player.js")
    if text.count(_EXPORT) != 1:
        raise RuntimeError("player.js does not export what the page calls")
    return Markup("{ " + text.replace(_EXPORT, "function draw(") + _ADAPTER + "}")


@cache
def style() -> Markup:
    """Return the style inside the players."""
    return Markup(player_style() + _STYLE)


@cache
def script_hash() -> str:
    """Return what a Content-Security-Policy calls the script."""
    digest = hashlib.sha256(str(script()).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _embedded(data: Any) -> Markup:
    """Write JSON that nothing in it can end: no `<`, no `&`, no line separator."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
