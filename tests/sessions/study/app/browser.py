"""A real server and real browsers, for the tests of the pages."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from sessions.study.app import command, environment
from sessions.study.study import Study

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
DRIVER = shutil.which("chromedriver")
PATIENCE = 180.0

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="there is no Chromium with its driver here"
)

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio",
)  # fmt: skip

#: All that there is to read, in shadow roots, too.
_TEXT = """
const texts = [];
const walk = (node) => {
  if (node.nodeType === 3) texts.push(node.data);
  if (["STYLE", "SCRIPT"].includes(node.nodeName)) return;
  if (node.shadowRoot) walk(node.shadowRoot);
  node.childNodes.forEach(walk);
};
walk(document.body);
return texts.join(" ");
"""

#: The first element of a kind that begins with a text and can be seen.
_FIND = """
const [tag, text] = arguments;
const found = [];
const walk = (node) => {
  if (node.shadowRoot) walk(node.shadowRoot);
  node.childNodes.forEach(walk);
  if (node.matches?.(tag) && node.textContent.trim().startsWith(text)
      && node.getClientRects().length && !node.disabled) found.push(node);
};
walk(document.body);
return found[0] || null;
"""

#: All that fits a selector, in shadow roots, too.
_DEEP = """
const hosts = [...document.querySelectorAll("*")].filter((one) => one.shadowRoot);
const deep = (selector) => [document, ...hosts.map((one) => one.shadowRoot)]
  .flatMap((one) => [...one.querySelectorAll(selector)]);
"""
_OPTIONS = (
    _DEEP
    + """
const box = deep(".ask")[arguments[0]] ?? document.querySelector(`.st-key-ask-${arguments[0]}`);
return [...(box?.querySelectorAll("label:has(input)") ?? [])];
"""
)

T = TypeVar("T")


def until(what: Callable[[], T | None], *, why: str, seconds: float = PATIENCE) -> T:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = what()
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "selenium":
                raise
            found = None  # what was looked at is being drawn again
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited in vain: {why}")


class Server:
    """The pages of a study, served as `duo study serve` serves them."""

    def __init__(self, study: Study) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._study = study
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        words = command(self._study, host="127.0.0.1", port=self.port)
        assert words[0] == sys.executable
        self._process = subprocess.Popen(
            words,
            env=environment(self._study),
            stdout=subprocess.DEVNULL,
        )
        until(self._healthy, why="the server starts")

    def stop(self, how: int = signal.SIGKILL) -> None:
        """The default is a crash: nothing can be saved at the last moment."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def served(study: Study) -> Iterator[Server]:
    server = Server(study)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Browser:
    """A browser of its own."""

    def __init__(self, *flags: str, width: int = 1400, height: int = 1000) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*_FLAGS, *flags, f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        self._received: list[bytes] = []

    def open(self, address: str) -> None:
        self.driver.get(address)

    def text(self) -> str:
        return str(self.driver.execute_script(_TEXT))

    def sees(self, text: str) -> str:
        """Wait for a text; all that there is to read then."""
        try:
            return until(lambda: (now := self.text()) and text in now and now, why="")
        except AssertionError:
            raise AssertionError(f"{text!r} is not in {self.text()[-2000:]!r}") from None

    def find(self, tag: str, text: str = "") -> Any:
        what = f"{tag} {text!r}"
        return until(lambda: self.driver.execute_script(_FIND, tag, text), why=f"find {what}")

    def click(self, text: str, tag: str = "button", *, times: int = 1) -> None:
        from selenium.webdriver import ActionChains

        def clicked() -> bool:
            element = self.find(tag, text)
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
            if times == 1:
                element.click()
            else:
                chain = ActionChains(self.driver)
                for _ in range(times):
                    chain.click(element)
                chain.perform()
            return True

        until(clicked, why=f"click {text!r}")

    def choose(self, question: int, option: str, *, stays: bool = True) -> None:
        """Click an option of the question at a place, from 0.

        Args:
            stays: the page does not go away for it.
        """
        from selenium.webdriver.common.by import By

        def clicked() -> bool:
            for label in self._options(question):
                if label.text.strip() == option:
                    self.driver.execute_script(
                        "arguments[0].scrollIntoView({block: 'center'})", label
                    )
                    label.click()
                    return not stays or bool(label.find_element(By.TAG_NAME, "input").is_selected())
            return False

        self.settled()  # until then, the choices of the page before may still be there
        until(clicked, why=f"choose {option!r} of question {question}")

    def choose_in(self, group: str, option: str) -> None:
        """Click an option of the group of choices with this name."""
        script = (
            _DEEP
            + """
        const [group, option] = arguments;
        const one = deep("[role=radiogroup]").find(
          (one) => one.getAttribute("aria-label") === group);
        const label = [...(one?.querySelectorAll("label") ?? [])].find(
          (label) => label.textContent.trim() === option);
        if (!label) return false;
        const input = label.querySelector("input");
        if (!input.checked) label.click();
        return input.checked;
        """
        )
        self.settled()
        until(
            lambda: self.driver.execute_script(script, group, option),
            why=f"choose {option!r} of {group!r}",
        )
        self.settled()

    def chosen(self, question: int) -> str:
        """Which option is chosen; "" for none."""
        from selenium.webdriver.common.by import By

        for label in self._options(question):
            if label.find_element(By.TAG_NAME, "input").is_selected():
                return str(label.text.strip())
        return ""

    def shows(self, question: int, option: str) -> None:
        until(
            lambda: self._options(question) and self.chosen(question) == option,
            why=f"question {question} shows {option!r}: {self.text()[-1500:]}",
        )

    def settled(self) -> None:
        """Wait until the page is drawn whole."""
        state = "document.querySelector('.stApp')?.dataset.testScriptState"
        drawn = f"return {state} === 'notRunning' && !document.querySelector('.stSkeleton')"
        until(lambda: self.driver.execute_script(drawn), why="the page is drawn")

    def press(self, key: str) -> None:
        from selenium.webdriver import ActionChains

        self.settled()
        ActionChains(self.driver).send_keys(key).perform()

    def write(self, text: str) -> None:
        """Write a comment, and leave the field."""
        field = self.find("textarea")
        field.send_keys(text)
        self.driver.execute_script("arguments[0].blur()", field)

    def received(self) -> bytes:
        """All that the server sent over web sockets so far."""
        for line in self.driver.get_log("performance"):
            message = json.loads(line["message"])["message"]
            if message["method"] == "Network.webSocketFrameReceived":
                frame = message["params"]["response"]
                binary = frame["opcode"] == 2
                data = frame["payloadData"]
                self._received.append(base64.b64decode(data) if binary else data.encode())
        return b"\n".join(self._received)

    def complaints(self) -> list[str]:
        """Errors that the browser wrote to its console."""
        return [
            line["message"]
            for line in self.driver.get_log("browser")
            if line["level"] == "SEVERE" and "favicon" not in line["message"]
        ]

    def close(self) -> None:
        self.driver.quit()

    def _options(self, question: int) -> list[Any]:
        """The labels of the options of the question at a place, on a rating page or another."""
        return list(self.driver.execute_script(_OPTIONS, question))


@contextmanager
def browsing(*flags: str, **size: int) -> Iterator[Browser]:
    browser = Browser(*flags, **size)
    try:
        yield browser
    finally:
        browser.close()
