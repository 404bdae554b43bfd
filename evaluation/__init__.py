"""Measure with numbers alone: decisions, conversations, benchmarks, speed."""
