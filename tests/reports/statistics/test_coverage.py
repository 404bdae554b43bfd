"""A small run of the simulation: the seed fixes it, the intervals hold, the naive ones do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from duo.files import read_json, read_result
from reports.commands import bench, statistics
from reports.statistics.coverage import StatisticsBench, bench_table, measure
from reports.statistics.ratings import ESTIMANDS
from reports.statistics.simulate import Design

NULL = Design(40, 6, 6, rater_sd=0.6)
SOME = Design(40, 12, 3, rater_sd=0.3, preference=0.6)


def test_intervals_hold_tests_stay_honest_and_naive_ones_fail() -> None:
    null, some = measure((NULL, SOME), 600, seed=4, resamples=0)
    for cell in (null, some):
        for estimand in ESTIMANDS:
            assert 0.92 <= cell.coverage["two_way"][estimand] <= 0.99
    assert null.coverage["naive"]["win"] < 0.75
    assert null.rejected["preference"] <= 0.06
    assert null.rejected["naive"] > 0.2
    assert null.rejected["sign"] > 0.1  # it is about these raters only
    assert some.rejected["preference"] > 0.3


def test_the_same_seed_gives_the_same_numbers_on_two_processes() -> None:
    one = measure((NULL,), 150, seed=2, resamples=20)
    assert one == measure((NULL,), 150, seed=2, resamples=20, processes=2)
    assert one != measure((NULL,), 150, seed=3, resamples=20)
    assert {"percentile", "bootstrap_t"} < set(one[0].coverage)


def test_percentiles_of_a_two_way_bootstrap_are_too_wide() -> None:
    (cell,) = measure((SOME,), 200, seed=1, resamples=99)
    assert cell.coverage["percentile"]["net"] > 0.97
    assert cell.width["percentile"]["net"] > cell.width["two_way"]["net"]


def test_the_bench_writes_its_numbers_and_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "b" / "bench.json"
    bench(studies=3, resamples=5, out=path)
    result = read_result(path, StatisticsBench)
    text = (tmp_path / "b" / "bench.md").read_text()
    assert text == bench_table(result).markdown()
    assert "40 x 12 (6)" in capsys.readouterr().out
    rows = [line for line in text.splitlines() if line.startswith("| ") and " x " in line]
    assert len(rows) == len(result.cells) / 2 + 1
    assert {row.count("|") for row in rows} == {rows[0].count("|")}
    assert read_json(path)["kind"] == "statistics-bench"


def test_the_commands(tmp_path: Path) -> None:
    from tests.reports.rated import drawn, write_csv

    app = _app(bench=bench, statistics=statistics)
    path = write_csv(tmp_path / "r.csv", drawn(Design(12, 4, 3)))
    for out in ("one", "two"):
        done = CliRunner().invoke(app, ["statistics", str(path), "--out", str(tmp_path / out)])
        assert done.exit_code == 0, done.output
    for name in ("statistics.json", "statistics.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert CliRunner().invoke(app, ["bench", "--studies", "2", "--resamples", "0"]).exit_code == 0


def _app(**commands: object) -> object:
    import typer

    app = typer.Typer()
    for name, command in commands.items():
        app.command(name)(command)  # type: ignore[type-var]
    return app
