"""Every table of every command is readable on a terminal of 80 columns."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from duo.data.inspect import print_data
from duo.data.sample import AssistantTurn, Sample, UserTurn, sample_line
from duo.files import read_result
from duo.table import Table
from evaluation.answers import AnswerLoss, Answers, answers_table
from evaluation.benchmarks.collect import read_runs
from evaluation.benchmarks.showing import results_table
from evaluation.decode_bench.results import DecodeBench, Spread, decode_tables
from evaluation.interaction.results import score
from evaluation.interaction.table import table as interaction_table
from evaluation.probe import Probe, probe_table
from evaluation.scores import States, state_tables
from evaluation.train_bench import TrainBench, TrainCost, train_tables
from reports.statistics.analysis import analyse
from reports.statistics.coverage import StatisticsBench, bench_table
from reports.statistics.ratings import read_ratings
from reports.statistics.report import tables as statistics_tables
from reports.statistics.simulate import Effect, Power, power_table
from reports.table1 import table1
from reports.table1_files import tables as table1_tables
from sessions.study.app.load import Load
from sessions.study.leaks import find_leaks, leaks_tables
from sessions.study.status import status_tables, study_status
from tests.duo.data.dialogues import write_lines
from tests.duo.test_table import printed
from tests.reports.page.runs import (
    write_benchmarks,
    write_decoding,
    write_probe,
    write_ratings,
    write_states,
    write_talks,
)
from tests.sessions.study.studies import StudyMaker, newcomer, rate_all

REFERENCE = Path("reports/reference")


def data_inspect(folder: Path) -> list[Table]:
    sample = Sample(
        id="x-1#0",
        source="x",
        messages=(
            UserTurn(content="What is rain?", state="<1>", kind="query"),
            AssistantTurn(content="Water that", complete=False),
            UserTurn(content="And what about", state=None, kind="unfinished_query"),
        ),
    )
    slices = [{"role": "user", "content": "what is the weather " * 20},
              {"role": "assistant", "content": "It rains. " * 40}]  # fmt: skip
    (folder / "a").mkdir()
    write_lines(folder / "a" / "train.jsonl", [sample_line(sample)] * 30)
    write_lines(folder / "a" / "validation.jsonl", [sample_line(sample)] * 30)
    write_lines(folder / "b.jsonl", [json.dumps({"output": slices})] * 3)
    with pytest.MonkeyPatch.context() as patch:
        shown: list[Table] = []
        patch.setattr(Table, "show", lambda table, console=None: shown.append(table))
        print_data(folder / "a", n=1)
        print_data(folder / "b.jsonl", n=1)
    return shown


def study_status_(folder: Path) -> list[Table]:
    maker = StudyMaker(folder)
    study = maker(items=3, raters_per_item=2)
    rate_all(newcomer(study))
    found = [*status_tables(study_status(study)), *leaks_tables(find_leaks(study))]
    maker.close()
    return found


def study_load(folder: Path) -> list[Table]:
    timings = [{"operation": name, "count": 2, "median": 1.5, "p95": 3.0, "longest": 12.0}
               for name in ("open the page", "submit the ratings")]  # fmt: skip
    load = Load("postgresql, 100 connections", 200, 4, 2.0, 100, 100, 0, 0, 0, 61.5, timings)
    return [load.table()]


def study_power(folder: Path) -> list[Table]:
    found = [Power(n, k, 0.5 + k / 100, 0.01) for n in (20, 40, 80, 120, 160) for k in range(3, 13)]
    return [power_table(Effect(0.65), found, level=0.05, criteria=5)]


def report_statistics(folder: Path) -> list[Table]:
    path = write_ratings(folder / "r.csv", criteria=["responsiveness", "human-likeness", "overall"])
    return list(statistics_tables(analyse(read_ratings(path))))


def eval_benchmarks(folder: Path) -> list[Table]:
    write_benchmarks(folder)
    return [results_table(read_runs([str(folder)]).runs)]


def report_table1(folder: Path) -> list[Table]:
    write_benchmarks(folder)
    return table1_tables(table1([str(folder)]))


def bench_train() -> TrainBench:
    def cost(rate: float, first: Spread | None = None) -> TrainCost:
        share = Spread(median=0.42, low=0.4, high=0.45)
        return TrainCost(
            samples_per_second=Spread(median=rate / 300, low=rate / 310, high=rate / 290),
            tokens_per_second=Spread(median=rate, low=rate - 1000, high=rate + 1000),
            share_of_limit=share, waiting=share, against_first=first,
        )  # fmt: skip

    ways = {"duo": cost(31000.0), "TRL 1.16.0": cost(21000.0, Spread(median=0.7, low=0.6, high=1))}
    return TrainBench(
        model="smollm2", device="NVIDIA H200", precision="bfloat16", settings={}, rounds=3, steps=4,
        tokens=9000, threads=1, operations_per_second=7e14, ways=ways,
    )  # fmt: skip


COMMANDS: dict[str, Callable[[Path], list[Table]]] = {
    "data inspect": data_inspect,
    "eval states": lambda folder: state_tables(
        read_result(write_states(folder / "s.json"), States)
    ),
    "eval probe": lambda folder: [probe_table(read_result(write_probe(folder / "p.json"), Probe))],
    "eval answers": lambda folder: [
        answers_table(
            Answers(models={n: AnswerLoss(nats=2.5, perplexity=12.2, tokens=1234)
                            for n in ("smollm2", "runs/my-very-long-name-of-a-model/duo")})
        )
    ],
    "eval benchmarks": eval_benchmarks,
    "eval interaction": lambda folder: [interaction_table(score(write_talks(folder)))],
    "bench decode": lambda folder: [
        *decode_tables(read_result(write_decoding(folder / "d.json"), DecodeBench)),
        *decode_tables(read_result(REFERENCE / "decode-bench.json", DecodeBench)),
    ],
    "bench train": lambda folder: train_tables(bench_train()),
    "bench statistics": lambda folder: [
        bench_table(read_result(REFERENCE / "statistics-bench.json", StatisticsBench))
    ],
    "study status, leaks": study_status_,
    "study load": study_load,
    "study power": study_power,
    "report statistics": report_statistics,
    "report table1": report_table1,
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_table_is_readable(command: str, tmp_path: Path) -> None:
    tables = COMMANDS[command](tmp_path)
    assert tables
    for table in tables:
        text = printed(table)
        print(text)
        assert max(cell_len(line) for line in text.splitlines()) <= 80
        names = [column.name for column in table.heads]
        for cell in (table.title, *names, *table.notes, *(c for row in table.marked for c in row)):
            for word in cell.split():
                whole = re.search(rf"(?<!\S){re.escape(word)}(?!\S)", text)
                assert whole or cell_len(word) > 28, (table.title, word)
        body = [line for line in text.splitlines() if not line.startswith("─")]
        assert not any(re.fullmatch(r"(?:\s*\w\s)+\s*", line) for line in body if line.strip())
