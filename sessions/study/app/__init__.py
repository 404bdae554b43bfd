"""Serve the web pages of a study: Streamlit on `main.py`, as a process of its own.

The pages are thin: what they show and store is `sessions.study`'s. A page holds no truth of its
own: each run asks the session where the rater is and what was answered, and every click is stored
before the page is drawn again.

What transcripts say reaches the browser as JSON, for scripts that make text nodes of it; it is
never part of any HTML or Markdown. Comments are shown to their raters, in a text field, and to
administrators, escaped. The texts of a design are its author's: consent, instructions and the
example's explanation may use Markdown (never HTML), all others are shown as they are.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from duo import palette
from duo.errors import BadInput, ended_by_signals

if TYPE_CHECKING:
    from sessions.study.study import Study

#: The environment variable that tells the pages which study they are of.
VARIABLE = "DUO_STUDY"
_PATH = "PYTHONPATH"
_PR_SET_PDEATHSIG = 1
#: Seconds that the server has to end by itself.
_PATIENCE = 5
APP = Path(__file__).with_name("main.py")

#: No browser is opened, nothing is reported to anybody, no traceback and no menu reach a rater.
_FLAGS: dict[str, Any] = {
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.enableXsrfProtection": True,
    "server.enableCORS": True,
    "server.enableStaticServing": False,
    "server.maxUploadSize": 1,
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showSidebarNavigation": False,
    "global.developmentMode": False,
    "logger.level": "warning",
    # Or all garbage is collected after each click, which takes the longer the more raters there
    # are: with a hundred, most of the time.
    "runner.postScriptGC": False,
    # By sections: a colour for all would switch off that the browser chooses light or dark.
    "theme.light.primaryColor": "#2f6fb2",
    "theme.dark.primaryColor": "#3678bd",
}


@cache
def asset(name: str) -> str:
    """Read a script or style sheet that stands beside this file.

    `player.js` and `player.css` draw timelines, on these pages and in reports.
    """
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def player_style() -> str:
    """Return the style sheet of `player.js`, with the colours of all conversations."""
    names = {"person": "user", "assistant": "assistant", "both": "both", "cut": "in"}
    names |= {f"{name}-tint": f"{names[name]}-tint" for name in ("person", "assistant")}
    light, dark = (
        ".timelines { "
        + " ".join(f"--{name}: {colors[role]};" for role, name in names.items())
        + " }\n"
        for colors in (palette.LIGHT, palette.DARK)
    )
    dark = f"@media (prefers-color-scheme: dark) {{ {dark} }}\n"
    return light + dark + asset("player.css")


def command(study: Study, *, host: str, port: int, public: str = "") -> list[str]:
    """Return the command line of the server.

    Args:
        public: the address by which browsers reach it, if not by `host` and `port`. A path in it
            is where the server has its pages, too.

    Raises:
        BadInput: Streamlit is not installed, or the port is taken.
    """
    if find_spec("streamlit") is None:
        raise BadInput("the pages need Streamlit: pip install streamlit")
    check_free(host, port)
    flags = _FLAGS | {"server.address": host, "server.port": port}
    if public:  # a web socket of any other origin is refused
        origin = urlsplit(public)
        flags["server.corsAllowedOrigins"] = [f"{origin.scheme}://{origin.netloc}"]
        flags["server.baseUrlPath"] = origin.path.strip("/")
    return [sys.executable, "-P", "-m", f"{__name__}.server", json.dumps(flags)]


def environment(study: Study) -> dict[str, str]:
    """Return the environment of the server: ours, and which study it is.

    Nothing in it depends on the current folder, and no settings of Streamlit are in it: what stands
    in `.streamlit` there, or in a module named like one of ours, is not meant for a server.
    """
    from sessions.study.store import VARIABLE as DATABASE  # not for reports, which draw timelines

    kept = {name: one for name, one in os.environ.items() if not name.startswith("STREAMLIT_")}
    named = [one for one in kept.get(_PATH, "").split(os.pathsep) if Path(one).is_absolute()]
    kept[_PATH] = os.pathsep.join([str(APP.parents[3]), *named])
    if DATABASE in kept:
        url = study.database.url
        if study.database.is_sqlite:
            url = url.set(database=str(Path(study.database.place).resolve()))
        kept[DATABASE] = url.render_as_string(hide_password=False)
    return kept | {VARIABLE: str(study.folder.resolve())}


def serve(
    study: Study,
    *,
    host: str,
    port: int,
    ready: Callable[[], None],
    public: str = "",
    processes: int = 1,
) -> int:
    """Run the server until it is stopped; return its exit status.

    However this process ends (Ctrl-C, an end of the terminal, SIGTERM, and on Linux SIGKILL), the
    server ends with it, and the port is free again.

    Args:
        public: as in `command`.
        ready: called once it can be reached.
        processes: servers at this and the following ports, over the one database. A proxy shares
            raters among them, each of whom stays with one; if one ends, all do.

    Raises:
        BadInput: as `command`.
    """
    try:
        with ended_by_signals(), ExitStack() as stack:
            ports = range(port, port + processes)
            servers = [
                stack.enter_context(started(study, host=host, port=one, public=public))
                for one in ports
            ]
            if all(is_up(one, host, at) for one, at in zip(servers, ports, strict=True)):
                ready()
            while all(one.poll() is None for one in servers):
                time.sleep(0.2)
            return next(one.returncode for one in servers if one.returncode is not None)
    except (KeyboardInterrupt, SystemExit):
        return 0


@contextmanager
def started(
    study: Study, *, host: str, port: int, public: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the server, and end it at the end; see `command`."""
    words = command(study, host=host, port=port, public=public)
    end = partial(_end_with, os.getpid())
    server = subprocess.Popen(
        words, env=environment(study), stdout=subprocess.DEVNULL, preexec_fn=end
    )
    try:
        yield server
    finally:
        _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server: it may close what is open, but not wait for browsers that stay."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _end_with(parent: int) -> None:
    """Let Linux end this process when its parent is killed, or was already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def is_up(server: subprocess.Popen[bytes], host: str, port: int) -> bool:
    """Wait until the server can be reached; return False if it ended before."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while server.poll() is None:
        try:
            socket.create_connection((own, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


def check_free(host: str, port: int) -> None:
    """Raise `BadInput` if a server cannot listen at a port."""
    if port > 65_535:
        raise BadInput(f"{port} is no port: there is none above 65535", field="--port")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise BadInput(f"{host!r} is no address of this machine", field="--host") from error
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            message = f"{port} cannot be used on {host}: {error.strerror or error}"
            raise BadInput(message, field="--port") from error
