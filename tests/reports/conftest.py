"""Keep what other tests left in memory out of the collections that statsmodels asks for."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def frozen_garbage() -> Iterator[None]:
    """Let `gc.collect`, which statsmodels calls at every test of its own, see new objects alone.

    With torch and all else that a test run has imported it takes some tenths of a second.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
