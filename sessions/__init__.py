"""Dialogues and people: scenarios, the recorder, transcripts, rater studies."""
