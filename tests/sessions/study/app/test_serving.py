"""What a server of a study imports, tells and lets in: with real processes, and a real nginx."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from sessions.study.app import is_up, started
from sessions.study.app.load import carries, free_ports, load_pages, rate, tab
from sessions.study.people import invite_raters
from sessions.study.store import FILE, VARIABLE
from sessions.study.study import Study, open_study
from sessions.study.tables import ratings
from tests.sessions.study.studies import StudyMaker
from tests.sessions.study.test_materials import recorded

pytest.importorskip("streamlit")

ROOT = Path(__file__).parents[4]
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
DUO = "from duo.cli import main; main()"


@pytest.fixture(autouse=True)
def _no_other_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@contextmanager
def listening(study: Study, port: int, public: str = "") -> Iterator[None]:
    with started(study, host="127.0.0.1", port=port, public=public) as server:
        assert is_up(server, "127.0.0.1", port)
        yield


def test_the_current_folder_is_nothing_to_a_server_and_browsers_learn_no_path(
    tmp_path: Path, make_sqlite: StudyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_sqlite()
    hostile, seen = tmp_path / "here", tmp_path / "imported"
    (hostile / ".streamlit").mkdir(parents=True)
    for name in ("json", "pandas", "sitecustomize", "streamlit", "look", "sqlalchemy"):
        program = f"open({str(seen)!r}, 'a').write({name!r})\nraise SystemExit(9)\n"
        (hostile / f"{name}.py").write_text(program, "utf-8")
    settings = '[server]\nbaseUrlPath = "elsewhere"\n[client]\nshowErrorDetails = "full"\n'
    (hostile / ".streamlit" / "config.toml").write_text(settings, "utf-8")
    (hostile / ".streamlit" / "secrets.toml").write_text("this is = = no TOML", "utf-8")
    monkeypatch.chdir(hostile)
    monkeypatch.setenv("PYTHONPATH", f":.:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("STREAMLIT_SERVER_BASE_URL_PATH", "elsewhere")
    (port,) = free_ports(1)
    address, (invitation,) = f"http://127.0.0.1:{port}", invite_raters(study, 1)
    with listening(study, port):
        with urllib.request.urlopen(f"{address}/", timeout=30) as answer:
            told = [answer.read()]
        with tab(address, invitation.token) as page:
            page.run()
            told += page.received
            page.run("I agree and take part")
            told += page.received
            (study.folder / FILE).write_bytes(b"SQLite format 3\0" + b"\0" * 5000)
            page.run()
            told += page.received
    said = b"\n".join(told)
    assert b"Nothing that you answered is lost" in said  # the page for what went wrong
    for path in (ROOT, hostile, study.folder, Path.home(), Path(sys.prefix), Path(sys.base_prefix)):
        assert str(path).encode() not in said, path
    assert b"Traceback" not in said
    assert not seen.exists()


def test_of_three_that_make_a_study_in_one_folder_one_wins(tmp_path: Path) -> None:
    for system in ("duo", "duplex"):
        recorded(tmp_path / "in", system, "a")
    out = tmp_path / "st"
    words = [sys.executable, "-c", DUO, "study", "create", "--transcripts", tmp_path / "in",
             "--out", out]  # fmt: skip
    running = [
        subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(3)
    ]
    ends = [(one.communicate()[1].decode(), one.returncode) for one in running]
    lost = [said for said, status in ends if status == 2]
    assert sorted(status for _, status in ends) == [0, 2, 2], ends
    for said in lost:
        assert said.count("\n") == 1, said
        assert "making a study here" in said or "holds a study already" in said
    study = open_study(out)
    with study.database.read() as connection:
        names = connection.exec_driver_sql("SELECT name FROM studies").scalars().all()
    study.database.close()
    assert names == [study.name]


@pytest.mark.skipif(NGINX is None, reason="there is no nginx here")
def test_behind_nginx_with_tls_and_a_path(tmp_path: Path, make_sqlite: StudyMaker) -> None:
    assert NGINX is not None
    study = make_sqlite()
    inside, beside, outside = free_ports(3)
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-days", "2", "-keyout", key, "-out",
         certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    server = (ROOT / "docs" / "nginx.conf").read_text("utf-8")
    for ours, theirs in {
        "listen 443 ssl": f"listen 127.0.0.1:{outside} ssl",
        "server_name study.example.org": "server_name localhost",
        "/etc/ssl/certs/study.example.org.pem": str(certificate),
        "/etc/ssl/private/study.example.org.key": str(key),
        "127.0.0.1:8600": f"127.0.0.1:{inside}",
        "127.0.0.1:8601": f"127.0.0.1:{beside}",
    }.items():
        assert ours in server
        server = server.replace(ours, theirs)
    places = "".join(
        f"{name}_temp_path {tmp_path / name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"daemon off;\npid {tmp_path / 'pid'};\nevents {{}}\nhttp {{\n{places}{server}\n}}\n"
    (tmp_path / "nginx.conf").write_text(whole, "utf-8")
    public = f"https://localhost:{outside}/rating"
    trusting = ssl.create_default_context(cafile=str(certificate))
    words = [NGINX, "-p", tmp_path, "-e", tmp_path / "error", "-c", tmp_path / "nginx.conf"]
    with (
        listening(study, inside, public),
        listening(study, beside, public),
        subprocess.Popen(words) as nginx,
    ):
        try:
            assert is_up(nginx, "127.0.0.1", outside), (tmp_path / "error").read_text("utf-8")
            invitation, other = invite_raters(study, 2)
            link = invitation.link(public)
            with urllib.request.urlopen(link, timeout=30, context=trusting) as answer:
                assert b"<title>" in answer.read()
                assert answer.headers["Set-Cookie"].startswith("duo_place=")
            sent, _ = rate(study, public, invitation.token, 0.0, ssl=trusting)
            sent += rate(study, public, other.token, 0.0, ssl=trusting)[0]
            with (
                pytest.raises(InvalidStatus, match="403"),
                tab(public, invitation.token, ssl=trusting, origin="https://evil.org"),
            ):
                pass
        finally:
            nginx.terminate()
            nginx.wait(timeout=30)
    with study.database.read() as connection:
        assert len(connection.execute(ratings.select()).all()) == len(sent) > 0


def test_raters_of_two_servers_lose_nothing(tmp_path: Path) -> None:
    found = load_pages(tmp_path, raters=3, pages=1, think=0.0, processes=2)
    assert (found.sent, found.stored, found.processes) == (15, 15, 2)
    assert (found.lost, found.changed, found.doubled) == (0, 0, 0)
    quick = [{"operation": "click", "count": 15, "median": 0.9, "p95": 2.9, "longest": 9.0}]
    assert carries(replace(found, timings=quick))
    assert not carries(replace(found, timings=quick, doubled=1))
    assert not carries(replace(found, timings=[quick[0] | {"p95": 3.1}]))
