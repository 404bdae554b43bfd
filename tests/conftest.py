"""Give all tests one thread, no hub, a cache of their own, and the embedded model."""

from __future__ import annotations

import os

# Before any library reads them. No test may depend on the network but through the package index.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from duo.errors import BadInput

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
