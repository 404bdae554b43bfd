"""Test what is shown: colours by what is trained on, statistics, nothing that a terminal obeys."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from duo.data.inspect import print_data, sample_panel
from duo.data.sample import AssistantTurn, Sample, UserTurn, sample_line
from duo.errors import BadInput
from duo.terminal import printable
from tests.duo.data.dialogues import write_lines

SAMPLE = Sample(
    id="x-1#0",
    source="x",
    messages=(
        UserTurn(content="What is rain?", state="<1>", kind="query"),
        AssistantTurn(content="Water that", complete=False),
        UserTurn(content="uhhuh", state="<2>", kind="backchannel"),
        UserTurn(content="And what about", state=None, kind="unfinished_query"),
    ),
)


def console(color: str | None = None) -> Console:
    return Console(
        file=io.StringIO(),
        width=120,
        force_terminal=color is not None,
        color_system=color,  # type: ignore[arg-type]
    )


def output(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


def data_set(folder: Path, *samples: Sample) -> Path:
    folder.mkdir(exist_ok=True)
    write_lines(folder / "train.jsonl", [sample_line(sample) for sample in samples])
    return folder


def test_what_is_trained_on_has_a_colour_of_its_own() -> None:
    shown = console("standard")
    shown.print(sample_panel(SAMPLE))
    text = output(shown)

    def style_of(part: str) -> str:
        return text[: text.index(part)].rpartition("\x1b[")[2].partition("m")[0]

    styles = [style_of(part) for part in ("Water that", "<1>", "<2>", "no state here")]
    assert len(set(styles)) == 4
    assert style_of("What is rain?") not in styles


def test_statistics_and_samples(tmp_path: Path) -> None:
    shown = console()
    print_data(data_set(tmp_path / "a", SAMPLE), n=1, console=shown)
    text = output(shown)
    for part in (
        "What is rain?",
        "no state here",
        "cut off: no end to learn",
        "backchannel",
        "33.3%",
    ):
        assert part in text
    assert "lengths in words" in text


def test_only_samples_of_a_kind(tmp_path: Path) -> None:
    other = Sample(
        id="y#0",
        messages=(UserTurn(content="Stop.", state="<1>", kind="stop"), AssistantTurn(content="")),
    )
    folder = data_set(tmp_path / "a", *[SAMPLE] * 3, other)
    shown = console()
    print_data(folder, n=5, kind="stop", console=shown)
    assert "y#0" in output(shown)
    assert "x-1#0" not in output(shown)
    with pytest.raises(BadInput, match="no sample has a turn of the kind 'noise'"):
        print_data(folder, n=5, kind="noise", console=console())


HOSTILE = "[bold red]x[/bold red] \x1b[2J\x1b]0;title\x07 \r\x9b5m \u202e [/]"


def test_hostile_text_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    bad = Sample(
        id=f"x{HOSTILE}",
        source=HOSTILE,
        messages=(
            UserTurn(content=HOSTILE, state="<1>", kind=HOSTILE),
            AssistantTurn(content=HOSTILE),
        ),
    )
    shown = console()
    print_data(data_set(tmp_path / "a", bad), n=3, console=shown)
    text = output(shown)
    assert "[bold red]x[/bold red]" in text
    assert not set("\x1b\x07\r\x9b\u202e") & set(text)


@given(st.text())
def test_printable_text_has_nothing_that_acts(text: str) -> None:
    assert all(
        character.isprintable() or character == "\n" for character in printable(text, lines=True)
    )


def test_long_turns_are_shortened_unless_asked(tmp_path: Path) -> None:
    long = Sample(
        id="x",
        messages=(
            UserTurn(content="a?", state="<1>"),
            AssistantTurn(content="word " * 500 + "end"),
        ),
    )
    folder = data_set(tmp_path / "a", long)
    for full in (False, True):
        shown = console()
        print_data(folder, n=1, full=full, console=shown)
        assert ("characters]" in output(shown)) is not full
        assert ("word end" in output(shown)) is full


def test_slices_are_shown_too(tmp_path: Path) -> None:
    output_ = [{"role": "user", "content": "Hi [b]"}, {"role": "assistant", "content": "<idle>"}]
    path = write_lines(tmp_path / "train.jsonl", [{"output": output_ * 100}])
    shown = console()
    print_data(path, n=1, console=shown)
    assert "Hi [b]" in output(shown)
    assert "silent answers" in output(shown)
    assert "40 more" in output(shown)


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file or folder"):
        print_data(tmp_path / "missing", n=1)
    with pytest.raises(BadInput, match="no data set here"):
        print_data(tmp_path, n=1)
    empty = write_lines(tmp_path / "empty.jsonl", [])
    with pytest.raises(BadInput, match=r"empty\.jsonl: holds no sample"):
        print_data(empty, n=1)
    evil = {**json.loads(sample_line(SAMPLE)), "\x1b[2J": 1}
    with pytest.raises(BadInput) as error:
        print_data(write_lines(tmp_path / "evil.jsonl", [evil]), n=1)
    assert str(error.value).isprintable()
    with pytest.raises(BadInput, match=r"deep\.jsonl:1: "):
        print_data(write_lines(tmp_path / "deep.jsonl", ["[" * 100_000]), n=1)
    bad = write_lines(tmp_path / "bad.jsonl", [json.loads(sample_line(SAMPLE)), '{"id": 3}'])
    with pytest.raises(BadInput, match=r"bad\.jsonl:2: "):
        print_data(bad, n=1)


def test_the_name_of_a_file_is_no_markup(tmp_path: Path) -> None:
    shown = console()
    sample = json.loads(sample_line(SAMPLE))
    print_data(write_lines(tmp_path / "[bold]x.jsonl", [sample]), n=0, console=shown)
    assert "[bold]x (1)" in output(shown)


def test_the_seed_chooses_dialogues_in_slices_too(tmp_path: Path) -> None:
    def sliced(number: int) -> dict[str, object]:
        said = {"role": "user", "content": f"number {number}."}
        return {"output": [said, {"role": "assistant", "content": "Yes."}]}

    path = write_lines(tmp_path / "train.jsonl", [sliced(number) for number in range(20)])
    drawn = set()
    for seed in range(8):
        shown = console()
        print_data(path, n=1, seed=seed, console=shown)
        assert output(shown).count("number ") == 1
        drawn |= {line for line in output(shown).splitlines() if "number " in line}
    assert len(drawn) > 3
    with pytest.raises(BadInput, match="kind: time slices do not say of what kind"):
        print_data(path, n=1, kind="stop", console=console())


def test_slices_need_not_alternate(tmp_path: Path) -> None:
    said = [("assistant", "Hello."), ("user", "Hi,"), ("user", "you."), ("assistant", "Yes.")]
    items = [{"role": role, "content": text} for role, text in said]
    path = write_lines(tmp_path / "train.jsonl", [{"output": items}])
    shown = console()
    print_data(path, n=1, console=shown)
    assert all(text in output(shown) for _, text in said)
