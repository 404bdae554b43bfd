"""A live study as its makers and a participant hold it: by voice, with the embedded model."""

from __future__ import annotations

import csv
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from duo.transcript import read_transcript
from sessions.study.design import read_design
from sessions.voice.extras import lacking
from sessions.voice.voices import load_voice
from tests.sessions.study.app.browser import browsing, needs_browser, until
from tests.sessions.study.test_study_commands import study
from tests.sessions.test_voice_page import quiet, wav

MISSING = next(filter(None, map(lacking, ("session", "whisper", "piper"))), "")
pytestmark = [needs_browser, pytest.mark.skipif(bool(MISSING), reason=MISSING)]

ABOUT = "who", "contact", "purpose", "duration", "pay", "data", "withdrawal"


@pytest.mark.real_model
def test_a_participant_talks_to_both_systems_and_rates_them(tmp_path: Path) -> None:
    microphone, made, links = tmp_path / "ask.wav", tmp_path / "study", tmp_path / "links.csv"
    asked = load_voice("piper").say("How do I cook pasta?").sound()
    microphone.write_bytes(wav(quiet(2), asked, quiet(20)))  # over and over
    design, topics = tmp_path / "design.yaml", tmp_path / "topics.yaml"
    design.write_text(read_design(live={"captions": True}).as_yaml())
    topics.write_text("topics:\n  - {name: pasta, title: Pasta, text: Ask how to cook pasta.}\n")
    study(
        "create", "--live", "--systems", "duo,turn-based", "--design", design,
        "--topics", topics, "--set", "duo.yielding=pause", "--raters", "1", "--out", made,
    )  # fmt: skip
    study("about", made, *(part for name in ABOUT for part in (f"--{name}", "We say so.")))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    study("invite", made, "--raters", "1", "--port", port, "--out", links)
    [link] = (row["link"] for row in csv.DictReader(links.read_text().splitlines()))

    words = [sys.executable, "-m", "duo.cli", "study", "serve", str(made), f"--port={port}"]
    flags = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
        "--autoplay-policy=no-user-gesture-required",
    )
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert str(port) in server.stdout.readline()
            with browsing(*flags) as browser:
                run = browser.driver.execute_script
                browser.open(link)
                browser.click("I agree")
                browser.click("I have read this")
                for label in "AB":
                    browser.sees(f"Conversation {label}")
                    browser.settled()
                    browser.click("Open the conversation")
                    browser.driver.switch_to.frame(browser.find("iframe"))
                    browser.click("Start talking")
                    until(
                        lambda: run("return document.getElementById('caption').textContent"),
                        why=f"{label} answers",
                    )
                    browser.click("Stop")
                    browser.driver.switch_to.default_content()
                browser.sees("Which conversation went better?")
                for question in range(5):
                    browser.choose(question, "B better")
                browser.click("Next")
                browser.sees("Your completion code")
                assert not browser.complaints()
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)

    out = tmp_path / "export"
    study("export", made, "--out", out)
    talks = list(csv.DictReader((out / "talks.csv").read_text().splitlines()))
    assert {talk["system"] for talk in talks} == {"duo", "turn-based"}
    for talk in talks:
        assert talk["outcome"] == "stopped"
        heard = " ".join(one.text for one in read_transcript(out / talk["transcript"]).of("word"))
        assert "pasta" in heard.casefold()
        import soundfile

        sound, _ = soundfile.read(out / talk["sound"])
        assert (np.abs(sound).max(axis=0) > 0.01).all()  # the microphone, and the voice
    ratings = list(csv.DictReader((out / "ratings.csv").read_text().splitlines()))
    assert len(ratings) == 5
