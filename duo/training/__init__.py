"""Train a model or an adapter to decide when to answer, from samples of dialogues."""
