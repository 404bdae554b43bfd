"""The timeline: everything is there, at its time, legible, and the same bytes each time."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.errors import BadInput
from duo.escape import clean
from duo.reading import conversation_of
from duo.transcript import Header, Transcript, TranscriptEvent
from reports.plots.scene import Rect, Scene, Stroke, paint
from reports.plots.style import (
    BODY,
    COLUMN,
    DESK,
    FAMILIES,
    PHONE,
    SLIDE,
    TWO_COLUMNS,
    save,
    svg_text,
)
from reports.plots.timeline import PAGE, compose, draw, overview, timeline
from tests.reports.random_talk import transcripts
from tests.reports.stories import Story, chinese, hostile, interrupted, waiting

Corners = tuple[float, float, float, float]

STORIES = {"interrupted": interrupted, "waiting": waiting, "chinese": chinese, "hostile": hostile}


class Picture:
    """An SVG's lines of type, with where they begin."""

    def __init__(self, svg: str) -> None:
        texts = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
        self.lines = [(e.text or "", float(e.attrib["x"]), float(e.attrib["y"])) for e in texts]

    def find(self, beginning: str) -> tuple[float, float]:
        """Where the first line that begins so stands."""
        return next((x, y) for text, x, y in self.lines if text.startswith(beginning))

    def texts(self) -> list[str]:
        return [text for text, _, _ in self.lines]


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture(svg_text(draw(interrupted())))


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("Could you plan", "0 s"),
        ("Gladly.", "4 s"),
        ("That sounds", "8 s"),
        ("Wait, what if", "11 s"),
        ("question", "0 s"),
        ("question · interruption", "11 s"),
        ("<1> respond", "4 s"),
        ("cut", "14 s"),
    ],
)
def test_words_and_marks_stand_at_their_time(picture: Picture, words: str, moment: str) -> None:
    assert picture.find(words)[0] == pytest.approx(picture.find(moment)[0], abs=4)


def test_the_user_is_above_and_the_system_below(picture: Picture) -> None:
    order = ["question", "Could you plan", "<1> respond", "Gladly."]
    heights = [picture.find(text)[1] for text in order]
    assert heights == sorted(heights)
    assert picture.find("person")[1] == pytest.approx(picture.find("Could you plan")[1])
    assert picture.find("duo")[1] == pytest.approx(picture.find("Gladly.")[1])


def test_every_sign_that_occurs_is_shown_and_explained(picture: Picture) -> None:
    texts = picture.texts()
    for mark in ("<1> respond", "<2> ignore", "cut", "remark · backchannel", "0.7 s"):
        assert mark in texts
    for expected in ("for me and", "I really like that", "all day long?"):
        assert expected in texts
    for meaning in (
        "spoken, then forgotten",
        "both speak",
        "words expected next",
        "the person waits",
    ):
        assert meaning in texts
    assert "decided by silence alone" not in texts


def test_a_decision_of_silence_does_not_look_like_one_of_the_model() -> None:
    texts = Picture(svg_text(draw(interrupted(by="patience")))).texts()
    assert "silence: respond" in texts
    assert "silence: ignore" in texts
    assert "decided by silence alone" in texts
    assert not any(text.startswith(("<1>", "<2>")) for text in texts)


def test_all_words_are_there_in_order() -> None:
    transcript = interrupted()
    shown = " ".join(Picture(svg_text(draw(transcript))).texts())
    for lane in conversation_of(transcript).utterances:
        assert all(word.text.strip() in shown for word in lane.words)
    for answer in conversation_of(transcript).answers:
        assert all(word.text.strip() in shown for word in answer.words)


@settings(max_examples=150)
@given(transcripts())
def test_no_two_lines_of_type_overlap(transcript: Transcript) -> None:
    lanes = conversation_of(transcript)
    for width in (COLUMN, DESK):
        assert_legible(compose([lanes], width=width, heading="A heading", caption="a caption"))


@settings(max_examples=50)
@given(transcripts(), transcripts())
def test_nor_do_those_of_several_systems(one: Transcript, other: Transcript) -> None:
    both = [conversation_of(one), conversation_of(other)]
    for width in (PHONE, DESK):
        assert_legible(compose(both, width=width))
        assert_legible(overview(both, width=width))


def assert_legible(scene: Scene) -> None:
    """No line of type lies over another, leaves the picture or is struck through."""
    for line in scene.lines:
        left, top, right, bottom = line.box
        assert left >= -0.1, line
        assert right <= scene.width + 0.1, line
        assert 0 <= top < bottom <= scene.height, line
    for a, b in combinations(scene.lines, 2):
        assert apart(a.box, b.box), (a, b)
    for item in scene.items:
        if isinstance(item, Stroke) and item.layer:
            xs, ys = zip(*item.points, strict=True)
            stroke = min(xs) - item.width / 2, min(ys), max(xs) + item.width / 2, max(ys)
            for line in scene.lines:
                hidden = line.ground or line.weight == "bold"  # behind its ground, or its pill
                assert hidden or apart(stroke, line.box), (item, line)


def apart(one: Corners, other: Corners) -> bool:
    (al, at, ar, ab), (bl, bt, br, bb) = one, other
    return ar <= bl + 0.1 or br <= al + 0.1 or ab <= bt + 0.1 or bb <= at + 0.1


def assert_in_boxes(scene: Scene) -> None:
    """All that was said stands in a box, and boxes lie beside one another."""
    boxes = [
        (item.x, item.y, item.x + item.width, item.y + item.height)
        for item in scene.items
        if isinstance(item, Rect) and item.layer == 1 and item.fill
    ]
    for line in scene.lines:
        if line.size == BODY:
            left, top, right, bottom = line.box
            assert any(
                x0 <= left and right <= x1 + 0.1 and y0 <= top + 0.6 and bottom <= y1
                for x0, y0, x1, y1 in boxes
            ), line
    assert all(apart(a, b) for a, b in combinations(boxes, 2))


@settings(max_examples=60)
@given(transcripts(), st.sampled_from([14.0, 20.0, 42.0]))
def test_words_stand_in_their_boxes(transcript: Transcript, second: float) -> None:
    talk = conversation_of(transcript)
    for width in (COLUMN, TWO_COLUMNS, SLIDE):
        scene = compose([talk], width=width, second=second)
        assert_legible(scene)
        assert_in_boxes(scene)
        shown = "".join(line.text for line in scene.lines if line.size == BODY)
        said = [one.shown for one in talk.utterances]
        said += [one.shown for one in (*talk.answers, *talk.wordless)]
        letters = Counter(
            "".join(clean(word.text) for words in said for word in words).replace(" ", "")
        )
        assert Counter(shown.replace(" ", "")) >= letters


def test_a_word_of_no_length_where_a_row_ends_begins_the_next() -> None:
    header = Header(system="duo", model="m", scenario="s", cycle_seconds=1.0)
    spans = ((13.0, 14.0, "Yes,"), (14.0, 14.0, " no,"), (27.0, 27.0, " well."))
    events = tuple(
        TranscriptEvent(
            start=start, end=end, channel="input", kind="word", cycle=int(start), text=text,
            utterance="u",
        )
        for start, end, text in spans
    )  # fmt: skip
    talk = conversation_of(Transcript(header=header, events=events))
    scene = compose([talk], width=COLUMN, second=14.0)
    assert {"Yes,", "no,", "well."} <= {line.text for line in scene.lines}


def test_a_short_word_at_the_end_of_a_row_stands_in_a_readable_box() -> None:
    story = Story()
    story.says("One two three four five six seven eight nine ten eleven twelve.", 0.0)
    story.hears("Mhm.", 4.9, "non_query", "backchannel")
    story.hears("Extraordinary!", 5.3, "non_query", "backchannel")
    scene = compose([conversation_of(story.transcript())], width=COLUMN)
    assert_in_boxes(scene)
    assert {"Mhm.", "Extraordinary!"} <= {line.text for line in scene.lines}
    assert any("where the box is wider" in line.text for line in scene.lines)


def test_a_range_shows_what_was_said_in_it() -> None:
    story = interrupted()
    chart = timeline(story, 8.0, 13.0)
    assert chart.name.endswith("-8-13s")
    assert "seconds 8 to 13" in chart.caption
    assert {8.0 <= row[2] < 13.0 for row in chart.table.rows} == {True}  # type: ignore[operator]
    texts = " ".join(Picture(svg_text(chart.draw(COLUMN))).texts())
    assert "That sounds lovely." in texts
    assert "Could you plan" not in texts
    assert "tile museum" not in texts
    with pytest.raises(BadInput, match="nothing between 50 and"):
        timeline(story, 50.0)


def test_a_long_conversation_is_made_to_fit_a_page() -> None:
    story = Story()
    for number in range(20):
        story.hears("And then?", 4.0 * number)
        story.says("Then something else.", 4.0 * number + 1.5)
    transcript = story.transcript()
    comfortable = draw(transcript, width=TWO_COLUMNS).get_figheight() * 72
    assert draw(transcript, width=TWO_COLUMNS, tall=PAGE).get_figheight() * 72 <= PAGE < comfortable


def test_systems_under_one_another_share_one_time_axis() -> None:
    stories = [interrupted(), waiting()]
    picture = Picture(svg_text(paint(compose([conversation_of(story) for story in stories]))))
    starts = [x for text, x, _ in picture.lines if text.startswith("Could you plan")]
    assert len(starts) == 2
    assert starts[0] == starts[1]
    assert picture.texts().count("0 s") == 1


def test_a_long_silence_is_left_out_and_said_so() -> None:
    story = Story()
    story.hears("Hello?", 0.0)
    story.says("Good morning.", 600.0)
    scene = compose([conversation_of(story.transcript())])
    assert any("of silence left out" in line.text for line in scene.lines)
    assert scene.height < 400


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_files_are_made_without_warnings_and_are_the_same_bytes_twice(
    tmp_path: Path, name: str, suffix: str
) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in (first, second):
            save(draw(STORIES[name](), width=COLUMN), path)
    assert first.read_bytes() == second.read_bytes()
    magic = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}
    assert first.read_bytes().startswith(magic[suffix])


def test_the_fonts_of_a_pdf_are_embedded(tmp_path: Path) -> None:
    save(draw(interrupted()), tmp_path / "a.pdf")
    content = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert b"CreationDate" not in content


def test_text_in_an_svg_is_text_for_any_script() -> None:
    svg = svg_text(draw(chinese()))
    assert "北京" in "".join(Picture(svg).texts())
    assert all(repr(family) in svg for family in FAMILIES)
    assert not re.search(r"\d{4}-\d\d-\d\d", svg)


def test_hostile_words_are_words() -> None:
    svg = svg_text(draw(hostile()))
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}
    assert not tags & {"script", "img", "image", "foreignObject", "b", "a"}
    shown = "".join(Picture(svg).texts())
    assert "$\\frac{1}{0}$" in shown
    assert "{{7*7}}" in shown
    assert "\x1b" not in svg
    assert "\u202e" not in svg


def test_an_empty_conversation_is_an_empty_picture(tmp_path: Path) -> None:
    save(draw(Story().transcript()), tmp_path / "a.svg")
    assert Picture((tmp_path / "a.svg").read_text(encoding="utf-8")).find("story · duo")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write") as error:
        save(draw(interrupted()), tmp_path / "file" / "a.svg")
    assert "\n" not in str(error.value)
