"""`duo report build`: what is written, that it says what the files say, and that it is safe."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from duo.cli import app
from duo.errors import BadInput
from duo.transcript import write_transcript
from evaluation.interaction.results import portable, score
from reports.kinds import KINDS, imported
from reports.page.build import build
from reports.page.collect import Evidence, Piece, collect
from reports.page.page import page_of
from tests.reports.page.runs import (
    write_all,
    write_json,
    write_manifest,
    write_states,
    write_talks,
)
from tests.reports.parsed import Parsed
from tests.reports.stories import hostile, interrupted


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def out(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    build([run], folder)
    return folder


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return (out / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(page: str) -> Parsed:
    return Parsed(page)


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for kind in KINDS.values()
        for name in (kind.model, *kind.charts.values(), kind.tables, kind.long_table)
        if name
    ),
)
def test_every_function_that_a_kind_names_is_there(name: str) -> None:
    assert callable(imported(name))


def test_every_kind_of_chart_is_written_and_shown(out: Path, page: str) -> None:
    charts = {
        "preference", "benchmarks", "confusion", "decisions", "calibration", "premature",
        "separation", "latency", "takeover", "trade-off", "yielding", "training",
    }  # fmt: skip
    written = {path.stem for path in (out / "figures").glob("*.csv")}
    assert charts <= written
    for name in written:
        for suffix in (".pdf", ".svg", ".png", "-wide.pdf", ".md", ".tex", ".txt"):
            assert (out / "figures" / f"{name}{suffix}").stat().st_size
        assert f'id="{name}-wide-' in page
        caption = (out / "figures" / f"{name}.txt").read_text().strip()
        assert caption in " ".join("".join(Parsed(page).text).split())


def test_the_page_is_the_same_wherever_the_run_is(run: Path, out: Path, tmp_path: Path) -> None:
    first = contents(out)
    moved = tmp_path / "elsewhere" / "other-name"
    shutil.copytree(run, moved)
    for path in moved.rglob("manifest.json"):
        manifest = json.loads(path.read_text()) | {"finished": "2030-01-01", "wall_seconds": 1}
        path.write_text(json.dumps(manifest))
    build([moved])
    again = {name: (moved / name).read_bytes() for name in first}
    assert [name for name in first if again[name] != first[name]] == []
    assert str(tmp_path) not in (moved / "index.html").read_text()


def test_what_a_report_wrote_into_a_run_is_no_result_of_the_run(tmp_path: Path) -> None:
    write_talks(tmp_path)
    build([tmp_path])
    first = contents(tmp_path)
    assert "tables/interaction.json" in first
    build([tmp_path])
    again = contents(tmp_path)
    assert [name for name in again if again[name] != first.get(name)] == []


def test_nothing_outside_is_referred_to(page: str, parsed: Parsed) -> None:
    for name in ("href", "src", "srcset", "action", "data", "poster", "xlink:href"):
        assert all(re.match(r"#|data:", value) for value in parsed.values(name)), name
    assert not re.search(r"@import|url\((?!#)|https?://", page)
    (policy,) = [value for value in parsed.values("content") if "default-src" in value]
    digest = base64.b64encode(hashlib.sha256(parsed.code[-1].encode()).digest()).decode()
    assert policy == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    names = parsed.values("id")
    assert len(names) == len(set(names))
    assert {value[1:] for value in parsed.values("href") if value[:1] == "#"} <= set(names)


def test_tables_say_what_the_files_say(run: Path, out: Path, parsed: Parsed) -> None:
    states = json.loads((run / "states.json").read_text())
    head, *rows = parsed.tables["Wanted and done"]
    assert {row[0]: dict(zip(head[1:], map(int, row[1:]), strict=True)) for row in rows} == states[
        "confusion"
    ]
    ratings = json.loads((out / "tables" / "ratings.json").read_text())
    for row in parsed.tables["Votes in % and 95 % intervals"][1:]:
        (criterion,) = (c for c in ratings["kept"]["criteria"] if c["criterion"] == row[0])
        (comparison,) = criterion["comparisons"]
        low, high = (100 * comparison["estimates"]["win"][end] for end in ("low", "high"))
        assert (
            row[2] == f"{100 * comparison['estimates']['win']['value']:.0f} [{low:.0f}, {high:.0f}]"
        )
        assert int(row[-1]) == sum(comparison["votes"].values())
    interaction = json.loads((out / "tables" / "interaction.json").read_text())
    head, *rows = parsed.tables["Interaction"]
    (row,) = (row for row in rows if row[0].startswith("missed queries"))
    for system, cell in zip(head[1:], row[1:], strict=True):
        found = interaction["systems"][system]["missed_queries"]
        assert cell.startswith(f"{100 * found['value']:.1f} %")
        assert cell.endswith(f"n={found['n']}")
    table = json.loads((out / "tables" / "benchmarks.json").read_text())
    shown = parsed.tables["Accuracy in percent: the paper's Table 1 and ours"]
    column = shown[0].index("duo ours")
    ours = {one["benchmark"]: one for one in table["ours"] if one["column"] == "duo"}
    mmlu = next(row for row in shown if row[0] == "MMLU")
    assert mmlu[column].startswith(f"{100 * ours['mmlu']['value']:.2f}")


def test_commands_and_hashes_are_there_and_dates_are_not(run: Path, parsed: Parsed) -> None:
    text = " ".join("".join(parsed.text).split())
    assert "duo record --out '…/talks'" in text
    assert "duo eval states smollm2-duo validation.jsonl --lookahead 4" in text
    assert "0123456789abcdef0123456789abcdef01234567" in text
    assert "/home/somebody" not in text
    assert "2026-01-02" not in text
    for name in ("states.json", "talks/duo/weekend.jsonl", "ratings/ratings.csv"):
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() in text


def test_what_is_not_there_comes_with_a_command(parsed: Parsed) -> None:
    rows = parsed.tables["Results that are not in this run"]
    assert [row[0] for row in rows[1:]] == ["Sweep"]
    assert "duo bench sweep sweep.yaml --out RUN/sweep" in rows[1]


def test_synthetic_and_limited_are_said_first(parsed: Parsed) -> None:
    assert any("synthetic: nobody gave them" in item for item in parsed.items)
    assert "Benchmarks marked limited were run on a part of their items." in parsed.items


def test_broken_files_are_on_the_page_and_on_standard_error(tmp_path: Path) -> None:
    write_states(tmp_path / "run" / "good.json", n=20)
    (tmp_path / "run" / "<b>bad.json").write_text("{\n\n}}")
    (tmp_path / "run" / "bad.jsonl").write_text('{"type": "header", "schema_version": 1}\n')
    result = CliRunner().invoke(
        app, ["report", "build", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0
    assert result.stdout.strip() == str(tmp_path / "out" / "index.html")
    lines = [line for line in result.stderr.splitlines() if line.startswith("left out: ")]
    assert [line.split(": ")[1] for line in lines] == ["<b>bad.json:3", "bad.jsonl:1"]
    parsed = Parsed((tmp_path / "out" / "index.html").read_text())
    assert any(item.startswith("<b>bad.json:3 not JSON") for item in parsed.items)
    assert any(item.startswith("bad.jsonl:1 ") for item in parsed.items)
    assert "2 things are broken and left out: see “What is missing or broken”." in parsed.items
    assert not parsed.tags["b"]
    summary = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [one["line"] for one in summary["problems"]] == [3, 1]


def test_a_field_that_cannot_be_drawn_is_named(tmp_path: Path) -> None:
    path = write_states(tmp_path / "s.json", n=20)
    content = json.loads(path.read_text())
    content["calibration"]["bins"] = [{"n": -1, "probability": 7, "share": None}]
    write_json(path, content)
    write_states(tmp_path / "whole.json", n=20)
    build([tmp_path])
    parsed = Parsed((tmp_path / "index.html").read_text())
    assert any("s.json" in item and "calibration.bins[0].n" in item for item in parsed.items)
    assert "Wanted and done" in parsed.tables


def test_nothing_readable_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "x.json").write_text("{")
    with pytest.raises(BadInput, match=r"x\.json:1"):
        build([run], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(BadInput, match="no such folder"):
        build([tmp_path / "no"], tmp_path / "out")


def test_an_unwritable_folder(tmp_path: Path) -> None:
    write_states(tmp_path / "s.json", n=5)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write"):
        build([tmp_path / "s.json"], tmp_path / "file" / "out")


def test_hostile_names_and_words_are_text(tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=alert(1)>\u202e"
    folder = tmp_path / "run" / "<i>é"
    folder.mkdir(parents=True)
    write_transcript(folder / "t.jsonl", hostile())
    write_manifest(tmp_path / "run", evil, model=evil, settings={evil: [evil]})
    write_states(tmp_path / "run" / "s.json", n=10, model=evil)
    page = build([tmp_path / "run"], tmp_path / "out").read_text(encoding="utf-8")
    parsed = Parsed(page)
    assert not parsed.tags["img"] + parsed.tags["i"] + parsed.tags["b"]
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert "\u202e" not in page
    assert len(re.findall("<script>", page)) == 1
    for path in (tmp_path / "out" / "tables").glob("*.csv"):
        assert not re.search(r"(^|,)[=+@]", path.read_text(), re.MULTILINE)


def test_many_scenarios_are_counted_and_some_are_drawn() -> None:
    told = interrupted()
    recordings = []
    for number in range(4):
        header = told.header.model_copy(update={"scenario": f"s{number}"})
        recordings.append(Piece(told.model_copy(update={"header": header}), (f"{number}.jsonl",)))
    page = page_of(Evidence(recordings=tuple(recordings)), scenarios=2)
    assert page.count('class="player"') == 2
    assert "Of 4 scenarios the first 2 are drawn below; numbers are of all." in page
    none = page_of(Evidence(recordings=tuple(recordings)), scenarios=0)
    assert "<script" not in none


def test_help_shows_an_example() -> None:
    result = CliRunner().invoke(app, ["report", "build", "--help"])
    assert "Example: duo report build" in result.output


def test_a_study_that_runs_is_read_from_its_database(tmp_path: Path) -> None:
    from reports.statistics.simulate import simulate_raters
    from sessions.study.votes import export
    from tests.sessions.study.studies import StudyMaker

    maker = StudyMaker(tmp_path)
    study = maker(items=3, raters_per_item=2)
    simulate_raters(study, 2, {"duo": 1.0, "duplex": 0.0})
    export(study, tmp_path / "export" / "ratings.csv")
    maker.close()
    write_talks(tmp_path / "talks")
    (found,) = collect([tmp_path]).of("ratings")
    assert found.content.synthetic == found.content.everyone.ratings > 0
    assert found.files == ("export/ratings.csv", "export/ratings.parquet", "study0/study.json")


def test_the_section_shows_every_interaction_figure_but_machine_times(tmp_path: Path) -> None:
    paths = write_talks(tmp_path)
    found = portable(score(paths))
    page = page_of(Evidence(results={"interaction": (Piece(found, ("i.json",)),)}))
    for name in found.systems:
        assert name in page
    assert "response latency p50, s" in page
    assert ", ms" not in page
    assert str(tmp_path) not in page
    assert portable(score(paths)) == found
