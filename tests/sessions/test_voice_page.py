"""Talk to a system in a real browser: its microphone is a file and what the test says."""

from __future__ import annotations

import base64
import io
import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from duo.decoding.conversant import CycleResult, Event, Heard, Kind
from duo.transcript import read_transcript
from sessions.voice.extras import lacking
from sessions.voice.recogniser import RATE, Sound, to_int16
from sessions.voice.voices import load_voice
from tests.sessions.study.app.browser import Browser, browsing, needs_browser, until

MISSING = next(filter(None, map(lacking, ("session", "whisper", "piper"))), "")
pytestmark = [needs_browser, pytest.mark.skipif(bool(MISSING), reason=MISSING)]

HOSTILE = "<img src=x onerror=\"document.title='hacked'\"> <b>bold</b>."

#: What the test says is mixed with the browser's microphone; and how loud the page's voice is.
_MIXER = """
const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
  const context = new AudioContext();
  const mixed = context.createMediaStreamDestination();
  context.createMediaStreamSource(await real(wanted)).connect(mixed);
  window.say = async (wav) => {
    const bytes = Uint8Array.from(atob(wav), (one) => one.charCodeAt(0));
    const buffer = await context.decodeAudioData(bytes.buffer);
    const node = new AudioBufferSourceNode(context, { buffer });
    node.connect(mixed);
    node.start();
  };
  return mixed.stream;
};
window.loudest = 0;
window.listen = () => {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(document.getElementById("voice").srcObject).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    window.loudest = Math.max(window.loudest, ...samples);
  }, 50);
};
"""


#: Whether words of the system, shown as they are played, follow the last decision to answer.
_ANSWERED = """
const decided = [...document.querySelectorAll(".respond")].at(-1);
let [text, row] = ["", decided.closest(".row").nextElementSibling];
for (; row; row = row.nextElementSibling) text += row.querySelector(".system").textContent;
return /\\w/.test(text.replace("cut", ""));
"""


_REFUSED = """
navigator.mediaDevices.getUserMedia =
  async () => { throw new DOMException("", "NotAllowedError"); };
"""


def wav(*parts: Sound) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(to_int16(np.concatenate(parts)).tobytes())
    return content.getvalue()


def quiet(seconds: float) -> Sound:
    return np.zeros(round(seconds * RATE), np.float32)


class Hostile:
    """Says what must not become a part of the page."""

    name, cycle_seconds = "hostile", 0.5

    def reset(self) -> None:
        self.said = False

    def cycle(self, heard: Heard) -> CycleResult:
        said, self.said = getattr(self, "said", False), True
        return CycleResult(() if said else (Event(Kind.SPEECH, HOSTILE), Event(Kind.ANSWER_END)))


def hostile(backbone: Any, *, seed: int) -> Hostile:
    return Hostile()


@contextmanager
def talking(out: Path, *options: str) -> Iterator[str]:
    """Serve the page as `duo talk` does; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "duo.cli", "talk", f"--out={out}", f"--port={port}", *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert "talk at" in server.stdout.readline()
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)


def refused(address: str, **headers: str) -> int:
    """The status with which a request is refused that does not come from the page."""
    request = urllib.request.Request(f"{address}/api/leave", b"{}", headers)
    with pytest.raises(urllib.error.HTTPError) as found:
        urllib.request.urlopen(request)
    found.value.close()
    return found.value.code


@contextmanager
def microphone(file: Path) -> Iterator[Browser]:
    flags = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={file}%noloop",
        "--autoplay-policy=no-user-gesture-required",
    )
    with browsing(*flags) as browser:
        browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _MIXER})
        yield browser


@pytest.mark.real_model
def test_a_question_a_remark_and_an_interruption_are_spoken(tmp_path: Path) -> None:
    voice = load_voice("piper")
    file = tmp_path / "microphone.wav"
    file.write_bytes(wav(quiet(8), voice.say("How do I cook pasta?").sound(), quiet(2)))
    with talking(tmp_path / "talks") as address, microphone(file) as browser:
        run = browser.driver.execute_script

        def say(text: str) -> None:
            run("say(arguments[0])", base64.b64encode(wav(voice.say(text).sound())).decode())

        browser.open(address)
        run("document.getElementById('record').click()")
        browser.click("Start talking")
        browser.sees("Recorded on this computer")
        run("listen()")
        browser.sees("answering")
        until(lambda: run("return loudest") > 0.01, why="the answer is heard")
        say("Mm-hm.")
        browser.sees("ignored")
        say("Wait, what is the capital of France?")
        until(lambda: browser.text().count("answering") == 2, why="the interruption is answered")
        until(lambda: run(_ANSWERED), why="the second answer is heard")
        browser.click("Stop")
        browser.click("Go on talking")
        browser.click("Stop")
        browser.find("button", "Go on talking")
        assert not browser.complaints()

        [path] = (tmp_path / "talks").glob("duo/*.jsonl")
        transcript = read_transcript(path)
        kinds = [event.kind for event in transcript.events if event.kind in ("respond", "ignore")]
        assert kinds == ["respond", "ignore", "respond"]
        utterances = [event.text.casefold() for event in transcript.of("utterance")]
        assert "pasta" in utterances[0]
        assert "france" in utterances[2]
        assert list(transcript.of("speech"))
        assert any("first sound" in event.text for event in transcript.of("note"))
        costs = json.loads((tmp_path / "talks" / "manifest.json").read_text())["sessions"]
        assert len(costs[f"duo/{path.name}"]["answered"]) == 2
        import soundfile

        sound, rate = soundfile.read(path.with_suffix(".flac"))
        assert rate == RATE
        assert (np.abs(sound).max(axis=0) > 0.01).all()


def test_hostile_words_stay_words_and_a_socket_carries_what_webrtc_cannot(tmp_path: Path) -> None:
    file = tmp_path / "microphone.wav"
    file.write_bytes(wav(quiet(1)))
    systems = "--systems=tests.sessions.test_voice_page:hostile"
    options = systems, "--voice=none"
    with talking(tmp_path / "talks", *options) as address, microphone(file) as browser:
        assert refused(address, Origin="http://elsewhere.example") == 403
        assert refused(address) == 403
        assert refused(address, Host="elsewhere.example") == 400
        browser.open(f"{address}/?socket")
        browser.click("Start talking")
        browser.sees("bold</b>.")
        browser.driver.refresh()  # the page goes away without a word
        browser.find("button", "Start talking")
        browser.driver.execute_script(_REFUSED)
        browser.click("Start talking")
        browser.sees("The microphone was refused")
        browser.driver.refresh()
        browser.click("Start talking")
        browser.sees("bold</b>.")
        assert browser.driver.title == "Talk"
        assert not browser.driver.find_elements("css selector", "#lanes img, #lanes b")
    assert not list((tmp_path / "talks").rglob("*.*"))  # nobody has agreed to a recording
