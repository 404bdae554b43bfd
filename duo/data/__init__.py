"""Build training samples from dialogues (the paper's section 3, and what it leaves open)."""
