"""A small phrase grammar: symbols, alternatives, and a draw among them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random

_SYMBOL = re.compile(r"\{(\w+)\}")
_WEIGHT = re.compile(r"^(\d+)\|")


class Grammar:
    """Texts by symbol; `{name}` in an alternative stands for a draw from another symbol.

    An alternative may begin with a weight: `5|yeah` is drawn five times as often as `sure`.

    Args:
        rules: alternatives by symbol.
    """

    def __init__(self, rules: Mapping[str, Sequence[str]]) -> None:
        self._texts: dict[str, list[str]] = {}
        self._weights: dict[str, list[int]] = {}
        for symbol, alternatives in rules.items():
            found = [_WEIGHT.match(text) for text in alternatives]
            self._texts[symbol] = [_WEIGHT.sub("", text) for text in alternatives]
            self._weights[symbol] = [int(weight[1]) if weight else 1 for weight in found]

    def draw(self, symbol: str, random: Random, **given: str) -> str:
        """A text for a symbol, its first letter a capital.

        Args:
            symbol: where to begin.
            random: drawn from.
            given: texts for symbols without a rule, such as what the dialogue is about.
        """
        text = self._expand(symbol, random, given)
        text = re.sub(r"(^|[.?!] )([a-z])", lambda found: found[1] + found[2].upper(), text)
        return re.sub(r"\bi\b(?=[ '])", "I", text)

    def forms(self, symbol: str) -> int:
        """How many derivations a symbol has; a given symbol counts as one."""
        if symbol not in self._texts:
            return 1
        total = 0
        for text in self._texts[symbol]:
            ways = 1
            for name in _SYMBOL.findall(text):
                ways *= self.forms(name)
            total += ways
        return total

    def _expand(self, symbol: str, random: Random, given: Mapping[str, str]) -> str:
        if symbol in given:
            return given[symbol]
        [text] = random.choices(self._texts[symbol], self._weights[symbol])
        return _SYMBOL.sub(lambda found: self._expand(found[1], random, given), text)
