"""The demonstration from the command line: what it writes, what it keeps, what it refuses."""

from __future__ import annotations

import io
import json
import webbrowser
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import reports.demo as demo
from duo.cli import app
from duo.errors import BadInput
from duo.transcript import write_transcript
from reports.demo import run_demo, write_report
from reports.page.build import build
from tests.reports.stories import interrupted, waiting
from tests.tiny import tiny_backbone

SCENARIO = """
name: short
language: en
utterances:
  - {id: ask, at: 0.5, label: query, kind: question, say: 'What is it?'}
  - {id: nod, into_answer: 1.0, label: non_query, kind: backchannel, say: Okay.}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    file = tmp_path / "short.yaml"
    file.write_text(SCENARIO, encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random model in a folder."""
    folder = tmp_path_factory.mktemp("model")
    backbone = tiny_backbone()
    backbone.model.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions.recorder.COMMON", {"max_answer_seconds": 2.0})


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the manifest, which holds what differs from run to run."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def test_it_writes_all_that_it_promises_and_keeps_what_is_finished(
    tmp_path: Path, model: str, scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    page = run_demo(out, [model], [scenario], open_page=False, benchmarks=False)
    assert capsys.readouterr().out.strip() == str(page)
    first = contents(out)
    systems = ("duo", "duplex", "turn-based")
    beside = {name for name in first if name.startswith(("figures/", "tables/"))}
    assert {"figures/takeover.pdf", "tables/interaction.csv", "tables/costs.csv"} <= beside
    assert set(first) - beside == {
        "index.html", "report.json", "forward_passes.csv", "interaction.json",
        *(f"{system}/short.jsonl" for system in systems),
        *(f"timelines/short-{system}.{kind}" for system in systems for kind in ("svg", "png")),
    }  # fmt: skip
    assert (out / "manifest.json").exists()
    build([out])
    assert contents(out) == first, "the page is what `duo report build` makes of the folder"
    recorded = {path: path.stat().st_mtime_ns for path in out.glob("*/*.jsonl")}
    (out / "duplex" / "short.jsonl").unlink()
    run_demo(out, [model], [scenario], open_page=False, benchmarks=False)
    assert contents(out) == first
    kept = [path for path, time in recorded.items() if path.stat().st_mtime_ns == time]
    assert len(kept) == 2


def test_the_scenarios_of_the_demonstration_are_in_the_library() -> None:
    from sessions.catalogue import find_scenarios

    found = find_scenarios(demo.SCENARIOS)
    assert len(found) == 4
    kinds = {utterance.kind for scenario in found for utterance in scenario.utterances}
    assert {"question", "interruption", "backchannel", "stop_request", "third_party"} <= kinds


def test_what_was_recorded_otherwise_is_not_mixed_in(
    tmp_path: Path, model: str, scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_demo(tmp_path, [model], [scenario], open_page=False, benchmarks=False)
    monkeypatch.setattr("sessions.recorder.COMMON", {"max_answer_seconds": 1.0})
    with pytest.raises(BadInput, match=r"settings.*--force"):
        run_demo(tmp_path, [model], [scenario], open_page=False, benchmarks=False)
    run_demo(tmp_path, [model], [scenario], open_page=False, benchmarks=False, force=True)


def test_a_browser_is_opened_only_for_somebody_who_sees_it(
    tmp_path: Path, model: str, scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    run_demo(tmp_path, [model], [scenario], benchmarks=False)
    assert opened == []
    monkeypatch.setattr(demo, "_somebody_is_there", lambda: True)
    run_demo(tmp_path, [model], [scenario], open_page=False, benchmarks=False)
    assert opened == []
    page = run_demo(tmp_path, [model], [scenario], benchmarks=False)
    assert opened == [page.resolve().as_uri()]


def test_a_small_table_1_is_part_of_it(
    tmp_path: Path, model: str, scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SOURCES", ("smoke",))
    monkeypatch.setattr(demo, "TASKS", ("cmmlu", "hellaswag"))
    page = run_demo(tmp_path, [model], [scenario], open_page=False)
    results = list((tmp_path / "benchmarks").rglob("*.json"))
    assert results
    text = page.read_text(encoding="utf-8")
    assert "the paper's Table 1" in text.replace("&#39;", "'")
    assert "smoke" in text


def test_a_table_that_cannot_be_made_does_not_take_the_page_away(
    tmp_path: Path, model: str, scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SOURCES", ())
    screen = io.StringIO()
    console = Console(file=screen, width=200)
    page = run_demo(tmp_path, [model], [scenario], open_page=False, console=console)
    assert page.is_file()
    assert "no small Table 1: " in screen.getvalue()


def test_the_report_is_made_of_any_transcripts(tmp_path: Path) -> None:
    paths = [tmp_path / "one.jsonl", tmp_path / "other.jsonl"]
    for path, transcript in zip(paths, [interrupted(), waiting()], strict=True):
        write_transcript(path, transcript)
    page = write_report(tmp_path, paths)
    text = page.read_text(encoding="utf-8")
    assert "castle walls" in text
    assert "How they conversed" in text
    assert json.loads((tmp_path / "interaction.json").read_text())["scored"] == 2
    assert (tmp_path / "timelines" / "weekend-turn-based.png").exists()
    assert (tmp_path / "forward_passes.csv").read_text().count("\n") == 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--scenario", "no-such-scenario"], "unknown scenario"),
        (["--scenario", "missing.yaml"], "missing.yaml"),
        (["--model", "./no-such-folder"], "no-such-folder"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "out"), *arguments])
    assert isinstance(result.exception, BadInput)
    assert complaint in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (tmp_path / "out" / "index.html").exists()


def test_an_unwritable_folder_is_refused_before_a_model_is_loaded(
    tmp_path: Path, scenario: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write"):
        run_demo(
            tmp_path / "file" / "out",
            ["./no-such-model"],
            [scenario],
            open_page=False,
            benchmarks=False,
        )


def test_qwen_is_taken_where_it_is_unless_the_folder_is_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "installed", lambda: True)
    monkeypatch.setattr(demo, "qwen_kept", lambda: None)
    assert not demo._has_qwen(tmp_path)
    monkeypatch.setattr(demo, "qwen_kept", lambda: tmp_path / "qwen.gguf")
    assert demo._has_qwen(tmp_path)
    for name in ("qwen", "smollm2-duo"):
        (tmp_path / "manifest.json").write_text(json.dumps({"models": {"duo": name}}))
        assert demo._has_qwen(tmp_path) == (name == "qwen")


def test_help_shows_an_example() -> None:
    result = CliRunner().invoke(app, ["demo", "--help"])
    assert result.exit_code == 0
    assert "Example: duo demo" in result.output


@pytest.mark.real_model
def test_a_real_model_answers(
    tmp_path: Path, scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "qwen_kept", lambda: None)
    page = run_demo(tmp_path, scenarios=[scenario], open_page=False, benchmarks=False)
    text = page.read_text(encoding="utf-8")
    assert "smollm2-duo, smollm2-duplex, smollm2" in text
    assert "None was made by a state token" not in text
