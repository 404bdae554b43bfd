"""`duo eval interaction`, `duo transcript export` and `import`, as a user calls them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation.interaction.talk import Talk, answered


def duo(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "duo.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={"COLUMNS": "200", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two systems on two scenarios: one answers after 1 s, the other after 3 s or not at all."""
    for scenario in ("a", "b"):
        quick, slow = Talk("quick", scenario), Talk("[b]slow\x1b[31m", scenario)
        for talk in (quick, slow):
            talk.user(1.0, 3.0)
        answered(quick, 4.0)
        if scenario == "a":
            answered(slow, 6.0)
        for talk in (quick, slow):
            talk.header["system"] = talk.header["system"].replace("[b]slow\x1b[31m", "slow")
            path = talk.write(tmp_path / "runs")
            if talk is slow:  # the name a transcript gives is anybody's
                path.write_text(path.read_text("utf-8").replace('"slow"', '"[b]slow\\u001b[31m"'))
    return tmp_path / "runs"


def test_systems_side_by_side(runs: Path, tmp_path: Path) -> None:
    done = duo("eval", "interaction", runs, "--out", tmp_path / "figures.json")
    assert (done.returncode, done.stderr) == (0, "")
    row = next(line for line in done.stdout.splitlines() if "missed queries" in line)
    assert row.index("50.0 %") < row.index("0.0 % [0.0-65.8]")
    row = next(line for line in done.stdout.splitlines() if "tau-voice: response rate" in line)
    assert row.index("50.0 %") < row.index("100.0 % [34.2-100.0]")
    assert "[b]slow\\x1b[31m" in done.stdout
    assert "\x1b" not in done.stdout
    assert "transcripts scored: 4, left out: 0" in done.stdout
    found = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    quick = found["systems"]["quick"]
    assert quick["takeover"]["turn_end"] == {"value": 1.0, "low": 0.34238, "high": 1.0, "n": 2}
    assert quick["response_latency"]["seconds"]["p50"]["value"] == 1.0
    assert quick["panel"]["response_latency"]["mean"]["value"] == 1.0
    assert quick["panel"]["selectivity"]["vocal_tic"] == {
        "value": None, "low": None, "high": None, "n": 0,
    }  # fmt: skip
    assert quick["content"]["loops"]["n"] == 2
    assert quick["response_latency"]["forward_passes"]["p50"]["value"] is None
    assert len(found["events"]) == 4
    assert {event["system"] for event in found["events"]} == set(found["systems"])


def test_what_is_missing_is_a_dash(runs: Path) -> None:
    (runs / "[b]slow").mkdir()
    talk = Talk("quick", "c")
    talk.user(1.0, 2.0)
    answered(talk, 3.0)
    talk.user(4.0, 4.5, "non_query", "backchannel")
    talk.write(runs)
    done = duo("eval", "interaction", runs)
    row = next(line for line in done.stdout.splitlines() if "takeover, backchannel" in line)
    assert re.split(r"\s{2,}", row.strip())[1:] == ["–", "0.0 % n=1"]


def test_the_rest_is_still_scored(runs: Path, tmp_path: Path) -> None:
    bad = runs / "quick" / "b.jsonl"
    text = bad.read_text("utf-8").splitlines()
    bad.write_text("\n".join([text[0], text[1].replace('"query"', "null"), *text[2:]]), "utf-8")
    done = duo("eval", "interaction", runs, "--out", tmp_path / "figures.json")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"duo: left out: {bad}:2: label: is missing: without labels nothing can be scored"
    ]
    assert "transcripts scored: 3, left out: 1" in done.stdout
    found = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    assert (found["scored"], len(found["left_out"])) == (3, 1)
    assert (found["left_out"][0]["file"], found["left_out"][0]["line"]) == (str(bad), 2)


def test_queries_that_are_no_events_are_told(runs: Path, tmp_path: Path) -> None:
    """A query that another follows at once is not scored; nobody should have to find that out."""
    talk = Talk("quick", "c")
    talk.user(1.0, 2.0)
    talk.user(3.0, 4.0)
    answered(talk, 5.0)
    talk.write(runs)
    done = duo("eval", "interaction", runs, "--out", tmp_path / "figures.json")
    assert "quick: not scored are 1 queries that were not answered" in done.stdout
    found = json.loads((tmp_path / "figures.json").read_text("utf-8"))["systems"]
    assert [found[name]["overtaken"] for name in sorted(found)] == [0, 1]
    assert (found["quick"]["events"], found["quick"]["missed_queries"]["n"]) == (3, 3)


def test_unequal_waits_of_the_user_and_limits_are_told(tmp_path: Path) -> None:
    """The users of two systems wait one and three seconds; a third answer is not waited for."""
    for system, wait in (("quick", 1.0), ("slow", 3.0)):
        talk = Talk(system, "a")
        talk.user(1.0, 2.0)
        end = answered(talk, 3.0, ends=None)
        talk.mark("answer_end", end, by="limit")
        talk.user(end + wait, end + wait + 1)
        talk.user(end + wait + 9, end + wait + 10)
        talk.write(tmp_path)
    done = duo("eval", "interaction", tmp_path, "--out", tmp_path / "figures.json")
    assert "the user waits 1.0 s after answers of quick and 3.0 s after those of slow" in " ".join(
        done.stdout.split()
    )
    found = json.loads((tmp_path / "figures.json").read_text("utf-8"))["systems"]
    assert [found[name]["user_waits"]["p50"]["value"] for name in ("quick", "slow")] == [1.0, 3.0]
    assert [found[name]["gave_up"] for name in ("quick", "slow")] == [1, 1]
    assert [found[name]["limited"] for name in ("quick", "slow")] == [1, 1]


def test_nothing_left_is_status_2(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("{}\n", "utf-8")
    out = tmp_path / "figures.json"
    for arguments in (
        ("eval", "interaction", tmp_path, "--out", out),
        ("transcript", "export", tmp_path, "--out", tmp_path / "fdb"),
        ("eval", "interaction", tmp_path / "none"),
        ("transcript", "import", tmp_path, "--out", tmp_path / "t"),
        ("transcript", "import", tmp_path, "--out", tmp_path / "t", "--format", "fbd"),
    ):
        done = duo(*arguments)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("duo: ")
    assert not out.exists()
    assert not (tmp_path / "fdb").exists()


def test_out_in_and_scored(runs: Path, tmp_path: Path) -> None:
    done = duo("transcript", "export", "--format", "fdb", "--out", tmp_path / "fdb", runs)
    assert done.returncode == 0
    assert "quick: smooth_turn_taking: 2 samples" in done.stdout
    folder = tmp_path / "fdb" / "quick"
    done = duo("transcript", "import", folder, "--system", "moshi", "--out", tmp_path / "in")
    assert done.returncode == 0, done.stderr
    done = duo("transcript", "validate", *sorted((tmp_path / "in" / "moshi").iterdir()))
    assert done.returncode == 0, done.stderr
    done = duo("eval", "interaction", tmp_path / "in", "--out", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "figures.json").read_text("utf-8"))["systems"]["moshi"]
    assert found["takeover_latency"]["turn_end"]["value"] == 1.0
