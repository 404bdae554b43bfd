"""Which key goes to which address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.errors import BadInput
from duo.keys import key_for, key_variables

NAMES = ("OPENAI_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY", "DUO_KEY")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    for name in NAMES:
        monkeypatch.setenv(name, f"that of {name}")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("wss://API.OpenAI.com:443/v1/realtime?model=x", "OPENAI_API_KEY"),
        ("https://eu.api.openai.com./v1", "OPENAI_API_KEY"),
        ("wss://generativelanguage.googleapis.com/ws/x", "GOOGLE_API_KEY"),
        ("http://api.openai.com/v1", "DUO_KEY"),  # anybody on the way could read it
        ("https://openai.com.evil.example/v1", "DUO_KEY"),
        ("https://evilopenai.com/v1", "DUO_KEY"),
        ("https://api.openai.com@evil.example/v1", "DUO_KEY"),
        ("https://evil.example/?https://api.openai.com", "DUO_KEY"),
        ("http://localhost:8000/v1", "DUO_KEY"),
        ("http://[::1", "DUO_KEY"),
        ("", "DUO_KEY"),
    ],
)
def test_a_key_goes_to_its_own_service_alone(address: str, name: str) -> None:
    assert key_for(address) == f"that of {name}"


def test_openais_key_goes_where_its_own_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://proxy.example:8080/v1")
    assert key_variables("http://proxy.example:8080/v1/") == ("OPENAI_API_KEY",)
    for other in ("http://proxy.example/v1", "https://proxy.example:8080/v1", "http://x:8080/v1"):
        assert key_variables(other) == ("DUO_KEY",)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_API_KEY")
    assert key_for("https://x.googleapis.com") == "that of GEMINI_API_KEY"
    monkeypatch.setenv("GEMINI_API_KEY", "")
    with pytest.raises(BadInput, match="GOOGLE_API_KEY or GEMINI_API_KEY is not set"):
        key_for("https://x.googleapis.com")
    monkeypatch.delenv("DUO_KEY")
    assert key_for("http://localhost:8000") is None


@given(st.text())
def test_any_text_has_a_rule(text: str) -> None:
    assert set(key_variables(text)) <= set(NAMES)
    assert key_variables(f"https://evil.example/{text}") == ("DUO_KEY",)
