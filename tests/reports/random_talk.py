"""Random transcripts: whatever a recorder, a live chat or a foreign system might write down."""

from __future__ import annotations

from hypothesis import strategies as st

from duo.decoding.conversant import CycleResult, Event, Kind
from duo.transcript import Header, Label, Transcript
from sessions.play import TranscriptBuilder

WORDS = st.one_of(
    st.sampled_from(["Yes,", "what", "is", "a", "meteorological", "observation?", "I", "see."]),
    st.sampled_from(
        ["你好，", "请问", "天气", "https://example.org/" + "x" * 90, "\n\n", "<b>", "😀"]
    ),
    st.text(min_size=1, max_size=12),
)
TEXT = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)
LABELS: st.SearchStrategy[Label | None] = st.sampled_from(["query", "non_query", None])
GROUNDS = st.sampled_from(["state", "patience", "revision", "", "<i>"])
EVENTS = st.builds(
    Event,
    kind=st.sampled_from(list(Kind)),
    text=st.one_of(st.just(""), TEXT),
    step=st.integers(0, 4),
    steps=st.just(4),
    by=GROUNDS,
)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Any transcript of up to about forty seconds; nothing says that it makes sense."""
    system = draw(st.sampled_from(["duo", "turn-based", "a system with quite a long name"]))
    header = Header(
        system=system, model="m", scenario="s", cycle_seconds=draw(st.sampled_from([1, 2]))
    )
    builder = TranscriptBuilder(header)
    for name in range(draw(st.integers(0, 5))):
        start = at = draw(st.floats(0, 30))
        pieces = draw(st.lists(TEXT, min_size=1, max_size=6))
        for piece in pieces:
            end = at + draw(st.floats(0, 1.5))
            builder.word(f" {piece}", start=at, end=end, cycle=int(end), utterance=f"u{name}")
            at = end + draw(st.sampled_from([0.0, 0.0, 1.0]))
        if draw(st.booleans()):
            builder.revision(draw(TEXT), at=at, cycle=int(at), utterance=f"u{name}")
        builder.utterance(
            f"u{name}", "".join(pieces), start=start, end=at, cycle=int(at),
            label=draw(LABELS), category=draw(st.sampled_from(["", "question", "self_talk"])),
        )  # fmt: skip
    for cycle in draw(st.lists(st.integers(0, 20), max_size=10, unique=True)):
        events = sorted(draw(st.lists(EVENTS, max_size=5)), key=lambda event: event.step)
        result = CycleResult(tuple(events), forward_passes=4, tokens_processed=6)
        seconds = header.cycle_seconds
        builder.cycle(result, cycle=cycle, start=cycle * seconds, seconds=seconds)
    return builder.transcript()
