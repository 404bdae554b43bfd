"""The paper's models, end to end: tiny ones in the published form through every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer
from typer.testing import CliRunner

from duo.backbone import load, open_tokenizer
from duo.chatformat import ChatFormat, chat_format, style_template
from duo.cli import app
from duo.errors import BadInput
from duo.tokens import STATE_TOKENS, state_tokens
from duo.transcript import read_transcript
from evaluation.benchmarks.experiment import Settings
from evaluation.benchmarks.model import Answering, open_model
from tests.duo.training.material import data_folder, slices_folder
from tests.minicpm import PUBLISHED, save_minicpm, sentencepiece_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def duo(*words: Any, **how: Any) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, **how)
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(*words: Any) -> str:
    with pytest.raises(BadInput) as caught:
        duo(*words)
    return str(caught.value)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_minicpm(tmp_path_factory.mktemp("minicpm") / "minicpm")


@pytest.fixture(scope="module")
def duplex_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_minicpm(tmp_path_factory.mktemp("minicpm") / "duplex", duplex=True)


@pytest.fixture(scope="module")
def plain_model(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of the paper's training."""
    folder = tmp_path_factory.mktemp("trained")
    duo(
        "train", "--preset", "paper", "--model", model, "--data", data_folder(folder / "data"),
        "--out", folder / "out", "--set", "steps=2", "--set", "batch=4",
        "--set", "micro_batches=2", "--set", "max_tokens=512", "--set", "save_dtype=float32",
    )  # fmt: skip
    return folder / "out"


def pieces(tokenizer: Any, ids: Any) -> list[str]:
    return tokenizer.convert_ids_to_tokens(list(ids))


def check_form(folder: Path, duplex: bool) -> None:
    backbone = load(str(folder), device="cpu")
    assert type(backbone.model).__name__ == "GraniteForCausalLM"
    form, tokenizer = backbone.chat, backbone.tokenizer
    assert form.name == "minicpm"
    assert pieces(tokenizer, form.preamble) == ["<s>"]
    assert pieces(tokenizer, form.user_open) == ["<", "用户", ">"]
    assert pieces(tokenizer, form.assistant_open) == ["<", "AI", ">"]
    end = tokenizer.eos_token_id
    assert form.assistant_close == form.assistant_cut == form.assistant_end == (end,)
    assert form.stop == {end}
    said = [
        {"role": "user", "content": " “好”? (or not)", "state": backbone.states.respond},
        {"role": "assistant", "content": '"so"'},
        {"role": "user", "content": "(why)\nnot"},
    ]
    ids = form.render(said)
    assert tokenizer.decode(ids) == '<s><用户>“好”? (or not)<1><AI>"so"</s><用户>(why)\nnot'
    # No mark has merged with what stands beside it, though the tokenizer would do it.
    assert pieces(tokenizer, tokenizer('<AI>"so"<AI>(no)', add_special_tokens=False)["input_ids"])[
        2
    ] in ('>"', ">(")
    shown = pieces(tokenizer, ids)
    assert shown[1:4] == ["<", "用户", ">"]
    assert shown[shown.index("<1>") + 1 :][:3] == ["<", "AI", ">"]
    assert backbone.states.idle == (tokenizer.convert_tokens_to_ids("<idle>"))
    if duplex:
        assert backbone.states.idle < backbone.states.respond


@pytest.mark.parametrize("duplex", [False, True])
def test_the_published_form(model: Path, duplex_model: Path, duplex: bool) -> None:
    check_form(duplex_model if duplex else model, duplex)


@pytest.mark.parametrize("duplex", [False, True])
@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published settings are not here")
def test_the_published_settings_and_tokenizer(tmp_path: Path, duplex: bool) -> None:
    folder = save_minicpm(tmp_path / "minicpm", duplex=duplex, published=True)
    check_form(folder, duplex)
    if duplex:
        assert load(str(folder), device="cpu").states.idle == 122_753


@settings(max_examples=60)
@given(
    st.one_of(
        st.text(max_size=30),
        st.lists(
            st.sampled_from(["<AI>", ">(", '>"', " ", "\n", "what", "AI", "用户", "7", "你好。"])
        ).map("".join),
    )
)
def test_text_has_the_pieces_that_sentencepiece_gives(model: Path, text: str) -> None:
    import sentencepiece

    text = text.encode("utf-8", "replace").decode()
    processor = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model())
    ids = open_tokenizer(model)(text, add_special_tokens=False)["input_ids"]
    if "▁" not in text and not any(token in text for token in ("<s>", "</s>", "<unk>")):
        assert ids == processor.encode(text)


def test_record(model: Path, duplex_model: Path, tmp_path: Path) -> None:
    duo(
        "record", "--systems", "duo,duplex,turn-based", "--model", model, "--model",
        f"duplex={duplex_model}", "--scenario", "pasta-dinner", "--max-seconds", "12",
        "--device", "cpu", "--out", tmp_path, "--set", "max_answer_seconds=5",
    )  # fmt: skip
    for system in ("duo", "duplex", "turn-based"):
        transcript = read_transcript(tmp_path / system / "pasta-dinner.jsonl")
        assert transcript.events


def test_chat_over_a_pipe(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    said = duo("chat", "--model", model, "--save", path, input="0.5 what is <AI> here?\n6 thanks\n")
    assert "what is <AI>" in said
    assert read_transcript(path).header.model == str(model)


def test_the_form_of_training_is_that_of_decoding(plain_model: Path, tmp_path: Path) -> None:
    assert json.loads((plain_model / "duo.json").read_text())["chat"] == "plain"
    assert load(str(plain_model), device="cpu").chat.name == "plain"
    found = refusal("chat", "--model", plain_model, "--chat", "minicpm")
    assert "chat: this model was trained in the plain form, not minicpm" in found
    duo(
        "record", "--systems", "duo", "--model", plain_model, "--scenario", "pasta-dinner",
        "--max-seconds", "8", "--device", "cpu", "--out", tmp_path,
    )  # fmt: skip
    # A program of others, too, finds the form in the tokenizer.
    text = AutoTokenizer.from_pretrained(plain_model).apply_chat_template(
        [{"role": "user", "content": "So?"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<s> <user>: So? <assistant>: "


def test_an_adapter_has_the_form_of_its_training(
    duplex_model: Path, model: Path, tmp_path: Path
) -> None:
    options = ("--preset", "smoke", "--set", "steps=2", "--set", "batch=2")
    slices = slices_folder(tmp_path / "slices")
    duo(
        "train", *options, "--recipe", "duplex", "--model", duplex_model, "--data", slices,
        "--out", tmp_path / "duplex",
    )  # fmt: skip
    assert load(str(tmp_path / "duplex"), device="cpu").chat.name == "minicpm"
    duo(
        "train", *options, "--set", "chat=plain", "--model", model, "--data",
        data_folder(tmp_path / "data"), "--out", tmp_path / "duo",
    )  # fmt: skip
    assert load(str(tmp_path / "duo"), device="cpu").chat.name == "plain"
    assert "chat: this model was trained in the plain form" in refusal(
        "train", *options, "--set", "chat=minicpm", "--model", model, "--data",
        tmp_path / "data", "--start", tmp_path / "duo", "--out", tmp_path / "more",
    )  # fmt: skip
    assert "trained in the plain form" in refusal(
        "eval", "states", tmp_path / "duo", tmp_path / "data/validation.jsonl",
        "--chat", "template",
    )  # fmt: skip


@pytest.mark.parametrize("plain", [False, True])
def test_evaluation(model: Path, plain_model: Path, tmp_path: Path, plain: bool) -> None:
    data = data_folder(tmp_path / "data") / "validation.jsonl"
    name = plain_model if plain else model
    out = tmp_path / "states.json"
    duo("eval", "states", name, data, "--out", out)
    assert json.loads(out.read_text())["model"] == str(name)
    duo("eval", "answers", data, name)
    found = duo(
        "eval", "benchmarks", tmp_path / "out", "--model", f"one={name}", "--tasks",
        "arc_easy,gsm8k", "--sources", "smoke", "--limit", "2", "--device", "cpu",
        "--chat-template", "--max-new-tokens", "8",
    )  # fmt: skip
    assert "ARC-e" in found
    [asked] = (tmp_path / "out/one/arc_easy").glob("samples_*.jsonl")
    first = json.loads(asked.read_text().splitlines()[0])
    question = first["arguments"]["gen_args_0"]["arg_0"]
    start, end = ("<s> <user>: ", " <assistant>: ") if plain else ("<s><用户>", "<AI>")
    assert question.startswith(start)
    assert question.endswith(end)


@pytest.mark.parametrize("style", ["plain", "minicpm"])
def test_the_template_for_others_writes_the_form(model: Path, style: str) -> None:
    tokenizer = open_tokenizer(model)
    tokenizer.add_tokens(list(STATE_TOKENS), special_tokens=True)
    form = chat_format(tokenizer, style)
    tokenizer.chat_template = style_template(tokenizer, style)
    said = [
        {"role": "user", "content": "why <AI> or <user>: x"},
        {"role": "assistant", "content": "so"},
        {"role": "user", "content": "hm <用户> <assistant>: no"},
    ]
    written = tokenizer.apply_chat_template(said, tokenize=False)
    assert written == tokenizer.decode(form.render(said))
    assert form_has(form, state_tokens(tokenizer).idle) is False


@pytest.mark.parametrize("published", [False, True])
def test_benchmarks_ask_in_the_ids_of_the_form(tmp_path: Path, published: bool) -> None:
    """The tokenizer would merge `<AI>` with what follows, and what precedes with `<用户>`."""
    if published and not PUBLISHED.is_dir():
        pytest.skip("the published settings are not here")
    folder = save_minicpm(tmp_path / "minicpm", published=published)
    opened = open_model(str(folder), device="cpu", dtype="float32")
    form = chat_format(opened.tokenizer, "minicpm")
    asked = Answering(opened, Settings())
    said = [
        {"role": "user", "content": '(a) <b> "x" <AI>"y" (why)'},
        {"role": "assistant", "content": '"so" (no)'},
        {"role": "user", "content": "(and)\n"},
    ]
    start = asked.apply_chat_template(said)
    ids = [*form.render(said), *form.assistant_open]
    assert asked.tok_batch_encode([start])[0][0].tolist() == ids
    whole = opened.tokenizer.backend_tokenizer.pre_tokenizer
    answer = form.text('"yes"', "assistant")
    assert asked._encode_pair(start, '"yes"') == (ids, answer)
    opened.tokenizer.backend_tokenizer.pre_tokenizer = type(whole)([whole[1]])
    assert asked.tok_batch_encode([start + '"'])[0][0].tolist() != [*ids, *form.text('"')]


def form_has(form: ChatFormat, token: int) -> bool:
    return token in form.text("hm <idle> so")
