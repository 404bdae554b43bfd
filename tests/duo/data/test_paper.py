"""The paper's data: dialogues as they stand, remarks by an endpoint, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from duo.chatformat import chat_format
from duo.data.build import TRAIN, Job, build
from duo.data.dialogue import Dialogue, Turn, dialogue_of
from duo.data.paper import INSTRUCTION, PAPER, check_options
from duo.data.plan import Place, finish, plan
from duo.data.sample import AssistantTurn, Sample, UserTurn, read_samples
from duo.data.sources import find_sources
from duo.errors import BadInput
from duo.runs import MANIFEST
from duo.tokens import IDLE
from duo.training.encode import NOT_LEARNED, Encoder
from duo.training.settings import load_settings
from tests.duo.data.dialogues import record, records, write_lines
from tests.endpoint import Endpoint
from tests.tiny import tiny_tokenizer

SAID = ("user", "assistant")


def sliced(*pairs: tuple[str, str]) -> dict[str, Any]:
    """A record as Duplex-UltraChat has it; nothing said is silence."""
    return {
        "topic": "unknown keys are passed over",
        "output": [
            {"role": role, "content": text or IDLE}
            for pair in pairs
            for role, text in zip(SAID, pair, strict=True)
        ],
    }


#: A record of each type of Duplex-UltraChat, cut short, and what it is as turns; `...` stands
#: behind an answer that was cut off.
TYPES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "uninterrupted_eng": (
        sliced(("What is", ""), ("rain?", "Water that"), ("", "falls."), ("", ""), ("And", ""),
               ("snow?", "Frozen water."), ("", "")),
        ["What is rain?", "Water that falls.", "And snow?", "Frozen water."],
    ),
    "uninterrupted_chn": (
        sliced(("今天天气", ""), ("怎么样?", "今天天气"), ("", "很好。"), ("", "")),
        ["今天天气怎么样?", "今天天气很好。"],
    ),
    "generation_termination_eng": (
        sliced(("What is rain?", "Water that falls"), ("", "from the"),
               ("Hold on, let us talk", ""), ("about snow instead.", "Snow is frozen."), ("", "")),
        ["What is rain?", "Water that falls from the ...",
         "Hold on, let us talk about snow instead.", "Snow is frozen."],
    ),
    "regeneration_eng": (
        sliced(("What is rain?", "A kind of"), ("That is not good enough,", ""),
               ("what is rain?", "Water that falls."), ("", "")),
        ["What is rain?", "A kind of ...", "That is not good enough, what is rain?",
         "Water that falls."],
    ),
    "topic_interweaving_eng": (
        sliced(("What is rain?", "Water."), ("", ""), ("Who wrote", ""),
               ("Hamlet?", "Shakespeare did."), ("", ""), ("Is it always", ""),
               ("cold?", "The rain is."), ("", "")),
        ["What is rain?", "Water.", "Who wrote Hamlet?", "Shakespeare did.", "Is it always cold?",
         "The rain is."],
    ),
    "dialogue_reset_eng": (
        sliced(("What is rain?", "Water that"), ("", "falls from"), ("New topic:", ""),
               ("who wrote Hamlet?", "Shakespeare did."), ("", "")),
        ["What is rain?", "Water that falls from ...", "New topic: who wrote Hamlet?",
         "Shakespeare did."],
    ),
    "back_on_topic_eng": (
        sliced(("What is rain?", "Water that"), ("wait, is it", ""), ("cold?", "It is."),
               ("", ""), ("Go on,", ""), ("please.", "falls from the sky."), ("", "")),
        ["What is rain?", "Water that ...", "wait, is it cold?", "It is.", "Go on, please.",
         "falls from the sky."],
    ),
    "resumed_by_itself": (
        sliced(("What is rain?", "Water that"), ("is it cold?", "It is."), ("", ""),
               ("", "Rain falls from the sky."), ("", "")),
        ["What is rain?", "Water that ...", "is it cold?", "It is. Rain falls from the sky."],
    ),
}  # fmt: skip


def made_of(dialogue: Dialogue, remark: str = "", seed: int = 0, **rates: Any) -> Sample:
    """The sample of a dialogue, with this text for each remark."""
    recipe = replace(PAPER, **rates)
    draft = plan(dialogue, variant=0, recipe=recipe, seed=seed, validation=False)
    for index in draft.places():
        draft.turns[index].text = remark
    found = finish(draft, recipe)
    assert found is not None
    return found


def written(sample: Sample) -> list[str]:
    """The texts of a sample; `...` where an answer was cut off, and the states of user turns."""
    return [
        f"{turn.content} {turn.state}"
        if isinstance(turn, UserTurn)
        else turn.content + ("" if getattr(turn, "complete", True) else " ...")
        for turn in sample.messages
    ]


@pytest.mark.parametrize("name", list(TYPES))
def test_every_type_of_duplex_ultrachat(name: str) -> None:
    content, expected = TYPES[name]
    dialogue = dialogue_of(content, source=name, fallback_id="x")
    assert dialogue is not None
    asked = [f"{text} <1>" if place % 2 == 0 else text for place, text in enumerate(expected)]
    assert written(made_of(dialogue, remarks=0.0)) == asked
    # Remarks stand after whole answers alone: one that cuts in would be a query's place.
    with_remarks = iter(written(made_of(dialogue, "So it is.", remarks=1.0)))
    for text in asked:
        assert next(with_remarks) == text
        if not text.endswith((" <1>", " ...")):
            assert next(with_remarks) == "So it is. <2>"
    assert list(with_remarks) == []


def test_no_remark_stands_where_it_would_be_a_reply() -> None:
    turns = (Turn("user", "Help me."), Turn("assistant", "With what?"))
    sample = made_of(Dialogue("x", "x", (*turns, Turn("user", "Rain"), Turn("assistant", "Wet."))),
                     "So.", remarks=1.0)  # fmt: skip
    assert written(sample) == ["Help me. <1>", "With what?", "Rain <1>", "Wet.", "So. <2>"]


class Fixed:
    """A writer whose remarks are all different."""

    def write(self, places: Sequence[Place], attempt: int) -> list[str]:
        return [f"So number{abs(hash(place.seed))} is it." for place in places]


def test_nothing_is_in_it_but_the_source_and_remarks(tmp_path: Path) -> None:
    talks = records(200)
    talks.append({"id": "odd", "data": ["i was  there yesterday", "Fine.", "so it was", "Yes."]})
    path = write_lines(tmp_path / "ultrachat.jsonl", talks)
    job = Job(sources=find_sources([str(path)]), out=tmp_path / "out", recipe=PAPER,
              validation=0.0, writer=lambda _: Fixed())  # fmt: skip
    build(job)
    samples = {sample.id: sample for sample in read_samples(tmp_path / "out" / TRAIN)}
    assert len(samples) == len(talks)
    queries = remarks = 0
    for talk in talks:
        dialogue = dialogue_of(talk, source="x", fallback_id="")
        assert dialogue is not None
        turns = samples[f"{dialogue.id}#0"].messages
        kept = [turn for turn in turns if not (isinstance(turn, UserTurn) and turn.state == "<2>")]
        assert [turn.content for turn in kept] == [
            " ".join(turn.text.split()) if turn.role == "user" else turn.text
            for turn in dialogue.turns
        ]
        assert all(turn.state == "<1>" for turn in kept if isinstance(turn, UserTurn))
        assert all(turn.complete for turn in kept if isinstance(turn, AssistantTurn))
        queries += len(kept) // 2
        remarks += len(turns) - len(kept)
    assert 0.35 < remarks / queries < 0.45  # about two to five turns of the user
    kinds = json.loads((tmp_path / "out" / MANIFEST).read_text())["counts"]["train"]["kind"]
    assert kinds == {"query": queries, "remark": remarks}


def test_the_plain_form_is_figure_6() -> None:
    """Through training's encoder: that text, and the loss on state tokens and output alone."""
    turns = (
        Turn("user", "What is rain?"), Turn("assistant", "Water that falls."),
        Turn("user", "And snow?"), Turn("assistant", "Frozen water"),
        Turn("user", "Hold on, hail?"), Turn("assistant", "Ice."),
    )  # fmt: skip
    cut = [Turn(t.role, t.text, complete=t.text != "Frozen water") for t in turns]
    sample = made_of(Dialogue("x", "x", tuple(cut)), "I like it.", remarks=1.0)
    tokenizer = tiny_tokenizer("chatml")
    settings = load_settings("paper", assignments={"chat": "plain"})
    encoder = Encoder(tokenizer, max_tokens=settings.max_tokens, chat=settings.chat)
    encoded = encoder.sample(sample)
    end = tokenizer.eos_token
    text = tokenizer.decode(encoded.ids)
    assert text.strip() == (
        f"<user>: What is rain?<1> <assistant>: Water that falls.{end} <user>: I like it.<2> "
        f"<user>: And snow?<1> <assistant>: Frozen water "
        f"<user>: Hold on, hail?<1> <assistant>: Ice.{end} <user>: I like it.<2>"
    )
    figure = text.replace(end, "").replace("<1>", " <1>").replace("<2>", " <2>")
    assert figure.strip().startswith(
        "<user>: What is rain? <1> <assistant>: Water that falls. <user>: I like it. <2> "
        "<user>: And snow? <1> "
    )
    learned = [
        id if label != NOT_LEARNED else None
        for id, label in zip(encoded.ids, encoded.labels, strict=True)
    ]
    runs: list[list[int]] = [[]]
    for id in learned:
        if id is None:
            runs.append([])
        else:
            runs[-1].append(id)
    assert [tokenizer.decode(run).strip() for run in runs if run] == [
        "<1>", f"Water that falls.{end}", "<2>",
        "<1>", "Frozen water",
        "<1>", f"Ice.{end}", "<2>",
    ]  # fmt: skip
    assert settings.inside == "none"
    assert chat_format(tokenizer, "plain").stop == {tokenizer.eos_token_id}


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "duo.cli", "data", "build", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENAI_API_KEY": "", **environment},
        timeout=120,
    )


@pytest.fixture
def ultrachat(tmp_path: Path) -> Path:
    """A folder of files: two of Duplex-UltraChat's, one of UltraChat's."""
    folder = tmp_path / "ultrachat"
    folder.mkdir()
    for name in ("uninterrupted_eng", "generation_termination_eng"):
        write_lines(folder / f"{name}.jsonl", [TYPES[name][0]] * 5)
    texts = [[message["content"] for message in record(n)["messages"]] for n in range(9)]
    write_lines(folder / "train_0.jsonl", [{"id": f"{n}", "data": t} for n, t in enumerate(texts)])
    return folder


def test_remarks_come_from_an_endpoint_with_the_papers_instruction(
    ultrachat: Path, tmp_path: Path, endpoint: Endpoint
) -> None:
    endpoint.answer = lambda _, number: (200, endpoint.said(f"So rain{number} fell."))
    out = tmp_path / "out"
    done = run("--recipe", "paper", "--source", ultrachat, "--out", out, "--samples", 60,
               OPENAI_API_KEY="a-key", OPENAI_BASE_URL=endpoint.url)  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads((out / MANIFEST).read_text())
    assert facts["dialogues"] == {
        "generation_termination_eng": 5, "train_0": 9, "uninterrupted_eng": 5,
    }  # fmt: skip
    assert facts["writer"]["instruction"] == INSTRUCTION
    assert {request["messages"][0]["content"] for request in endpoint.requests} == {INSTRUCTION}
    shown = max((request["messages"][1]["content"] for request in endpoint.requests), key=len)
    assert shown.count("User: ") + shown.count("Assistant: ") >= 6  # the whole conversation
    again = run("--recipe", "paper", "--source", ultrachat, "--out", out, "--samples", 60)
    assert again.returncode == 0, again.stderr  # it is there: nothing has to be asked


def test_without_an_endpoint_one_line_says_what_to_set(ultrachat: Path, tmp_path: Path) -> None:
    paper = ("--recipe", "paper", "--source", ultrachat)
    done = run(*paper, "--out", tmp_path / "a")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "set OPENAI_API_KEY" in done.stderr
    assert "--writer model or extractive" in done.stderr
    assert not (tmp_path / "a" / TRAIN).exists()
    done = run(*paper, "--out", tmp_path / "b", "--writer", "extractive", "--samples", 30)
    assert done.returncode == 0, done.stderr
    done = run(*paper, "--out", tmp_path / "c", "--remarks", 0, "--seed", 3)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "c" / MANIFEST).read_text())
    assert facts["samples"] == 10_000
    assert facts["recipe"]["remarks"] == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("interruptions", 1.0),
        ("unfinished", 0.4),
        ("asking", 0.2),
        ("opening", 0.15),
        ("restyle", 0.6),
        ("careless", 0.1),
        ("disfluency", 0.1),
        ("mix", "story=1"),
        ("without", ["remark"]),
        ("remarks", 2.0),
    ],
)
def test_what_adds_to_the_paper_is_refused(option: str, value: object) -> None:
    with pytest.raises(BadInput, match=r"leave it out|at most 1") as error:
        check_options({option: value, "samples": 5})
    assert error.value.field == option
    check_options({option: 0 if isinstance(value, float) else None})  # which asks for nothing


def test_a_conflicting_option_is_one_line(ultrachat: Path, tmp_path: Path) -> None:
    paper = ("--recipe", "paper", "--source", ultrachat, "--out", tmp_path / "a")
    done = run(*paper, "--careless", 0.2)
    assert done.returncode == 2
    assert done.stderr == (
        "duo: careless: is no part of the paper's data: leave it out, or build without --recipe "
        "paper\n"
    )
    done = run(*paper, "--careless", 0)
    assert "set OPENAI_API_KEY" in done.stderr
