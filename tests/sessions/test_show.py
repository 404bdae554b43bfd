"""The drawing of a transcript in the terminal."""

from __future__ import annotations

import io
import itertools
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from duo.transcript import Header, Transcript, TranscriptEvent
from sessions.catalogue import find_scenarios
from sessions.play import play
from sessions.show import LANES, SYSTEM, USER, drawing, pieces, print_transcript, rows
from tests.sessions.fakes import Answerer

HEADER = Header(system="duo", model="tiny", scenario="test", cycle_seconds=1.0)


def transcript(*events: dict[str, Any], **header: Any) -> Transcript:
    """Events given as kind, start, end, text and what else they have."""
    channels = {"word": "input", "speech": "output", "answer_end": "output", "cut": "output"}
    made = (
        TranscriptEvent.model_validate(
            {"channel": channels.get(event["kind"], "input"), "cycle": 0, "end": event["start"]}
            | event
        )
        for event in events
    )
    ordered = tuple(sorted(made, key=lambda event: event.start))
    return Transcript(header=HEADER.model_copy(update=header), events=ordered)


def word(text: str, start: float, end: float) -> dict[str, Any]:
    return {"kind": "word", "text": text, "start": start, "end": end, "utterance": "u"}


def speech(text: str, start: float, end: float) -> dict[str, Any]:
    return {"kind": "speech", "text": text, "start": start, "end": end}


def lines(shown: Transcript, width: int = 80) -> list[str]:
    return [line.plain.rstrip() for line in drawing(shown, width)]


def lane(shown: list[str], name: str) -> list[str]:
    """The rows of a lane, without its name."""
    return [line[len(name) :] for line in shown if line.split(" ")[0] == name]


TALK = transcript(
    {"kind": "utterance", "start": 0.0, "end": 1.0, "text": "What now?", "utterance": "u",
     "label": "query", "category": "follow_up"},
    word("What", 0.0, 0.5),
    word(" now?", 0.5, 1.0),
    {"kind": "predicted", "start": 1.0, "text": " then<1>", "utterance": "u"},
    {"kind": "respond", "start": 2.0, "by": "state", "utterance": "u"},
    speech("Par", 2.0, 2.5),
    speech("is", 2.5, 3.0),
    speech(" it is", 3.0, 4.0),
    {"kind": "utterance", "start": 3.0, "end": 3.5, "text": "Hm.", "utterance": "v",
     "label": "non_query", "category": "backchannel"},
    word("Hm.", 3.0, 3.5) | {"utterance": "v"},
    {"kind": "ignore", "start": 4.0, "by": "patience", "utterance": "v"},
    {"kind": "answer_end", "start": 4.0},
)  # fmt: skip


def test_a_small_talk() -> None:
    assert lines(TALK)[4:9] == [
        "        0s───────1s┄┄┄┄┄┄2s──────3s━─┄───",  # the blank in " it is" is nobody's
        "        follow up <1>            backchannel <2>",
        "person  What now?        <1>     Hm.     <2:patience>",
        "ahead            then<1>",
        "duo                      Paris   it   is ■",
    ]


def test_wrong_decisions_are_marked() -> None:
    wrong = transcript(
        *(
            event.model_dump(exclude_defaults=True)
            for event in TALK.events
            if event.kind != "ignore"
        ),
        {"kind": "respond", "start": 4.0, "by": "state", "utterance": "v"},
    )
    assert "<1>✗" in lane(lines(wrong), "person")[0]
    assert "✗" not in lane(lines(TALK), "person")[0]


def test_what_is_too_long_for_a_lane_stands_below_it() -> None:
    shown = lines(
        transcript(
            word("won", 0.0, 0.5),
            {"kind": "revision", "start": 0.7, "text": "one", "utterance": "u"},
            {"kind": "cut", "start": 3.0, "text": " and so on"},
            {"kind": "note", "channel": "system", "start": 3.0, "text": "cut " + "long " * 30},
        ),
        60,
    )
    assert lane(shown, "person") == ["  won   ↺"]
    assert "        0.7s ↺ heard again: one" in shown
    assert "        3.0s ✂ said and given up: and so on" in shown
    first = next(number for number, line in enumerate(shown) if "3.0s cut long" in line)
    assert shown[first + 1].startswith("        long")


def test_wide_characters_take_two_columns() -> None:
    shown = transcript(
        word("你", 0.0, 0.24),
        word("好。", 0.24, 0.48),
        speech("好", 0.25, 0.5),
        speech("的", 0.5, 0.75),
    )
    (user,) = lane(lines(shown), "person")
    (duo,) = lane(lines(shown), "duo")
    assert user == "  你好。"
    before_it = [
        cell_len(name)
        for name in (f"person{user.partition('好')[0]}", f"duo{duo.partition('好')[0]}")
    ]
    assert before_it == [10, 10]
    assert duo.endswith("好的")


@pytest.mark.parametrize(
    "evil",
    [
        "[red]x[/red]",
        "\x1b[31mx",
        "\x1b]0;title\x07",
        "a\rb",
        "\x9b1m",
        "x\u202ey",
        ":smile:",
        "a\u200bb",
    ],
)
def test_text_is_never_acted_on(evil: str) -> None:
    shown = transcript(
        word(evil, 0.0, 0.5), speech(evil, 1.0, 2.0), {"kind": "cut", "start": 3.0, "text": evil},
        {"kind": "ignore", "start": 4.0, "by": evil}, system=evil, scenario=evil, model=evil,
    )  # fmt: skip
    for line in drawing(shown, 80):
        assert line.plain.isprintable()
    console = Console(file=io.StringIO(), width=80, record=True, force_terminal=True)
    print_transcript(shown, console=console)
    plain = console.export_text()
    if evil == "[red]x[/red]" or evil == ":smile:":
        assert plain.count(evil) >= 5


# -- properties ------------------------------------------------------------------------------------

TEXT = st.text("ab  .\n好、é🙂\x1b\u202e", max_size=12)
TIMES = st.floats(0, 60).map(lambda time: round(time, 2))


@st.composite
def talks(draw: st.DrawFn) -> Transcript:
    """Lanes in which nobody speaks two things at once."""
    events: list[dict[str, Any]] = []
    for kind in ("word", "speech"):
        times = sorted(draw(st.lists(TIMES, max_size=20)))
        for start, end in itertools.pairwise(times):
            events.append(
                {"kind": kind, "start": start, "end": end, "text": draw(TEXT)}
                | ({"utterance": draw(st.sampled_from("uv"))} if kind == "word" else {})
            )
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["respond", "ignore", "predicted", "answer_end", "cut"]))
        events.append({"kind": kind, "start": draw(TIMES), "text": draw(TEXT)})
    return transcript(*events)


def letters(text: str) -> str:
    return re.sub(r"\s|↵", "", text)


@settings(max_examples=200)
@given(talks(), st.integers(40, 130))
def test_nothing_is_lost_torn_or_too_wide(talk: Transcript, width: int) -> None:
    shown = drawing(talk, width)
    for line in shown:
        assert line.cell_len <= width
        assert line.plain.isprintable()
    laid_out = rows(pieces(talk), width - 7)
    placed = [(column, piece) for row in laid_out for column, piece in row.placed]
    for name in (USER, SYSTEM):
        said = [p.text for p in pieces(talk) if p.lane == name and p.speech]
        drawn = [p.text for _, p in placed if p.lane == name and p.speech]
        assert letters("".join(drawn)) == letters("".join(said))
    for row in laid_out:
        for name in LANES:
            mine = [(column, piece) for column, piece in row.placed if piece.lane == name]
            for (left, before), (right, _) in itertools.pairwise(mine):
                assert left + before.width <= right


@settings(max_examples=200)
@given(talks(), st.integers(40, 130))
def test_what_stands_further_right_happened_later(talk: Transcript, width: int) -> None:
    laid_out = rows(pieces(talk), width - 7)
    for before, after in itertools.pairwise(laid_out):
        assert before.moments[0] <= after.moments[0]
    for row in laid_out:
        assert list(row.columns) == sorted(row.columns)
        assert list(row.moments) == sorted(set(row.moments))
        first: dict[float, int] = {}
        for column, piece in row.placed:
            first.setdefault(piece.start, column)
        for (early, left), (late, right) in itertools.pairwise(sorted(first.items())):
            assert left <= right, (early, late)


def test_the_words_of_a_recording_are_all_there_in_order() -> None:
    (scenario,) = find_scenarios(["volcano-facts"])
    recorded = play(scenario, Answerer(), HEADER).transcript
    shown = lines(recorded, 100)
    user = " ".join(lane(shown, "person"))
    at = 0
    for event in recorded.of("word"):
        at = user.index(event.text.strip(), at) + len(event.text.strip())
    spoken = "".join(event.text for event in recorded.of("speech"))
    assert letters("".join(lane(shown, "duo"))).translate(
        dict.fromkeys(map(ord, "■✂—"))
    ) == letters(spoken)


def test_the_axis_shows_who_speaks() -> None:
    talk = transcript(word("one", 0.0, 2.0), speech("two", 1.0, 4.0), word("x", 8.0, 9.0))
    axis, user, duo = lines(talk)[4:7]
    assert axis == "        0s──────1s━━━━━━2s──────3s──────4s┄┄┄5s┄┄┄6s┄┄┄7s┄┄┄8s──────"
    assert (user.index("one"), user.index("x"), duo.index("two")) == (
        axis.index("0s"),
        axis.index("8s"),
        axis.index("1s"),
    )


def test_a_pipe_gets_plain_text_of_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    (scenario,) = find_scenarios(["zh-tomato-eggs"])
    recorded = play(scenario, Answerer(), HEADER).transcript
    out = io.StringIO()
    print_transcript(recorded, console=Console(file=out))
    assert "\x1b" not in out.getvalue()
    widths = [cell_len(line) for line in out.getvalue().splitlines()]
    assert 70 < max(widths) <= 80


def test_an_empty_conversation_can_be_shown() -> None:
    assert lines(transcript())[0] == "test"
