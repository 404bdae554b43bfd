"""Commands in the documents exist: each is parsed as the command line would, and none is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from duo.cli import app
from duo.training.frames import FramesSettings
from duo.training.rows import RowsSettings
from duo.training.settings import load_settings, make_settings, parse_assignments
from sessions.catalogue import find_scenarios

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: What of a command line is a path into the repository.
_OURS = re.compile(r"(?:evaluation|sessions|reports|duo|docs)/[\w./-]+")
#: What the command line raises for a mistake of its user; typer gives no name to it.
_UsageError = typer.BadParameter.__bases__[0]


def commands(document: Path) -> Iterator[list[str]]:
    """The words of each command in the blocks of a document; pipes are several commands."""
    for block in re.findall(r"```sh\n(.*?)```", document.read_text("utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while "|" in words:
                place = words.index("|")
                yield words[:place]
                words = words[place + 1 :]
            if words:
                yield words


LINES = [(path.name, words) for path in DOCUMENTS for words in commands(path)]


def duo_words(words: Sequence[str]) -> list[str] | None:
    """Cut `duo`, also below `accelerate launch`, off a command; None if it is another."""
    if words[0] == "duo":
        return list(words[1:])
    if words[:2] == ["accelerate", "launch"]:
        return list(words[words.index("duo.cli") + 1 :])
    return None


OURS = [(name, found) for name, words in LINES if (found := duo_words(words)) is not None]


def parsed(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Parse a command: its name and its parameters; a mistake raises."""
    command: Any = get_command(app)
    context = command.make_context("duo", list(words), resilient_parsing=True)
    names = []
    while hasattr(command, "commands"):
        if words and words[0].startswith("-"):
            assert words == ["--version"]
            return "version", {}
        names.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    try:
        context = command.make_context(" ".join(names), list(words), parent=context)
    except typer.Exit:  # an option that shows something and leaves
        return " ".join(names), {}
    return " ".join(names), context.params


def test_there_are_commands_in_every_document() -> None:
    for path in DOCUMENTS:
        if path.name != "models.md":  # a table
            least = 10 if path.name in ("README.md", "paper.md") else 2
            assert len([name for name, _ in OURS if name == path.name]) > least


@pytest.mark.parametrize(
    ("name", "words"), OURS, ids=[f"{name}-{' '.join(words)[:60]}" for name, words in OURS]
)
def test_every_command_and_its_options_exist(name: str, words: list[str]) -> None:
    command, given = parsed(list(words))
    for word in words:
        if _OURS.fullmatch(word):
            assert (ROOT / word).exists()
    if command == "train":
        changed = parse_assignments(given["set_"] or ())
        if given["recipe"] == "rows":
            make_settings(RowsSettings, changed)
        elif given["recipe"] == "frames":
            make_settings(FramesSettings, changed)
        else:
            load_settings(given["preset"], given["recipe"], changed)
    if command == "report figure":
        from reports.kinds import FIGURES

        assert given["kind"] in FIGURES


@pytest.mark.parametrize(
    "words",
    [
        "data bild",
        "data build --out x --recepie paper",
        "data build --out x --samples none",
        "study create --live",
        "train --data x --out y --preset",
    ],
)
def test_a_mistake_is_found(words: str) -> None:
    with pytest.raises((KeyError, _UsageError)):
        parsed(words.split())


def test_accelerate_knows_how_it_is_launched() -> None:
    from accelerate.commands.launch import launch_command_parser

    launched = [words for _, words in LINES if words[:2] == ["accelerate", "launch"]]
    assert launched
    for words in launched:
        found = launch_command_parser().parse_args(words[2:])
        assert found.module
        assert found.training_script == "duo.cli"


def test_the_papers_dialogues_are_forty() -> None:
    words, *_ = [words for name, words in OURS if name == "paper.md" and words[0] == "record"]
    _, given = parsed(words)
    assert len(find_scenarios(given["scenario"])) == 40
