"""The sample format: what is written is read back, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.data.sample import (
    AssistantTurn,
    Sample,
    SystemMessage,
    UserTurn,
    read_samples,
    sample_line,
)
from duo.errors import BadInput
from tests.duo.data.dialogues import write_lines

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
user = st.builds(UserTurn, content=text, state=st.sampled_from(["<1>", "<2>"]), kind=text)
assistant = st.builds(AssistantTurn, content=text, complete=st.booleans())
messages = st.lists(st.one_of(user, assistant), min_size=1)


@given(messages, st.booleans(), st.booleans())
def test_samples_are_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    turns: list[UserTurn | AssistantTurn],
    told: bool,
    unfinished: bool,
) -> None:
    first = [SystemMessage(content="Be kind.")] if told else []
    last = [UserTurn(content="And", state=None)] if unfinished else []
    sample = Sample(id="x", messages=(*first, *turns, *last))
    assert "\n" not in sample_line(sample)
    path = write_lines(tmp_path_factory.mktemp("s") / "a.jsonl", [sample_line(sample)] * 2)
    assert list(read_samples(path)) == [sample, sample]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "x", "messages": []}', "messages: "),
        ('{"id": "", "messages": [{"role": "assistant", "content": ""}]}', "id: "),
        ('{"id": "x", "messages": [{"role": "user", "content": "a"}]}', "state: "),
        (
            '{"id": "x", "messages": [{"role": "user", "content": "a", "state": null},'
            '{"role": "assistant", "content": "b"}]}',
            "messages[0]: a turn without a state can only be the last",
        ),
        (
            '{"id": "x", "messages": [{"role": "assistant", "content": "b"},'
            '{"role": "system", "content": "a"}]}',
            "messages[1]: a system message can only be the first",
        ),
        ('{"id": "x", "messages": [{"role": "dog", "content": "a"}]}', "messages[0]: "),
        ("{", "not JSON"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    good = sample_line(Sample(id="x", messages=(UserTurn(content="a", state="<2>"),)))
    path = write_lines(tmp_path / "a.jsonl", [good, line, good])
    with pytest.raises(BadInput) as error:
        list(read_samples(path))
    assert str(error.value).startswith(f"{path}:2: ")
    assert message in str(error.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        list(read_samples(tmp_path / "missing.jsonl"))
    (tmp_path / "a.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(BadInput, match="is not UTF-8 text"):
        list(read_samples(tmp_path / "a.jsonl"))
