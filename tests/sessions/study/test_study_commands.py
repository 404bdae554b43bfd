"""`duo study ...` as it is typed."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import duo.cli
from duo.errors import BadInput
from sessions.study.app import command, environment
from sessions.study.session import open_session
from sessions.study.store import VARIABLE
from sessions.study.study import open_study
from tests.sessions.study.studies import StudyMaker
from tests.sessions.study.test_materials import recorded

ROOT = Path(__file__).parents[3]

# All commands of the group, those of other rooms too.
app = duo.cli.app


def run(*words: str | Path, status: int = 0) -> str:
    """What the command prints."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result.output


def study(*words: str | Path, **more: Any) -> str:
    return run("study", *words, **more)


@pytest.fixture(autouse=True)
def _no_other_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    for system in ("duo", "duplex"):
        for scenario in ("a", "b"):
            recorded(tmp_path / "in", system, scenario)
    recorded(tmp_path / "in", "duo", "c")
    out = tmp_path / "our study"
    said = study("create", "--transcripts", tmp_path / "in", "--raters", "2", "--out", out)
    assert "left out: c: no transcript of duplex" in said
    assert f"2 items of duo, duplex in {out}; 2 raters each" in said
    assert "the consent page does not say: who, contact, purpose, " in said
    assert f"; duo study serve '{out}'\n" in said  # as a shell takes it
    return out


def test_help_texts_say_everything() -> None:
    group: Any = typer.main.get_command(app)
    for name, part in group.commands["study"].commands.items():
        assert f"Example: duo study {name} " in " ".join(part.help.split())
        assert all(getattr(parameter, "help", None) for parameter in part.params), name


def test_help_texts_need_nothing_heavy() -> None:
    code = (
        "import sys, sessions.study.commands\n"
        "heavy = {'torch', 'sqlalchemy', 'pydantic', 'numpy', 'streamlit', 'pyarrow', 'yaml'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_study_from_beginning_to_end(made: Path, tmp_path: Path) -> None:
    links = tmp_path / "links.csv"
    study(
        "invite", made, "--raters", "2", "--admin", "me", "--url", "https://x.org/", "--out", links
    )
    assert stat.S_IMODE(links.stat().st_mode) == 0o600
    with links.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["kind"] for row in rows] == ["rater", "rater", "admin"]
    assert all(row["link"].startswith("https://x.org/?") for row in rows)
    opened = open_study(made)
    open_session(opened, rows[0]["link"].partition("?t=")[2])
    opened.database.close()
    assert "preregistration-" in study("preregister", made)
    assert "synthetic raters" in study("simulate", made, "--raters", "2", "--prefer", "duo=1.5")
    said = study("status", made)
    assert "s003 (synthetic)" in said
    assert "all SYNTHETIC" in said
    status = json.loads(study("status", made, "--json"))
    assert status["done"] == 1.0
    assert "ratings in" in study("export", made)
    study("export", made, "--out", made / "folder")
    assert (made / "folder" / "ratings.csv").read_bytes() == (
        made / "export" / "ratings.csv"
    ).read_bytes()
    assert "0 new ratings" in study("import", made, made / "export" / "ratings.csv")
    assert study("state", made, "paused").endswith("is paused\n")
    assert ": paused, " in study("status", made)
    assert study("revoke", made, "r001", "me") == "2 revoked\n"


def test_what_studies_write_is_for_the_user_alone(made: Path, tmp_path: Path) -> None:
    assert os.umask(0o022) == 0o022  # the commands leave it as it was
    study("invite", made, "--raters", "1", "--out", tmp_path / "links.csv")
    study("export", made, "--out", tmp_path / "ratings")
    opened = open_study(made)
    with opened.database.write():
        beside = {path.name for path in made.iterdir()}
    assert {"study.sqlite", "study.sqlite-wal", "study.sqlite-shm"} <= beside
    folders = [made, tmp_path / "ratings"]
    for path in (tmp_path / "links.csv", *folders, *(one for f in folders for one in f.rglob("*"))):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    opened.database.close()


def test_links_begin_with_the_servers_address(made: Path, tmp_path: Path) -> None:
    assert "http://localhost:8501/?t=" in study("invite", made, "--raters", "1")
    assert "http://localhost:9000/?t=" in study("invite", made, "--raters", "1", "--port", "9000")
    design = tmp_path / "design.yaml"
    design.write_text((made / "design.yaml").read_text("utf-8").replace(
        "address: null", "address: https://study.x.org/"
    ), "utf-8")  # fmt: skip
    other = tmp_path / "other"
    study("create", "--transcripts", tmp_path / "in", "--design", design, "--out", other)
    assert "https://study.x.org/?t=" in study("invite", other, "--raters", "1")
    assert "https://y.org/?t=" in study("invite", other, "--raters", "1", "--url", "https://y.org")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP])
def test_the_server_says_its_address_when_it_is_there_and_leaves_no_child(
    made: Path, how: signal.Signals
) -> None:
    pytest.importorskip("streamlit")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-u", "-c", "from duo.cli import main; main()", "study", "serve",
             str(made), "--port", str(port), "--processes", "2", "--trial"]  # fmt: skip
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        while f"http://localhost:{port} (Ctrl-C" not in (line := server.stdout.readline()):
            assert line
        for one in (port, port + 1):
            socket.create_connection(("127.0.0.1", one), timeout=5).close()
        assert f"http://localhost:{port}/?t=" in study("invite", made, "--raters", "1")
        server.send_signal(how)
        server.wait(timeout=30)
        left = [port, port + 1]
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", left[0]), timeout=5).close()
            except OSError:
                if not left[1:]:
                    break
                del left[0]
            time.sleep(0.2)
        else:
            pytest.fail("a child still listens")


def test_a_study_is_served_with_what_people_should_know(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "sessions.study.app.serve", lambda study, **how: served.append({"study": study, **how}) or 0
    )
    with pytest.raises(
        BadInput, match=r"does not say: who, .*withdrawal .*duo study about .*--trial"
    ):
        study("serve", made)
    assert not served
    study("serve", made, "--trial")
    facts = ("contact", "purpose", "duration", "pay", "data", "withdrawal")
    said = study("about", made, "--who", "Ada", *(f"--{name}={name} ..." for name in facts[1:]))
    assert "who: Ada\ncontact: -\n" in said
    assert "does not say: contact (" in said
    assert "does not say: contact (" in study("check", made)
    study("about", made, "--contact", "ada@x.org")
    study("serve", made, "--url", "https://x.org/")
    assert served[-1]["public"] == "https://x.org"
    assert served[-1]["study"].design.about.who == "Ada"
    assert "who: Ada" in (made / "design.yaml").read_text("utf-8")


def test_links_of_a_panel(made: Path) -> None:
    said = study("invite", made, "--panel", "prolific")
    kind, name, link = said.strip().split("\t")
    assert (kind, name) == ("panel", "prolific")
    assert link.endswith("&PROLIFIC_PID={{%PROLIFIC_PID%}}")


def test_check_says_what_leaks(tmp_path: Path) -> None:
    for system in ("duo", "duplex"):
        recorded(tmp_path / "in", system, "a")
    study("create", "--transcripts", tmp_path / "in", "--out", tmp_path / "st")
    assert "no control tokens" in study("check", tmp_path / "st")
    path = tmp_path / "in" / "duo" / "a.jsonl"
    path.write_text(path.read_text("utf-8").replace("this is", "Duplex <9> is"), encoding="utf-8")
    study("create", "--transcripts", tmp_path / "in", "--out", tmp_path / "st2")
    said = study("check", tmp_path / "st2", status=1)
    assert "LEAKS" in said
    assert "name of a system" in said


def test_power() -> None:
    said = study("power", "--preference", "0.8", "--dialogues", "10,60", "--simulations", "300")
    assert "60 dialogues" in said
    assert "of 80% with 25% ties" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "--transcripts", "none", "--out", "x"), "none: no such file or folder"),
        (("check", "none"), "none: is not a study"),
        (("serve", "none"), "none: is not a study"),
        (("state", "none", "paused"), "none: is not a study"),
        (("invite", "none"), "say how many --raters"),
        (("power", "--raters", "1,x"), "--raters: '1,x' is no list of whole numbers"),
        (("power", "--preference", "1"), "preference: must lie between"),
        (("simulate", "none", "--prefer", "duo"), "--prefer: 'duo' is not SYSTEM=STRENGTH"),
        (("simulate", "none", "--prefer", "duo=nan"), "--prefer: 'duo=nan' is not"),
    ],
)
def test_bad_input_is_one_line(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        study(*words)
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_the_server_is_told_which_study_and_shows_no_tracebacks(make_sqlite: StudyMaker) -> None:
    opened = make_sqlite()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        with pytest.raises(BadInput, match=f"--port: {port} cannot be used"):
            command(opened, host="127.0.0.1", port=port)
    words = command(opened, host="127.0.0.1", port=port)
    assert words[:4] == [sys.executable, "-P", "-m", "sessions.study.app.server"]
    options = json.loads(words[4])
    assert options["server.headless"] is True
    public = json.loads(
        command(opened, host="127.0.0.1", port=port, public="https://x.org/study")[4]
    )
    assert public["server.corsAllowedOrigins"] == ["https://x.org"]
    assert public["server.baseUrlPath"] == "study"
    assert options["browser.gatherUsageStats"] is False
    assert options["client.showErrorDetails"] == "none"
    assert (options["server.port"], options["server.address"]) == (port, "127.0.0.1")
    assert environment(opened)["DUO_STUDY"] == str(opened.folder.resolve())
    with pytest.raises(BadInput, match=r"--host: 'no\.such\.host\.invalid'"):
        command(opened, host="no.such.host.invalid", port=port)


def test_every_flag_is_one_that_streamlit_knows() -> None:
    from sessions.study.app import _FLAGS

    config = pytest.importorskip("streamlit.config")
    assert set(_FLAGS) <= set(config.get_config_options())
