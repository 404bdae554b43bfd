"""Dialogues into training samples (the paper's section 3, and what it leaves open)."""
