"""The look-ahead of many words at once is the decoder's, word by word."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from duo.backbone import Backbone
from duo.data.sample import AssistantTurn, UserTurn
from duo.decoding.conversant import Kind
from duo.decoding.duo import Duo, DuoSettings
from duo.files import read_result
from duo.words import cut
from evaluation.cases import Case
from evaluation.commands import states
from evaluation.scores import States, decided_at, settled, state_tables
from evaluation.states import Row, judge, look_ahead
from tests.gguf_twin import needs_llama, twin
from tests.tiny import ARCHITECTURES, tiny_backbone


def expected(backbone: Backbone, ids: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Greedy tokens after `ids`, everything encoded anew each time."""
    states = backbone.states
    made: list[int] = []
    for _ in range(count):
        with torch.no_grad():
            logits = backbone.model(torch.tensor([[*ids, *made]]), use_cache=False).logits
        made.append(int(logits[0, -1].argmax()))
        if made[-1] in (states.respond, states.ignore, *backbone.chat.stop):
            break
    return tuple(made)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("attention", [None, "eager"])
def test_looks_are_those_of_a_naive_decoder(architecture: str, attention: str | None) -> None:
    backbone = tiny_backbone(architecture, attention=attention)
    torch.manual_seed(1)
    rows = []
    for length in (31, 12, 40):
        ids = tuple(torch.randint(0, 300, (length,)).tolist())
        places = tuple(sorted(torch.randperm(length)[:5].tolist()))
        rows.append(Row(ids, places))
    rows[1] = Row(rows[1].ids, rows[1].places[:2])
    for row, looks in zip(rows, look_ahead(backbone, rows, 4), strict=True):
        assert len(looks) == len(row.places)
        for place, look in zip(row.places, looks, strict=True):
            assert look.tokens == expected(backbone, row.ids[: place + 1], 4)


@needs_llama
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_looks_in_llama_are_those_in_torch(architecture: str) -> None:
    backbone = tiny_backbone(architecture, dtype=torch.float32)
    other = replace(backbone, model=twin(backbone.model), engine="llama")
    torch.manual_seed(1)
    rows, start = [], tuple(torch.randint(0, 300, (9,)).tolist())
    for length in (31, 5, 40):
        ids = (*start, *torch.randint(0, 300, (length,)).tolist())
        rows.append(Row(ids, tuple(sorted(torch.randperm(len(ids))[:5].tolist()))))
    wanted = look_ahead(backbone, rows, 4)
    for looks, others in zip(wanted, look_ahead(other, rows, 4), strict=True):
        assert [look.tokens for look in looks] == [look.tokens for look in others]
        for look, same in zip(looks, others, strict=True):
            assert same.p_respond == pytest.approx(look.p_respond, rel=1e-2, abs=1e-4)


@needs_llama
def test_llama_looks_from_more_places_than_it_has_sequences() -> None:
    backbone = tiny_backbone(dtype=torch.float32)
    other = replace(backbone, model=twin(backbone.model), engine="llama")
    torch.manual_seed(1)
    row = Row(tuple(torch.randint(0, 300, (290,)).tolist()), tuple(range(3, 290)))
    [wanted], [found] = (look_ahead(model, [row], 2) for model in (backbone, other))
    assert len(found) == len(wanted) == len(row.places)
    chances = [[look.p_respond for look in looks] for looks in (found, wanted)]
    assert chances[0] == pytest.approx(chances[1], rel=1e-2, abs=1e-4)


def steered(backbone: Backbone, token: int) -> Backbone:
    """The same model, which likes one token more than others."""
    head = backbone.model.get_output_embeddings()
    head.register_forward_hook(
        lambda module, inputs, logits: logits + 6.0 * torch.eye(logits.shape[-1])[token]
    )
    return backbone


CASES = [
    Case("a", "query", (), "What is the capital of France?", "respond"),
    Case("b", "backchannel", (UserTurn(content="Tell me", state="<1>"),
                              AssistantTurn(content="The rain", complete=False)),
         "I see that", "ignore"),
    Case("c", "query", (), "Why?", "respond"),
    Case("d", "incomplete", (), "And how about", "wait"),
    Case("e", "query", (), "你好,今天天气怎么样?", "respond"),
]  # fmt: skip


@pytest.mark.parametrize("state", ["respond", "ignore"])
def test_outcomes_are_the_decoders(state: str) -> None:
    backbone = tiny_backbone()
    backbone = steered(backbone, getattr(backbone.states, state))
    cases = [case for case in CASES if not case.context]
    outcomes = set()
    for case, judged in zip(cases, judge(backbone, cases, 4), strict=True):
        duo = Duo(backbone, DuoSettings(decide_at=None))
        duo.cycle(case.text)
        events = {event.kind for event in duo.cycle("").events if event.by == "state"}
        decided = (
            "respond" if Kind.RESPOND in events else "ignore" if Kind.IGNORE in events else "wait"
        )
        assert judged.outcome == decided
        outcomes.add(decided)
        words = cut(case.text)
        assert len(judged.early) == (len(words) - 1 if case.wanted == "respond" else 0)
    assert state in outcomes


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma2", "granite"])
def test_what_is_settled_in_the_end_is_the_decoders(architecture: str) -> None:
    backbone = tiny_backbone(architecture)
    cases = [case for case in CASES if not case.context]
    for case, judged in zip(cases, judge(backbone, cases, 4), strict=True):
        duo = Duo(backbone, DuoSettings(patience=1, on_silence="likelier"))
        duo.cycle(case.text)
        answers = settled([judged])[case.label]["respond"].hits == 1
        assert (Kind.RESPOND in {event.kind for event in duo.cycle("").events}) == answers


def test_what_one_look_decides_is_the_decoders() -> None:
    seen = set()
    for architecture in ("llama", "qwen2", "gemma2", "granite"):
        backbone = tiny_backbone(architecture)
        cases = [case for case in CASES if not case.context]
        for case, judged in zip(cases, judge(backbone, cases, 1), strict=True):
            for decide_at in (1e-9, judged.p_respond + judged.p_ignore + 1e-4):
                duo = Duo(backbone, DuoSettings(decide_at=decide_at))
                duo.cycle(case.text)
                events = {event.kind for event in duo.cycle("").events}
                found = decided_at([judged], decide_at)[case.label]
                assert found["respond"].hits == (Kind.RESPOND in events)
                assert found["ignore"].hits == (Kind.IGNORE in events)
                seen.add((found["respond"].hits, found["ignore"].hits))
    assert seen >= {(1, 0), (0, 0)}


@pytest.mark.parametrize("case", [CASES[0], CASES[-1]])
def test_early_outcomes_are_those_of_the_beginnings(case: Case) -> None:
    """In Chinese, too, where no blank divides words."""
    backbone = tiny_backbone()
    backbone = steered(backbone, backbone.states.respond)
    (judged,) = judge(backbone, [case], 4)
    words = cut(case.text)
    parts = [
        Case(str(n), "x", (), "".join(words[:n]), "wait") for n in range(1, len(words))
    ]  # fmt: skip
    assert judged.early == tuple(part.outcome for part in judge(backbone, parts, 4))
    assert len(words) > 4


def test_figures_are_written_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = tiny_backbone(dtype=torch.float32)
    monkeypatch.setattr("duo.backbone.load", lambda *args, **kwargs: backbone)
    lines: list[dict[str, Any]] = [
        {"id": str(n), "context": [], "text": text, "label": label, "needs_response": needs}
        for n, (text, label, needs) in enumerate(
            [("What is it?", "query", True), ("uh-huh", "[red]x\x1b[2J", False)]
        )
    ]
    data = tmp_path / "u.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    states("tiny", data, spelling="lower", out=tmp_path / "out.json")
    figures = read_result(tmp_path / "out.json", States)
    shown = capsys.readouterr().out
    assert "[red]x" in shown
    assert "\x1b[2J" not in shown
    stored = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert stored["n"] == figures.n == 2
    assert stored["kind"] == "states"
    assert "(lower)" in figures.about
    assert len(stored["cases"]) == 2
    assert stored["premature"]["any"]["n"] == 2
    assert len(state_tables(figures)) in (5, 6)  # the last only if anything was decided


def test_figures_say_in_which_number_format_they_were_computed(tmp_path: Path) -> None:
    backbone = tiny_backbone(dtype=torch.float32)
    backbone.model.save_pretrained(tmp_path / "tiny")
    backbone.tokenizer.save_pretrained(tmp_path / "tiny")
    data = tmp_path / "u.jsonl"
    line = {"id": "1", "context": [], "text": "What?", "label": "query", "needs_response": True}
    data.write_text(json.dumps(line) + "\n", encoding="utf-8")
    for dtype, said in (("float32", False), ("bfloat16", True)):
        states(str(tmp_path / "tiny"), data, device="cpu", dtype=dtype, out=tmp_path / "out.json")
        figures = read_result(tmp_path / "out.json", States)
        assert figures.number_format == dtype
        assert (dtype in figures.about) is said
