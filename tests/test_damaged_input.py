"""Whatever is in a file, each command that reads it ends in success or in one clear line, soon.

Valid files of every kind are damaged at random and given to the commands as users give them.
Without `DUO_DAMAGE` some hundred cases run, without the commands that draw or load a model, which
take seconds; `DUO_DAMAGE=20000` runs as many cases of all commands. `DUO_DAMAGE_FROM` begins at
another number, so that a case that failed can be run again: its number is its seed.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import duo.cli
from sessions.study.store import VARIABLE
from tests.damage import damage
from tests.duo.data.dialogues import records, write_lines
from tests.duo.training.material import data_folder, model_folder
from tests.evaluation.benchmarks.small import copy_data
from tests.reports.page.runs import (
    write_benchmarks,
    write_decoding,
    write_json,
    write_probe,
    write_ratings,
    write_states,
    write_talks,
    write_training,
)
from tests.reports.plots import inputs
from tests.sessions.study.studies import StudyMaker, newcomer, rate_all

CASES = int(os.environ.get("DUO_DAMAGE", "0"))
FROM = int(os.environ.get("DUO_DAMAGE_FROM", "0"))
#: Without `DUO_DAMAGE`: cases of quick commands, in groups that run side by side.
QUICK_CASES, GROUPS = 120, 4
#: What takes seconds: drawing, the page, and loading models.
SLOW = ("report build", "report figure", "eval states", "eval answers", "study simulate")
SLOW_KINDS = ("adapter", "drawn_transcripts", "model", "preset", "results", "sweep")
all_commands = pytest.mark.skipif(not CASES, reason="DUO_DAMAGE says how many cases to run")
#: A command that takes longer (seconds) hangs: they take three at most, on an idle machine.
PATIENCE = 600
#: More memory than this, beside what the tests have, is endless reading.
MEMORY = 6 * 2**30
FAKE = "tests.sessions.fakes:factory"


class Hangs(BaseException):
    """No library takes this for one of its own errors."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    said: str


def duo_(*words: str | Path, typed: str = "") -> Ended:
    """Run a command in this process as its `main` does.

    Raises:
        Whatever is no success and no clear refusal.
    """

    def hang(*_: object) -> None:
        raise Hangs

    errors = io.StringIO()
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
    handler = signal.signal(signal.SIGALRM, hang)
    signal.alarm(PATIENCE)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    status: Any = 0
    try:
        with (
            mock.patch.object(sys, "argv", ["duo", *map(str, words)]),
            mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode()))),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(errors),
        ):
            duo.cli.main()
    except SystemExit as end:
        status = end.code or 0
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)
    said = errors.getvalue()
    assert status in (0, 1, 2), status
    assert "Traceback" not in said, said
    if status == 2:
        lines = [
            line for line in said.splitlines() if line.startswith("duo: ") and "loading" not in line
        ]
        assert len(lines) == 1 or "Usage:" in said, said
        assert len(said) < 100_000
    return Ended(status, said)


# What is damaged, and what reads it.

Make = Callable[[Path], None]
Commands = Callable[[Path], Sequence[Sequence[str | Path]]]
_KINDS: dict[str, tuple[Make, str, Commands]] = {}


def kind(files: str, commands: Commands) -> Callable[[Make], Make]:
    """Register what makes a folder of valid files.

    Args:
        files: a pattern of those that are damaged.
        commands: what is run in that folder afterwards, one after the other.
    """

    def add(make: Make) -> Make:
        _KINDS[make.__name__] = (make, files, commands)
        return make

    return add


@kind("a.yaml", lambda at: [
    ["scenario", "list", at / "a.yaml"],
    ["scenario", "write", at / "a.yaml", "--out", at / "out"],
    ["record", "--systems", FAKE, "--scenario", at / "a.yaml", "--out", at / "runs",
     "--max-seconds", "30"],
])  # fmt: skip
def scenario(at: Path) -> None:
    from sessions.catalogue import find_scenarios
    from sessions.scenario import scenario_yaml

    at.joinpath("a.yaml").write_text(scenario_yaml(find_scenarios(["pasta-dinner"])[0]))


@kind("a.jsonl", lambda at: [
    ["scenario", "list", at / "a.jsonl"],
    ["record", "--systems", FAKE, "--scenario", at / "a.jsonl", "--limit", "1", "--out", at / "o"],
    ["data", "build", "--source", at / "talks.jsonl", "--samples", "3", "--held-out",
     at / "a.jsonl", "--out", at / "data"],
    ["eval", "states", at / "model", at / "a.jsonl"],
])  # fmt: skip
def utterances(at: Path) -> None:
    labels = ("question", "backchannel", "statement", "incomplete")
    lines = [
        {"id": f"u{number}", "text": f"what about number {number}, my friend", "label": label,
         "needs_response": label == "question", "context": []}
        for number, label in enumerate(labels)
    ]  # fmt: skip
    write_lines(at / "a.jsonl", lines)
    write_lines(at / "talks.jsonl", records(6))
    model_folder(at / "model")


@kind("*/*.jsonl", lambda at: [
    ["transcript", "validate", at / "duo/weekend.jsonl"],
    ["transcript", "show", at / "duo/weekend.jsonl"],
    ["eval", "interaction", at, "--out", at / "i.json"],
    ["transcript", "export", at, "--out", at / "fdb"],
    ["study", "create", "--transcripts", at, "--out", at / "st"],
    ["study", "check", at / "st"],
])  # fmt: skip
def transcripts(at: Path) -> None:
    write_talks(at)


@kind("*/*.jsonl", lambda at: [
    ["report", "build", at, "--out", at / "page"],
    ["report", "figure", "timeline", at / "duo/weekend.jsonl", "--out", at / "figures"],
    ["report", "figure", "mask", at / "duo/weekend.jsonl", "--out", at / "figures"],
])  # fmt: skip
def drawn_transcripts(at: Path) -> None:
    write_talks(at)


@kind("run/*", lambda at: [
    ["record", "--systems", FAKE, "--scenario", "pasta-dinner", "--max-seconds", "20",
     "--out", at / "run"],
])  # fmt: skip
def unfinished_recording(at: Path) -> None:
    for path in write_talks(at / "run"):
        path.rename(at / "run" / path.name)
    duo_("record", "--systems", FAKE, "--scenario", "pasta-dinner", "--max-seconds", "20",
         "--out", at / "run")  # fmt: skip
    for path in [*at.glob("run/*/*.jsonl")]:
        path.rename(at / "run" / path.name)


@kind("design.yaml", lambda at: [
    ["study", "create", "--transcripts", at, "--design", at / "design.yaml", "--out", at / "st"],
    ["study", "invite", at / "st", "--raters", "1"],
    ["study", "simulate", at / "st", "--raters", "2"],
    ["study", "preregister", at / "st"],
])  # fmt: skip
def study_design(at: Path) -> None:
    write_talks(at)
    duo_("study", "create", "--transcripts", at, "--out", at / "made")
    (at / "made/design.yaml").rename(at / "design.yaml")
    shutil.rmtree(at / "made")


def _study(at: Path) -> None:
    with contextlib.closing(StudyMaker(at)) as maker:
        rate_all(newcomer(maker(items=3)))


def _study_commands(at: Path) -> list[list[str | Path]]:
    return [
        ["study", "status", at / "study0"],
        ["study", "check", at / "study0"],
        ["study", "export", at / "study0", "--out", at / "export"],
        ["study", "preregister", at / "study0"],
        ["study", "invite", at / "study0", "--raters", "1"],
        ["study", "revoke", at / "study0", "r001"],
        ["study", "simulate", at / "study0", "--raters", "1"],
        ["study", "import", at / "study0", at / "ratings.csv"],
    ]


@kind("study0/*", lambda at: [
    *_study_commands(at),
    ["study", "state", at / "study0", "paused"],
    ["report", "build", at / "study0", "--out", at / "page"],
])  # fmt: skip
def study_folder(at: Path) -> None:
    _study(at)
    duo_("study", "export", at / "study0", "--out", at / "ratings.csv")


@kind("study0/study.sqlite", _study_commands)
def study_database(at: Path) -> None:
    study_folder(at)


@kind("ratings.*", lambda at: [
    ["report", "statistics", at / "ratings.csv", "--out", at / "statistics"],
    ["study", "import", at / "study0", at / "ratings.csv"],
    ["report", "statistics", at / "ratings.parquet", "--out", at / "statistics"],
])  # fmt: skip
def own_ratings(at: Path) -> None:
    study_folder(at)


@kind("*.*", lambda at: [
    ["report", "statistics", at / "ratings.csv", "--rules", at / "rules.yaml", "--out", at / "s"],
])  # fmt: skip
def ratings(at: Path) -> None:
    write_ratings(at / "ratings.csv", dialogues=4, raters=3, criteria=("overall", "factuality"))
    (at / "rules.yaml").write_text("failed_checks: 0.5\nleast_seconds: 1.0\none_sided: 0.9\n")


RESULTS: dict[str, tuple[str, ...]] = {
    "states.json": ("confusion", "decisions", "premature", "calibration", "separation"),
    "probe.json": ("probe",),
    "training.json": ("training",),
    "decode.json": ("cost",),
    "statistics.json": ("preference",),
    "interaction.json": ("latency", "takeover", "trade-off", "yielding"),
}


@kind("*.json", lambda at: [["report", "build", at, "--out", at / "page"], *(
    ["report", "figure", figure, at / file, "--out", at / "figures"]
    for file, figures in RESULTS.items() if (at / file).exists() for figure in figures
)])  # fmt: skip
def results(at: Path) -> None:
    one = random.Random(str(at)).choice([*RESULTS, "manifest.json"])
    write_states(at / "states.json")
    write_probe(at / "probe.json")
    write_training(at / "training.json")
    write_decoding(at / "decode.json")
    write_json(at / "statistics.json", inputs.study())
    write_json(at / "interaction.json", inputs.interaction())
    write_talks(at / "talks")
    (at / "talks/manifest.json").rename(at / "manifest.json")
    shutil.rmtree(at / "talks")
    for path in at.iterdir():
        if path.name != one:
            path.unlink()


@kind("*/*/*.json*", lambda at: [
    ["report", "table1", at, "--out", at / "table"],
])  # fmt: skip
def benchmark_results(at: Path) -> None:
    write_benchmarks(at)


@kind("*.json", lambda at: [
    ["report", "table1", f"theirs={at / 'results_x.json'}", "--out", at / "table"],
])  # fmt: skip
def harness_results(at: Path) -> None:
    tasks = {name: {"acc,none": 0.5, "acc_stderr,none": 0.1, "alias": name}
             for name in ("mmlu", "mmlu_a", "mmlu_b", "arc_easy", "hellaswag")}  # fmt: skip
    facts = {name: {"task": name, "num_fewshot": 0} for name in tasks}
    write_json(at / "results_x.json", {
        "results": tasks, "configs": facts, "versions": dict.fromkeys(tasks, 1.0),
        "n-shot": dict.fromkeys(tasks, 0), "group_subtasks": {"mmlu": ["mmlu_a", "mmlu_b"]},
        "n-samples": {name: {"original": 9, "effective": 5} for name in tasks},
        "config": {"model": "hf", "model_args": "pretrained=x"}, "model_name": "x",
    })  # fmt: skip


@kind("data/*.jsonl", lambda at: [
    ["data", "inspect", at / "data"],
    ["eval", "states", at / "model", at / "data/validation.jsonl"],
    ["eval", "answers", at / "data/validation.jsonl", at / "model"],
    ["train", "--preset", "smoke", "--data", at / "data", "--model", at / "model", "--set",
     "steps=1", "--out", at / "trained"],
])  # fmt: skip
def samples(at: Path) -> None:
    data_folder(at / "data", 6)
    model_folder(at / "model")


@kind("model/*", lambda at: [
    ["chat", "--plain", "--model", at / "model", "--save", at / "chat.jsonl"],
    ["eval", "states", at / "model", at / "data/validation.jsonl"],
])  # fmt: skip
def model(at: Path) -> None:
    model_folder(at / "model")
    data_folder(at / "data", 2)
    write_json(at / "model/duo.json", {"chat": "template"})


@kind("adapter/*", lambda at: [
    ["chat", "--plain", "--model", at / "adapter", "--save", at / "chat.jsonl"],
    ["train", "--preset", at / "preset.yaml", "--data", at / "data", "--model", at / "model",
     "--start", at / "adapter", "--out", at / "more"],
    ["train", "--preset", at / "preset.yaml", "--data", at / "data", "--model", at / "model",
     "--out", at / "adapter"],
])  # fmt: skip
def adapter(at: Path) -> None:
    model_folder(at / "model")
    data_folder(at / "data", 4)
    preset = Path("duo/training/presets/smoke.yaml").read_text().replace("steps: 20", "steps: 2")
    (at / "preset.yaml").write_text(preset)
    settings = ["--set", "steps=2", "--set", "save_every=1"]
    duo_("train", "--data", at / "data", "--model", at / "model", "--preset", "smoke", *settings,
         "--out", at / "adapter")  # fmt: skip


@kind("preset.yaml", lambda at: [
    ["train", "--preset", at / "preset.yaml", "--data", at / "data", "--model", at / "none",
     "--out", at / "out"],
])  # fmt: skip
def preset(at: Path) -> None:
    data_folder(at / "data", 2)
    names = sorted(Path("duo/training/presets").glob("*.yaml"))
    shutil.copy(random.Random(str(at)).choice(names), at / "preset.yaml")


@kind("a.yaml", lambda at: [
    ["eval", "benchmarks", at / "out", "--experiment", at / "a.yaml", "--sources", "smoke",
     "--tasks", "arc_easy", "--limit", "2"],
])  # fmt: skip
def experiment(at: Path) -> None:
    (at / "a.yaml").write_text(
        "profile: lm-eval\nseeds: [0, 1]\nchat_template: false\ndtype: float32\n"
        f"columns:\n  base: {{model: {at / 'none'}}}\n  duo: {{model: {at / 'other'}}}\n"
    )


@kind("**/*.jsonl*", lambda at: [
    ["eval", "data", "--data-dir", at / "data", "--sources", "data-dir"],
    ["eval", "benchmarks", at / "out", "--model", at / "none", "--data-dir", at / "data",
     "--sources", "data-dir", "--partial-data", "--tasks", "arc_easy,gsm8k"],
])  # fmt: skip
def benchmark_data(at: Path) -> None:
    copy_data(at / "data", "arc_easy", "gsm8k")


@kind("a.yaml", lambda at: [["bench", "sweep", at / "a.yaml", "--out", at / "out"]])
def sweep(at: Path) -> None:
    (at / "a.yaml").write_text(
        f"systems: {FAKE}\nscenarios: [pasta-dinner]\nmax_seconds: 20\nseed: 3\n"
        "base: {words: 8}\nsweep:\n  - words: [4, 8]\n  - cycle_seconds: [0.5, 1.0]\n"
    )


@kind("talks*", lambda at: [
    ["data", "build", "--source", path, "--samples", "4", "--out", at / "data"]
    for path in sorted(at.glob("talks*"))
])  # fmt: skip
def dialogues(at: Path) -> None:
    import pandas as pd

    many = records(8)
    match random.Random(str(at)).choice((".jsonl", ".json", ".parquet")):
        case ".jsonl":
            write_lines(at / "talks.jsonl", many)
        case ".json":
            write_json(at / "talks.json", many)
        case _:
            pd.DataFrame(many).to_parquet(at / "talks.parquet")


@kind("data/*", lambda at: [
    ["data", "build", "--source", at / "talks.jsonl", "--samples", "8", "--validation",
     "0.5", "--out", at / "data"],
    ["data", "inspect", at / "data"],
    ["report", "build", at / "data", "--out", at / "page"],
])  # fmt: skip
def data_set(at: Path) -> None:
    write_lines(at / "talks.jsonl", records(8))
    duo_("data", "build", "--source", at / "talks.jsonl", "--samples", "8", "--validation",
         "0.5", "--out", at / "data")  # fmt: skip


@kind("fdb/**/*.json", lambda at: [
    ["transcript", "import", at / "fdb", "--system", "x", "--out", at / "out"],
    ["eval", "interaction", at / "out"],
])  # fmt: skip
def fdb(at: Path) -> None:
    write_talks(at / "talks")
    duo_("transcript", "export", at / "talks", "--out", at / "fdb")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


class Cases:
    """Valid folders of every kind, each made once and copied for a case."""

    def __init__(self, root: Path) -> None:
        self._root, self._made = root, dict[str, Path]()

    def valid(self, name: str, number: int = 0) -> Path:
        key = f"{name}-{number}"
        if key not in self._made:
            at = self._root / key
            at.mkdir()
            _KINDS[name][0](at)
            self._made[key] = at
        return self._made[key]

    def run(self, seed: int, at: Path, *, quick: bool = False) -> None:
        """Damage a file of a kind, run what reads it; a failure says all that repeats it."""
        draw = random.Random(seed)
        name = draw.choice(sorted(set(_KINDS).difference(SLOW_KINDS if quick else ())))
        shutil.copytree(self.valid(name, draw.randrange(1 if quick else 3)), at)
        _, pattern, commands = _KINDS[name]
        planned = commands(at)
        if quick:
            planned = [w for w in planned if f"{w[0]} {w[1]}" not in SLOW and w[0] != "train"]
        chosen = sorted(draw.sample(range(len(planned)), min(2, len(planned))))
        path = draw.choice(sorted(path for path in at.glob(pattern) if path.is_file()))
        said = damage(path, draw)
        for words in map(planned.__getitem__, chosen):
            try:
                duo_(*words, typed="0.5 what is rain?\n3 thanks\n" if "chat" in words else "")
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                shown = " ".join(str(word).removeprefix(f"{at}/") for word in words)
                raise AssertionError(
                    f"case {seed}, {name}: {path.relative_to(at)}: {said}: duo {shown}"
                ) from error


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return Cases(tmp_path_factory.mktemp("valid"))


@all_commands
@pytest.mark.parametrize("name", _KINDS)
def test_what_is_valid_is_read(name: str, cases: Cases, tmp_path: Path) -> None:
    shutil.copytree(cases.valid(name), at := tmp_path / "at")
    _, _, commands = _KINDS[name]
    for words in commands(at):
        if words[0] != "report":
            ended = duo_(*words, typed="0.5 what is rain?\n3 thanks\n" if "chat" in words else "")
            # Some are given a model that is not there, or a folder that is finished.
            assert ended.status != 2 or "none" in ended.said or "finished" in ended.said, ended


@pytest.mark.parametrize("group", range(GROUPS))
def test_quick_commands_after_random_damage(group: int, cases: Cases, tmp_path: Path) -> None:
    _run(range(group, QUICK_CASES, GROUPS), cases, tmp_path / "case", quick=True)


@all_commands
def test_all_commands_after_random_damage(cases: Cases, tmp_path: Path) -> None:
    _run(range(FROM, FROM + CASES), cases, tmp_path / "case", quick=False)


def _run(seeds: range, cases: Cases, at: Path, *, quick: bool) -> None:
    failed = []
    for seed in seeds:
        if CASES and seed % 20 == 0:
            print(f"at {seed}", file=sys.__stderr__, flush=True)
        try:
            cases.run(seed, at, quick=quick)
        except AssertionError as error:
            last = "".join(traceback.format_exception(error.__cause__, limit=-6))
            print(f"{error}\n{last}", file=sys.__stderr__, flush=True)
            failed.append(seed)
        finally:
            shutil.rmtree(at, ignore_errors=True)
    assert not failed
