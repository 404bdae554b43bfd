"""Find scenarios: the library and the suite that come with the package, and files of one's own.

Labelled utterances (see `duo.data.sample`) are scenarios too. Of the dialogue that one comes from,
what `self` said becomes the user's turns and what `other` said the assistant's. That is the
scenario's context, and the utterance is spoken a second after the start, at the default rate.
Interruptions, backchannels and acknowledgements are about what the assistant says: where the last
turn before one is the user's own, that turn is spoken too, as a query, and the utterance two
seconds into its answer.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from duo.data.sample import LabelledUtterance
from duo.errors import BadInput, check_choice
from duo.files import read_json_lines, validate
from sessions.scenario import (
    ALWAYS,
    Scenario,
    UtteranceKind,
    control,
    parse_scenario,
    read_scenario,
)

_SUFFIXES = (".yaml", ".yml")
_UTTERANCES = (".jsonl", ".jsonl.gz")
_SUITE = "suite:"


@cache
def library_names() -> tuple[str, ...]:
    """List the names of the packaged scenarios, in alphabetical order."""
    files = (resources.files("sessions") / "library").iterdir()
    return tuple(sorted(Path(file.name).stem for file in files if file.name.endswith(_SUFFIXES)))


def library_scenario(name: str) -> Scenario:
    """Read one packaged scenario.

    Raises:
        BadInput: there is none of this name; names the closest.
    """
    if name not in library_names():
        close = difflib.get_close_matches(name, library_names(), n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "give a name or a YAML file"
        raise BadInput(f"unknown scenario {name!r}: {hint}")
    file = resources.files("sessions") / "library" / f"{name}.yaml"
    return parse_scenario(file.read_text(encoding="utf-8"), file.name)


def find_scenarios(names: Sequence[str] = ()) -> tuple[Scenario, ...]:
    """Find the scenarios meant by names; all of the library if none is given.

    Args:
        names: of the library; YAML files and folders of such; `suite:PATTERN`, see
            `sessions.suite`; labelled utterances (JSON Lines, plain or gzipped).

    Raises:
        BadInput: unknown name, unreadable file, folder without scenarios, or two scenarios of one
            name, whose transcripts would be the same file.
    """
    if not names:
        return tuple(map(library_scenario, library_names()))
    scenarios: dict[str, tuple[Scenario, str]] = {}
    for source, scenario in _found(names):
        earlier = scenarios.setdefault(scenario.name.casefold(), (scenario, source))
        if earlier[0] != scenario:
            raise BadInput(f"{scenario.name} is also the name of {earlier[1]}", file=source)
    return tuple(scenario for scenario, _ in scenarios.values())


def sample(scenarios: Sequence[Scenario], size: int) -> tuple[Scenario, ...]:
    """Draw a stable sample of `size` scenarios, in their order.

    It depends on their names alone, and a larger one is a superset, so a recording can be extended.
    """
    drawn = sorted(scenarios, key=lambda each: hashlib.sha256(each.name.encode()).digest())[:size]
    names = {scenario.name for scenario in drawn}
    return tuple(scenario for scenario in scenarios if scenario.name in names)


def with_controls(scenarios: Sequence[Scenario]) -> tuple[Scenario, ...]:
    """Put the half-duplex control (`sessions.scenario.control`) behind each scenario that has one.

    Raises:
        BadInput: no scenario has one, or another is called so.
    """
    found: list[Scenario] = []
    for scenario in scenarios:
        found += [one for one in (scenario, control(scenario)) if one is not None]
    if len(found) == len(scenarios):
        raise BadInput("no scenario has a query that interrupts an answer", field="--control")
    names = [one.name.casefold() for one in found]
    if taken := next((one.name for one in found if names.count(one.name.casefold()) > 1), None):
        raise BadInput(f"two scenarios would be called {taken}", field="--control")
    return tuple(found)


def _found(names: Iterable[str]) -> Iterable[tuple[str, Scenario]]:
    for name in names:
        path = Path(name)
        if name.startswith(_SUITE):
            from sessions.suite import suite_scenarios

            yield from ((name, scenario) for scenario in suite_scenarios(name[len(_SUITE) :]))
        elif name.endswith(_UTTERANCES):
            yield from ((name, scenario) for scenario in read_utterances(path))
        elif name in library_names() or not (path.exists() or path.suffix in _SUFFIXES):
            yield name, library_scenario(name)
        elif path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
            if not files:
                raise BadInput("holds no scenario (*.yaml)", file=path)
            yield from ((str(file), read_scenario(file)) for file in files)
        else:
            yield name, read_scenario(path)


#: The kind of utterance that a label stands for. What is asked or ordered ends a turn alike.
KIND_OF: dict[str, UtteranceKind] = {
    "query": "question",
    "question": "question",
    "directive": "question",
    "interruption": "interruption",
    "backchannel": "backchannel",
    "acknowledgement": "acknowledgement",
    "third_party_talk": "third_party",
    "self_talk": "self_talk",
    "statement": "statement",
    "narrative": "statement",
    "incomplete": "unfinished",
}

#: Kinds that need an answer that is being given.
_INTO_ANSWERS: tuple[UtteranceKind, ...] = ("interruption", "backchannel", "acknowledgement")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def read_utterances(path: Path) -> tuple[Scenario, ...]:
    """Make a scenario of each labelled utterance of a file, in its order.

    Raises:
        BadInput: the file cannot be read, a line is no labelled utterance, or there are none; names
            file, line and field.
    """
    if not path.is_file():
        raise BadInput("cannot be read: no such file", file=path)
    scenarios: list[Scenario] = []
    lines: dict[str, int] = {}
    for number, content in read_json_lines(path):
        labelled = validate(content, LabelledUtterance, file=path, line=number)
        try:
            scenario = _scenario(labelled)
        except BadInput as error:
            raise BadInput(error.message, file=path, line=number, field=error.field) from None
        first = lines.setdefault(scenario.name.casefold(), number)
        if first != number:
            raise BadInput(f"is taken by line {first}", file=path, line=number, field="id")
        scenarios.append(scenario)
    if not scenarios:
        raise BadInput("holds no utterances", file=path)
    return tuple(scenarios)


def _scenario(labelled: LabelledUtterance) -> Scenario:
    check_choice("label", labelled.label, tuple(KIND_OF))
    kind = KIND_OF[labelled.label]
    label = "query" if labelled.needs_response else "non_query"
    if label != ALWAYS.get(kind, label):
        raise BadInput(f"kind {kind} is always a {ALWAYS[kind]}", field="needs_response")
    context = [{"user" if who == "self" else "assistant": text} for who, text in labelled.turns]
    utterances: list[dict[str, Any]] = []
    start = {"at": 1.0}
    if kind in _INTO_ANSWERS and context and "user" in context[-1]:
        asked = context.pop()["user"]
        utterances.append(
            {"id": "first", **start, "label": "query", "kind": "question", "say": asked}
        )
        start = {"into_answer": 2.0}
    utterances.append({"id": "event", **start, "label": label, "kind": kind, "say": labelled.text})
    return Scenario.model_validate(
        {
            "name": _name(str(labelled.id)),
            "language": "en",
            "description": f"Labelled {labelled.label}.",
            "context": context,
            "utterances": utterances,
        }
    )


def _name(id: str) -> str:
    """Make an id a scenario's name; one that cannot be is told apart by its hash."""
    if _NAME.fullmatch(id):
        return id
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", id).strip("-._")[:50] or "utterance"
    return f"{plain}-{hashlib.sha256(id.encode()).hexdigest()[:8]}"
