"""Measure what a GPU can do for decoding and training, within a few minutes, whatever hangs."""
