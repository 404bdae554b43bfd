"""YAML that remembers its lines, so that a wrong value can be pointed at.

As in YAML 1.2, only true and false are truth values: an utterance may be the one word No.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from duo.errors import BadInput
from duo.problems import Loc, Problem, problems
from duo.terminal import printable

Schema = TypeVar("Schema", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the class it replaces
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if not tag.endswith((":bool", ":timestamp"))
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


class MarkedYaml:
    """One YAML document: its plain data, and the line on which each value stands.

    Raises:
        BadInput: not one YAML document, or a key is given twice in one mapping.
    """

    def __init__(self, text: str, file: str | Path) -> None:
        self._file = file
        try:
            root = yaml.compose(text, Loader=_Loader)
            if root is None:
                raise BadInput("is empty", file=file)
            self._root: yaml.Node = root
            self._reject_duplicate_keys(root, set())
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
        """The line, from 1, of the value at `loc`, or of the closest thing around it."""
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

    def validated(self, schema: type[Schema]) -> Schema:
        """The data as a schema has them.

        Raises:
            BadInput: they do not fit: names file, line and field.
        """
        try:
            return schema.model_validate(self.data)
        except ValidationError as error:
            raise self.refusal(error) from error

    def refusal(self, error: ValidationError) -> BadInput:
        """What a schema found wrong with the data, in one line."""
        problem = self.first_problem(error)
        line = self.line(problem.loc)
        return BadInput(problem.message, file=self._file, line=line, field=problem.field)

    def first_problem(self, error: ValidationError) -> Problem:
        """The problem that says most of what a schema found wrong, or else stands first."""
        # A misspelt field is one too many and one missing: the former says more.
        found = sorted(problems(error), key=lambda problem: self.line(problem.loc))
        return next((problem for problem in found if problem.unknown_field), found[0])

    def _reject_duplicate_keys(self, node: yaml.Node, seen: set[int]) -> None:
        if id(node) in seen:  # an alias, possibly of something around it
            return
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._reject_duplicate_keys(item, seen)
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        raise BadInput(
                            "is given twice",
                            file=self._file,
                            line=key.start_mark.line + 1,
                            field=printable(key.value),
                        )
                    keys.add(key.value)
                self._reject_duplicate_keys(value, seen)


def read_yaml(path: Path) -> MarkedYaml:
    """Read a file of one YAML document.

    Raises:
        BadInput: it cannot be read, or is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", file=path) from error
    except UnicodeDecodeError as error:
        raise BadInput("is not UTF-8 text", file=path) from error
    return MarkedYaml(text, path)
