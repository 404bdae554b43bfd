"""Find scenarios: the library and the suite that come with the package, and files of one's own."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from duo.errors import BadInput
from sessions.scenario import Scenario, parse_scenario, read_scenario

_SUFFIXES = (".yaml", ".yml")
_UTTERANCES = (".jsonl", ".jsonl.gz")
_SUITE = "suite:"


@cache
def library_names() -> tuple[str, ...]:
    """Names of the packaged scenarios, in alphabetical order."""
    files = (resources.files("sessions") / "library").iterdir()
    return tuple(sorted(Path(file.name).stem for file in files if file.name.endswith(_SUFFIXES)))


def library_scenario(name: str) -> Scenario:
    """One packaged scenario.

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
    """The scenarios meant by names; all of the library if none is given.

    Args:
        names: of the library; YAML files and folders of such; `suite:PATTERN`, see
            `sessions.suite`; labelled utterances (JSON Lines, plain or gzipped), see
            `sessions.labelled`.

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
    """A stable sample of `size` scenarios, in their order.

    It depends on their names alone, and a larger one is a superset, so a recording can be extended.
    """
    drawn = sorted(scenarios, key=lambda each: hashlib.sha256(each.name.encode()).digest())[:size]
    names = {scenario.name for scenario in drawn}
    return tuple(scenario for scenario in scenarios if scenario.name in names)


def _found(names: Iterable[str]) -> Iterable[tuple[str, Scenario]]:
    for name in names:
        path = Path(name)
        if name.startswith(_SUITE):
            from sessions.suite import suite_scenarios

            yield from ((name, scenario) for scenario in suite_scenarios(name[len(_SUITE) :]))
        elif name.endswith(_UTTERANCES):
            from sessions.labelled import read_utterances

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
