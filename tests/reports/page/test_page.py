"""The page: whole, self-contained, harmless, and the same bytes each time."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from duo.transcript import Transcript
from reports.page.collect import Evidence, Piece
from reports.page.page import page_of
from reports.plots.style import DARK, LIGHT
from tests.reports.parsed import Parsed
from tests.reports.stories import chinese, hostile, interrupted, waiting


def page_about(transcripts: list[Transcript]) -> str:
    return page_of(Evidence(recordings=tuple(map(Piece, transcripts))))


@pytest.fixture(scope="module")
def transcripts() -> list[Transcript]:
    return [interrupted(), waiting(), chinese(), hostile()]


@pytest.fixture(scope="module")
def page(transcripts: list[Transcript]) -> str:
    return page_about(transcripts)


@pytest.fixture(scope="module")
def parsed(page: str) -> Parsed:
    return Parsed(page)


def test_the_same_transcripts_give_the_same_bytes(page: str, transcripts: list[Transcript]) -> None:
    assert page_about(transcripts) == page


def test_nothing_outside_is_referred_to(page: str, parsed: Parsed) -> None:
    assert "//" not in re.sub(r"\s//\s", "", page).replace("<!doctype html>", "")
    for name in ("href", "src", "srcset", "action", "data", "poster", "background"):
        assert all(value.startswith("#") for value in parsed.values(name)), name
    assert not re.search(r"@import|url\((?!#)", page)
    assert parsed.tags["img"] == parsed.tags["link"] == 0


def test_one_script_may_run_and_it_is_ours(page: str, parsed: Parsed) -> None:
    *data, code = parsed.code
    assert [json.loads(one)["key"] for one in data] == ["player-1", "player-2", "player-3"]
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    (policy,) = [value for value in parsed.values("content") if "default-src" in value]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert parsed.values("type").count("application/json") == len(data)
    assert page.count("<script>") == 1


def test_without_conversations_there_is_no_script() -> None:
    parsed = Parsed(page_of(Evidence()))
    assert not parsed.tags["script"]
    assert not any("script-src" in value for value in parsed.values("content"))


def test_references_inside_the_page_lead_somewhere(page: str, parsed: Parsed) -> None:
    names = parsed.values("id")
    assert len(names) == len(set(names))
    referred = {value.removeprefix("#") for value in parsed.values("href")}
    referred |= set(re.findall(r"url\(#([^)]+)\)", page)) | set(parsed.values("aria-labelledby"))
    assert referred <= set(names)


def test_hostile_words_are_shown_and_never_markup(parsed: Parsed) -> None:
    text = "".join(parsed.text)
    assert "<script>alert('x')</script>" in text
    assert "<b onmouseover=alert(3)>duo</b>" in text
    assert "{{7*7}}" in text
    assert not parsed.tags["b"]
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert not any(ord(c) < 32 and c != "\n" for c in text)
    assert "\u202e" not in text


def test_each_scenario_shows_its_systems_and_all_words(
    parsed: Parsed, transcripts: list[Transcript]
) -> None:
    text = "".join(parsed.text)
    for transcript in transcripts[:3]:
        assert f"Transcript with {transcript.header.system}" in text
        for event in transcript.of("utterance"):
            # What was heard is shown as it was heard, before the recogniser thought again.
            assert event.text in text
    folded = {"how to read the first picture": 1, "word by word": 3, "tables: costs, scenarios": 4}
    assert parsed.tags["details"] == sum(folded.values())
    # The first; of each scenario at a glance and word by word; all for desk and phone.
    assert parsed.tags["svg"] == 2 + 3 * 4


def test_what_was_run_is_said(parsed: Parsed) -> None:
    text = "".join(parsed.text)
    for fact in ("Model", "hand", "Systems", "Scenarios", "weekend", "Seed", "Clock", "simulated"):
        assert fact in text


def test_pictures_and_tables_can_be_read_without_eyes(parsed: Parsed) -> None:
    svgs = [name for tag, name, _ in parsed.attributes if tag == "svg"]
    assert svgs.count("role") == svgs.count("aria-label") == parsed.tags["svg"]
    assert parsed.values("lang")[0] == "en"
    assert "zh" in parsed.values("lang")
    scopes = sum(tag == "th" and name == "scope" for tag, name, _ in parsed.attributes)
    assert scopes == parsed.tags["th"]
    assert parsed.tags["h1"] == parsed.tags["main"] == 1


def test_pictures_take_their_colours_from_the_page(page: str) -> None:
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)
    body = page.partition("</style>")[2]
    assert "var(--fig-query-tint)" in body
    assert not re.search(r"(fill|stroke): #", body)
    assert "font-family" not in body


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_text_has_enough_contrast_on_its_ground(palette: dict[str, str]) -> None:
    def luminance(color: str) -> float:
        channels = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    pairs = [
        *((ink, "paper") for ink in ("ink", "soft", "faint", "query", "remark", "speech", "cut")),
        *(("ink", f"{ground}-tint") for ground in ("query", "remark", "speech")),
        *(("on-mark", ground) for ground in ("respond", "ignore")),
        *((ink, "paper") for ink in ("respond", "ignore")),
        ("soft", "speech-tint"),
    ]
    for ink, ground in pairs:
        a, b = sorted((luminance(palette[ink]), luminance(palette[ground])))
        assert (b + 0.05) / (a + 0.05) >= 4.2, (ink, ground)
