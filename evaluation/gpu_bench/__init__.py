"""Measure what a GPU can do for decoding, within a few minutes, whatever hangs."""
