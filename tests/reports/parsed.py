"""A page read back: its elements, attributes, texts and tables."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Parsed(HTMLParser):
    """A page; fails where an element is not closed.

    Attributes:
        tags: how often each element is there.
        attributes: element, name and value of each.
        text: all texts.
        code: what stands in scripts.
        tables: rows of cells, by caption or, without one, by the label of the frame around.
        items: texts of list items.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.code: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.items: list[str] = []
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self._caption = self._label = ""
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "div" and dict(attrs).get("role") == "region":
            self._label = dict(attrs).get("aria-label") or ""
        if tag == "table":
            self._rows, self._caption = [], ""
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._rows[-1].append("")
        if tag == "li":
            self.items.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "table":
            self.tables[self._caption or self._label] = self._rows

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            self.code.append(data)
            return
        self.text.append(data)
        if "caption" in self._open:
            self._caption += data
        elif {"td", "th"} & set(self._open):
            self._rows[-1][-1] += data
        if "li" in self._open:
            self.items[-1] += data

    def values(self, name: str) -> list[str]:
        """The values of an attribute, whichever elements have it."""
        return [value for _, attribute, value in self.attributes if attribute == name]
