"""YAML that remembers its lines, so that a wrong value can be pointed at.

As in YAML 1.2, only true and false are truth values: an utterance may be the one word No.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from duo.errors import BadInput
from duo.terminal import printable
from sessions.problems import Loc


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
