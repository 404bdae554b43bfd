"""No messages and bars of the libraries: what there is to say, the caller says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO


@contextmanager
def silence() -> Iterator[None]:
    """Inside, lm-eval, datasets and transformers are silent. Errors still come through."""
    from datasets import disable_progress_bars  # type: ignore[import-untyped]

    from duo.quiet import quiet

    disable_progress_bars()
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with quiet(), redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(before)
