"""A figure inside a page: SVG that takes its colours and its type from the page around it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from markupsafe import Markup

from reports.figures.style import DARK, LIGHT

_ROLE_OF = {value: role for role, value in LIGHT.items()}
_COLOR = re.compile(r"#[0-9a-f]{6}\b")
_FAMILY = re.compile(r"font-family:[^;]*;?\s*")
_REFERENCE = re.compile(r"url\(#")


def inline_svg(svg: str, *, prefix: str, label: str, css_class: str = "") -> Markup:
    """Make an SVG file's text fit to stand inside HTML.

    Colours of the house style become CSS variables (`palette_css` sets them), families are left to
    the page, names of parts get a prefix so that two figures in a page do not meet, and what only
    matters to a file (metadata, style sheet, size) goes.

    Args:
        svg: as `reports.figures.style.svg_text` gives it.
        prefix: letters, unique in the page.
        label: what the picture shows, for those who cannot see it.
        css_class: classes of the `svg` element.
    """
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if _bare(child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _bare(element.tag)
        element.attrib = {
            _bare(name): _value(_bare(name), value, prefix)
            for name, value in element.attrib.items()
        }
    box = root.attrib["viewBox"]
    root.attrib = {"viewBox": box, "class": css_class, "role": "img", "aria-label": label}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def palette_css(dark: bool = False) -> str:
    """The house style's colours as CSS declarations."""
    palette = DARK if dark else LIGHT
    return " ".join(f"--fig-{role}: {value};" for role, value in palette.items())


def _bare(name: str) -> str:
    return name.rpartition("}")[2]


def _value(name: str, value: str, prefix: str) -> str:
    match name:
        case "id":
            return f"{prefix}-{value}"
        case "href":
            return value.replace("#", f"#{prefix}-", 1)
        case "style":
            value = _FAMILY.sub("", value)
            value = _COLOR.sub(_variable, value)
    return _REFERENCE.sub(f"url(#{prefix}-", value)


def _variable(found: re.Match[str]) -> str:
    role = _ROLE_OF.get(found.group())
    return f"var(--fig-{role})" if role else found.group()
