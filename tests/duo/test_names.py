"""Names of files and folders that are made of anybody's text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from duo.runs import free_name, safe_name


@given(st.text(st.characters(), max_size=200))
@settings(deadline=None, derandomize=True)
def test_names_stay_inside_the_folder(text: str) -> None:
    name = safe_name(text)
    assert 1 <= len(name.encode()) <= 100
    assert not {"/", "\\"} & set(name)
    assert name.isprintable()
    assert not name.startswith(".")
    assert safe_name(name) == name


def test_names_of_systems_are_folders() -> None:
    assert safe_name("my.pkg:make") == "my.pkg-make"
    assert safe_name("../../etc:passwd") == "-..-etc-passwd"
    assert safe_name("..:..") == "-.."


def test_a_name_that_is_taken_is_numbered() -> None:
    taken: set[str] = set()
    assert [free_name(name, taken) for name in ("a", "A", "b", "a-2")] == ["a", "A-2", "b", "a-2-2"]
