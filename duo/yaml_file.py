"""Read YAML as one writes it by hand, and say on which line what is wrong with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from duo.errors import BadInput, Loc, Problem, first_problem, problems
from duo.files import Model, read_text
from duo.terminal import printable

#: Values that a file may have, those that aliases repeat counted each time.
MOST_NODES = 1_000_000


def read_yaml(path: Path) -> MarkedYaml:
    """Read a file of one YAML document.

    Raises:
        BadInput: it cannot be read, or is none.
    """
    return MarkedYaml(read_text(path), path)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the class it replaces
        first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML takes for something else than text."""


for _kind, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
     "-+.0123456789"),
):  # fmt: skip
    for _end in (_Loader, _Dumper):
        _end.add_implicit_resolver(
            f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_pattern})$"), list(_first)
        )


def yaml_text(data: Any) -> str:
    """Write plain data as YAML that `read_yaml` reads as the same."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def read_scalar(text: str) -> bool | int | float | str | None:
    """Read a number, true, false or null as YAML 1.2 does; anything else is text.

    >>> [read_scalar(text) for text in ("3", "1e-5", "true", "null", "no", "a: b")]
    [3, 1e-05, True, None, 'no', 'a: b']
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float | None) else text


class MarkedYaml:
    """One YAML document: its plain data, and the line on which each value stands.

    As in YAML 1.2, only true and false are truth values: an utterance may be the one word No; 1e-5
    is a number, 12:30 is none (750 in YAML 1.1), and 010 is ten (8).

    Raises:
        BadInput: not one YAML document, a key is given twice in one mapping, or aliases make it
            endless or larger than `MOST_NODES`.
    """

    def __init__(self, text: str, file: str | Path) -> None:
        self._file = file
        try:
            root = yaml.compose(text, Loader=_Loader)
            if root is None:
                raise BadInput("is empty", file=file)
            self._root: yaml.Node = root
            self._check(root, {})
            self.data: Any = yaml.constructor.SafeConstructor().construct_document(root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = error.problem or error.context or "cannot be read"
            line = mark.line + 1 if mark else None
            raise BadInput(f"not YAML: {printable(what)}", file=file, line=line) from error
        except yaml.YAMLError as error:
            raise BadInput(f"not YAML: {printable(str(error))}", file=file) from error
        except RecursionError as error:
            raise BadInput("is nested too deeply", file=file) from error
        except ValueError as error:  # such as the date 2024-99-99
            raise BadInput(
                f"has an impossible value: {printable(str(error))}", file=file
            ) from error

    def line(self, loc: Loc) -> int:
        """Find the line, from 1, of the value at `loc`, or of the closest thing around it."""
        node = self._root
        line = node.start_mark.line
        for part in loc:
            if isinstance(node, yaml.MappingNode):
                found = [pair for pair in node.value if pair[0].value == part]
                if not found:
                    break
                key, node = found[-1]
                line = key.start_mark.line
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                node = node.value[part]
                line = node.start_mark.line
            else:
                break
        return line + 1

    def validated(self, schema: type[Model]) -> Model:
        """Make a pydantic model of the data.

        Raises:
            BadInput: they do not fit: names file, line and field.
        """
        try:
            return schema.model_validate(self.data)
        except ValidationError as error:
            raise self.refusal(error) from error

    def refusal(self, error: ValidationError) -> BadInput:
        """Say in one line what a pydantic model found wrong with the data."""
        problem = self.first_problem(error)
        line = self.line(problem.loc)
        return BadInput(problem.message, file=self._file, line=line, field=problem.field)

    def first_problem(self, error: ValidationError) -> Problem:
        """Choose the problem to report, by their order in the file."""
        return first_problem(sorted(problems(error), key=lambda problem: self.line(problem.loc)))

    def _check(self, node: yaml.Node, sizes: dict[int, int]) -> int:
        """Refuse double keys and too many aliases; gives the number of nodes with all aliases.

        Args:
            sizes: the number of nodes of each one that was seen; 0 while it is being counted.
        """
        if id(node) in sizes:
            if not sizes[id(node)]:
                raise self._bad("contains itself", node)
            return sizes[id(node)]
        sizes[id(node)] = 0
        size = 1
        if isinstance(node, yaml.SequenceNode):
            size += sum(self._check(item, sizes) for item in node.value)
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        raise self._bad("is given twice", key, printable(key.value))
                    keys.add(key.value)
                size += self._check(key, sizes) + self._check(value, sizes)
        if size > MOST_NODES:
            raise self._bad("its aliases make it too large", node)
        sizes[id(node)] = size
        return size

    def _bad(self, message: str, node: yaml.Node, field: str | None = None) -> BadInput:
        return BadInput(message, file=self._file, line=node.start_mark.line + 1, field=field)
