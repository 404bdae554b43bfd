"""Run `duo chat`: type while the model speaks, on the full screen or over a plain pipe."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from duo.decoding.systems import check_settings, check_system, is_foreign, models_for, with_prompt
from duo.errors import ended_by_signals
from duo.files import check_writable_file
from duo.terminal import say
from duo.transcript import write_transcript
from sessions.chat.live import Builder, Conversation, free_path
from sessions.recorder import COMMON


def run(
    model: str | None = None,
    system: str = "duo",
    seed: int = 0,
    save: Path | None = None,
    plain: bool = False,
    loading: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Hold one conversation and save its transcript, however it ends.

    Args:
        model: name of a backbone; None for the system's default, which a foreign one has not.
        system: a name of `duo.decoding.systems` or `package.module:factory`.
        save: where the transcript goes; None for `runs/chat/<date-time>.jsonl`.
        plain: use the lines of `sessions.chat.pipe` even in a terminal.
        loading: how the model is loaded, where not as usual; see `duo.backbone.load`.

    Raises:
        BadInput: unknown system, model or setting, a place that cannot be written, a bad line.
        SystemExit: a signal ended the conversation.
    """
    check_system(system)
    # It repeats itself no more than where it is recorded.
    usual = {} if is_foreign(system) else {"repetition_penalty": COMMON["repetition_penalty"]}
    settings = usual | dict(settings or {})
    check_settings(system, settings, seed=seed)
    path = save or free_path(Path("runs/chat"))
    check_writable_file(path)
    models = models_for([system], [model] if model else [])
    model, loading = models.get(system), with_prompt(loading or {}, models.values())
    on_screen = not plain and _is_screen()
    clock = "real-time" if on_screen else "simulated"
    build = Builder({system: settings}, loading, seed, {"scenario": "chat", "clock": clock})
    if model is not None:
        names = [model, settings["monitor"]] if settings.get("monitor") else [model]
        say(f"loading {' and '.join(names)} ...")
    conversant, header = build(system, model or "none")
    conversation = Conversation(conversant, header)
    try:
        with ended_by_signals():
            if on_screen:
                from sessions.chat.screen import run_screen

                run_screen(conversation)
            else:
                from sessions.chat.pipe import PipeChat, read_lines

                if isinstance(sys.stdout, io.TextIOWrapper):
                    sys.stdout.reconfigure(errors="backslashreplace")
                PipeChat(conversation, sys.stdout, say).play(read_lines(sys.stdin.buffer))
    finally:
        write_transcript(path, conversation.finish())
        say(f"saved {path}")


def _is_screen() -> bool:
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(stream.isatty() for stream in streams) and os.environ.get("TERM") != "dumb"
