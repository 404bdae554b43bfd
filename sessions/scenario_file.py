"""Scenarios as YAML files, to be read, changed and recorded again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from duo.errors import BadInput
from duo.files import check_writable, write_text
from sessions.scenario import Scenario


def scenario_yaml(scenario: Scenario) -> str:
    """The text of a scenario's file; `parse_scenario` makes the same scenario of it."""
    content = scenario.model_dump(mode="json", exclude_defaults=True)
    for utterance in content["utterances"]:
        parts = [part.get("text", part) for part in utterance["say"]]
        utterance["say"] = parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return text


def write_scenarios(scenarios: Sequence[Scenario], out: Path, *, force: bool = False) -> list[Path]:
    """Write each scenario to `out/NAME.yaml`.

    Args:
        scenarios: of different names.
        out: folder; it is made.
        force: write over files that hold something else.

    Raises:
        BadInput: such a file is there, in which case nothing is written; or none can be written.
    """
    check_writable(out)
    texts = {out / f"{scenario.name}.yaml": scenario_yaml(scenario) for scenario in scenarios}
    for path, text in texts.items():
        if not force and path.exists() and path.read_bytes() != text.encode():
            raise BadInput("holds something else: --force writes over it", file=path)
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)
