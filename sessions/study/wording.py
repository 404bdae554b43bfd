"""Say what the raters' pages say, in the language that is wanted: one YAML file a language.

A text may have places in braces, such as `{count}`, and two forms, `one` and `other`, by the count.
A language of one's own is a file with the same keys and places as `languages/en.yaml`, which a
design names under `strings`; the texts of the design itself are `translated` beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, RootModel

from duo.errors import misfit
from duo.yaml_file import read_yaml

if TYPE_CHECKING:
    from sessions.study.design import Design

_FOLDER = Path(__file__).with_name("languages")

#: Languages that the pages speak by themselves.
LANGUAGES = tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))

_PLACE = re.compile(r"\{([a-z]+)\}")
_FORMS = {"one", "other"}

#: The fields of a design that have texts for raters.
_TRANSLATED = (
    "title", "consent", "about", "instructions", "criteria", "example", "comprehension", "checks",
    "before", "after", "strength", "marks", "live",
)  # fmt: skip

#: Fields inside them that are the same in all languages.
_SAME = ("name", "kind", "who")


@dataclass(frozen=True)
class Words:
    """What the pages say in one language.

    Attributes:
        language: its code.
        texts: by group and key; a text, or its forms `one` and `other`.
    """

    language: str
    texts: Mapping[str, Mapping[str, Any]]

    def __call__(self, key: str, **values: object) -> str:
        """Return a text, such as `consent.agree`, with values in its places."""
        group, _, name = key.partition(".")
        text = self.texts[group][name]
        if isinstance(text, Mapping):
            text = text["one" if values.get("count") == 1 else "other"]
        return _PLACE.sub(lambda found: str(values.get(found[1], found[0])), text)

    def group(self, name: str) -> Mapping[str, Any]:
        """Return a group of texts as a script of the pages reads it."""
        return self.texts[name]


def closest(languages: Sequence[str], wanted: str | None, default: str) -> str:
    """Return which of some languages is the one that is wanted, or closest to it.

    >>> closest(("en", "zh"), "zh-CN", "en")
    'zh'
    """
    wanted = (wanted or "").casefold()
    same = [one for one in languages if one.casefold() == wanted]
    near = [one for one in languages if one.partition("-")[0] == wanted.partition("-")[0]]
    return (*same, *near, default)[0]


def words_of_design(design: Design, language: str) -> Words:
    """Return what the pages of a study say in one of its languages."""
    own = design.strings.get(language)
    return words_in(language) if own is None else Words(language, own)


@cache
def words_in(language: str) -> Words:
    """Return what the pages say in a language of their own; English for any other."""
    language = language if language in LANGUAGES else "en"
    return Words(language, read_yaml(_FOLDER / f"{language}.yaml").data)


def read_words(path: Path) -> dict[str, Any]:
    """Read a language of a design's own.

    Raises:
        BadInput: not such a file; names the line and the key.
    """
    return read_yaml(path).validated(_Texts).root


def words_of(data: Any, *at: str) -> dict[str, Any]:
    """Return texts that have the keys and places of the English ones.

    Args:
        at: where they stand, for the error.

    Raises:
        PydanticCustomError: they have not.
    """
    _check(words_in("en").texts, data, *at)
    return dict(data)


class _Texts(RootModel[Annotated[dict[str, Any], BeforeValidator(words_of)]]):
    """A file of texts."""


def _check(model: Any, data: Any, *at: str) -> None:
    forms = isinstance(model, Mapping) and set(model) == _FORMS
    if isinstance(model, list):
        if not isinstance(data, list) or len(data) < len(model):
            raise misfit(f"must be a list of {len(model)} texts", *at)
        model, data = dict.fromkeys(range(len(data)), ""), dict(enumerate(data))
    if isinstance(data, str) and (isinstance(model, str) or forms):
        if foreign := _places(data) - _places(model):
            raise misfit(f"has no {{{min(foreign)}}} to say", *at)
        if not data.strip():
            raise misfit("is empty", *at)
        return
    if not isinstance(data, Mapping) or isinstance(model, str):
        raise misfit("must be a text" if isinstance(model, str) else "must be a mapping", *at)
    if missing := [name for name in model if name not in data]:
        raise misfit("is missing", *at, missing[0])
    if unknown := [name for name in data if name not in model]:
        raise misfit("is none of the pages' texts", *at, str(unknown[0]))
    for name, text in data.items():
        _check(model[name] if not forms else model["other"], text, *at, name)


def _places(text: Any) -> set[str]:
    texts = text.values() if isinstance(text, Mapping) else [text]
    return {place for one in texts for place in _PLACE.findall(one)}


def translated(data: Mapping[str, Any], over: Mapping[str, Any], *at: int | str) -> dict[str, Any]:
    """Return the data of a design, or of a part of it, with the texts that another language has.

    Lists are replaced item by item, and must be as long.

    Args:
        over: a part of the data, with texts in another language; what is not in it stays.
        at: where `over` stands, for the error.

    Raises:
        PydanticCustomError: there is no such text.
    """
    if unknown := [name for name in over if name not in data]:
        raise misfit("there is no such text in the design", *at, unknown[0])
    if len(at) == 2 and (fixed := [name for name in over if name not in _TRANSLATED]):
        raise misfit("is the same in all languages", *at, fixed[0])
    changed = {name: _one(data[name], value, *at, name) for name, value in over.items()}
    return {**data, **changed}


def _one(before: Any, after: Any, *at: int | str) -> Any:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        who = "about" in at  # there it is a text
        if not who and (
            fixed := [one for one in _SAME if one in after and after[one] != before[one]]
        ):
            raise misfit(f"must be {before[fixed[0]]!r}, as in the design", *at, fixed[0])
        return translated(before, after, *at)
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        if len(before) != len(after):
            raise misfit(f"has {len(after)} parts, not {len(before)} as in the design", *at)
        pairs = zip(before, after, strict=True)
        return [_one(one, other, *at, place) for place, (one, other) in enumerate(pairs)]
    if isinstance(before, str | None) and isinstance(after, str):
        return after
    if before == after:
        return before
    raise misfit("must be a text, as in the design", *at)
