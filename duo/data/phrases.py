"""Draw what people say: by the rules of `phrases.yaml`, or as `spoken.yaml` has it.

The first has rules that make many sentences of few words; the second whole utterances, written down
one by one, of which some are kept for validation.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import ClassVar

from pydantic import RootModel, model_validator

from duo.errors import misfit
from duo.yaml_file import read_yaml

_SYMBOL = re.compile(r"\{(\w+)\}")
#: What a text is about where nothing is known of that.
ANYTHING = "that thing"
#: How often a whole utterance is drawn for one that the rules make.
_SPOKEN = 2
#: Of this number of whole utterances, one is kept for validation samples.
_KEPT = 10
_ALTERNATIVE = re.compile(r"(?:(?P<weight>[1-9]\d*)\|)?(?:@(?P<all_of>\w+)|(?P<text>.*))")


class Phrases(RootModel[dict[str, list[str]]]):
    """The alternatives of each symbol, as a YAML file has them; see `phrases.yaml` for the form.

    Attributes:
        given: symbols that the caller fills in.
        drawn: symbols that the caller draws, which the file must have.
    """

    given: ClassVar[Collection[str]] = ("topic", "said", "clause")
    drawn: ClassVar[Collection[str]] = (
        "backchannel", "acknowledgement", "remark", "restated", "statement", "story", "self_talk",
        "muttering", "third_party_talk", "third_party_question", "claim", "order", "follow_up",
        "opener", "stop", "go_on", "hidden", "hidden_order", "lead_in", "fact",
    )  # fmt: skip

    @model_validator(mode="after")
    def _symbols_are_known(self) -> Phrases:
        for symbol in self.drawn:
            if symbol not in self.root:
                raise misfit(f"has no symbol {symbol}")
        for symbol, alternatives in self.root.items():
            if not alternatives:
                raise misfit("has no alternative", symbol)
            for place, text in enumerate(alternatives):
                found = _ALTERNATIVE.fullmatch(text)
                if found is None:
                    raise misfit("must be on one line", symbol, place)
                for name in [found["all_of"]] if found["all_of"] else _SYMBOL.findall(text):
                    if name not in self.root and (found["all_of"] or name not in self.given):
                        raise misfit(f"{name} is no symbol of this file", symbol, place)
                if re.search(r"[{}]", _SYMBOL.sub("", text)):
                    raise misfit("has a brace that belongs to no symbol", symbol, place)
        return self


class Spoken(RootModel[dict[str, str]]):
    """Whole utterances of each kind, one a line, as `spoken.yaml` has them."""

    given: ClassVar[Collection[str]] = ("topic", "name")
    drawn: ClassVar[Collection[str]] = ("assent", "offer")  # which no rule makes

    @model_validator(mode="after")
    def _utterances_are_whole(self) -> Spoken:
        for kind in self.drawn:
            if kind not in self.root:
                raise misfit(f"has no utterances of the kind {kind}")
        for kind, text in self.root.items():
            if len(text.splitlines()) < _KEPT:
                raise misfit(f"has fewer than {_KEPT} utterances", kind)
            for line in text.splitlines():
                if re.search(r"[{}]", re.sub(rf"\{{({'|'.join(self.given)})\}}", "", line)):
                    raise misfit(
                        f"a brace that belongs to no {' or '.join(self.given)}: {line}", kind
                    )
        return self


class Grammar:
    """Texts by symbol, drawn by weight.

    Attributes:
        alternatives: texts of each symbol, without their weights.
    """

    def __init__(self, rules: Mapping[str, Sequence[str]]) -> None:
        self.alternatives: dict[str, list[str]] = {}
        self._weights: dict[str, list[int]] = {}
        for symbol in rules:
            drawn = list(_weighted(rules, symbol))
            self.alternatives[symbol] = [text for text, _ in drawn]
            self._weights[symbol] = [weight for _, weight in drawn]

    def draw(self, symbol: str, random: Random, **given: str) -> str:
        """Draw a text for a symbol; each of its sentences begins with a capital.

        Args:
            given: texts for symbols without alternatives, such as what the dialogue is about:
                `topic`, which is `ANYTHING` unless it is given.
        """
        text = self._expand(symbol, random, {"topic": ANYTHING, **given})
        text = re.sub(r"(^|[.?!] )([a-z])", lambda found: found[1] + found[2].upper(), text)
        return re.sub(r"\bi\b(?=[ '])", "I", text)

    def _expand(self, symbol: str, random: Random, given: Mapping[str, str]) -> str:
        if symbol in given:
            return given[symbol]
        [text] = random.choices(self.alternatives[symbol], self._weights[symbol])
        return _SYMBOL.sub(lambda found: self._expand(found[1], random, given), text)


def _weighted(rules: Mapping[str, Sequence[str]], symbol: str) -> list[tuple[str, int]]:
    """List the alternatives of a symbol with their weights."""
    drawn: list[tuple[str, int]] = []
    for alternative in rules[symbol]:
        found = _ALTERNATIVE.fullmatch(alternative)
        assert found is not None
        weight = int(found["weight"] or 1)
        if found["all_of"]:
            drawn += [(text, weight * own) for text, own in _weighted(rules, found["all_of"])]
        else:
            drawn.append((found["text"], weight))
    return drawn


@cache
def _texts() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Read the rules of each symbol, and the whole utterances of each kind."""
    rules = read_yaml(Path(__file__).with_name("phrases.yaml")).validated(Phrases).root
    spoken = read_yaml(Path(__file__).with_name("spoken.yaml")).validated(Spoken).root
    return rules, {kind: text.splitlines() for kind, text in spoken.items()}


@cache
def grammar(validation: bool = False) -> Grammar:
    """Load the grammar of the training data, once.

    Args:
        validation: with those of the spoken utterances that no sample to train on has.

    Raises:
        BadInput: a file was changed to something that is no grammar; names file and line.
    """
    texts, spoken = _texts()
    rules = {**texts}
    for kind, lines in spoken.items():
        rules[f"spoken_{kind}"] = [
            line for place, line in enumerate(lines) if (place % _KEPT == 0) == validation
        ]
        weight = sum(weight for _, weight in _weighted(rules, kind)) if kind in rules else 1
        drawn = f"{_SPOKEN * weight}|{{spoken_{kind}}}"
        rules[kind] = [*rules.get(kind, []), drawn]
    return Grammar(rules)
