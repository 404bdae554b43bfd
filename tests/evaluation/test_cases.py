"""Utterances and samples as cases; bad lines in one line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from duo.data.sample import AssistantTurn, Sample, UserTurn, sample_line
from duo.errors import BadInput
from evaluation.cases import read_cases


def utterance(**values: Any) -> dict[str, Any]:
    return {
        "id": "u", "context": [], "text": "what?", "label": "question", "needs_response": True,
        **values,
    }  # fmt: skip


def written(path: Path, *lines: Any) -> Path:
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"spk": speaker, "text": text} for speaker, text in turns]


@pytest.mark.parametrize("name", ["u.jsonl", "u.jsonl.gz"])
def test_context_becomes_turns(tmp_path: Path, name: str) -> None:
    heard = said(("other", "so"), ("other", "we start"), ("self", "why?"), ("other", "because"))
    file = written(tmp_path / name, utterance(context=heard))
    (case,) = read_cases(file)
    assert case.context == (
        AssistantTurn(content="so we start"),
        UserTurn(content="why?", state="<1>"),
        AssistantTurn(content="because", complete=False),
    )
    assert (case.label, case.text, case.wanted) == ("question", "what?", "respond")
    (short,) = read_cases(file, turns=1)
    assert short.context == (AssistantTurn(content="because", complete=False),)


def test_a_turn_that_the_speaker_goes_on_after(tmp_path: Path) -> None:
    asked = said(("self", "List some rivers."))
    file = written(
        tmp_path / "u.jsonl",
        utterance(context=asked, label="statement", needs_response=False),
        utterance(context=asked, label="interruption"),
        utterance(context=asked, label="incomplete", needs_response=False),
    )
    goes_on, interrupts, breaks_off = read_cases(file)
    assert goes_on.context == (UserTurn(content="List some rivers.", state="<2>"),)
    assert interrupts.context == (
        UserTurn(content="List some rivers.", state="<1>"),
        AssistantTurn(content="", complete=False),
    )
    assert [c.wanted for c in (goes_on, interrupts, breaks_off)] == ["ignore", "respond", "wait"]


def test_every_user_turn_of_a_sample_is_a_case(tmp_path: Path) -> None:
    sample = Sample(
        id="s",
        messages=(
            UserTurn(content="Why?", state="<1>", kind="query"),
            AssistantTurn(content="Because."),
            UserTurn(content="I see", state="<2>"),
            UserTurn(content="And what", state=None),
        ),
    )
    cases = read_cases(written(tmp_path / "s.jsonl", sample_line(sample)))
    assert [(c.id, c.label, c.wanted, len(c.context)) for c in cases] == [
        ("s:0", "query", "respond", 0),
        ("s:2", "remark", "ignore", 2),
        ("s:3", "unfinished", "wait", 3),
    ]


def test_a_limit_draws_the_same_cases_in_order(tmp_path: Path) -> None:
    file = written(tmp_path / "u.jsonl", *(utterance(id=f"{n:02}") for n in range(30)))
    ids = [case.id for case in read_cases(file, limit=7)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 7
    assert ids == [case.id for case in read_cases(file, limit=7)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{nonsense\n", r"u\.jsonl:2: not JSON"),
        ("[" * 100_000 + "\n", r"u\.jsonl:2: not JSON: nested too deeply"),
        ("1" * 10_000 + "\n", r"u\.jsonl:2: not JSON"),
        (utterance(text="\ud800 x"), r"u\.jsonl:2: text: is neither"),
        (utterance(label="\ud800"), r"u\.jsonl:2: label: is neither"),
        ([1, 2], r"u\.jsonl:2: not a JSON object"),
        ({"id": "x", "text": "a"}, r"u\.jsonl:2: label: is neither"),
        (utterance(context=said(("third", "hm"))), r"u\.jsonl:2: context\[0\]\.spk: is neither"),
        (utterance(text=" "), r"u\.jsonl:2: text: is neither"),
        ({"id": "x", "messages": [{"role": "user"}]}, r"u\.jsonl:2: messages\[0\]"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_cases(written(tmp_path / "u.jsonl", utterance(), line))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no utterances"):
        read_cases(written(tmp_path / "u.jsonl"))
    with pytest.raises(BadInput, match="cannot be read"):
        read_cases(tmp_path / "none.jsonl")
    torn = bytearray(gzip.compress(b"".join(b"%d\n" % (n * n) for n in range(500))))
    torn[20:40] = b"\xff" * 20
    (tmp_path / "torn.gz").write_bytes(torn)
    with pytest.raises(BadInput, match="cannot be read: is damaged"):
        read_cases(tmp_path / "torn.gz")
    (tmp_path / "bad.gz").write_bytes(b"no gzip")
    with pytest.raises(BadInput, match=r"bad\.gz:1: not JSON"):
        read_cases(tmp_path / "bad.gz")
