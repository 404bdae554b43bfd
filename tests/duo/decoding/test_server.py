"""Channels on a server: the same conversations as in the process, for two requests a step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from duo.backbone import Backbone, load
from duo.decoding.batched import run_together
from duo.decoding.duo import Duo, DuoSettings
from duo.decoding.server import ServerChannels, ServerModel, ServerPool
from duo.decoding.systems import build
from duo.errors import BadInput
from tests.duo.decoding.steering import by_ending, encode_steered, ending_after, steered
from tests.duo.decoding.test_batched import Script, alone, conversation, steered_duo
from tests.endpoint import Endpoint
from tests.tiny import tiny_backbone

NAME = "tiny"


class Server(Endpoint):
    """Answers with the likeliest tokens of a tiny model, as vLLM does."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.models = [
            {"id": NAME, "object": "model", "created": 0, "owned_by": "x", "max_model_len": 512}
        ]
        self.answer = self.complete

    @torch.inference_mode()
    def complete(self, request: dict[str, Any], _: int) -> tuple[int, Any]:
        assert (request["return_tokens_as_token_ids"], request["max_tokens"]) == (True, 1)
        logits = self.model(input_ids=torch.tensor([request["prompt"]])).logits[0, -1]
        values = logits.log_softmax(-1)
        for token, more in request.get("logit_bias", {}).items():
            logits[int(token)] += more
        chosen = int(logits.argmax())
        top = values.topk(request["logprobs"])
        likeliest = dict(zip(top.indices.tolist(), top.values.tolist(), strict=True))
        named = {f"token_id:{token}": value for token, value in likeliest.items()}
        logprobs = {
            "tokens": [f"token_id:{chosen}"],
            "token_logprobs": [float(values[chosen])],
            "top_logprobs": [named],
            "text_offset": [0],
        }
        choice = {"index": 0, "text": "", "finish_reason": "length", "logprobs": logprobs}
        return 200, {
            "id": "x", "object": "text_completion", "created": 0, "model": NAME,
            "choices": [choice],
        }  # fmt: skip


class SglangServer(Server):
    """Answers as SGLang does by its own protocol: of each token its chance, its id and its text."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.models[0]["owned_by"] = "sglang"

    @torch.inference_mode()
    def complete(self, request: dict[str, Any], _: int) -> tuple[int, Any]:
        assert request["sampling_params"]["max_new_tokens"] == 1
        assert request["return_logprob"]
        logits = self.model(input_ids=torch.tensor([request["input_ids"]])).logits[0, -1]
        values = logits.log_softmax(-1)

        def said(tokens: list[int]) -> list[list[list[Any]]]:
            return [[[float(values[token]), token, None] for token in tokens]]

        meta = {"output_top_logprobs": said(values.topk(request["top_logprobs_num"]).indices)}
        if "token_ids_logprob" in request:
            meta["output_token_ids_logprobs"] = said(request["token_ids_logprob"])
        meta = json.loads(json.dumps(meta, default=int))
        return 200, {"text": "", "output_ids": [int(values.argmax())], "meta_info": meta}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone()


@pytest.fixture
def server(backbone: Backbone) -> Iterator[Server]:
    yield from serving(Server(backbone.model))


@pytest.fixture(params=[Server, SglangServer])
def any_server(request: pytest.FixtureRequest, backbone: Backbone) -> Iterator[Server]:
    yield from serving(request.param(backbone.model))


def serving(made: Server) -> Iterator[Server]:
    thread = Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def there(server: Server, backbone: Backbone, name: str = NAME) -> ServerModel:
    return ServerModel(name, server.url, len(backbone.tokenizer), backbone.states)


def test_conversations_are_the_same(any_server: Server, backbone: Backbone) -> None:
    """Forks, decisions and interruptions, several at once."""
    model = there(any_server, backbone)
    scripts: list[Script] = [["What is", " it?", "", "", " mhm", "", " and?", ""], ["Why?", "", ""]]
    pool = ServerPool(model)
    kind = steered(backbone, by_ending(backbone), ending_after(backbone, 12), kind=ServerChannels)
    systems = [Duo(backbone, DuoSettings(), channels=lambda _: kind(model, pool)) for _ in scripts]
    sessions = [conversation(script) for script in scripts]
    together = dict(run_together(systems, sessions, encode_steered))
    single = steered_duo(backbone, 12, None)
    assert together == {number: alone(single, script) for number, script in enumerate(scripts)}
    native = isinstance(any_server, SglangServer)
    assert any_server.paths == {"/generate" if native else "/v1/completions"}


def test_a_step_is_two_requests(any_server: Server, backbone: Backbone) -> None:
    channels = ServerChannels(there(any_server, backbone))
    channels.extend_prefix([1, 2, 3])
    channels.speaking = True
    channels.encode()
    channels.speak(4)
    channels.fork([5, 6])
    scores = channels.encode()
    ids = "input_ids" if isinstance(any_server, SglangServer) else "prompt"
    asked = sorted(request[ids] for request in any_server.requests[1:])
    assert asked == [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6]]
    with torch.inference_mode():
        for found, ids in zip((scores.output, scores.input), asked, strict=True):
            assert found is not None
            expected = backbone.model(input_ids=torch.tensor([ids])).logits[0, -1]
            assert torch.equal(found.topk(20).indices, expected.topk(20).indices)


def test_the_state_tokens_chances_are_known_after_every_word(
    any_server: Server, backbone: Backbone
) -> None:
    """However small: vLLM is asked once more for what is not among the likeliest tokens."""
    states = [backbone.states.respond, backbone.states.ignore]
    channels = ServerChannels(there(any_server, backbone))
    channels.extend_prefix([1, 2, 3])
    channels.fork([4])
    for token in range(20, 30):
        channels.listen([4, token])
        found = channels.encode().input
        assert found is not None
        with torch.inference_mode():
            expected = backbone.model(input_ids=torch.tensor([[1, 2, 3, 4, token]])).logits[0, -1]
        chances = expected.float().softmax(-1)
        torch.testing.assert_close(found.softmax(-1)[states], chances[states])
        assert found.argmax() == expected.argmax()
    if isinstance(any_server, SglangServer):
        assert len(any_server.requests) == 10
    else:
        assert any("logit_bias" in request for request in any_server.requests)


def test_a_model_is_loaded_from_a_server(
    server: Server, backbone: Backbone, tmp_path: Path
) -> None:
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    server.models[0]["id"] = str(tmp_path)
    loaded = load(str(tmp_path), engine=server.url)
    assert loaded.max_tokens == 512
    system = build("duo", loaded, max_answer_seconds=2.0)
    own = build("duo", load(str(tmp_path), dtype="float64"), max_answer_seconds=2.0, max_tokens=512)
    for heard in ("What is it?", "", ""):
        assert system.cycle(heard) == own.cycle(heard)
    with pytest.raises(BadInput, match=r"^device: is for torch: the server chooses by itself$"):
        load(str(tmp_path), engine=server.url, device="cpu")


def test_scores_beyond_the_tokenizer_are_of_nothing_that_could_be_said(
    server: Server, backbone: Backbone
) -> None:
    """Models have more rows than their tokenizers tokens, for even sizes."""
    usual = server.answer

    def padded(request: dict[str, Any], number: int) -> tuple[int, Any]:
        status, content = usual(request, number)
        content["choices"][0]["logprobs"]["top_logprobs"][0]["token_id:99999"] = -0.01
        return status, content

    channels = ServerChannels(there(server, backbone))
    channels.extend_prefix([1, 2, 3])
    channels.speaking = True
    plain = channels.encode().output
    server.answer = padded
    channels.speak(4)
    found = channels.encode().output
    assert plain is not None
    assert found is not None
    assert found.shape == plain.shape == (len(backbone.tokenizer),)


def test_what_a_server_lacks_is_said_in_a_line(server: Server, backbone: Backbone) -> None:
    with pytest.raises(BadInput, match="the server has no model 'other'; it has tiny"):
        there(server, backbone, "other")
    usual = server.answer

    def texts(request: dict[str, Any], number: int) -> tuple[int, Any]:
        status, content = usual(request, number)
        content["choices"][0]["logprobs"]["top_logprobs"] = [{"word": -1.0}]
        return status, content

    def biased(request: dict[str, Any], number: int) -> tuple[int, Any]:
        status, content = usual(request, number)
        if "logit_bias" in request:
            content["choices"][0]["logprobs"]["token_logprobs"] = [0.0]
        return status, content

    def elsewhere(request: dict[str, Any], number: int) -> tuple[int, Any]:
        status, content = usual(request, number)
        content["choices"][0]["logprobs"]["top_logprobs"] = [{"token_id:99999": -1.0}]
        return status, content

    def without(request: dict[str, Any], number: int) -> tuple[int, Any]:
        status, content = usual(request, number)
        content["choices"][0]["logprobs"] = None
        return status, content

    lacking: list[Any] = [{"meta_info": {}}, {"meta_info": {"output_top_logprobs": []}}, [], "x"]
    server.models[0]["owned_by"] = "sglang"
    for reply in lacking:
        server.answer = lambda *_, reply=reply: (200, reply)
        channels = ServerChannels(there(server, backbone))
        channels.extend_prefix([1, 2])
        channels.speaking = True
        with pytest.raises(BadInput, match="replies lack the log-probabilities"):
            channels.encode()
    server.models[0]["owned_by"] = "vllm"
    answers: list[tuple[Any, str]] = [
        (elsewhere, "none of the server's likeliest tokens is one of the tokenizer's"),
        (without, "replies lack the log-probabilities"),
        (texts, "names tokens by their texts"),
        (biased, "are not the model's own"),
        (lambda request, _: (400, {"error": {"message": "no"}}), r"answers with an error \(400"),
    ]
    for answer, message in answers:
        server.answer = answer
        channels = ServerChannels(there(server, backbone))
        channels.fork([1])
        channels.listen([1, 2])
        with pytest.raises(BadInput, match=message):
            channels.encode()
