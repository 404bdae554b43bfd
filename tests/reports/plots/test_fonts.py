"""Characters that the house's font lacks: drawn by another font, or named with what to install."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from reports.plots import style
from reports.plots.style import FAMILIES, fonts_for, house_style, save

#: In a plane for private use: no font that is installed has it.
NOWHERE = "\U0010fffd"


def written(text: str) -> Figure:
    with house_style():
        figure = Figure(figsize=(2, 1))
        figure.add_axes((0.4, 0.2, 0.5, 0.5)).set_yticks([0.5], [text])
    return figure


@pytest.fixture(autouse=True)
def nothing_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "_reported", set())


def test_plain_text_needs_one_font_and_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert fonts_for("Straße, 100 % – <1> …\n\u200b") == FAMILIES[:1]
    assert capsys.readouterr() == ("", "")


def test_what_no_font_has_is_said_once_and_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in (".png", ".pdf"):
        save(written(f"a {NOWHERE}"), tmp_path / f"a{suffix}")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "U+10FFFD" in said
    assert "install fonts-" in said
    assert said.isprintable() or said.strip().isprintable()
    save(written(f"a {NOWHERE}"), tmp_path / "a.svg")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "package"), [("中", "cjk"), ("한", "cjk"), ("न", "core"), ("🦊", "symbola")]
)
def test_the_package_fits_the_script(
    text: str, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(style, "_installed", lambda: {})
    monkeypatch.setattr(style, "_characters", lambda family: frozenset("abc"))
    assert fonts_for(f"a{text}") == FAMILIES[:1]
    assert f"fonts-noto-{package}" in capsys.readouterr().err or package == "symbola"


def test_another_font_comes_in_where_it_has_the_character(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fonts = {FAMILIES[0]: "ab", "One": "xy", "Two": "yz"}
    monkeypatch.setattr(style, "_installed", lambda: dict.fromkeys(fonts, ""))
    monkeypatch.setattr(style, "_characters", lambda family: frozenset(fonts[family]))
    assert fonts_for("abz") == (FAMILIES[0], "Two")
    assert fonts_for("axz") == (FAMILIES[0], "One", "Two")
    assert capsys.readouterr().err == ""


def test_a_font_that_is_part_of_matplotlib_draws_what_the_house_lacks(tmp_path: Path) -> None:
    script = "\U0001d49c"  # a capital A in script
    families = fonts_for(script)
    assert len(families) == 2
    save(written(script), tmp_path / "a.pdf")
    assert families[1].replace(" ", "").encode() in (tmp_path / "a.pdf").read_bytes()
