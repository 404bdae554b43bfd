"""Writers that ask a model: over HTTP as any endpoint is asked, and a local one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from duo.data.dialogue import Turn
from duo.data.plan import Place
from duo.data.writers import (
    INSTRUCTION,
    ModelWriter,
    OpenAIWriter,
    conversation,
    read_instruction,
    tidy,
)
from duo.errors import BadInput
from tests.endpoint import Endpoint
from tests.tiny import tiny_backbone

TURNS = (Turn("user", "What is rain?"), Turn("assistant", "Water that\nfalls."))
PLACES = [Place("remark", TURNS, "g", False, f"seed/{number}") for number in range(12)]


def writer(folder: Path, **settings: Any) -> OpenAIWriter:
    settings = {"instruction": "Say so.", "requests_per_minute": 1e6, **settings}
    return OpenAIWriter("m", folder=folder, **settings)


def test_remarks_come_from_the_endpoint(endpoint: Endpoint, tmp_path: Path) -> None:
    texts = writer(tmp_path).write(PLACES, 0)
    assert texts == [f"So rain {text.split()[-1]}" for text in texts]
    assert len(set(texts)) == len(PLACES)
    request = endpoint.requests[0]
    assert request["model"] == "m"
    assert request["messages"] == [
        {"role": "system", "content": "Say so."},
        {"role": "user", "content": "User: What is rain?\nAssistant: Water that falls."},
    ]
    assert set(endpoint.headers) == {"Bearer a-key"}


def test_no_reply_is_asked_for_twice(endpoint: Endpoint, tmp_path: Path) -> None:
    first = writer(tmp_path).write(PLACES[:5], 0)
    cache = tmp_path / "replies.jsonl"
    cache.write_text(cache.read_text() + '{"key": "torn')
    again = writer(tmp_path)
    assert again.write(PLACES[:5], 0) == first
    assert len(endpoint.requests) == 5
    assert again.write(PLACES[:7], 0)[:5] == first
    assert len(endpoint.requests) == 7
    assert writer(tmp_path).write(PLACES[:7], 0)[:5] == first  # the torn line did no harm
    again.write(PLACES[:1], 1)
    assert len(endpoint.requests) == 8  # another attempt is another request


def test_the_cost(endpoint: Endpoint, tmp_path: Path) -> None:
    priced = writer(tmp_path, prices=(1.0, 10.0))
    priced.write(PLACES[:4], 0)
    assert priced.facts == {
        "requests": 4, "tokens_in": 400, "tokens_out": 40, "cost": "$0.0008",
    }  # fmt: skip
    assert writer(tmp_path).facts["cost"] == "400 tokens in, 40 out"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_errors_that_pass_are_tried_again(endpoint: Endpoint, tmp_path: Path, status: int) -> None:
    endpoint.answer = lambda _, number: (
        (status, {"error": {"message": "later"}}) if number < 4 else (200, endpoint.said("Fine."))
    )
    assert writer(tmp_path).write(PLACES[:1], 0) == ["Fine."]
    assert len(endpoint.requests) == 4


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (401, {"error": {"message": "no"}}, "refuses the key in OPENAI_API_KEY"),
        (404, {"error": {"message": "no model m"}}, "answers with an error .404"),
        (200, {"choices": []}, "makes no sense"),
        (200, {}, "makes no sense"),
        (400, {"error": {"message": "\x1b[2Jno"}}, r"400: .*\\x1b\[2Jno"),
    ],
)
def test_errors_that_stay_are_one_line(
    endpoint: Endpoint, tmp_path: Path, status: int, content: object, message: str
) -> None:
    endpoint.answer = lambda *_: (status, content)
    with pytest.raises(BadInput, match=message) as error:
        writer(tmp_path).write(PLACES, 0)
    assert "\n" not in str(error.value)


def test_models_that_know_the_limit_by_its_other_name(endpoint: Endpoint, tmp_path: Path) -> None:
    def answer(request: dict[str, Any], _: int) -> tuple[int, Any]:
        if "max_tokens" in request:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return 400, {"error": {"message": message, "param": "max_tokens"}}
        return 200, endpoint.said("So that is rain.")

    endpoint.answer = answer
    asking = writer(tmp_path)
    assert asking.write(PLACES[:1], 0) == ["So that is rain."]
    assert asking.write(PLACES[1:4], 0) == ["So that is rain."] * 3
    assert sum("max_tokens" in request for request in endpoint.requests) == 1


def test_an_endpoint_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openai

    client = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="x", max_retries=0)
    with pytest.raises(BadInput, match="cannot reach the endpoint"):
        writer(tmp_path, client=client).write(PLACES[:2], 0)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(BadInput, match="OPENAI_API_KEY is not set"):
        writer(tmp_path)


@pytest.mark.parametrize("url", ["http://[::1", "http://\x1b[31m/"])
def test_a_base_url_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(BadInput, match="OPENAI_BASE_URL is no address") as error:
        writer(tmp_path)
    assert "\x1b" not in str(error.value)


def test_the_rate_limit(endpoint: Endpoint, tmp_path: Path) -> None:
    waited: list[float] = []
    limited = writer(tmp_path, requests_per_minute=60.0, sleep=waited.append, clock=lambda: 100.0)
    limited.write(PLACES[:5], 0)
    assert sorted(waited) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ('"I like rain."', "I like rain."),
        ("User: I like rain.\n\nAssistant: Me too.", "I like rain."),
        ("\n  \n", ""),
        ("a\x1b[2Jb\x07", "a[2Jb"),
        ('It\'s "odd"', 'It\'s "odd"'),
    ],
)
def test_replies_are_tidied(reply: str, text: str) -> None:
    assert tidy(reply) == text


def test_the_instruction_may_come_from_a_file(tmp_path: Path) -> None:
    assert read_instruction(None) == INSTRUCTION
    path = tmp_path / "a.txt"
    path.write_text(" Say something. \n")
    assert read_instruction(path) == "Say something."
    path.write_text(" \n")
    with pytest.raises(BadInput, match="instruction: is empty"):
        read_instruction(path)
    path.write_bytes(b"\xff")
    with pytest.raises(BadInput, match="is not UTF-8 text"):
        read_instruction(path)


def test_only_the_end_of_a_long_dialogue_is_sent() -> None:
    turns = tuple(Turn("user", f"turn {number} " + "x" * 5000) for number in range(20))
    text = conversation(Place("remark", turns, "g", False, ""))
    assert "turn 19" in text
    assert "turn 3 " not in text
    assert len(text) < 8000


@pytest.mark.parametrize("template", ["chatml", "turns", None])
def test_a_local_model_writes_in_batches(template: str | None) -> None:
    backbone = tiny_backbone(template=template)
    places = [
        Place("remark", TURNS * (1 + number % 3), "g", False, f"seed/{number}")
        for number in range(7)
    ]
    local = ModelWriter(backbone, instruction="Say so.", batch=3)
    texts = local.write(places, 0)
    assert len(texts) == 7
    assert any(texts)
    assert local.write(places, 0) == texts
    assert local.write(places, 1) != texts
    assert not any("<1>" in text or "<2>" in text for text in texts)


def test_a_local_model_gets_no_more_than_it_can_read() -> None:
    backbone = tiny_backbone(max_tokens=256)
    turns = tuple(Turn("user", "What is rain, and why? " * 60) for _ in range(6))
    prompt = ModelWriter(backbone, instruction="Say so.")._prompt(
        Place("remark", turns, "g", False, "")
    )
    assert len(prompt) <= 256 - 40
