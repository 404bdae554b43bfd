"""Speak with a system instead of typing: recogniser, voices, live sessions."""
