"""Measure with numbers alone: decisions, conversations, benchmarks, speed; a module a command."""
