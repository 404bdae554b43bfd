"""Test what a run is read as: every kind by its content, and what is broken by file and line."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.errors import BadInput
from duo.files import read_result, write_result
from duo.transcript import write_transcript
from reports.page.collect import Evidence, RatingSettings, collect
from tests.reports.page.runs import (
    write_all,
    write_decoding,
    write_json,
    write_ratings,
    write_states,
    write_talks,
    write_training,
)
from tests.reports.rated import row, write_csv
from tests.reports.stories import interrupted


def kinds(found: Evidence) -> dict[str, int]:
    return dict(Counter(kind for kind, _ in found.all))


def complaints(found: Evidence) -> list[str]:
    return [str(problem) for problem in found.problems]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("all"))


def test_every_kind_is_found_whatever_files_are_called(run: Path, tmp_path: Path) -> None:
    found = collect([run])
    assert complaints(found) == []
    wanted = {
        "ratings": 1, "benchmarks": 1, "states": 1, "probe": 1, "interaction": 1, "training": 1,
        "decoding": 1, "transcripts": 2,
    }  # fmt: skip
    assert kinds(found) == wanted
    assert len(found.manifests) == 2
    other = tmp_path / "other"
    for number, path in enumerate(sorted(run.rglob("*"))):
        # Results of benchmarks are read by lm-eval's rules, which go by name.
        if path.is_file() and "benchmarks" not in path.parts:
            target = other / f"{number}" / f"x{number}{path.suffix.upper()}"
            target.parent.mkdir(parents=True)
            shutil.copy(path, target)
    assert kinds(collect([other])) == {k: n for k, n in wanted.items() if k != "benchmarks"}


def test_single_files_and_several_runs(tmp_path: Path) -> None:
    recordings = write_talks(tmp_path / "a")
    states = write_states(tmp_path / "b" / "s.json")
    found = collect([recordings[0], states, tmp_path / "a" / "turn-based"])
    assert kinds(found) == {"states": 1, "interaction": 1, "transcripts": 2}
    assert set(found.digests) == {"weekend.jsonl", "s.json", "turn-based/weekend.jsonl"}


Spoil = Callable[[Path], str]


def cut_off(path: Path) -> str:
    path.write_text(path.read_text()[: path.stat().st_size // 2])
    return f"x{path.suffix}"


def second_line(path: Path) -> str:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "}{", *lines[2:]]) + "\n")
    return f"x{path.suffix}:2"


def latin(path: Path) -> str:
    path.write_bytes("Größe".encode("latin-1") + path.read_bytes())
    return f"x{path.suffix}"


def nothing(path: Path) -> str:
    path.write_bytes(b"")
    return f"x{path.suffix}"


def no_number(path: Path) -> str:
    path.write_text('{"a": NaN}')
    return f"x{path.suffix}"


def deep(path: Path) -> str:
    path.write_text("[" * 200_000)
    return f"x{path.suffix}"


def recording(path: Path) -> Path:
    write_transcript(path, interrupted())
    return path


def without(key: str, write: Callable[[Path], Path]) -> Callable[[Path], Path]:
    def written(path: Path) -> Path:
        content = json.loads(write(path).read_text())
        del content[key]
        return write_json(path, content)

    return written


def whole(path: Path) -> str:
    return f"x{path.suffix}"


@pytest.mark.parametrize(
    ("suffix", "write", "spoil"),
    [
        (".jsonl", recording, cut_off),
        (".jsonl", recording, second_line),
        (".jsonl", recording, nothing),
        (".jsonl", recording, latin),
        (".json", write_states, cut_off),
        (".json", write_states, nothing),
        (".json", write_states, no_number),
        (".json", write_states, latin),
        (".json", write_states, deep),
        (".json", without("labels", write_states), whole),
        (".json", without("confusion", write_states), whole),
        (".json", without("generate", write_decoding), whole),
        (".json", without("curve", write_training), whole),
        (".csv", write_ratings, second_line),
        (".csv", write_ratings, latin),
        (".parquet", write_ratings, nothing),
    ],
)
def test_a_broken_file_is_named_and_the_rest_goes_on(
    tmp_path: Path, suffix: str, write: Callable[[Path], Path], spoil: Spoil
) -> None:
    write_training(tmp_path / "model" / "training.json")
    path = tmp_path / f"x{suffix}"
    write(path)
    place = spoil(path)
    found = collect([tmp_path])
    assert kinds(found) == {"training": 1}
    (complaint,) = complaints(found)
    assert complaint.startswith(f"{place}:")
    assert str(tmp_path) not in complaint
    assert set(found.digests) == {"model/training.json"}


def test_nothing_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("[1, 2]")
    with pytest.raises(BadInput, match="nothing that a report could be made of"):
        collect([tmp_path])
    recording(tmp_path / "t.jsonl").write_text("{")
    with pytest.raises(BadInput, match=r"t\.jsonl:1: the last line is cut off"):
        collect([tmp_path])


def test_a_copy_counts_once(tmp_path: Path) -> None:
    first = recording(tmp_path / "a.jsonl")
    shutil.copy(first, tmp_path / "b.jsonl")
    found = collect([tmp_path])
    assert kinds(found) == {"interaction": 1, "transcripts": 1}
    assert "1 transcripts are copies" in found.notes[0]
    assert found.of("interaction")[0].content.scored == 1


def test_each_recording_of_a_system_keeps_its_own_sound(tmp_path: Path) -> None:
    for number in range(2):
        held = interrupted()
        path = tmp_path / str(number) / "talk.jsonl"
        path.parent.mkdir()
        events = held.events[: len(held.events) - number]
        write_transcript(path, held.model_copy(update={"events": events}))
        path.with_suffix(".flac").touch()
    assert [path.parent.name for path in collect([tmp_path]).sounds.values()] == ["0", "1"]


def test_what_differs_gets_another_name(tmp_path: Path) -> None:
    for number, changes in enumerate(
        [
            {"settings": {"lookahead": 2}},
            {"settings": {"lookahead": 4}},
            {"seed": 1},
            {"model": "m"},
        ]
    ):
        told = interrupted()
        header = told.header.model_copy(update=changes)
        write_transcript(tmp_path / f"{number}.jsonl", told.model_copy(update={"header": header}))
    found = collect([tmp_path])
    names = [transcript.header.system for transcript in found.transcripts]
    assert len(set(names)) == 4
    assert all(name.startswith("duo") for name in names)


def test_interaction_figures_that_are_there_are_taken(tmp_path: Path) -> None:
    recording(tmp_path / "a.jsonl")
    computed = collect([tmp_path]).of("interaction")[0]
    assert computed.computed
    write_result(tmp_path / "i.json", computed.content.model_copy(update={"scored": 7}))
    found = collect([tmp_path])
    assert found.of("interaction")[0].content.scored == 7
    assert "i.json is about 7 transcripts; the run holds 1." in found.notes


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.sampled_from([".json", ".jsonl", ".csv", ".parquet"]),
    st.one_of(
        st.binary(max_size=60),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.sampled_from(
            [b'{"type":"header"}\n', b'{"schema":1,"study":"x"}', b"rater,item\n1,2\n",
             b'{"results":1,"configs":2,"versions":3,"n-shot":4,"n-samples":5,"config":6}',
             b'{"states":1,"confusion":2,"labels":3,"premature":4}',
             b'{"systems":{},"events":[],"intervals":{},"scored":"x","left_out":3}',
             b'{"points":[{"name":".."}],"systems":1,"models":1,"scenarios":1,"max_seconds":1}',
             b'{"kept":1,"everyone":2,"rules":3,"systems":4,"digest":5}',
             b'{"key":1,"benchmark":2,"profile":3,"metric":4,"value":5,"items":6}',
             b'{"command":3,"versions":4}']
        ),
    ),
)  # fmt: skip
def test_any_bytes_are_a_problem_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    write_training(folder / "training.json")
    (folder / f"x{suffix}").write_bytes(content)
    found = collect([folder])
    assert "training" in kinds(found)
    assert all(complaint.startswith(f"x{suffix}") for complaint in complaints(found))


# ---- ratings


def test_no_ratings_yet_one_rater_all_ties_a_criterion_missing(tmp_path: Path) -> None:
    header = list(row())
    write_csv(tmp_path / "none.csv", [], header)
    (none,) = collect([tmp_path]).of("ratings")
    assert "there are no ratings yet" in none.content.notices
    (tmp_path / "none.csv").unlink()
    rows = [row(item=f"i{n}", choice="tie", criterion="factuality") for n in range(4)]
    write_csv(tmp_path / "one.csv", rows)
    (one,) = collect([tmp_path]).of("ratings")
    (comparison,) = (c for c in one.content.kept.comparisons if c.criterion == "factuality")
    assert "ties" in comparison.note
    assert any("no ratings of: responsiveness" in notice for notice in one.content.notices)


def test_unknown_columns_are_said_and_duplicates_named(tmp_path: Path) -> None:
    rows = [row(item=f"i{n}", mood="good") for n in range(3)]
    write_csv(tmp_path / "r.csv", rows)
    (study,) = collect([tmp_path]).of("ratings")
    assert "columns not used: mood" in study.content.notices
    write_training(tmp_path / "t.json")
    write_csv(tmp_path / "r.csv", [*rows, rows[0]])
    assert complaints(collect([tmp_path]))[0].startswith("r.csv:5: rated twice (first at 2)")


def test_the_words_of_another_tool(tmp_path: Path) -> None:
    rows = [
        {"judge": f"j{n % 2}", "item": f"i{n}", "criterion": "overall", "model_a": "duo",
         "model_b": "duplex", "vote": "A"}
        for n in range(4)
    ]  # fmt: skip
    write_csv(tmp_path / "arena.csv", rows)
    columns = {
        "rater": "judge", "system_left": "model_a", "system_right": "model_b", "choice": "vote",
    }  # fmt: skip
    found = collect([tmp_path], RatingSettings(columns=columns, choices={"A": "left"}))
    (comparison,) = found.of("ratings")[0].content.kept.comparisons
    assert comparison.votes["win"] == 4


def test_the_same_ratings_in_two_forms_are_one_study(tmp_path: Path) -> None:
    import pandas as pd

    path = write_ratings(tmp_path / "ratings.csv", criteria=["overall"])
    pd.read_csv(path).to_parquet(tmp_path / "ratings.parquet")
    (study,) = collect([tmp_path]).of("ratings")
    assert study.files == ("ratings.csv", "ratings.parquet")


def test_an_analysis_that_is_there_is_taken(tmp_path: Path) -> None:
    from reports.commands import statistics
    from reports.statistics.analysis import StudyResult

    path = write_ratings(tmp_path / "ratings.csv", criteria=["overall"])
    statistics(path, tmp_path / "out", seed=7)
    made = read_result(tmp_path / "out" / "statistics.json", StudyResult)
    (study,) = collect([tmp_path]).of("ratings")
    assert study.content.model_dump() == made.model_dump()
    assert study.content.seed == 7
    path.unlink()
    alone = collect([tmp_path])
    assert alone.of("ratings")[0].content.model_dump() == made.model_dump()
    assert "not in the run" in alone.notes[0]


# ---- benchmarks


def test_a_broken_result_does_not_take_the_others_along(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "benchmarks", tmp_path / "b")
    one = next((tmp_path / "b" / "base").rglob("samples_*.jsonl"))
    one.write_text('{"doc_id": 0}\n')
    found = collect([tmp_path])
    assert kinds(found) == {"benchmarks": 1}
    assert found.of("benchmarks")[0].content.comparisons == ()
    (complaint,) = complaints(found)
    assert complaint.startswith(f"b/{one.relative_to(tmp_path / 'b')}:1: ")


def test_lm_evals_own_results(tmp_path: Path) -> None:
    from tests.evaluation.benchmarks.files import SIZES

    write_json(
        tmp_path / "results_2026-01-01.json",
        {
            "results": {"hellaswag": {"acc_norm,none": 0.5, "acc_norm_stderr,none": 0.01}},
            "configs": {}, "versions": {}, "n-shot": {"hellaswag": 0},
            "n-samples": {"hellaswag": {"original": SIZES["hellaswag"], "effective": 100}},
            "config": {}, "model_name": "someone/model",
        },
    )  # fmt: skip
    (table,) = collect([tmp_path]).of("benchmarks")
    ours = [number for number in table.content.ours if number.value is not None]
    assert [(number.column, number.value) for number in ours] == [("someone/model", 0.5)]


# ---- sweeps


def test_a_sweep_is_scored_point_by_point(tmp_path: Path) -> None:
    points = []
    for lookahead in (1, 2):
        name = f"lookahead={lookahead}"
        told = interrupted()
        header = told.header.model_copy(update={"settings": {"lookahead": lookahead}})
        (tmp_path / name / "duo").mkdir(parents=True)
        write_transcript(
            tmp_path / name / "duo" / "weekend.jsonl", told.model_copy(update={"header": header})
        )
        points.append({"name": name, "swept": {"lookahead": lookahead}, "settings": {}})
    write_json(
        tmp_path / "sweep.json",
        {"kind": "sweep", "systems": ["duo"], "models": {}, "seed": 0, "max_seconds": 90.0,
         "scenarios": {"weekend": "0" * 64}, "points": points},
    )  # fmt: skip
    found = collect([tmp_path])
    assert kinds(found) == {"sweep": 1, "interaction": 1, "transcripts": 2}
    (swept,) = found.of("sweep")
    assert [list(point.systems) for point in swept.content.points] == [["duo"]] * 2
    assert set(found.of("interaction")[0].content.systems) == {
        "duo (lookahead=1)", "duo (lookahead=2)"
    }  # fmt: skip
