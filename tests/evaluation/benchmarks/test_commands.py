"""The commands: what they print and write, and one line for each mistake."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from duo.cli import app
from duo.errors import BadInput
from evaluation.benchmarks.experiment import columns_of, read_experiment
from evaluation.benchmarks.results import BenchmarkResult, Data, Run
from tests.evaluation.benchmarks.small import save_model, write_rows

_EXPERIMENTS = Path(__file__).parents[3] / "evaluation/experiments"


def duo(*words: str) -> str:
    result = CliRunner().invoke(app, ["eval", *words])
    if isinstance(result.exception, BadInput):
        raise result.exception
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


def test_from_the_command_line_to_the_files(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = (
        "benchmarks", str(out), "--model", f"base={model}", "--model", f"same={model}",
        "--tasks", "arc_easy,hellaswag", "--sources", "smoke", "--limit", "5",
        "--batch-size", "4", "--device", "cpu",
    )  # fmt: skip
    printed = duo(*words)
    assert "smoke items, which measure nothing: ARC-e, HellaSwag" in printed
    names = sorted(path.relative_to(out).parts[:2] for path in out.rglob("benchmark_*.json"))
    assert names == [
        ("base", "arc_easy"), ("base", "hellaswag"), ("same", "arc_easy"), ("same", "hellaswag"),
    ]  # fmt: skip
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"]["limit"] == 5
    assert len(manifest["results"]) == 4
    assert all((out / path).is_file() for path in manifest["results"])
    results = [json.loads((out / path).read_text()) for path in manifest["results"]]
    by_column = {(r["column"], r["benchmark"]): (r["value"], r["n"]) for r in results}
    assert by_column["base", "arc_easy"] == by_column["same", "arc_easy"]
    assert {result["n"] for result in results} == {5}
    times = [path.stat().st_mtime_ns for path in sorted(out.rglob("*_*.json*"))]
    assert duo(*words) == printed
    assert [path.stat().st_mtime_ns for path in sorted(out.rglob("*_*.json*"))] == times


def test_data_says_what_is_where() -> None:
    printed = duo("data", "--sources", "smoke")
    assert "CMMLU" in printed
    assert "11,582" in printed
    assert printed.count("smoke") >= 9


def test_data_names_a_bad_row(tmp_path: Path) -> None:
    write_rows(tmp_path / "gsm8k/main/test.jsonl", [{"question": "?"}])
    with pytest.raises(BadInput, match=r"test.jsonl:1: answer: is missing in this item of GSM8K"):
        duo("data", "--data-dir", str(tmp_path), "--sources", "data-dir")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "model: name either an --experiment or one --model or more"),
        (["--model", "nowhere/at/all", "--tasks", "arc_easy"], "no such model folder"),
        (["--model", "{model}", "--profile", "best"], "profile: unknown 'best'"),
        (["--model", "{model}", "--tasks", "glue"], "tasks: unknown 'glue'"),
        (["--model", "{model}", "--tasks", "humaneval"], "add --allow-code"),
        (["--model", "{model}", "--seeds", "x"], "seeds: 'x' is no list of whole numbers"),
        (["--model", "{model}", "--seeds", "-1"], "seeds: '-1' is no list of whole numbers"),
        (["--model", "{model}", "--batch-size", "0"], "batch-size: '0' is neither auto"),
        (["--model", "{model}", "--dtype", "int8"], "dtype: unknown 'int8'"),
        (["--model", "{model}", "--backend", "onnx"], "backend: unknown 'onnx'"),
        (["--model", "{model}", "--backend", "vllm", "--tasks", "arc_easy"], "not installed"),
        (["--model", "{model}", "--model", "{model}"], "two columns are called 'tiny'"),
        (["--model", "{model}", "--columns", "b"], "columns: unknown 'b': use one of tiny"),
        (["--model", "{model}", "--data-dir", "no/folder"], "data-dir: no such folder"),
        (["--model", "{model}", "--sources", "moon"], "sources: unknown 'moon'"),
        (["--model", "{model}", "--tasks", ""], "tasks: names nothing"),
        (["--model", "{model}", "--columns", ","], "columns: names nothing"),
    ],
)
def test_every_mistake_is_one_line(
    words: list[str], told: str, model: Path, tmp_path: Path
) -> None:
    filled = [word.format(model=model) for word in words]
    if "--sources" not in filled:
        filled += ["--sources", "data-dir,smoke"]
    with pytest.raises(BadInput) as caught:
        duo("benchmarks", str(tmp_path / "out"), *filled)
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not list((tmp_path / "out").rglob("*.json"))


def test_the_shipped_experiments_can_be_read() -> None:
    table1 = read_experiment(_EXPERIMENTS / "table1.yaml")
    assert [column.model for column in table1.models()] == [
        "openbmb/MiniCPM-2B-sft-bf16",
        "xinrongzhang2022/MiniCPM-duplex",
        "runs/minicpm-duplex-10k",
        "runs/minicpm-duo-10k",
    ]
    assert [column.adapter for column in table1.models()] == [None] * 4
    assert table1.profile == "ultraeval"
    embedded = read_experiment(_EXPERIMENTS / "table1-smollm2.yaml")
    assert list(embedded.columns) == ["base", "duplex", "duo"]


def test_an_adapter_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    path = tmp_path / "x.yaml"
    path.write_text(f"columns: {{a: {{model: some/model, adapter: {adapter}}}}}")
    with pytest.raises(BadInput, match=r"columns.a.adapter: no adapter here"):
        read_experiment(path).models()[0].check()
    adapter.mkdir()
    for damaged, said in (("{", "adapter_config.json:1: not JSON"), ("{}", "names no base model")):
        (adapter / "adapter_config.json").write_text(damaged)
        with pytest.raises(BadInput, match=said):
            read_experiment(path).models()[0].check()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "another"}')
    with pytest.raises(BadInput, match="is an adapter of another, not of some/model"):
        read_experiment(path).models()[0].check()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("columns: [", "not YAML"),
        ("columns: {}", "columns: "),
        ("columns: {a: {}}", r"columns.a.model: is missing"),
        ("columns: {a: {model: x, size: 1}}", r"columns.a.size: is not a field"),
        ("columns: {'a/b': {model: x}}", r"columns.a/b: a name has letters"),
        ("columns: {'..': {model: x}}", r"a name has letters"),
        ("seeds: [0]", "columns: is missing"),
    ],
)
def test_bad_experiments(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=told):
        read_experiment(path)


def test_columns_are_named_after_the_models() -> None:
    columns = columns_of(["smollm2", "duo=runs/adapter", "org/Model-1.5B"])
    assert [(column.name, column.model) for column in columns] == [
        ("smollm2", "smollm2"), ("duo", "runs/adapter"), ("Model-1.5B", "org/Model-1.5B"),
    ]  # fmt: skip


def test_a_column_always_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    monkeypatch.chdir(tmp_path / "my-model")
    names = [columns_of([text])[0].name for text in (".", "..=x", ".hidden=x")]
    assert names == ["my-model", "model", "hidden"]
    with pytest.raises(BadInput, match="two columns are called 'hidden'"):
        columns_of(["hidden=x", ".hidden=y"])


def test_programs_are_run_only_after_their_limits_are_told(model: Path, tmp_path: Path) -> None:
    words = (
        "benchmarks", str(tmp_path / "out"), "--model", f"m={model}", "--sources", "smoke",
        "--tasks", "humaneval", "--limit", "1", "--max-new-tokens", "4", "--allow-code",
        "--chat-template", "--device", "cpu",
    )  # fmt: skip
    result = CliRunner().invoke(app, ["eval", *words])
    assert result.exit_code == 0, result.output
    assert "Nothing here protects from faults in the kernel" in result.stderr
    assert "lm-eval's own reading of answers misses programs in the chat" in result.stdout


def test_names_of_models_do_nothing_to_the_terminal() -> None:
    from evaluation.benchmarks.showing import results_table

    told = BenchmarkResult(
        key="0", column="[red]\x1b[2J", benchmark="mmlu", profile="lm-eval", seed=0, metric="acc",
        filter="none", value=0.5, n=1, n_full=1, shots=5, coverage="full", data=Data(source="hub"),
    )  # fmt: skip
    console = Console(width=120, record=True, file=StringIO())
    results_table([Run(Path("nowhere"), told)]).show(console)
    shown = console.export_text()
    assert "[red]\\x1b[2J" in shown


def test_a_model_that_cannot_be_asked_that_way_is_one_line(tmp_path: Path) -> None:
    from tests.tiny import tiny_model, tiny_tokenizer

    tokenizer = tiny_tokenizer(template=None, states=False)
    tiny_model(vocabulary=len(tokenizer), max_tokens=200).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    words = (
        "benchmarks", str(tmp_path / "out"), "--model", f"m={tmp_path / 'model'}",
        "--sources", "smoke", "--tasks", "gsm8k",
    )  # fmt: skip
    with pytest.raises(BadInput, match="max-new-tokens: answers of up to 256 tokens leave no room"):
        duo(*words)
    with pytest.raises(BadInput, match="m: the model has no chat template"):
        duo(*words, "--chat-template")
